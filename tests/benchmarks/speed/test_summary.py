"""Statistics and the table, from records of round numbers."""

from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console

from artmirror.benchmarks.records.speed import Record, Round, Samples, Session, StartRecord
from artmirror.benchmarks.speed.notes import bookkeeping_notes, live_notes, memory_notes, notes
from artmirror.benchmarks.speed.starts_table import start_notes, starts_grid
from artmirror.benchmarks.speed.summary import (
    age_percentiles_ms,
    bookkeeping_share,
    engine_record_of,
    latency_percentiles_ms,
    pipeline_ratio,
    stage_ms,
    start_ms,
    summarize,
)
from artmirror.benchmarks.speed.table import render_session
from tests.fakes.benchmark_records import make_environment, make_record, make_round, make_start, make_start_record


def show(
    *records: Record, width: int = 80, starts: tuple[StartRecord, ...] = (), omissions: tuple[str, ...] = ()
) -> str:
    console = Console(width=width, markup=False, highlight=False)
    with console.capture() as capture:
        console.print(render_session(Session(make_environment(), records, starts=starts, omissions=omissions)))
    return capture.get()


def shown(*frames: tuple[float, float]) -> Round:
    """Return a round of frames that were (shown at, this old then), in milliseconds."""
    times = [[round(value * 1e6) for value in column] for column in zip(*frames, strict=True)]
    return Round(Samples((), ()), Samples(tuple(times[0]), tuple(times[1])))


def test_percentiles_are_over_all_measured_frames() -> None:
    record = make_record(
        make_round(1, [float(n) for n in range(1, 11)]), make_round(1, [float(n) for n in range(11, 21)])
    )
    assert latency_percentiles_ms(record, (0, 50, 100)) == pytest.approx([1, 10.5, 20])


def test_percentiles_agree_with_numpy() -> None:
    values = np.random.default_rng(0).exponential(30, (3, 50)).round(6)
    record = make_record(*(make_round(1, row.tolist()) for row in values))
    assert latency_percentiles_ms(record) == pytest.approx(np.percentile(values, [50, 95, 99]))


class TestAge:
    def test_steady_frames_are_of_every_age_between_two(self) -> None:
        """Each is 20 ms old when it is shown and 30 ms when the next one comes: evenly from 20 to 30."""
        record = make_record(shown(*((10 * index, 20) for index in range(9))), scenario="live")
        assert age_percentiles_ms(record, (0, 50, 90, 100)) == pytest.approx([20, 25, 29, 30])

    def test_a_frame_that_stays_long_counts_long(self) -> None:
        """From 10 to 20 ms old in 10 ms, then from 10 to 100 in 90: ages up to 20 are there twice, for 20 ms of 100."""
        record = make_record(shown((0, 10), (10, 10), (100, 10)), scenario="live")
        assert age_percentiles_ms(record, (10, 20, 50, 100)) == pytest.approx([15, 20, 50, 100])

    def test_ages_that_no_frame_has_are_skipped(self) -> None:
        """From 10 to 20 in one round, from 50 to 60 in the other."""
        record = make_record(shown((0, 10), (10, 10)), shown((0, 50), (10, 50)), scenario="live")
        assert age_percentiles_ms(record, (25, 75)) == pytest.approx([15, 55])

    def test_agrees_with_looking_at_the_screen_often(self) -> None:
        rng = np.random.default_rng(0)
        captured = np.cumsum(rng.exponential(30, 200))
        shown_at = np.maximum.accumulate(captured + rng.exponential(20, 200))
        moments = np.arange(shown_at[0], shown_at[-1], 0.01)
        ages = moments - captured[np.searchsorted(shown_at, moments, side="right") - 1]
        record = make_record(shown(*zip(shown_at, shown_at - captured, strict=True)), scenario="live")
        assert age_percentiles_ms(record) == pytest.approx(np.percentile(ages, [50, 95, 99]), rel=1e-3)

    def test_one_frame_has_no_successor(self) -> None:
        assert all(np.isnan(age_percentiles_ms(make_record(shown((0, 10)), scenario="live"))))


def test_the_share_of_measuring_is_that_of_the_worst_round() -> None:
    rounds = [replace(make_round(ms), bookkeeping_ns=ns) for ms, ns in ((10, 2000), (10, 5000), (100, 10_000))]
    assert bookkeeping_share(make_record(*rounds)) == pytest.approx(5e-6 / 10e-3)
    assert bookkeeping_share(make_record(make_round(10))) is None
    (line,) = bookkeeping_notes([make_record(*rounds)])
    assert line.startswith("measuring took at most 0.050% of a frame's time (starry openvino bf16 640x360 engine)")
    slow = make_record(replace(make_round(0.1), bookkeeping_ns=2000))
    assert "took 2.0% of its time; do not trust its figures" in list(bookkeeping_notes([slow]))[-1]
    assert list(bookkeeping_notes([make_record(make_round(10))])) == []


class TestStarts:
    def test_stages_are_medians_and_follow_each_other(self) -> None:
        starts = [make_start(1000), make_start(3000), make_start(1200)]
        assert start_ms(starts[0]) == 1000
        assert [stage_ms(starts, stage) for stage in ("interpreter", "import", "read", "compile", "first_frame")] == [
            *(0, 120, 240, 360, 480)
        ]

    def test_the_table_has_a_row_for_cold_and_cached(self) -> None:
        cold = make_start(1000), make_start(1200, peak_rss_bytes=180_000_000), make_start(1010)
        record = make_start_record(cold, (make_start(500),) * 3)
        grid = starts_grid(Session(make_environment(), (), starts=(record,)))
        assert grid.rows == (
            ("starry", "openvino bf16", "cold", "1010~", "0", "101", "202", "303", "404", "180"),
            ("starry", "openvino bf16", "cached", "500", "0", "50", "100", "150", "200", "150"),
        )

    def test_the_gpus_memory_is_shown_or_said_to_be_unknown(self) -> None:
        unknown = make_start_record((make_start(1),), (make_start(1),), cache_bytes=0)
        told = make_start_record((make_start(1, device_bytes=500_000_000),), (make_start(1),))
        notes_of = {
            record: list(start_notes(Session(make_environment(), (), starts=(record,)))) for record in (unknown, told)
        }
        assert "memory on a GPU: not available" in notes_of[unknown][-1]
        assert "openvino keeps nothing that it compiled: its cached starts are cold ones too" in notes_of[unknown]
        assert "what is in use on all GPUs then" in notes_of[told][-1]
        assert len(notes_of[told]) == 2
        both = starts_grid(Session(make_environment(), (), starts=(unknown, told)))
        assert both.header[-1] == "GPU\nMB"
        assert [row[-1] for row in both.rows] == ["-", "-", "500", "-"]


def test_fps_is_the_median_over_rounds_without_warm_up() -> None:
    summary = summarize(make_record(make_round(10), make_round(20), make_round(12.5)))
    assert (summary.fps_median, summary.fps_min, summary.fps_max) == pytest.approx((80, 50, 100))
    assert summary.spread == pytest.approx(50 / 80)


def test_ratio_is_taken_round_by_round() -> None:
    engine = make_record(make_round(10), make_round(100), make_round(10))
    pipeline = make_record(make_round(20), make_round(200), make_round(10), scenario="pipeline")
    assert pipeline_ratio(pipeline, engine) == pytest.approx(0.5)


def test_pipeline_finds_the_engine_beside_it() -> None:
    pipeline = make_record(make_round(1), scenario="pipeline", source="clip.mp4")
    others = [
        make_record(make_round(1), backend="onnxruntime"),
        make_record(make_round(1), graph_sha256="xyz"),
        pipeline,
    ]
    mine = make_record(make_round(2))
    assert engine_record_of(pipeline, [*others, mine]) is mine
    assert engine_record_of(pipeline, others) is None


def test_table_shows_what_was_measured() -> None:
    text = show(
        make_record(make_round(10), make_round(10.5)), make_record(make_round(20), make_round(21), scenario="pipeline")
    )
    rows = [line.split() for line in text.splitlines() if line.strip().startswith("starry")]
    assert rows[0] == ["starry", "openvino", "bf16", "engine", "97.6", "95.2-100", "10.2", "10.5", "10.5"]
    assert rows[1] == ["starry", "openvino", "bf16", "pipeline", "48.8", "47.6-50.0", "20.5", "21.0", "21.0", "50%"]
    assert text.startswith("640x360 on a processor (2 cores)")
    assert "peak memory 200 MB\n" in text
    assert "busy" not in text


def test_busy_machine_is_marked() -> None:
    steady, shaky = make_record(make_round(10), make_round(10.9)), make_record(make_round(10), make_round(11.2))
    assert "~" not in show(steady)
    assert "89.3-100~" in show(shaky)
    assert "~ spread over 10%: the machine was busy" in notes([steady, shaky])


def test_notes_tell_what_the_numbers_hold() -> None:
    pipeline = make_record(make_round(10), scenario="pipeline")
    live = make_record(replace(make_round(10, [30.0] * 10), frames_dropped=3), scenario="live", source="0")
    other = make_record(make_round(10), engine="other", peak_rss_bytes=None)
    assert any("pipeline latency" in line for line in notes([pipeline]))
    assert not any("pipeline latency" in line for line in notes([live]))
    assert list(memory_notes([live, other])) == ["peak memory 200 MB, one process with 2 engines"]
    assert [*notes([other]), *memory_notes([other]), *live_notes([other])] == []
    assert any(line.startswith("age: of the shown frame since its capture") for line in notes([live]))
    assert list(live_notes([live, other])) == [
        "live, starry openvino bf16 640x360: age 35 ms half of the time, 40 ms at most 95% of it, 3 frames dropped"
    ]


def test_what_the_times_hold_is_said_once_or_by_back_end() -> None:
    def record(backend: str, holds: str) -> Record:
        return make_record(make_round(10), backend=backend, holds=holds)

    assert list(notes([record("openvino", "a frame"), record("onnxruntime", "a frame")])) == ["engine: a frame"]
    live = make_record(make_round(10), scenario="live", source="0", holds="the newest frame wins")
    assert next(iter(notes([live]))) == "live from 0: the newest frame wins"
    assert list(notes([record("openvino", "a frame"), record("ncnn", "a copy"), record("onnxruntime", "a frame")])) == [
        "engine (openvino, onnxruntime): a frame",
        "engine (ncnn): a copy",
    ]


def test_each_size_has_its_table_and_starts_their_own() -> None:
    starts = make_start_record((make_start(1000),), (make_start(400),))
    text = show(
        make_record(make_round(10)),
        make_record(make_round(20), height=720, width=1280),
        make_record(make_round(10), scenario="live", source="0"),
        starts=(starts,),
        omissions=("pipeline: 0 paces itself",),
        width=100,
    )
    lines = [line.strip() for line in text.splitlines()]
    assert lines[0].startswith("640x360, 1280x720 on a processor")
    assert lines.index("640x360") < lines.index("1280x720")
    between = lines[lines.index("640x360") : lines.index("1280x720")]
    assert [line.split()[3] for line in between if line.startswith("starry")] == ["engine", "live", "cold", "cached"]
    assert "left out: pipeline: 0 paces itself" in lines
    assert "peak memory 200 MB" not in text  # the starts tell it better
    assert max(map(len, text.splitlines())) <= 100


def test_a_record_of_starts_alone_is_shown() -> None:
    text = show(starts=(make_start_record((make_start(1000),), (make_start(400),)),))
    assert text.startswith("640x360 on a processor")
    assert "cached" in text


@pytest.mark.parametrize("width", [80, 100, 120])
def test_table_fits_the_terminal(width: int) -> None:
    record = make_record(
        make_round(400), make_round(900), engine="starry_fp16", backend="onnxruntime", precision="fp32"
    )
    live = make_record(make_round(5), make_round(3), scenario="live", source="0")
    starts = make_start_record((make_start(12_345),), (make_start(9_876),), engine="starry_fp16", backend="onnxruntime")
    text = show(record, live, width=width, starts=(starts,))
    assert "…" not in text
    assert "onnxruntime" in text
    assert max(map(len, text.splitlines())) <= width
