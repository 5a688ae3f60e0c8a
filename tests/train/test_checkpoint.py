"""Files of training: round trip, damage, atomic replacement."""

import copy
import os
import subprocess
import sys
import tracemalloc
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import torch

from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.train.checkpoint import (
    CHECKPOINT_KIND,
    Checkpoint,
    check_writable,
    load_checkpoint,
    load_state,
    save_checkpoint,
    save_state,
    state_path,
    telling_damage,
)
from artmirror.train.config import NETWORK_PRESETS, TrainConfig
from artmirror.train.tensor_file import LARGEST_FILE_BYTES


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


class TestSafety:
    """A file that would take more than a file of st-train is refused before it does."""

    @pytest.fixture(autouse=True)
    def little_memory(self) -> Iterator[None]:
        tracemalloc.start()
        yield
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert most < 50_000_000

    def _packed(self, saved: Path, change: Callable[[zipfile.ZipFile, zipfile.ZipFile], None]) -> Path:
        path = saved.with_name("packed.pt")
        with zipfile.ZipFile(saved) as old, zipfile.ZipFile(path, "w") as new:
            change(old, new)
        return path

    def test_a_packed_file_is_refused(self, saved: Path) -> None:
        def pack(old: zipfile.ZipFile, new: zipfile.ZipFile) -> None:
            for name in old.namelist():
                new.writestr(name, old.read(name))
            with new.open(zipfile.ZipInfo("starry/data/999"), "w", force_zip64=True) as part:
                for _ in range(20):
                    part.write(bytes(1_000_000))

        path = self._packed(saved, pack)
        large = path.stat().st_size
        content = path.with_name("small.pt")
        with zipfile.ZipFile(path) as old, zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as new:
            for name in old.namelist():
                new.writestr(name, old.read(name))
        assert content.stat().st_size < large / 100
        with pytest.raises(ArtmirrorError, match=r"packed: 0\.\d MB would become 20\.\d MB"):
            load_checkpoint(content)

    def test_parts_that_lie_on_each_other_are_refused(self, saved: Path) -> None:
        """As many names in the directory for one part as it takes: nothing is packed, and it unpacks to far more."""
        with zipfile.ZipFile(saved, "a") as archive:
            archive.writestr("starry/data/999", bytes(1_000_000))
            entry = archive.getinfo("starry/data/999")
            for number in range(50):
                again = copy.copy(entry)
                again.filename = f"starry/data/{1000 + number}"
                archive.filelist.append(again)
                archive.NameToInfo[again.filename] = again
        with pytest.raises(ArtmirrorError, match=r"packed: 1\.\d MB would become 51\.\d MB"):
            load_checkpoint(saved)

    @pytest.mark.parametrize(
        ("change", "told"),
        [
            ({"blocks": 10**9}, "at most 1024 channels, 64 blocks"),
            ({"channels": (10**9, 10**9, 10**9)}, "at most 1024 channels"),
            ({"end_kernel": 10**9 + 1}, "an end kernel of 31"),
            ({"blocks": "5"}, r"Expected `int`, got `str` - at `\$\.network\.blocks`"),
            ({"channels": (1024, 1024, 1024), "blocks": 64}, "is too large; wanted at most 50000000 weights"),
            ({"channels": (128, 256, 512), "blocks": 5}, "the weights do not fit the network"),
        ],
    )
    def test_a_network_out_of_all_bounds_is_refused(self, saved: Path, change: dict[str, Any], told: str) -> None:
        content = torch.load(saved, weights_only=True)
        content["network"] |= change
        torch.save(content, saved)
        with pytest.raises(ArtmirrorError, match=told):
            load_checkpoint(saved).stylizer()

    @pytest.mark.parametrize(
        "tensor",
        [
            torch.zeros(1).expand(1 << 40, 1 << 20),
            torch.eye(3).to_sparse(),
            torch.empty(1 << 20, 1 << 20, device="meta"),
        ],
        ids=["expanded", "sparse", "meta"],
    )
    def test_a_tensor_with_fewer_values_than_it_says_is_refused(self, saved: Path, tensor: torch.Tensor) -> None:
        content = torch.load(saved, weights_only=True)
        content["weights"]["more"] = tensor
        torch.save(content, saved)
        with pytest.raises(ArtmirrorError, match=r"a tensor of (shape .* with fewer values|another kind)"):
            load_checkpoint(saved)

    def test_weights_of_another_shape_are_told(self, saved: Path) -> None:
        content = torch.load(saved, weights_only=True)
        name = next(iter(content["weights"]))
        content["weights"][name] = torch.zeros(3)
        torch.save(content, saved)
        with pytest.raises(ArtmirrorError, match=rf"the weights do not fit the network .*{name} is \(3,\), wanted \("):
            load_checkpoint(saved).stylizer()

    def test_lists_without_end_are_told(self, saved: Path) -> None:
        """A pickle that Python itself could not write."""
        names = [b"kind", CHECKPOINT_KIND.encode(), b"format_version"]
        kind, value, version = (b"U" + bytes([len(name)]) + name for name in names)
        deep = b"U\x08training" + b"]" * 100_000 + b"a" * 99_999
        pickled = b"\x80\x02}(" + kind + value + version + b"K\x01" + deep + b"u."

        def put_in(old: zipfile.ZipFile, new: zipfile.ZipFile) -> None:
            for name in old.namelist():
                new.writestr(name, pickled if name.endswith(".pkl") else old.read(name))

        with pytest.raises(ArtmirrorError, match=r"packed\.pt is (damaged|not a file of st-train)"):
            load_checkpoint(self._packed(saved, put_in))

    def test_a_file_of_a_gigabyte_is_not_read(self, tmp_path: Path) -> None:
        with (tmp_path / "large.pt").open("wb") as file:
            file.truncate(LARGEST_FILE_BYTES + 1)
        with pytest.raises(ArtmirrorError, match="1000 MB, at most 1000 MB is wanted"):
            load_checkpoint(tmp_path / "large.pt")


def test_a_state_that_does_not_fit_is_told(tmp_path: Path) -> None:
    for error in (KeyError("network"), RuntimeError("Error(s) in\n\tlines"), TypeError("x")):
        told = pytest.raises(ArtmirrorError, match=r"a\.state\.pt is damaged, its state does not fit")
        with told as caught, telling_damage(tmp_path / "a.state.pt"):
            raise error
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
