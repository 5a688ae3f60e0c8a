"""The pipeline under both policies, with invented sources, engines and sinks."""

import gc
import random
import threading
import time
import weakref

import numpy as np
import pytest

from artmirror.runtime.engines.base import Look
from artmirror.runtime.frame import FrameSlot
from artmirror.runtime.pipeline import Pipeline
from artmirror.runtime.run_statistics import RunStatistics
from tests.fakes.ends import SIZE, CollectingSink, CountingSource
from tests.fakes.engine import FakeEngine


def test_every_frame_of_a_file_arrives_in_order() -> None:
    source, engine, sink = CountingSource(57), FakeEngine(SIZE), CollectingSink()
    statistics = Pipeline(source, engine, [sink]).run()
    assert sink.ids == list(range(57))
    assert (statistics.frames_in, statistics.frames_out, statistics.frames_dropped) == (57, 57, 0)
    assert engine.most_in_flight == 2
    assert statistics.engine_ns.size == statistics.latency_ns.size == 57
    assert sink.ended == "closed"
    assert source.closed


def test_no_tearing_under_random_delays() -> None:
    rng = random.Random(0)

    def delay_s() -> float:
        return rng.choice([0.0, 0.0, 0.001, 0.003])

    source = CountingSource(150, before=lambda number: time.sleep(delay_s()))
    sink = CollectingSink(delay_s=delay_s)
    statistics = Pipeline(source, FakeEngine(SIZE, delay_s=delay_s), [sink]).run()
    assert sink.ids == list(range(150))
    assert statistics.frames_dropped == 0


def run_live_with_gaps(gaps: list[int]) -> tuple[RunStatistics, list[int]]:
    """Run a live source of which `gaps[i]` frames come and go while the engine works on one frame.

    Every step waits for the one before, so that the outcome does not depend on how fast the machine is.
    """
    gate, accepted, shown = threading.Semaphore(0), threading.Semaphore(0), threading.Semaphore(0)
    # After how many frames of the source the frame in the engine is done.
    done_after = [1 + int(total) for total in np.cumsum([1 + gap for gap in gaps])]

    class Engine(FakeEngine):
        def submit(self, slot: FrameSlot, look: Look) -> None:
            super().submit(slot, look)
            if self._warmed_up:
                accepted.release()

    class Sink(CollectingSink):
        def write(self, slot: FrameSlot) -> bool:
            going_on = super().write(slot)
            shown.release()
            return going_on

    def before(number: int) -> None:
        if number == 1:
            assert accepted.acquire(timeout=30)
        if number in done_after:
            gate.release()
            assert shown.acquire(timeout=30)
            assert accepted.acquire(timeout=30)

    source = CountingSource(done_after[-1] + 1, live=True, before=before)
    sink = Sink()

    def finish() -> None:
        assert source.read_all.wait(30)
        gate.release()
        assert shown.acquire(timeout=30)
        gate.release()

    finisher = threading.Thread(target=finish)
    finisher.start()
    statistics = Pipeline(source, Engine(SIZE, gate=gate), [sink]).run()
    finisher.join()
    return statistics, sink.ids


@pytest.mark.parametrize("gaps", [[9], [1] * 20, [0, 5, 0, 0, 9, 1, 2], [30]])
def test_live_takes_the_newest_and_counts_drops_exactly(gaps: list[int]) -> None:
    statistics, ids = run_live_with_gaps(gaps)
    newest = [int(total) for total in np.cumsum([1 + gap for gap in gaps])]
    assert ids == [0, *newest, newest[-1] + 1]
    assert statistics.frames_dropped == sum(gaps)
    assert statistics.frames_in == statistics.frames_out + statistics.frames_dropped
    assert statistics.deepest_queue == 1


def test_live_keeps_one_frame_in_the_engine() -> None:
    engine = FakeEngine(SIZE, delay_s=lambda: 0.002)
    source = CountingSource(40, live=True, before=lambda number: time.sleep(0.0005))
    Pipeline(source, engine, [CollectingSink()]).run()
    assert engine.most_in_flight == 1


def test_live_motion_is_found_while_the_frame_before_is_painted() -> None:
    engine = FakeEngine(SIZE, delay_s=lambda: 0.02, follow_s=0.005)
    source = CountingSource(200, live=True, before=lambda number: time.sleep(0.002))
    sink = CollectingSink()
    statistics = Pipeline(source, engine, [sink]).run()
    assert engine.most_in_flight == 1
    assert engine.followed_beside > statistics.frames_out / 2
    assert engine.followed is None
    assert sink.ids == sorted(set(sink.ids))
    assert sink.ids[-1] == 199


@pytest.mark.parametrize("follow_s", [0.0, 0.005])
def test_a_slow_camera_finds_the_engine_idle(follow_s: float) -> None:
    """Nothing to be done ahead: either there is no motion to find, or no frame yet."""
    engine = FakeEngine(SIZE, delay_s=lambda: 0.002, follow_s=follow_s)
    source = CountingSource(8, live=True, before=lambda number: time.sleep(0.05))
    sink = CollectingSink()
    Pipeline(source, engine, [sink]).run()
    assert engine.followed_beside == 0
    assert sink.ids == list(range(8))


def test_a_broken_source_keeps_what_came_before() -> None:
    sink = CollectingSink()
    pipeline = Pipeline(CountingSource(9, fails=True), FakeEngine(SIZE), [sink])
    statistics = pipeline.run()
    assert sink.ids == list(range(9))
    assert statistics.frames_out == 9
    assert pipeline.failure is not None
    assert "cable" in str(pipeline.failure.message)
    assert sink.ended == "discarded"


def test_a_broken_engine_ends_the_run() -> None:
    sink = CollectingSink()
    source = CountingSource(1000)
    pipeline = Pipeline(source, FakeEngine(SIZE, fail_at=4), [sink])
    statistics = pipeline.run()
    assert sink.ids == [0, 1, 2, 3]
    assert pipeline.failure is not None
    assert "device is gone" in pipeline.failure.message
    assert statistics.frames_in == statistics.frames_out + statistics.frames_dropped
    assert source.closed
    assert sink.ended == "discarded"


def test_a_failure_keeps_no_frames_alive() -> None:
    """On a GPU they are page-locked memory and streams, which must go before the context does."""
    frames: list[weakref.ref[np.ndarray]] = []

    class Watched(FakeEngine):
        def allocate(self, count: int) -> list[FrameSlot]:
            made = super().allocate(count)
            frames.extend(weakref.ref(slot.frame) for slot in made)
            return made

    pipeline = Pipeline(CountingSource(1000), Watched(SIZE, fail_at=4), [CollectingSink()])
    pipeline.run()
    failure = pipeline.failure
    assert failure is not None
    del pipeline
    gc.collect()
    assert frames
    assert [frame for frame in frames if frame() is not None] == []
    assert failure.__traceback__ is not None  # --debug shows it


def test_a_broken_sink_is_told_and_the_others_go_on(caplog: pytest.LogCaptureFixture) -> None:
    broken, whole = CollectingSink(fail_at=3), CollectingSink()
    pipeline = Pipeline(CountingSource(50), FakeEngine(SIZE), [broken, whole])
    statistics = pipeline.run()
    assert (broken.ended, whole.ended) == ("discarded", "closed")
    assert whole.ids == list(range(50))
    assert pipeline.failure is not None
    assert statistics.frames_out == 50
    assert "the other outputs go on" in caplog.text


def test_the_run_ends_with_its_last_sink() -> None:
    sinks = [CollectingSink(fail_at=3), CollectingSink(fail_at=5)]
    pipeline = Pipeline(CountingSource(1000), FakeEngine(SIZE), sinks)
    assert pipeline.run().frames_out == 5
    assert [sink.ended for sink in sinks] == ["discarded", "discarded"]


def test_a_defect_in_a_thread_is_one_line_with_its_cause() -> None:
    def before(number: int) -> None:
        if number == 2:
            raise ZeroDivisionError("oops")

    pipeline = Pipeline(CountingSource(9, before=before), FakeEngine(SIZE), [CollectingSink()])
    pipeline.run()
    assert pipeline.failure is not None
    assert isinstance(pipeline.failure.__cause__, ZeroDivisionError)


def test_the_viewer_stops_the_run() -> None:
    sink = CollectingSink(stop_after=5)
    source = CountingSource(10**9)
    statistics = Pipeline(source, FakeEngine(SIZE), [sink]).run()
    assert sink.ids == [0, 1, 2, 3, 4]
    assert source.closed
    assert statistics.frames_in == statistics.frames_out + statistics.frames_dropped


def test_a_signal_stops_the_run() -> None:
    seen: list[int] = []
    sink = CollectingSink()
    pipeline = Pipeline(CountingSource(10**9), FakeEngine(SIZE), [sink])
    statistics = pipeline.run(should_stop=lambda: len(seen) >= 7, observe=seen.append)
    assert len(sink.ids) == statistics.frames_out == 7
    assert sink.ended == "discarded"


def test_the_look_reaches_the_engine() -> None:
    class Sink(CollectingSink):
        def write(self, slot: FrameSlot) -> bool:
            self.ids.append(int(slot.stylized[0, 0, 0]))
            return True

    sink = Sink()
    Pipeline(CountingSource(3), FakeEngine(SIZE), [sink], look=lambda: Look(0.0)).run()
    assert sink.ids == [0, 1, 2]


def test_the_first_frame_has_no_warm_up_before_it() -> None:
    engine = FakeEngine(SIZE)
    pipeline = Pipeline(CountingSource(3), engine, [CollectingSink()])
    assert engine.resets == 1
    pipeline.run()
    assert engine.resets == 1


def test_nothing_is_allocated_per_frame() -> None:
    """The pixels that sinks see are the same few arrays all along."""
    addresses: set[int] = set()

    class Sink(CollectingSink):
        def write(self, slot: FrameSlot) -> bool:
            addresses.add(slot.stylized.ctypes.data)
            return super().write(slot)

    Pipeline(CountingSource(100), FakeEngine(SIZE), [Sink()]).run()
    assert len(addresses) <= 6
