"""Networks that remember: what engines keep of the frames before, and when they forget it."""

import itertools
from collections import deque
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.runtime.common.motion import KeyMotion
from artmirror.runtime.common.pixels import Pixels
from artmirror.runtime.engines import onnxruntime_cuda
from artmirror.runtime.engines.base import FULL_STYLE, Engine, Look, stylize
from artmirror.runtime.engines.memory import Memory
from artmirror.runtime.engines.open import open_engine, open_for_show
from artmirror.runtime.gallery.bundled import find_style
from tests.fakes.onnxruntime import FakeOnnxRuntime
from tests.fakes.real_gpu import build_real_plan, need_gpu
from tests.fakes.tensorrt_runtime import Bench
from tests.fakes.tiny_memory import tiny_memory, tiny_memory_ncnn
from tests.fakes.tiny_ncnn import need_vulkan

SIZE = (66, 94)


SIMULATED = [
    pytest.param(name, marks=pytest.mark.simulated_gpu) for name in ("tensorrt", "tensorrt-graphs", "onnxruntime-cuda")
]


REAL = [pytest.param(name, marks=pytest.mark.gpu) for name in ("gpu-tensorrt", "gpu-onnxruntime")]


@pytest.fixture(params=["openvino", "onnxruntime", "ncnn-cpu", "ncnn-vulkan", *SIMULATED, *REAL])
def engine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Engine]:
    name = request.param
    if name in ("openvino", "onnxruntime"):
        opened = open_tiny(name)
    elif name.startswith("ncnn-"):
        if name == "ncnn-vulkan":
            need_vulkan()
        opened = open_engine(tiny_memory_ncnn(), size=SIZE, device=name.removeprefix("ncnn-"), full_precision=True)
    elif name.startswith("gpu-"):
        need_gpu()
        network = tiny_memory().with_suffix(".onnx")
        if name == "gpu-tensorrt":
            opened = open_engine(build_real_plan(network, tmp_path / "tiny.plan"), size=SIZE)
        else:
            opened = open_engine(network, size=SIZE, device="cuda")
    elif name == "onnxruntime-cuda":
        library = FakeOnnxRuntime(request.getfixturevalue("gpu"))
        library.has_memory = True
        monkeypatch.setattr(onnxruntime_cuda, "ort", library)
        opened = open_engine(find_style("starry-steady"), size=SIZE, device="cuda")  # its manifest alone is read
    else:
        gpu = request.getfixturevalue("gpu")
        bench = Bench(gpu, monkeypatch, tmp_path, graphs=name != "tensorrt", network={"memory": True})
        bench.trt.tensors |= {"previous": ("in", "uint8"), "mask": ("in", "uint8"), "painted": ("out", "uint8")}
        opened = bench.open(SIZE)
    yield opened
    opened.close()


def open_tiny(backend: str) -> Engine:
    return open_engine(tiny_memory().with_suffix(".onnx"), size=SIZE, backend=backend, full_precision=True)


def frames(count: int, step: float = 1.5) -> list[Pixels]:
    """A soft picture that moves to the right, with a little noise."""
    knots = np.random.default_rng(0).uniform(0, 255, (8, 12, 3)).astype(np.float32)
    large = cv2.resize(knots, (160, 100), interpolation=cv2.INTER_CUBIC)
    made = []
    for number in range(count):
        matrix = np.array([[1, 0, number * step - 30], [0, 1, -10]], np.float32)
        moved = cv2.warpAffine(large, matrix, SIZE[::-1], flags=cv2.INTER_CUBIC)
        noise = np.random.default_rng(number).normal(0, 2, moved.shape)
        made.append(np.clip(moved + noise, 0, 255).astype(np.uint8))
    return made


def painted(engine: Engine, shown: list[Pixels], look: Look = FULL_STYLE) -> list[np.ndarray]:
    (slot,) = engine.allocate(1)
    pictures = []
    for frame in shown:
        slot.frame[:] = frame
        stylize(engine, slot, look)
        pictures.append(slot.stylized.astype(int))
    return pictures


def test_what_stands_still_changes_less_than_without_memory(engine: Engine) -> None:
    still = frames(6, step=0)
    with_memory = painted(engine, still)
    alone = []
    for frame in still:
        engine.reset()
        alone += painted(engine, [frame])

    def change(pictures: list[np.ndarray]) -> float:
        return float(np.mean([np.abs(b - a).mean() for a, b in itertools.pairwise(pictures)]))

    assert change(with_memory) < 0.7 * change(alone)


def test_reset_forgets(engine: Engine) -> None:
    first, second = frames(2)
    alone = painted(engine, [second])[0]
    engine.reset()
    _, remembered = painted(engine, [first, second])
    assert np.abs(remembered - alone).max() > 5
    engine.reset()
    assert np.array_equal(painted(engine, [second])[0], alone)


def test_a_cut_forgets_by_itself(engine: Engine) -> None:
    first, second = frames(1)[0], 255 - frames(1)[0][::-1, ::-1]
    alone = painted(engine, [second])[0]
    engine.reset()
    assert np.array_equal(painted(engine, [first, second])[1], alone)


def test_several_in_flight_are_painted_as_one_at_a_time(engine: Engine) -> None:
    shown = frames(7)
    wanted = painted(engine, shown)
    engine.reset()
    slots = engine.allocate(len(shown))
    flying: deque[int] = deque()
    for number, frame in enumerate(shown):
        slots[number].frame[:] = frame
        engine.submit(slots[number], FULL_STYLE)
        flying.append(number)
        if len(flying) == engine.max_in_flight:
            engine.wait(slots[flying.popleft()])
    while flying:
        engine.wait(slots[flying.popleft()])
    for slot, picture in zip(slots, wanted, strict=True):
        assert np.array_equal(slot.stylized, picture)


def test_what_is_followed_ahead_is_painted_alike(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """A GPU paints while the processor finds the next frame's motion, once."""
    shown = frames(5)
    wanted = painted(engine, shown)
    engine.reset()
    found: list[int] = []
    follow = KeyMotion.follow

    def counted(motion: KeyMotion, frame: Pixels) -> bool:
        found.append(int(frame.sum()))
        return follow(motion, frame)

    monkeypatch.setattr(KeyMotion, "follow", counted)
    slots = engine.allocate(2)
    before = None
    for number, frame in enumerate(shown):
        slot = slots[number % 2]
        slot.frame[:] = frame
        ahead = engine.follow(slot, FULL_STYLE)
        assert ahead == (engine.describe().backend != "openvino" and "CPU" not in engine.describe().device)
        assert len(found) == number + ahead
        if before is not None:
            engine.wait(before)
            assert np.array_equal(before.stylized, wanted[number - 1])
        engine.submit(slot, FULL_STYLE)
        before = slot
    engine.wait(slots[0])
    assert np.array_equal(slots[0].stylized, wanted[-1])
    assert found == [int(frame.sum()) for frame in shown]


def test_what_was_followed_before_a_reset_is_followed_again() -> None:
    memory = Memory(SIZE)
    first, second = frames(2)
    memory.follow(first, FULL_STYLE)
    memory.bring()
    memory.follow(second, FULL_STYLE)
    memory.forget()
    memory.follow(second, FULL_STYLE)
    memory.bring()
    assert not memory.mask.any()


def test_strength_does_not_reach_what_is_remembered(engine: Engine) -> None:
    first, second = frames(2)
    (slot,) = engine.allocate(1)
    wanted = painted(engine, [first, second])[1]
    engine.reset()
    slot.frame[:] = first
    stylize(engine, slot, Look(0.0))
    assert np.array_equal(slot.stylized, first)
    slot.frame[:] = second
    stylize(engine, slot)
    assert np.array_equal(slot.stylized, wanted)


def test_the_back_ends_agree() -> None:
    shown = frames(5)
    by_ncnn = open_engine(tiny_memory_ncnn(), size=SIZE, device="cpu")
    one, *others = (painted(engine, shown) for engine in (open_tiny("openvino"), open_tiny("onnxruntime"), by_ncnn))
    for other in others:
        assert max(np.abs(a - b).max() for a, b in zip(one, other, strict=True)) <= 2


def test_another_style_remembers_nothing() -> None:
    memory = Memory(SIZE)
    first, second = frames(2)
    style = np.ones(3, np.float32)
    for look, remembers in ((Look(1.0, style), False), (Look(1.0, style), True), (Look(1.0, 2 * style), False)):
        memory.follow(first, look)
        memory.bring()
        assert memory.mask.any() == remembers
    memory.follow(second, Look(1.0, 2 * style))
    memory.bring()
    assert memory.mask.any()


def test_the_picture_is_brought_to_where_its_content_is() -> None:
    memory = Memory((180, 240))
    knots = np.random.default_rng(3).uniform(0, 255, (12, 16, 3)).astype(np.float32)
    large = cv2.resize(knots, (300, 240), interpolation=cv2.INTER_CUBIC).clip(0, 255).astype(np.uint8)
    first, second = large[20:200, 20:260].copy(), large[22:202, 15:255].copy()
    memory.follow(first, FULL_STYLE)
    memory.bring()
    memory.painted[0] = 255 - first
    memory.follow(second, FULL_STYLE)
    memory.bring()
    inner = np.s_[0, 12:-12, 12:-12]
    assert np.abs(memory.previous[inner].astype(int) - (255 - second[12:-12, 12:-12])).mean() < 3
    assert memory.mask[inner].mean() > 244


def test_the_picture_of_a_key_frame_is_kept_until_it_is_worn() -> None:
    memory = Memory(SIZE)
    shown = frames(4, step=0)
    for number, frame in enumerate(shown):
        memory.follow(frame, FULL_STYLE)
        memory.bring()
        if number:
            assert (memory.previous == 10).all()
        memory.painted[:] = 10 + number


def test_where_a_part_moves_the_rest_is_copied() -> None:
    memory = Memory((180, 240))
    knots = np.random.default_rng(3).uniform(0, 255, (18, 24, 3)).astype(np.float32)
    first = cv2.resize(knots, (240, 180), interpolation=cv2.INTER_CUBIC).clip(0, 255).astype(np.uint8)
    second = first.copy()
    second[60:120] = np.roll(first[60:120], 6, axis=1)
    memory.follow(first, FULL_STYLE)
    memory.bring()
    memory.painted[0] = 255 - first
    memory.follow(second, FULL_STYLE)
    memory.bring()
    assert np.array_equal(memory.previous[0, :30], 255 - first[:30])
    assert np.array_equal(memory.previous[0, -30:], 255 - first[-30:])
    moved = np.s_[80:100, 40:200]
    assert np.abs(memory.previous[0][moved].astype(int) - (255 - second[moved])).mean() < 4


def test_tiles_have_none(tmp_path: Path) -> None:
    with pytest.raises(ArtmirrorError, match="does not go in tiles: use --steady off"):
        open_for_show(tiny_memory().with_suffix(".onnx"), size=(1000, 1000), memory=1_000_000)
