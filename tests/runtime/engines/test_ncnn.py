"""The ncnn back end: which device, why, and the same picture on all of them; the rest is in the contract."""

import sys
from collections.abc import Iterator
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from artmirror.runtime.common.errors import ArtmirrorError, CannotRunHere
from artmirror.runtime.common.pixels import Pixels
from artmirror.runtime.engines.base import FULL_STYLE, stylize
from artmirror.runtime.engines.open import choose_backend, open_engine
from artmirror.runtime.engines.vulkan_device import find_vulkan_device, vulkan_devices
from tests.fakes.st_run import one_line_of, run
from tests.fakes.tiny_ncnn import need_vulkan, tiny_ncnn

DISCRETE, INTEGRATED, SOFTWARE = 0, 1, 3  # as ncnn numbers the types
RUN = ("--input", "synthetic:64x64", "--output", "null:", "--max-frames", 2)


@pytest.fixture(autouse=True)
def ask_again() -> Iterator[None]:
    vulkan_devices.cache_clear()
    yield
    vulkan_devices.cache_clear()


def install_devices(monkeypatch: pytest.MonkeyPatch, *devices: tuple[str, int]) -> None:
    """Let the library have these devices, each with a name and a type."""
    library = ModuleType("ncnn")
    infos = [SimpleNamespace(device_name=lambda name=name: name, type=lambda kind=kind: kind) for name, kind in devices]
    vars(library).update(
        create_gpu_instance=lambda: 0, get_gpu_count=lambda: len(infos), get_gpu_info=lambda number: infos[number]
    )
    monkeypatch.setitem(sys.modules, "ncnn", library)


def paint(frame: Pixels, device: str, *, full_precision: bool = True) -> Pixels:
    engine = open_engine(tiny_ncnn(), size=frame.shape[:2], device=device, full_precision=full_precision)
    slot = engine.allocate(1)[0]
    slot.frame[:] = frame
    stylize(engine, slot)
    engine.close()
    return slot.stylized


def photo(height: int, width: int) -> Pixels:
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (height // 16 + 1, width // 16 + 1, 3), np.uint8)
    return np.kron(coarse, np.ones((16, 16, 1), np.uint8))[:height, :width]


def test_the_best_device_is_taken_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    install_devices(monkeypatch, ("llvmpipe", SOFTWARE), ("Intel UHD 620", INTEGRATED), ("GeForce 940M", DISCRETE))
    choice = choose_backend(tiny_ncnn(), None, None)
    assert (choice.backend, choice.device, choice.ordinal) == ("ncnn", "vulkan", 2)


@pytest.mark.parametrize(("wanted", "number"), [("", 1), ("0", 0), ("940m", 1), ("GeForce 9", 1), ("nvidia tesla", 2)])
def test_a_device_by_number_or_name(wanted: str, number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    install_devices(
        monkeypatch, ("Intel UHD 620", INTEGRATED), ("GeForce 940M", DISCRETE), ("NVIDIA Tesla T4", DISCRETE)
    )
    assert find_vulkan_device(wanted).number == number
    device = f"vulkan:{wanted}" if wanted else "vulkan"
    choice = choose_backend(tiny_ncnn(), None, device)
    assert (choice.ordinal, choice.reason) == (number, f"--device {device}")


def test_a_device_that_is_not_meant_clearly(monkeypatch: pytest.MonkeyPatch) -> None:
    install_devices(monkeypatch, ("Radeon A", DISCRETE), ("Radeon B", DISCRETE))
    with pytest.raises(ArtmirrorError, match="vulkan:radeon fits 2 Vulkan devices; there are: 0 Radeon A; 1 Radeon B"):
        find_vulkan_device("radeon")
    with pytest.raises(ArtmirrorError, match="vulkan:2 fits no Vulkan device; there are"):
        find_vulkan_device("2")


def test_the_processor_and_why(monkeypatch: pytest.MonkeyPatch) -> None:
    install_devices(monkeypatch)
    choice = choose_backend(tiny_ncnn(), None, None)
    assert (choice.backend, choice.device) == ("ncnn", "cpu")
    assert "no Vulkan driver" in choice.reason
    with pytest.raises(CannotRunHere, match=r"no Vulkan driver .*--device cpu runs ncnn on the processor"):
        choose_backend(tiny_ncnn(), None, "vulkan")
    vulkan_devices.cache_clear()
    install_devices(monkeypatch, ("llvmpipe", SOFTWARE))
    choice = choose_backend(tiny_ncnn(), None, None)
    assert choice.device == "cpu"
    assert "in software only (llvmpipe)" in choice.reason
    assert choose_backend(tiny_ncnn(), None, "vulkan").device == "vulkan"  # asked for is asked for


def test_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    path = tiny_ncnn()
    monkeypatch.setitem(sys.modules, "ncnn", None)
    for device in ((), ("--device", "cpu"), ("--device", "vulkan")):
        if device == ("--device", "cpu"):
            monkeypatch.delitem(sys.modules, "artmirror.runtime.engines.ncnn", raising=False)
        assert "pip install ncnn" in one_line_of(1, "--engine", path, *RUN, *device)
    code, out, err = run("--list-devices")
    assert code == 0
    assert "openvino" in out
    assert "pip install ncnn" in err


def test_it_runs_and_says_where() -> None:
    code, out, err = run("--engine", tiny_ncnn(), *RUN, "--device", "cpu", "--threads", 1)
    assert code == 0, err
    assert "2 frames at 64x64" in out
    assert "on ncnn (ncnn " in err
    assert "CPU, fp32): --device cpu" in err


@pytest.mark.parametrize("size", [(64, 64), (97, 130), (520, 512)])  # the last is beyond what llvmpipe's loops hold
def test_vulkan_paints_what_the_processor_paints(size: tuple[int, int]) -> None:
    need_vulkan()
    frame = photo(*size)
    expected = paint(frame, "cpu").astype(np.int32)
    assert np.abs(paint(frame, "vulkan") - expected).max() <= 1
    half = paint(frame, "vulkan", full_precision=False) - expected
    assert 10 * np.log10(255**2 / max((half**2).mean(), 1e-9)) > 38


def test_vulkan_says_what_it_is() -> None:
    need_vulkan()
    device = vulkan_devices()[0]
    engine = open_engine(tiny_ncnn(), size=(64, 64), device="vulkan:0", full_precision=True)
    info = engine.describe()
    engine.close()
    assert device.name in info.device
    assert info.precision == "fp32"
    assert ("software" in info.note) == device.is_software


def test_nothing_is_submitted_after_close() -> None:
    engine = open_engine(tiny_ncnn(), size=(64, 64), device="cpu")
    slot = engine.allocate(1)[0]
    engine.close()
    with pytest.raises(ArtmirrorError, match="closed"):
        engine.submit(slot, FULL_STYLE)
