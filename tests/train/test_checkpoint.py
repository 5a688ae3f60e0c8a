"""Files of training: round trip, damage, atomic replacement."""

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import torch

from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.train.checkpoint import (
    Checkpoint,
    check_writable,
    load_checkpoint,
    load_state,
    save_checkpoint,
    save_state,
    state_path,
)
from artmirror.train.config import NETWORK_PRESETS, TrainConfig


@pytest.fixture
def saved(tmp_path: Path, checkpoint: Checkpoint) -> Path:
    path = tmp_path / "starry.pt"
    save_checkpoint(path, checkpoint)
    return path


def test_a_checkpoint_survives_the_round_trip(saved: Path, checkpoint: Checkpoint) -> None:
    found = load_checkpoint(saved)
    for key, value in asdict(checkpoint).items():
        if key != "weights":
            assert asdict(found)[key] == value
    assert found.network == checkpoint.network
    assert list(found.weights) == list(checkpoint.weights)
    assert all(torch.equal(found.weights[key], value) for key, value in checkpoint.weights.items())
    frame = torch.rand(1, 3, 64, 64)
    stylizer = found.stylizer()
    assert not stylizer.training
    with torch.no_grad():
        assert torch.equal(stylizer(frame), checkpoint.stylizer()(frame))
    assert list(saved.parent.iterdir()) == [saved]


def test_a_checkpoint_is_plain_data(saved: Path) -> None:
    found = torch.load(saved, weights_only=True)

    def plain(value: Any) -> bool:
        if isinstance(value, dict):
            return all(isinstance(key, str) and plain(each) for key, each in value.items())
        if isinstance(value, tuple | list):
            return all(map(plain, value))
        return value is None or isinstance(value, str | int | float | torch.Tensor)

    assert plain(found)
    assert found["kind"] == "artmirror checkpoint"


def test_a_state_survives_the_round_trip(
    tmp_path: Path, checkpoint: Checkpoint, make_config: Callable[..., TrainConfig]
) -> None:
    path, state = tmp_path / "a.state.pt", {"network": {"weight": torch.arange(3)}, "scaler": {}}
    save_state(path, style=checkpoint.style, config=make_config(), step=4, state=state)
    style, config, step, found = load_state(path)
    assert (style, config, step) == (checkpoint.style, make_config(), 4)
    assert torch.equal(found["network"]["weight"], torch.arange(3))


def test_the_state_lies_beside_the_checkpoint() -> None:
    assert state_path(Path("runs/starry.v2.pt")) == Path("runs/starry.v2.state.pt")


class TestDamage:
    def test_a_missing_file_is_told(self, tmp_path: Path) -> None:
        with pytest.raises(ArtmirrorError, match=r"a\.pt does not exist; wanted a file that st-train wrote"):
            load_checkpoint(tmp_path / "a.pt")
        with pytest.raises(ArtmirrorError, match="does not exist"):
            load_checkpoint(tmp_path)

    @pytest.mark.parametrize("part", [0.0, 0.01, 0.5, 0.9, 0.999])
    def test_a_truncated_file_is_told(self, saved: Path, part: float) -> None:
        content = saved.read_bytes()
        saved.write_bytes(content[: int(len(content) * part)])
        with pytest.raises(ArtmirrorError, match=r"starry\.pt is not a file of st-train, or it is damaged") as caught:
            load_checkpoint(saved)
        assert "\n" not in caught.value.message

    def test_a_flipped_byte_in_the_weights_is_told(self, saved: Path, checkpoint: Checkpoint) -> None:
        content = bytearray(saved.read_bytes())
        place = content.index(checkpoint.weights["blocks.0.first.conv.weight"].numpy().tobytes())
        content[place + 100] ^= 0x40
        saved.write_bytes(content)
        with pytest.raises(ArtmirrorError, match="damaged"):
            load_checkpoint(saved)

    @pytest.mark.parametrize("content", [b"hello", b"\x80\x02}q\x00.", b"\x89PNG\r\n\x1a\n"])
    def test_other_files_are_told(self, tmp_path: Path, content: bytes) -> None:
        (tmp_path / "other.pt").write_bytes(content)
        with pytest.raises(ArtmirrorError, match=r"other\.pt (is not a file of st-train|holds other data)"):
            load_checkpoint(tmp_path / "other.pt")

    def test_a_file_that_would_run_code_is_refused(self, tmp_path: Path) -> None:
        class Trap:
            def __reduce__(self) -> tuple[Any, ...]:
                return os.mkdir, (str(tmp_path / "sprung"),)

        torch.save({"kind": "artmirror checkpoint", "trap": Trap()}, tmp_path / "trap.pt")
        with pytest.raises(ArtmirrorError, match="is not a file of st-train"):
            load_checkpoint(tmp_path / "trap.pt")
        assert not (tmp_path / "sprung").exists()

    def test_the_wrong_kind_is_told(
        self, tmp_path: Path, saved: Path, checkpoint: Checkpoint, make_config: Callable[..., TrainConfig]
    ) -> None:
        state = tmp_path / "starry.state.pt"
        save_state(state, style=checkpoint.style, config=make_config(), step=4, state={})
        with pytest.raises(ArtmirrorError, match="holds artmirror training state; wanted an artmirror checkpoint"):
            load_checkpoint(state)
        with pytest.raises(ArtmirrorError, match="holds artmirror checkpoint; wanted an artmirror training state"):
            load_state(saved)
        torch.save([1, 2], tmp_path / "list.pt")
        with pytest.raises(ArtmirrorError, match="holds list; wanted an artmirror checkpoint"):
            load_checkpoint(tmp_path / "list.pt")

    def test_another_version_is_told(self, saved: Path) -> None:
        torch.save({**torch.load(saved, weights_only=True), "format_version": 2}, saved)
        with pytest.raises(ArtmirrorError, match="has format version 2; this artmirror reads version 1"):
            load_checkpoint(saved)

    @pytest.mark.parametrize("key", ["style", "preset", "network", "weights", "training", "step", "losses"])
    def test_a_missing_part_is_told(self, saved: Path, key: str) -> None:
        content = torch.load(saved, weights_only=True)
        del content[key]
        torch.save(content, saved)
        with pytest.raises(ArtmirrorError, match=rf"starry\.pt is damaged: '{key}' is missing"):
            load_checkpoint(saved)

    def test_weights_of_another_network_are_told(self, checkpoint: Checkpoint) -> None:
        with pytest.raises(ArtmirrorError, match="the weights do not fit the network") as caught:
            replace(checkpoint, network=NETWORK_PRESETS["huang"]).stylizer()
        assert "\n" not in caught.value.message


class TestReplacement:
    @pytest.mark.parametrize("failing", ["fsync", "rename"])
    def test_a_failure_keeps_the_old_file_and_leaves_no_other(
        self, saved: Path, checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch, failing: str
    ) -> None:
        def fail(*_: object) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(*((os, "fsync", fail) if failing == "fsync" else (Path, "replace", fail)))
        with pytest.raises(
            ArtmirrorError, match=r"cannot write .*starry\.pt: No space left on device; free some space"
        ):
            save_checkpoint(saved, replace(checkpoint, step=7))
        monkeypatch.undo()
        assert load_checkpoint(saved).step == 6
        assert list(saved.parent.iterdir()) == [saved]

    def test_an_interrupt_leaves_no_partial_file(
        self, saved: Path, checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def interrupt(_: int) -> None:
            raise SystemExit(130)

        monkeypatch.setattr(os, "fsync", interrupt)
        with pytest.raises(SystemExit):
            save_checkpoint(saved, replace(checkpoint, step=7))
        assert load_checkpoint(saved).step == 6
        assert list(saved.parent.iterdir()) == [saved]

    def test_the_old_file_is_there_until_the_new_one_is_whole(
        self, saved: Path, checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        steps: list[int] = []
        monkeypatch.setattr(os, "fsync", lambda _: steps.append(load_checkpoint(saved).step))
        save_checkpoint(saved, replace(checkpoint, step=7))
        steps.append(load_checkpoint(saved).step)
        assert steps == [6, 7]

    @pytest.mark.skipif(sys.platform == "win32", reason="needs RLIMIT_FSIZE")
    def test_a_full_disk_keeps_the_old_file(self, saved: Path) -> None:
        program = """
import resource, signal, sys
from dataclasses import replace
from pathlib import Path
from artmirror.train.checkpoint import load_checkpoint, save_checkpoint
from artmirror.runtime.common.errors import ArtmirrorError
path = Path(sys.argv[1])
checkpoint = replace(load_checkpoint(path), step=7)
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
try:
    save_checkpoint(path, checkpoint)
except ArtmirrorError as error:
    print(error.message)
"""
        assert saved.stat().st_size > 4096
        done = subprocess.run([sys.executable, "-c", program, saved], capture_output=True, text=True, check=True)
        assert done.stdout == (
            f"cannot write {saved}: File too large; free some space or name another place with -o\n"
        ), done.stderr
        assert load_checkpoint(saved).step == 6
        assert list(saved.parent.iterdir()) == [saved]


class TestCheckWritable:
    def test_a_good_place_is_left_as_it_was(self, tmp_path: Path, saved: Path) -> None:
        content = saved.read_bytes()
        check_writable(saved)
        check_writable(tmp_path / "new.pt")
        assert list(tmp_path.iterdir()) == [saved]
        assert saved.read_bytes() == content

    def test_no_folder_is_told(self, tmp_path: Path) -> None:
        with pytest.raises(ArtmirrorError, match="does not exist; make it or name another with -o"):
            check_writable(tmp_path / "absent" / "a.pt")

    def test_a_folder_of_that_name_is_told(self, tmp_path: Path) -> None:
        (tmp_path / "a.pt").mkdir()
        with pytest.raises(ArtmirrorError, match=r"a\.pt is a folder; wanted the name of a file"):
            check_writable(tmp_path / "a.pt")

    def test_an_unwritable_folder_is_told(self, tmp_path: Path) -> None:
        folder = tmp_path / "locked"
        folder.mkdir(0o500)
        if os.access(folder, os.W_OK):  # root may write anywhere but here
            folder = Path("/proc/self")
            if not folder.is_dir():
                pytest.skip("needs a folder that root cannot write")
        with pytest.raises(ArtmirrorError, match=r"cannot write .*; free some space or name another place with -o"):
            check_writable(folder / "a.pt")
