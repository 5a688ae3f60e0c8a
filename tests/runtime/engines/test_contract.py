"""One contract for every back end, the fake one included."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from artmirror.runtime.engines import onnxruntime_cuda as engine_onnxruntime_cuda
from artmirror.runtime.engines.base import FULL_STYLE, Engine, Look, stylize
from artmirror.runtime.engines.open import open_engine
from artmirror.runtime.engines.switching import SwitchingEngine
from artmirror.runtime.gallery.bundled import find_style
from tests.fakes.engine import FakeEngine
from tests.fakes.onnxruntime import FakeOnnxRuntime
from tests.fakes.real_gpu import build_real_plan, need_gpu
from tests.fakes.tensorrt_runtime import Bench
from tests.fakes.tiny_ncnn import need_vulkan, tiny_ncnn

SIZE = (66, 95)  # odd, and no multiple of four: the network must crop
ON_CPU = ("openvino", "onnxruntime")
ON_NCNN = ("ncnn-cpu", "ncnn-vulkan")
# The GPU back ends' own code and the real pycuda, on a simulated driver and a stand-in of the library.
_SIMULATED = ("tensorrt", "tensorrt-graphs", "tensorrt_rtx", "onnxruntime-cuda", "onnxruntime-tensorrt")
SIMULATED = tuple(pytest.param(name, marks=pytest.mark.simulated_gpu) for name in _SIMULATED)
ON_GPU = tuple(pytest.param(name, marks=pytest.mark.gpu) for name in ("gpu-tensorrt", "gpu-onnxruntime"))


@pytest.fixture
def open_backend(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    def open_named(name: str, size: tuple[int, int]) -> Any:
        if name == "fake":
            return FakeEngine(size)
        if name == "strokes":
            return open_engine(Path("strokes:"), size=size)
        if name == "switching":
            return SwitchingEngine([FakeEngine(size), FakeEngine(size)])
        if name.startswith("gpu-"):
            need_gpu()
            if name == "gpu-tensorrt":
                return open_engine(build_real_plan(find_style("starry"), tmp_path / "starry.plan"), size=size)
            return open_engine(find_style("starry"), size=size, backend=name.removeprefix("gpu-"), device="cuda")
        if name in ON_NCNN:
            if name == "ncnn-vulkan":
                need_vulkan()
            return open_engine(tiny_ncnn(), size=size, device=name.removeprefix("ncnn-"))
        if name not in _SIMULATED:
            return open_engine(find_style("starry"), size=size, backend=name)
        gpu = request.getfixturevalue("gpu")
        if name.startswith("onnxruntime"):
            monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
            monkeypatch.setattr(engine_onnxruntime_cuda, "ort", FakeOnnxRuntime(gpu))
            backend = name.removesuffix("-cuda")
            return open_engine(find_style("starry"), size=size, backend=backend, device="cuda")
        library = name.removesuffix("-graphs")
        return Bench(gpu, monkeypatch, tmp_path, library=library, graphs=library != name).open(size)

    return open_named


@pytest.fixture(params=["fake", "switching", "strokes", *ON_CPU, *ON_NCNN, *SIMULATED, *ON_GPU])
def engine(request: pytest.FixtureRequest, open_backend: Any) -> Iterator[Engine]:
    opened = open_backend(request.param, SIZE)
    yield opened
    opened.close()


def picture(seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (6, 8, 3), np.uint8)
    return np.kron(coarse, np.ones((11, 12, 1), np.uint8))[: SIZE[0], : SIZE[1]]


def test_slots_have_the_size_and_type_of_the_contract(engine: Engine) -> None:
    for slot in engine.allocate(3):
        for pixels in (slot.frame, slot.stylized):
            assert pixels.shape == (*SIZE, 3)
            assert pixels.dtype == np.uint8
            assert pixels.flags["C_CONTIGUOUS"]


def test_strength_zero_is_the_camera_picture_to_the_bit(engine: Engine) -> None:
    slot = engine.allocate(1)[0]
    slot.frame[:] = picture(0)
    stylize(engine, slot, Look(0.0))
    assert (slot.stylized == picture(0)).all()


def test_strength_blends(engine: Engine) -> None:
    slot = engine.allocate(1)[0]
    slot.frame[:] = picture(0)
    stylize(engine, slot)
    full = slot.stylized.astype(np.float32)
    assert np.abs(full - picture(0)).mean() > 10
    stylize(engine, slot, Look(0.5))
    assert np.abs(slot.stylized - (full + picture(0)) / 2).max() <= 3


def test_the_frame_is_left_alone(engine: Engine) -> None:
    slot = engine.allocate(1)[0]
    slot.frame[:] = picture(1)
    stylize(engine, slot)
    assert (slot.frame == picture(1)).all()


def test_results_in_flight_are_the_same_as_one_by_one(engine: Engine) -> None:
    slots = engine.allocate(5)
    alone = []
    for seed, slot in enumerate(slots):
        slot.frame[:] = picture(seed)
        stylize(engine, slot)
        alone.append(slot.stylized.copy())
        slot.stylized[:] = 0
    assert not (alone[0] == alone[1]).all()
    engine.reset()  # some remember
    for start in range(len(slots)):
        group = slots[start : start + engine.max_in_flight]
        for slot in group:
            engine.submit(slot, FULL_STYLE)
        for slot in group:
            engine.wait(slot)
    for slot, expected in zip(slots, alone, strict=True):
        assert (slot.stylized == expected).all()


def test_strength_belongs_to_the_slot(engine: Engine) -> None:
    first, second = engine.allocate(2)
    first.frame[:] = second.frame[:] = picture(2)
    engine.submit(first, Look(0.0))
    engine.submit(second, FULL_STYLE)
    engine.wait(first)
    engine.wait(second)
    assert (first.stylized == picture(2)).all()
    assert not (second.stylized == picture(2)).all()


def test_the_look_changes_from_frame_to_frame_in_the_same_slot(engine: Engine) -> None:
    (slot,) = engine.allocate(1)
    memory = slot.frame, slot.stylized
    stylize(engine, slot)
    slot.frame[:] = picture(2)
    stylize(engine, slot)
    painted = slot.stylized.copy()
    for look, expected in ((Look(0.0), picture(2)), (Look(), painted), (Look(0.0), picture(2))):
        stylize(engine, slot, look)
        assert (slot.stylized == expected).all()
    assert slot.frame is memory[0]
    assert slot.stylized is memory[1]


def test_after_a_reset_a_frame_is_painted_as_the_first(engine: Engine) -> None:
    engine.reset()  # where there is nothing to forget
    first, second = engine.allocate(2)
    first.frame[:], second.frame[:] = picture(7), picture(8)
    stylize(engine, first)
    alone = first.stylized.copy()
    stylize(engine, second)
    engine.reset()
    engine.submit(first, FULL_STYLE)
    engine.reset()  # with a frame in flight, which stays as it is
    engine.submit(second, FULL_STYLE)
    engine.wait(first)
    engine.wait(second)
    assert (first.stylized == alone).all()
    with ThreadPoolExecutor(1) as other:  # from the thread that submits, whichever that is
        other.submit(engine.reset).result()
        other.submit(stylize, engine, first).result()
    assert (first.stylized == alone).all()


def test_it_says_what_it_is(engine: Engine) -> None:
    info = engine.describe()
    assert info.size == SIZE
    assert info.precision in {"fp32", "bf16", "fp16"}
    assert info.backend
    assert info.library.split()[1]
    assert info.device


def test_a_result_stays_until_the_next_submit(engine: Engine) -> None:
    first, second = engine.allocate(2)
    first.frame[:] = picture(4)
    stylize(engine, first)
    kept = first.stylized.copy()
    for seed in range(3):
        second.frame[:] = picture(seed)
        first.frame[:] = picture(seed)  # the slot is ours again
        stylize(engine, second)
    assert (first.stylized == kept).all()


def test_it_changes_threads_between_calls(engine: Engine) -> None:
    """Opened and warmed up in one thread, run in another, closed in the first, as the pipeline does."""
    slot = engine.allocate(1)[0]
    slot.frame[:] = picture(5)
    stylize(engine, slot)
    expected = slot.stylized.copy()
    slot.stylized[:] = 0
    with ThreadPoolExecutor(1) as other:
        other.submit(stylize, engine, slot).result()
    assert (slot.stylized == expected).all()


def test_close_twice_and_slots_stay_memory(engine: Engine) -> None:
    slot = engine.allocate(1)[0]
    engine.close()
    engine.close()
    slot.frame[:] = picture(6)  # a source that hung in its driver wakes up
    assert (slot.frame == picture(6)).all()


def test_back_ends_agree() -> None:
    painted = {}
    for name in ON_CPU:
        engine = open_engine(find_style("starry"), size=SIZE, backend=name, full_precision=True)
        slot = engine.allocate(1)[0]
        slot.frame[:] = picture(3)
        stylize(engine, slot)
        painted[name] = slot.stylized.astype(np.int32)
        engine.close()
    assert np.abs(painted["openvino"] - painted["onnxruntime"]).max() <= 1


@pytest.mark.parametrize("size", [(64, 64), (64, 65), (79, 65), (123, 250)])
@pytest.mark.parametrize("backend", [*ON_CPU, *ON_NCNN, *SIMULATED, *ON_GPU])
def test_any_size_from_64(backend: str, size: tuple[int, int], open_backend: Any) -> None:
    engine = open_backend(backend, size)
    slot = engine.allocate(1)[0]
    slot.frame[:] = np.arange(size[1], dtype=np.uint8)[None, :, None]
    stylize(engine, slot)
    assert slot.stylized.shape == (*size, 3)
    assert slot.stylized.std() > 1
    engine.close()
