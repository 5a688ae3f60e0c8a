"""Slots under random schedules: nobody sees a slot that another one owns."""

import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from artmirror.runtime.engines.base import Engine, Look
from artmirror.runtime.frame import FrameSlot
from artmirror.runtime.pipeline import Pipeline
from tests.fakes.cuda_driver.gpu import SimulatedGpu
from tests.fakes.ends import SIZE, CollectingSink, CountingSource
from tests.fakes.engine import FakeEngine
from tests.fakes.tensorrt_runtime import Bench

POISON = 0xEE


class ScribblingEngine(FakeEngine):
    """While it owns a slot, a thread keeps writing rubbish into `stylized`, as a device may at any moment.

    A sink that still reads after it gave the slot back, or that gets one too early, sees the rubbish; a source that
    writes into an owned slot is caught by `FakeEngine`.
    """

    def __init__(self, **options: object) -> None:
        super().__init__(SIZE, **options)
        self._owned: list[FrameSlot] = []
        self._changing = threading.Lock()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._scribble, daemon=True)
        self._thread.start()

    def submit(self, slot: FrameSlot, look: Look) -> None:
        super().submit(slot, look)
        slot.stylized[:] = POISON
        with self._changing:
            self._owned.append(slot)

    def wait(self, slot: FrameSlot) -> None:
        with self._changing:  # the scribbler is not inside it now, and will not come back
            self._owned.remove(slot)
        super().wait(slot)

    def close(self) -> None:
        self._stopped.set()
        self._thread.join(5)
        super().close()

    def _scribble(self) -> None:
        rng = np.random.default_rng(0)
        while not self._stopped.wait(0.0002):
            with self._changing:
                for slot in self._owned:
                    slot.stylized[:] = rng.integers(0, 256, dtype=np.uint8)


class TearingSource(CountingSource):
    """Writes its frame in two halves, with rubbish in between, so that a reader of a lent slot sees a torn one."""

    def __init__(self, frames: int, pause: Callable[[], object], **options: object) -> None:
        super().__init__(frames, **options)
        self._pause = pause

    def read(self, slot: FrameSlot) -> bool:
        slot.frame[: SIZE[0] // 2] = POISON
        self._pause()
        return super().read(slot)


@contextmanager
def closing_engine(engine: Engine) -> Iterator[Engine]:
    yield engine
    engine.close()


def run_schedule(engine: Engine, rng: random.Random, *, engine_fails: bool = False) -> None:
    def pause() -> None:
        time.sleep(rng.choice([0.0, 0.0, 0.0, 0.0005, 0.002]))

    frames = rng.randint(20, 60)
    live = rng.random() < 0.5
    stop_after = rng.choice([None, None, rng.randint(1, frames)])
    sink_fails_at = rng.choice([None, None, None, rng.randint(0, frames - 1)])
    source = TearingSource(frames, pause, live=live, before=lambda number: pause(), fails=rng.random() < 0.2)
    first = CollectingSink(stop_after=stop_after, delay_s=lambda: rng.choice([0.0, 0.0, 0.001]))
    second = CollectingSink(fail_at=sink_fails_at, delay_s=lambda: rng.choice([0.0, 0.0, 0.001]))
    pipeline = Pipeline(source, engine, [first, second])
    statistics = pipeline.run()
    failure = str(pipeline.failure.message) if pipeline.failure else ""
    assert "internal error" not in failure, pipeline.failure.__cause__ if pipeline.failure else None
    if failure:
        assert any(words in failure for words in ("cable", "disk", "device is gone")), failure
    if "device is gone" in failure:
        assert engine_fails
    assert statistics.frames_in == statistics.frames_out + statistics.frames_dropped
    for sink in (first, second):
        assert sink.ids == sorted(set(sink.ids))
        assert live or sink.ids == list(range(len(sink.ids)))
        assert sink.ended is not None
    if not (live or failure or stop_after):
        assert statistics.frames_out == frames
    assert source.closed


@pytest.mark.parametrize("seed", range(20))
def test_random_schedules(seed: int) -> None:
    rng = random.Random(seed)
    fail_at = rng.choice([None, None, rng.randint(0, 30)])
    options = {
        "delay_s": lambda: rng.choice([0.0, 0.0, 0.001, 0.003]),
        "max_in_flight": rng.randint(1, 4),
        "fail_at": fail_at,
    }
    with closing_engine(ScribblingEngine(**options)) as engine:
        run_schedule(engine, rng, engine_fails=fail_at is not None)


@pytest.mark.simulated_gpu
@pytest.mark.parametrize("seed", range(6))
def test_random_schedules_on_simulated_streams(
    seed: int, gpu: SimulatedGpu, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The GPU back end's own slots, whose copies come late and in two halves."""
    rng = random.Random(seed)
    before = gpu.alive()["device_memory"]
    gpu.delay_us = rng.choice([0, 100, 500, 2000])
    bench = Bench(gpu, monkeypatch, tmp_path, graphs=seed % 2 == 0)
    with closing_engine(bench.open()) as engine:
        run_schedule(engine, rng)
    assert gpu.alive()["device_memory"] == before


class EarlyPipeline(Pipeline):
    """Gives a slot back before the sinks had it: the tests above must notice such a mistake."""

    def _deliver(self, slot: FrameSlot) -> bool:
        self._pool.give_back(slot)
        time.sleep(0.003)
        return super()._deliver(slot)


def test_use_after_hand_back_is_noticed() -> None:
    with closing_engine(ScribblingEngine()) as engine, pytest.raises(AssertionError):
        EarlyPipeline(CountingSource(300), engine, [CollectingSink()]).run()


class EarlyEngine(ScribblingEngine):
    """Hands results on that are not there yet."""

    def wait(self, slot: FrameSlot) -> None:
        self._in_flight.popleft()


def test_a_result_before_its_time_is_noticed() -> None:
    with closing_engine(EarlyEngine()) as engine, pytest.raises(AssertionError):
        Pipeline(CountingSource(30), engine, [CollectingSink()]).run()
