"""Statistics and the table, from records of round numbers."""

import numpy as np
import pytest
from rich.console import Console

from artmirror.benchmarks.record import Record, Session
from artmirror.benchmarks.report import notes, render_session
from artmirror.benchmarks.statistics import engine_record_of, latency_percentiles_ms, pipeline_ratio, summarize
from tests.benchmarks.fakes import make_environment, make_record, make_round


def show(*records: Record, width: int = 80) -> str:
    console = Console(width=width, markup=False, highlight=False)
    with console.capture() as capture:
        console.print(render_session(Session(make_environment(), records)))
    return capture.get()


def test_percentiles_are_over_all_measured_frames() -> None:
    record = make_record(
        make_round(1, [float(n) for n in range(1, 11)]), make_round(1, [float(n) for n in range(11, 21)])
    )
    assert latency_percentiles_ms(record, (0, 50, 100)) == pytest.approx([1, 10.5, 20])


def test_percentiles_agree_with_numpy() -> None:
    values = np.random.default_rng(0).exponential(30, (3, 50)).round(6)
    record = make_record(*(make_round(1, row.tolist()) for row in values))
    assert latency_percentiles_ms(record) == pytest.approx(np.percentile(values, [50, 95, 99]))


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
    live = make_record(make_round(10), scenario="pipeline", live=True)
    other = make_record(make_round(10), engine="other", peak_rss_bytes=None)
    assert any("pipeline latency" in line for line in notes([pipeline]))
    assert not any("pipeline latency" in line for line in notes([live]))
    assert "peak memory 200 MB, one process with 2 engines" in notes([live, other])
    assert notes([other]) == []


@pytest.mark.parametrize("width", [80, 100, 120])
def test_table_fits_the_terminal(width: int) -> None:
    record = make_record(
        make_round(400), make_round(900), engine="starry_fp16", backend="onnxruntime", precision="fp32"
    )
    text = show(record, make_record(make_round(5), make_round(3)), width=width)
    assert "…" not in text
    assert "onnxruntime" in text
    assert max(map(len, text.splitlines())) <= width
