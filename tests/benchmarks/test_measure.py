"""What is run, how often and in which order, with a fake engine; no times are asserted."""

import time

import pytest

from artmirror.benchmarks.measure import Candidate, measure
from artmirror.benchmarks.record import Round, Samples
from artmirror.benchmarks.scenarios import (
    WARMUP_FRAMES,
    EngineOnly,
    KeptSlots,
    Stopped,
    WholePipeline,
    source_label,
    split_round,
)
from artmirror.runtime.errors import ArtmirrorError
from artmirror.runtime.frame import FrameSlot
from tests.benchmarks.fakes import SIZE, FakeEngine, FakeSource, make_round


def never() -> bool:
    return False


class StopAfter:
    """Says stop from the n-th question on."""

    def __init__(self, questions: int) -> None:
        self.left = questions

    def __call__(self) -> bool:
        self.left -= 1
        return self.left < 0


def engine_only(engine: FakeEngine) -> EngineOnly:
    picture = KeptSlots(engine).allocate(1)[0].frame
    picture[:] = 33
    return EngineOnly(KeptSlots(engine), picture)


def whole_pipeline(engine: FakeEngine, opened: list[FakeSource], limit: int = 1000) -> WholePipeline:
    def open_source(frames: int | None) -> FakeSource:
        assert frames is not None
        opened.append(FakeSource(min(frames, limit)))
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
    engine = FakeEngine()
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
    engine = FakeEngine()
    with pytest.raises(Stopped):
        engine_only(engine).run(4, StopAfter(questions))
    assert engine.waited == len(engine.inputs) < 2 * (WARMUP_FRAMES + 4)
    assert not engine.in_flight


def test_pipeline_measures_every_frame_and_closes_its_source() -> None:
    engine, opened = FakeEngine(), []
    result = whole_pipeline(engine, opened).run(11, never)
    for samples, count in ((result.warmup, WARMUP_FRAMES), (result.measured, 11)):
        assert len(samples.completed_ns) == len(samples.latency_ns) == len(samples.engine_ns) == count
    assert result.frames_dropped == 0
    assert opened[0].closed
    assert engine.inputs.count(7) == WARMUP_FRAMES + 11


class SlowEngine(FakeEngine):
    """Slower than any source."""

    def wait(self, slot: FrameSlot) -> None:
        time.sleep(0.003)
        super().wait(slot)


def test_dropped_frames_are_not_missing_from_a_live_measurement() -> None:
    def open_source(frames: int | None) -> FakeSource:
        assert frames is None
        return FakeSource(1_000_000, live=True)

    result = WholePipeline(KeptSlots(SlowEngine()), open_source, "0", live=True).run(6, never)
    assert len(result.measured.completed_ns) == len(result.measured.latency_ns) == 6
    assert result.frames_dropped > 0


def test_pipelines_share_one_engines_slots() -> None:
    engine = FakeEngine()
    pipeline = whole_pipeline(engine, [])
    pipeline.run(2, never)
    needed = engine.allocated
    pipeline.run(2, never)
    assert engine.allocated == needed > 0


def test_pipeline_tells_a_source_that_is_too_short() -> None:
    with pytest.raises(ArtmirrorError, match=r"clip\.mp4 gave 5 frames; more than 5 are wanted"):
        whole_pipeline(FakeEngine(), [], limit=WARMUP_FRAMES).run(10, never)


def test_pipeline_passes_on_a_failure() -> None:
    opened: list[FakeSource] = []
    with pytest.raises(ArtmirrorError, match="the fake engine broke"):
        whole_pipeline(FakeEngine(fail_at=4), opened).run(10, never)
    assert opened[0].closed


def test_pipeline_closes_its_source_when_it_cannot_start() -> None:
    opened: list[FakeSource] = []
    with pytest.raises(ArtmirrorError, match="the fake engine broke"):
        whole_pipeline(FakeEngine(fail_at=1), opened).run(10, never)
    assert opened[0].closed


def test_pipeline_stops() -> None:
    opened: list[FakeSource] = []
    with pytest.raises(Stopped):
        whole_pipeline(FakeEngine(), opened).run(10, StopAfter(0))
    assert opened[0].closed


class LoggedScenario:
    """A scenario that only writes down that it ran."""

    name = "engine"
    source = None
    live = False

    def __init__(self, label: str, log: list[str]) -> None:
        self.label, self.log = label, log

    def run(self, frames: int, should_stop: object) -> Round:
        self.log.append(self.label)
        return make_round(len(self.log))


def test_rounds_are_interleaved() -> None:
    log: list[str] = []
    seen: list[int] = []
    candidates = [
        Candidate(name, FakeEngine(name), None, tuple(LoggedScenario(name + part, log) for part in ("-e", "-p")))
        for name in ("a", "b")
    ]
    records = measure(candidates, rounds=3, frames=1, observe=lambda: seen.append(len(log)))
    assert log == ["a-e", "a-p", "b-e", "b-p"] * 3
    assert seen == list(range(1, 13))
    assert [entry.measured for entry in records[1].rounds] == [make_round(ms).measured for ms in (2, 6, 10)]
    assert all(entry.sensed is not None and entry.sensed.duration_ns > 0 for entry in records[1].rounds)


def test_records_say_what_was_measured() -> None:
    engine = FakeEngine("night", backend="onnxruntime")
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


@pytest.mark.parametrize(
    ("uri", "label"),
    [
        ("synthetic:640x360@30", "synthetic:640x360@30"),
        ("0", "0"),
        ("/home/ann/private/clip.mp4", "clip.mp4"),
        ("pictures/", "pictures"),
        ("rtsp://ann:secret@10.0.0.7/door", "rtsp://"),
    ],
)
def test_source_label_gives_nothing_away(uri: str, label: str) -> None:
    assert source_label(uri) == label
