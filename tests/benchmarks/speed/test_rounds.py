"""What is run, how often and in which order, with a fake engine; no times are asserted."""

import time
from collections.abc import Callable

import numpy as np
import pytest

from artmirror.benchmarks.records.measuring import Stopped
from artmirror.benchmarks.records.speed import Round, Samples
from artmirror.benchmarks.speed.gpu_scenarios import ComputeOnly, ComputesAlone
from artmirror.benchmarks.speed.idle_engine import IdleEngine
from artmirror.benchmarks.speed.rounds import Candidate, Starts, measure, measure_with_starts
from artmirror.benchmarks.speed.scenarios import (
    WARMUP_FRAMES,
    EngineOnly,
    KeptSlots,
    Scenario,
    WholePipeline,
    WithTransfers,
    split_round,
)
from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.runtime.engines.base import FULL_STYLE
from artmirror.runtime.frame import FrameSlot
from tests.fakes.benchmark_records import make_round, make_start
from tests.fakes.counting_engine import SIZE, CountingEngine, CountingSource


def never() -> bool:
    return False


class StopAfter:
    """Says stop from the n-th question on."""

    def __init__(self, questions: int) -> None:
        self.left = questions

    def __call__(self) -> bool:
        self.left -= 1
        return self.left < 0


def engine_only(engine: CountingEngine) -> EngineOnly:
    picture = KeptSlots(engine).allocate(1)[0].frame
    picture[:] = 33
    return EngineOnly(KeptSlots(engine), picture)


def whole_pipeline(engine: CountingEngine, opened: list[CountingSource], limit: int = 1000) -> WholePipeline:
    def open_source(frames: int | None) -> CountingSource:
        assert frames is not None
        opened.append(CountingSource(min(frames, limit)))
        return opened[-1]

    return WholePipeline(KeptSlots(engine), open_source, "clip.mp4", live=False)


def test_split_round_keeps_warm_up_apart() -> None:
    completed_ns = [100, 200, 300, 400, 500, 510, 530]
    result = split_round(completed_ns, [1, 2, 3, 4, 5, 6, 7], [9, 9, 9, 9, 9, 8, 7], frames_dropped=3)
    assert result == Round(
        warmup=Samples((100, 200, 300, 400, 500), (1, 2, 3, 4, 5), (9, 9, 9, 9, 9)),
        measured=Samples((10, 30), (6, 7), (8, 7)),
        frames_dropped=3,
    )


def test_engine_only_measures_every_frame_with_the_engine_full() -> None:
    engine = CountingEngine()
    result = engine_only(engine).run(11, never)
    assert len(result.warmup.latency_ns) == len(result.warmup.completed_ns) == WARMUP_FRAMES
    assert len(result.measured.latency_ns) == len(result.measured.completed_ns) == 11
    assert engine.waited == 2 * (WARMUP_FRAMES + 11)
    assert engine.most_in_flight == engine.max_in_flight
    assert set(engine.inputs) == {33}
    assert list(result.measured.completed_ns) == sorted(result.measured.completed_ns)
    assert min(result.measured.completed_ns) > 0


@pytest.mark.parametrize("questions", [0, 3, WARMUP_FRAMES + 4 + 3])
def test_engine_only_stops_with_nothing_left_in_the_engine(questions: int) -> None:
    engine = CountingEngine()
    with pytest.raises(Stopped):
        engine_only(engine).run(4, StopAfter(questions))
    assert engine.waited == len(engine.inputs) < 2 * (WARMUP_FRAMES + 4)
    assert not engine.in_flight


def test_transfers_bring_each_frame_in_and_its_result_out() -> None:
    engine = CountingEngine()
    slots = KeptSlots(engine)
    scenario = WithTransfers(slots, np.full((*SIZE, 3), 33, np.uint8))
    assert scenario.name == "transfers"
    for slot in slots.allocate(2):
        slot.frame[:] = 99
    result = scenario.run(4, never)
    assert engine.inputs == [33] * 2 * (WARMUP_FRAMES + 4)
    assert len(result.measured.latency_ns) == len(result.measured.completed_ns) == 4
    np.testing.assert_array_equal(scenario.result, 255 - 33)


class FakeGpu(CountingEngine):
    """Knows how to leave the copies out, and how many frames it was asked for at once."""

    def __init__(self) -> None:
        super().__init__()
        self.computed: list[int] = []

    def compute(self, slot: FrameSlot, count: int) -> None:
        assert not self.in_flight
        assert slot.stylized[0, 0, 0] == 255 - 33, "the picture is not there yet"
        self.computed.append(count)


def test_a_gpu_alone_computes_on_what_it_has_already() -> None:
    engine = FakeGpu()
    assert isinstance(engine, ComputesAlone)
    assert not isinstance(CountingEngine(), ComputesAlone)
    scenario = ComputeOnly(KeptSlots(engine), np.full((*SIZE, 3), 33, np.uint8), engine)
    result = scenario.run(7, never)
    assert engine.computed == [1] * (WARMUP_FRAMES + 7) + [WARMUP_FRAMES, WARMUP_FRAMES, 2]
    assert engine.waited == engine.max_in_flight  # the copies of the beginning, and no others
    assert len(result.measured.latency_ns) == len(result.measured.completed_ns) == 7
    assert len(set(result.measured.completed_ns)) == 2  # two handfuls
    with pytest.raises(Stopped):
        scenario.run(7, StopAfter(3))
    assert scenario.bookkeeping_ns() >= 0


class SteppingClock:
    """A clock that goes on by a microsecond whenever somebody looks."""

    def __init__(self) -> None:
        self.now_ns = 0

    def __call__(self) -> int:
        self.now_ns += 1000
        return self.now_ns


@pytest.mark.parametrize("scenario", [engine_only, lambda engine: whole_pipeline(engine, [])])
def test_bookkeeping_is_what_the_same_calls_take_without_work(
    scenario: Callable[[CountingEngine], Scenario], monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = CountingEngine()
    made = scenario(engine)
    monkeypatch.setattr(time, "monotonic_ns", SteppingClock())
    assert made.bookkeeping_ns() == 1000  # one look at the clock for every frame that is done
    assert engine.waited == 0


def test_measuring_takes_less_than_a_hundredth_of_a_frame_of_a_millisecond() -> None:
    assert 0 < engine_only(CountingEngine()).bookkeeping_ns() < 10_000
    assert 0 < whole_pipeline(CountingEngine(), []).bookkeeping_ns() < 10_000


def test_the_idle_engine_does_nothing() -> None:
    engine = IdleEngine()
    (slot,) = engine.allocate(1)
    slot.frame[:] = 3
    engine.submit(slot, FULL_STYLE)
    engine.wait(slot)
    assert not slot.stylized.any()


def test_pipeline_measures_every_frame_and_closes_its_source() -> None:
    engine, opened = CountingEngine(), []
    result = whole_pipeline(engine, opened).run(11, never)
    for samples, count in ((result.warmup, WARMUP_FRAMES), (result.measured, 11)):
        assert len(samples.completed_ns) == len(samples.latency_ns) == len(samples.engine_ns) == count
    assert result.frames_dropped == 0
    assert opened[0].closed
    assert engine.inputs.count(7) == WARMUP_FRAMES + 11


class SlowEngine(CountingEngine):
    """Takes as long as the source needs for three frames more, or a fifth of a second."""

    def __init__(self, source: CountingSource) -> None:
        super().__init__()
        self.source = source

    def wait(self, slot: FrameSlot) -> None:
        outrun = self.source.left - 3
        for _ in range(200):
            if self.source.left <= outrun:
                break
            time.sleep(0.001)
        super().wait(slot)


def test_dropped_frames_are_not_missing_from_a_live_measurement() -> None:
    source = CountingSource(1_000_000_000, live=True)

    def open_source(frames: int | None) -> CountingSource:
        assert frames is None
        return source

    result = WholePipeline(KeptSlots(SlowEngine(source)), open_source, "0", live=True).run(6, never)
    assert len(result.measured.completed_ns) == len(result.measured.latency_ns) == 6
    assert result.frames_dropped > 0


def test_pipelines_share_one_engines_slots() -> None:
    engine = CountingEngine()
    pipeline = whole_pipeline(engine, [])
    pipeline.run(2, never)
    needed = engine.allocated
    pipeline.run(2, never)
    assert engine.allocated == needed > 0


def test_pipeline_tells_a_source_that_is_too_short() -> None:
    with pytest.raises(ArtmirrorError, match=r"clip\.mp4 gave 5 frames; more than 5 are wanted"):
        whole_pipeline(CountingEngine(), [], limit=WARMUP_FRAMES).run(10, never)


def test_pipeline_passes_on_a_failure() -> None:
    opened: list[CountingSource] = []
    with pytest.raises(ArtmirrorError, match="the fake engine broke"):
        whole_pipeline(CountingEngine(fail_at=4), opened).run(10, never)
    assert opened[0].closed


def test_pipeline_closes_its_source_when_it_cannot_start() -> None:
    opened: list[CountingSource] = []
    with pytest.raises(ArtmirrorError, match="the fake engine broke"):
        whole_pipeline(CountingEngine(fail_at=1), opened).run(10, never)
    assert opened[0].closed


def test_pipeline_stops() -> None:
    opened: list[CountingSource] = []
    with pytest.raises(Stopped):
        whole_pipeline(CountingEngine(), opened).run(10, StopAfter(0))
    assert opened[0].closed


class LoggedScenario:
    """A scenario that only writes down that it ran."""

    name = "engine"
    source = None
    holds = "nothing"

    def __init__(self, label: str, log: list[str]) -> None:
        self.label, self.log = label, log

    def run(self, frames: int, should_stop: object) -> Round:
        self.log.append(self.label)
        return make_round(len(self.log))

    def bookkeeping_ns(self) -> int:
        return 100 + len(self.log)


class LoggedStarter:
    """Starts that only write down that they were, and take longer each time."""

    frames = 10

    def __init__(self, label: str, log: list[str]) -> None:
        self.label, self.log = label, log

    def run(self, should_stop: object) -> Starts:
        self.log.append(self.label)
        return Starts(make_start(10 * len(self.log)), make_start(len(self.log)), 500 + len(self.log))


def test_rounds_are_interleaved() -> None:
    log: list[str] = []
    seen: list[int] = []
    candidates = [
        Candidate(name, CountingEngine(name), None, tuple(LoggedScenario(name + part, log) for part in ("-e", "-p")))
        for name in ("a", "b")
    ]
    records = measure(candidates, rounds=3, frames=1, observe=lambda: seen.append(len(log)))
    assert log == ["a-e", "a-p", "b-e", "b-p"] * 3
    assert seen == list(range(1, 13))
    assert [entry.measured for entry in records[1].rounds] == [make_round(ms).measured for ms in (2, 6, 10)]
    assert all(entry.sensed is not None and entry.sensed.duration_ns > 0 for entry in records[1].rounds)
    assert [entry.bookkeeping_ns for entry in records[1].rounds] == [102, 106, 110]
    assert records[1].holds == "nothing"


def test_starts_take_their_turns_too() -> None:
    log: list[str] = []
    seen: list[int] = []
    candidates = [
        Candidate(
            name, CountingEngine(name), 2, (LoggedScenario(name, log),), starter=LoggedStarter(f"{name}-start", log)
        )
        for name in ("a", "b")
    ]
    records, starts = measure_with_starts(candidates, rounds=2, frames=1, observe=lambda: seen.append(len(log)))
    assert log == ["a", "b", "a-start", "b-start"] * 2
    assert seen == list(range(1, 9))
    assert (len(records), len(starts)) == (2, 2)
    assert starts[1].cold == (make_start(40), make_start(80))
    assert starts[1].cached == (make_start(4), make_start(8))
    assert (starts[1].engine, starts[1].style, starts[1].threads, starts[1].frames) == ("b", "b", 2, 10)
    assert starts[1].cache_bytes == 508


def test_records_say_what_was_measured() -> None:
    engine = CountingEngine("night", backend="onnxruntime")
    candidate = Candidate("night_fp16", engine, 2, (engine_only(engine), whole_pipeline(engine, [])))
    alone, whole = measure([candidate], rounds=2, frames=3)
    assert (alone.engine, alone.style, alone.preset, alone.graph_sha256) == (
        "night_fp16",
        "night",
        "tiny",
        "sha of night",
    )
    assert (alone.backend, alone.library, alone.device, alone.precision) == (
        "onnxruntime",
        "fakelib 1.2",
        "no processor",
        "fp32",
    )
    assert ((alone.height, alone.width), alone.threads) == (SIZE, 2)
    assert (alone.scenario, alone.source, whole.scenario, whole.source) == ("engine", None, "pipeline", "clip.mp4")
    assert len(alone.rounds) == len(whole.rounds) == 2
