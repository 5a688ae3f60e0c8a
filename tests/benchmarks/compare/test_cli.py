"""`st-bench compare`: changes that are known in closed form, and the command's words and exit codes."""

import subprocess
import sys
from dataclasses import replace
from math import isnan
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from scipy.stats import mannwhitneyu

from artmirror.benchmarks.cli import main
from artmirror.benchmarks.compare.significance import ALPHA, compare_pairs, compare_rounds
from artmirror.benchmarks.records.machine import Gpu
from artmirror.benchmarks.records.speed import Record, Session, write_session
from artmirror.benchmarks.records.temporal import (
    PainterInfo,
    PainterRecord,
    Pair,
    SequenceRecord,
    SequenceValues,
    TemporalSession,
    write_temporal,
)
from tests.fakes.benchmark_errors import check_one_line
from tests.fakes.benchmark_records import make_environment, make_record, make_round, make_start, make_start_record

GPU = Gpu("a GPU", "580.1", "8192 MiB")
ROUNDS_MS = [10.0, 10.1, 10.2, 10.3, 10.4]


class TestRounds:
    def test_the_same_values_are_no_change(self) -> None:
        change = compare_rounds(ROUNDS_MS, ROUNDS_MS)
        assert (change.ratio, change.verdict) == (pytest.approx(1), "not significant")
        assert change.low < 1 < change.high

    @pytest.mark.parametrize(("factor", "verdict"), [(1.2, "worse"), (0.8, "better")])
    def test_a_shift_is_found_with_its_size(self, factor: float, verdict: str) -> None:
        change = compare_rounds(ROUNDS_MS, [factor * value for value in ROUNDS_MS])
        assert (change.ratio, change.verdict) == (pytest.approx(factor), verdict)
        assert change.low < factor < change.high
        assert change.low > 1 or change.high < 1

    def test_one_disturbed_round_changes_little(self) -> None:
        change = compare_rounds(ROUNDS_MS, [*ROUNDS_MS[:-1], 40.0])
        assert change.verdict == "not significant"
        assert change.ratio == pytest.approx(1, abs=0.02)

    def test_rounds_without_any_spread(self) -> None:
        assert compare_rounds([10.0] * 5, [10.0] * 5).verdict == "not significant"
        change = compare_rounds([10.0] * 5, [12.0] * 5)
        assert (change.ratio, change.low, change.high) == pytest.approx((1.2, 1.2, 1.2))
        assert change.verdict == "worse"

    def test_too_few_rounds_are_said_to_be_too_few(self) -> None:
        change = compare_rounds([10.0] * 4, [20.0] * 4)
        assert (change.ratio, change.verdict) == (pytest.approx(2), "too few values")
        assert isnan(change.low)

    def test_the_interval_is_what_the_test_does_not_reject(self) -> None:
        rng = np.random.default_rng(3)
        old, new = rng.lognormal(0, 0.1, 12), rng.lognormal(0.05, 0.1, 9)
        change = compare_rounds(old.tolist(), new.tolist())
        for edge, inward in ((change.low, 1.0001), (change.high, 0.9999)):
            assert mannwhitneyu(new / (edge * inward), old).pvalue >= ALPHA
            assert mannwhitneyu(new / (edge / inward), old).pvalue < ALPHA

    def test_false_alarms_are_as_rare_as_promised(self) -> None:
        rng = np.random.default_rng(0)
        verdicts = [compare_rounds(*rng.lognormal(0, 0.1, (2, 6)).tolist()).verdict for _ in range(300)]
        assert sum(verdict != "not significant" for verdict in verdicts) <= 8  # 3 are expected


class TestPairs:
    errors = np.random.default_rng(0).uniform(0.001, 0.002, 40).tolist()

    def test_the_same_values_are_no_change(self) -> None:
        change = compare_pairs(self.errors, self.errors)
        assert (change.ratio, change.low, change.high, change.verdict) == (1, 1, 1, "not significant")

    def test_squared_errors_four_times_as_large_double_e_stab(self) -> None:
        change = compare_pairs(self.errors, [4 * value for value in self.errors])
        assert (change.ratio, change.verdict) == (pytest.approx(2), "worse")
        assert (change.low, change.high) == pytest.approx((2, 2))  # pair by pair it is exactly so

    def test_independent_noise_is_no_change(self) -> None:
        noise = np.random.default_rng(1).uniform(0.9, 1.1, 40)
        change = compare_pairs(self.errors, (noise / noise.mean() * self.errors).tolist())
        assert change.verdict == "not significant"
        assert change.low < 1 < change.high

    def test_ten_pairs_at_least(self) -> None:
        assert compare_pairs([1.0] * 9, [2.0] * 9).verdict == "too few values"

    def test_still_pictures_have_no_ratio_but_a_verdict(self) -> None:
        assert compare_pairs([0.0] * 10, [0.0] * 10).ratio == 1
        assert compare_pairs([0.0] * 10, [0.1] * 10).verdict == "worse"


def speed(path: Path, factor: float = 1, records: int = 1, **changes: object) -> Path:
    """Write a record whose engine takes `factor` times ROUNDS_MS."""
    rounds = [make_round(factor * value) for value in ROUNDS_MS]
    pipeline: Record = make_record(*rounds, scenario="pipeline", source="clip.mp4", **changes)
    session = Session(make_environment(), (make_record(*rounds, **changes), pipeline)[:records])
    write_session(session, path)
    return path


def temporal(path: Path, factor: float = 1, pairs: int = 20) -> Path:
    """Write a record of one painter whose squared errors are `factor` times 0.001 and more."""
    infos = PainterInfo("input", "input"), PainterInfo("starry", "engine", backend="openvino", precision="bf16")
    sequence = SequenceRecord(
        "clip", 64, 80, pairs + 1, False, tuple(Pair(index, 1, "dis", 0.9, True) for index in range(pairs)), ()
    )
    painters = tuple(
        PainterRecord(
            info, (), (SequenceValues(tuple(scale * (1 + index / 100) for index in range(pairs)), (), (), ()),)
        )
        for info, scale in zip(infos, (0.0005, 0.001 * factor), strict=True)
    )
    write_temporal(TemporalSession(make_environment(), (1,), None, (sequence,), painters), path)
    return path


def compare(*arguments: str | Path) -> Result:
    return CliRunner(env={"COLUMNS": "100"}).invoke(main, ["compare", *map(str, arguments)])


def test_a_row_says_what_changed(tmp_path: Path) -> None:
    result = compare(speed(tmp_path / "old.json"), speed(tmp_path / "new.json", 1.2))
    assert result.exit_code == 0, result.output
    row = next(line.split() for line in result.stdout.splitlines() if "engine frame" in line)
    assert row[:8] == ["starry", "openvino", "bf16", "engine", "frame", "slower", "10.2", "12.24"]
    assert row[8] == "+20.0%"
    assert "THE MACHINES DIFFER" not in result.stdout
    assert "faster" in compare(tmp_path / "new.json", tmp_path / "old.json").stdout


def test_sizes_are_told_apart(tmp_path: Path) -> None:
    def write(path: Path, factor: float) -> Path:
        small = make_record(*[make_round(value) for value in ROUNDS_MS])
        large = make_record(*[make_round(4 * factor * value) for value in ROUNDS_MS], height=720, width=1280)
        write_session(Session(make_environment(), (small, large)), path)
        return path

    report = tmp_path / "report.md"
    compare(write(tmp_path / "old.json", 1), write(tmp_path / "new.json", 2), "-o", report)
    text = report.read_text()
    assert "| starry | openvino bf16 | engine 640x360 frame | not significant | 10.2 | 10.2 |" in text
    assert "| starry | openvino bf16 | engine 1280x720 frame | slower | 40.8 | 81.6 | +100.0% |" in text


def test_starts_are_compared_cold_and_cached(tmp_path: Path) -> None:
    def write(path: Path, cached_ms: int) -> Path:
        cold, cached = (tuple(make_start(ms + index) for index in range(5)) for ms in (2000, cached_ms))
        write_session(Session(make_environment(), (), starts=(make_start_record(cold, cached),)), path)
        return path

    result = compare(write(tmp_path / "old.json", 1000), write(tmp_path / "new.json", 500))
    assert result.exit_code == 0, result.output
    rows = [line.split() for line in result.stdout.splitlines() if "start" in line.split()]
    assert rows[0][3:7] == ["cold", "start", "not", "significant"]
    assert rows[1][3:8] == ["cached", "start", "faster", "1002", "502"]


@pytest.mark.parametrize(
    ("factor", "tolerated", "exit_code"), [(1, "5%", 0), (1.2, "5%", 3), (1.2, "25", 0), (0.8, "0%", 0)]
)
def test_a_regression_fails_the_command(tmp_path: Path, factor: float, tolerated: str, exit_code: int) -> None:
    files = speed(tmp_path / "old.json"), speed(tmp_path / "new.json", factor)
    result = compare(*files, "--fail-on-regression", tolerated)
    assert result.exit_code == exit_code, result.output
    assert ("regression of more than 5%: starry" in result.stderr) == (exit_code == 3)


def test_what_one_record_lacks_is_named(tmp_path: Path) -> None:
    old, new = speed(tmp_path / "old.json", records=2), speed(tmp_path / "new.json", graph_sha256="def")
    text = " ".join(compare(old, new).stdout.split())
    assert "only in OLD: starry (openvino bf16, 640x360) pipeline from clip.mp4" in text
    assert "another graph under the same name" in text
    assert "pipeline frame" not in text
    result = compare(old, speed(tmp_path / "other.json", backend="onnxruntime"))
    assert result.exit_code == 1
    assert "have no row in common" in result.stderr


def test_other_machines_are_named_and_fail_no_test_of_the_code(tmp_path: Path) -> None:
    old = speed(tmp_path / "old.json")
    elsewhere = replace(
        make_environment(), cpu="another processor", libraries={"numpy": "2.1", "av": "18"}, gpus=(GPU,)
    )
    session = Session(elsewhere, (make_record(*[make_round(2 * value) for value in ROUNDS_MS]),))
    write_session(session, tmp_path / "new.json")
    result = compare(old, tmp_path / "new.json")
    assert result.exit_code == 0
    assert "THE MACHINES DIFFER" in result.stdout
    assert "cpu: a processor before, another processor now" in result.stdout
    assert "numpy: 2.0 before, 2.1 now" in result.stdout
    assert "av: not there before, 18 now" in result.stdout
    assert "gpus: none before, a GPU (driver 580.1) now" in result.stdout
    result = compare(old, tmp_path / "new.json", "--fail-on-regression", "5%")
    assert result.exit_code == 1
    assert "measure both on one" in result.stderr


def test_temporal_error_by_network(tmp_path: Path) -> None:
    old, new, report = temporal(tmp_path / "old.json"), temporal(tmp_path / "new.json", 4), tmp_path / "report.md"
    result = compare(old, new, "--fail-on-regression", "5%", "-o", report)
    assert result.exit_code == 3
    rows = [line for line in report.read_text().splitlines() if line.startswith("| starry")]
    assert rows == ["| starry | openvino bf16 | 1 | less steady | 0.03309 | 0.06618 | +100.0% | +100.0% to +100.0% |"]
    assert "| input |  | 1 | not significant |" in report.read_text()
    assert "steadier" in compare(new, old).stdout


def test_only_common_pairs_count(tmp_path: Path) -> None:
    result = compare(temporal(tmp_path / "old.json"), temporal(tmp_path / "new.json", pairs=12))
    row = next(line.split() for line in result.stdout.splitlines() if "starry" in line)
    assert row[4:] == ["not", "significant", "0.03248", "0.03248", "+0.0%", "+0.0%", "to", "+0.0%"]
    assert "8 pairs of frames are in one of the records only" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("{speed}", "{temporal}"), "OLD is a record of speed, NEW one of temporal error"),
        (("{speed}", "none.json"), "cannot read none.json"),
        (("{speed}", "{other}"), "record"),
        (("{speed}", "{speed}", "--fail-on-regression", "much"), "wanted a percentage, as in 5%"),
        (("{speed}", "{speed}", "-o", "no/folder/a.md"), "wanted a file in a folder that exists"),
    ],
)
def test_mistakes_are_one_line(tmp_path: Path, arguments: tuple[str, ...], message: str) -> None:
    other = tmp_path / "other.json"
    other.write_text('{"rows": []}')
    files = {"speed": speed(tmp_path / "speed.json"), "temporal": temporal(tmp_path / "temporal.json"), "other": other}
    result = compare(*(word.format(**files) for word in arguments))
    check_one_line(result, message)


def test_without_scipy_it_says_what_to_install(tmp_path: Path) -> None:
    path = speed(tmp_path / "record.json")
    code = "import sys; sys.modules['scipy'] = None; from artmirror.benchmarks.cli import main; main()"
    command = [sys.executable, "-c", code, "compare", path, path]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "Error: comparing needs the package scipy; install it with pip install 'artmirror[bench]'" in done.stderr
