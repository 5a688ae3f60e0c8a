"""Files that are there whole or not at all."""

import subprocess
import sys
from pathlib import Path

import pytest

from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.runtime.common.files import claimed, write_whole


@pytest.mark.parametrize("durable", [False, True])
def test_parts_follow_each_other_and_replace_what_was_there(tmp_path: Path, durable: bool) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"old and longer than the new")
    write_whole(path, b"one ", memoryview(b"two"), durable=durable)
    assert path.read_bytes() == b"one two"
    assert list(tmp_path.iterdir()) == [path]


def test_a_failure_keeps_the_old_file_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")
    with pytest.raises(TypeError):
        write_whole(path, b"half of it", None)  # type: ignore[arg-type]
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        write_whole(tmp_path / "absent" / "a.bin", b"x")


class TestClaimed:
    CLAIM = """
import sys
from pathlib import Path
from artmirror.runtime.common.files import claimed
with claimed(Path(sys.argv[1])):
    print("claimed", flush=True)
    sys.stdin.read()
"""

    def test_another_process_is_told_while_it_works_and_not_after_it_died(self, tmp_path: Path) -> None:
        path = tmp_path / "any.pt"
        command = [sys.executable, "-c", self.CLAIM, str(path)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == b"claimed\n"
            with pytest.raises(ArtmirrorError, match=r"any\.pt is being written by another process"), claimed(path):
                pass
            process.kill()
        with claimed(path):
            assert len(list(tmp_path.iterdir())) == 1
        assert list(tmp_path.iterdir()) == []
