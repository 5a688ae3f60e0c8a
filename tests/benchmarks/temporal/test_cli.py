"""The command: tables, Markdown, JSON, mistakes; and figures of real networks that are known from elsewhere."""

import json
import os
import signal
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from onnx import helper

from artmirror.benchmarks.cli import main
from artmirror.benchmarks.records.temporal import LpipsWeights, TemporalSession, read_temporal, write_temporal
from artmirror.benchmarks.temporal import painters
from artmirror.benchmarks.temporal.summary import mean_lpips, temporal_error
from artmirror.benchmarks.temporal.table import markdown_temporal
from artmirror.runtime.common.errors import ArtmirrorError
from tests.benchmarks.temporal.test_distances import features, vgg_file  # noqa: F401  # fixtures
from tests.benchmarks.temporal.test_lpips import lpips_files  # noqa: F401  # a fixture
from tests.benchmarks.temporal.test_peers import write_network
from tests.fakes.benchmark_errors import check_one_line
from tests.fakes.counting_engine import SIZE, CountingEngine
from tests.fakes.moving_pictures import constant_flow, shifted, texture, write_frames, write_picture
from tests.places import SHARED

DATA = SHARED / "data"


class Opener:
    """Stands in for `open_engine` and writes down what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, tuple[int, int], str | None]] = []
        self.options: dict[str, object] = {}
        self.engines: list[CountingEngine] = []

    def __call__(self, path: Path, *, size: tuple[int, int], backend: str | None, **options: object) -> CountingEngine:
        self.asked.append((path.name, size, backend))
        self.options = options
        self.engines.append(CountingEngine(path.stem, backend or "openvino"))
        return self.engines[-1]


@pytest.fixture
def opener(monkeypatch: pytest.MonkeyPatch) -> Opener:
    fake = Opener()
    monkeypatch.setattr(painters, "open_engine", fake)
    return fake


@pytest.fixture
def truth(tmp_path: Path) -> Path:
    """Seven frames that move by 3 pixels, and their flow."""
    return write_frames(tmp_path / "alley", shifted(7, 3), constant_flow(-3))


@pytest.fixture
def identity(tmp_path: Path) -> Path:
    return write_network(tmp_path / "copy.onnx", helper.make_node("Identity", ["x"], ["y"]))


def temporal(*arguments: str | Path) -> Result:
    return CliRunner(env={"COLUMNS": "100"}).invoke(main, ["temporal", *map(str, arguments)])


def test_inverting_and_copying_flicker_as_the_input(
    opener: Opener, truth: Path, identity: Path, tmp_path: Path
) -> None:
    """The fake engine inverts, the peer copies: both have the input's own error, and that is 0 by the given flow."""
    record, report = tmp_path / "values.json", tmp_path / "report.md"
    arguments = ("a.onnx", "--sequence", truth, "--against", f"{identity}@255", "-o", record, "-o", report)
    result = temporal(*arguments)
    assert result.exit_code == 0, result.output
    assert opener.asked == [("a.onnx", SIZE, None), ("a.onnx", SIZE, "onnxruntime")]
    assert all(engine.closed for engine in opener.engines)
    session = read_temporal(record)
    assert [(row.info.label, row.info.kind, row.info.backend) for row in session.painters] == [
        ("input", "input", None),
        ("a", "engine", "openvino"),
        ("a", "engine", "onnxruntime"),
        ("copy", "peer", "onnxruntime"),
    ]
    for row in session.painters:
        assert temporal_error(row, session.sequences, 1) == 0
        assert temporal_error(row, session.sequences, 5) == pytest.approx(
            temporal_error(session.painters[0], session.sequences, 5), rel=1e-5
        )
    assert [(pair.first, pair.step, pair.flow) for pair in session.sequences[0].pairs if pair.step == 5] == [
        (0, 5, "dis"),
        (1, 5, "dis"),
    ]
    assert "no style and content distance" in result.stdout
    text = report.read_text()
    assert "| alley | 80x64 | 1 | truth | 6 | 96% | 0.0000 | 0.0000 |" in text
    assert "copy (onnxruntime)" in text
    assert max(map(len, result.stdout.splitlines())) <= 100


def test_an_offset_between_frames_is_the_error_of_a_real_network(tmp_path: Path) -> None:
    """A peer in 0 to 1 that halves the picture: frames that differ by 40 come out 20 apart."""
    halve = write_network(tmp_path / "halve.onnx", helper.make_node("Mul", ["x", "c"], ["y"]), c=np.float32(0.5))
    folder = write_frames(tmp_path / "flash", [texture() * 0 + 100, texture() * 0 + 140], constant_flow(0))
    record = tmp_path / "values.json"
    result = temporal("--against", halve, "--against-range", "1", "--sequence", folder, "--step", "1", "-o", record)
    assert result.exit_code == 0, result.output
    session = read_temporal(record)
    found = [temporal_error(row, session.sequences, 1) for row in session.painters]
    assert found == [pytest.approx(40 / 255, rel=1e-6), pytest.approx(20 / 255, rel=1e-6)]
    assert session.steps == (1,)


def test_options_reach_the_engine(opener: Opener, truth: Path) -> None:
    result = temporal(
        "a.onnx",
        "--sequence",
        truth,
        "--backend",
        "onnxruntime",
        "--threads",
        "1",
        "--full-precision",
        "--device",
        "cpu",
    )
    assert result.exit_code == 0, result.output
    assert opener.asked == [("a.onnx", SIZE, "onnxruntime")]
    assert opener.options == {"threads": 1, "full_precision": True, "device": "cpu"}


def test_distances_and_photos(opener: Opener, truth: Path, vgg_file: Path, tmp_path: Path) -> None:  # noqa: F811
    painting = write_picture(tmp_path / "painting.png", texture((70, 90), 3))
    for index in range(4):
        write_picture(tmp_path / "photos" / f"{index}.png", texture((70, 90), index))
    record = tmp_path / "values.json"
    judging = ("--vgg", vgg_file, "--painting", painting, "--painting-size", "64", "--distance-every", "3")
    photos = ("--photos", tmp_path / "photos", "--photo-count", "2", "--photo-size", "80x64")
    result = temporal("a.onnx", "--sequence", truth, *judging, *photos, "-o", record)
    assert result.exit_code == 0, result.output
    session = read_temporal(record)
    assert [sequence.judged for sequence in session.sequences] == [(0, 3, 6), (0, 1)]
    for row, floor in ((session.painters[0], True), (session.painters[1], False)):
        assert [len(values.style) for values in row.values] == [3, 2]
        assert all((value == 0) == floor for values in row.values for value in values.content)
    assert session.judges is not None
    assert (session.judges.vgg, session.judges.normalised_on, session.judges.painting_size) == (
        "random.safetensors",
        0,
        64,
    )
    assert "2 of photos at 80x64" in result.stdout


def test_short_sequences_are_stated_and_make_no_zero(opener: Opener, truth: Path, tmp_path: Path) -> None:
    short = write_frames(tmp_path / "short", [texture()] * 3)
    single = write_frames(tmp_path / "single", [texture()])
    result = temporal("a.onnx", "--sequence", truth, "--sequence", short, "--sequence", single)
    assert result.exit_code == 0, result.output
    assert "too short for a pair at step 1 (frames): single (1)\n" in result.stdout
    assert "too short for a pair at step 5 (frames): short (3), single (1)\n" in result.stdout
    for sequence, step in ((short, "5"), (single, "1")):
        result = temporal("a.onnx", "--sequence", sequence, "--step", step, "-o", tmp_path / "values.json")
        assert result.exit_code == 1
        assert f"no two frames are {step} apart" in result.stderr
        assert not (tmp_path / "values.json").exists()


def test_lpips_is_taken_of_every_so_manyth_pair(
    opener: Opener,
    truth: Path,
    lpips_files: tuple[Path, Path],  # noqa: F811
    tmp_path: Path,
) -> None:
    record, report = tmp_path / "values.json", tmp_path / "report.md"
    options = ("--lpips", *lpips_files, "--distance-every", "3", "-o", record, "-o", report)
    result = temporal("a.onnx", "--sequence", truth, *options)
    assert result.exit_code == 0, result.output
    session = read_temporal(record)
    (sequence,) = session.sequences
    assert [(sequence.pairs[place].first, sequence.pairs[place].step) for place in sequence.perceived] == [
        *((0, 1), (3, 1), (0, 5))  # of six pairs one apart and two pairs five apart
    ]
    floor, inverted = (row.values[0].lpips for row in session.painters)
    assert floor[:2] == inverted[:2] == (0, 0)  # by the given flow all frames are the same
    assert min(floor[2], inverted[2]) > 0
    assert mean_lpips(session.painters[0], session.sequences, 5) == floor[2]
    assert mean_lpips(session.painters[0], session.sequences, 2) is None
    assert session.lpips == LpipsWeights("alexnet.pth", "alex.pth", 3)
    header = next(line for line in report.read_text().splitlines() if line.startswith("| # |"))
    assert "| LPIPS step 1 | LPIPS step 5 |" in header
    assert "LPIPS: mean distance of a painted frame" in result.stdout
    assert "no LPIPS: --lpips was not given" in temporal("a.onnx", "--sequence", truth).stdout
    assert max(map(len, result.stdout.splitlines())) <= 100


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "Missing option '--sequence'"),
        (("--sequence", "none.mp4"), "none.mp4 does not exist"),
        (("--sequence", "{truth}", "--painting", "a.jpg"), "need both --vgg and --painting"),
        (("--sequence", "{truth}", "--photos", "photos"), "need both --vgg and --painting"),
        (("--sequence", "{truth}", "--against", "a.onnx"), "is white 1 or 255 to it"),
        (("--sequence", "{truth}", "--against", "none.onnx@1"), "cannot read none.onnx"),
        (("--sequence", "{truth}", "-o", "no/folder/a.json"), "wanted a file in a folder that exists"),
        (("--sequence", "{truth}", "-o", "."), "wanted a file in a folder that exists"),
        (("stary", "--sequence", "{truth}"), "did you mean starry"),
        (("--sequence", "{truth}", "--vgg", "none.safetensors", "--painting", "a.jpg"), "do not exist"),
        (("--sequence", "{truth}", "--lpips", "none.pth", "alex.pth"), "cannot read none.pth"),
        (("--sequence", "{truth}", "--lpips", "alexnet.pth"), "requires 2 arguments"),
        (("--sequence", "{spoilt}"), "is no Middlebury flow"),
        (("--sequence", "{uneven}"), "a sequence has one size: bring them to one with --size"),
    ],
)
def test_mistakes_are_one_line(
    opener: Opener, truth: Path, tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    spoilt, uneven = (
        write_frames(tmp_path / name, [texture()] * 3, flow)
        for name, flow in (("spoilt", constant_flow(0)), ("uneven", None))
    )
    (spoilt / "frame_0002.flo").write_bytes(b"no flow")
    write_picture(uneven / "frame_0003.png", texture((64, 64)))
    result = temporal(*(word.format(truth=truth, spoilt=spoilt, uneven=uneven) for word in arguments))
    check_one_line(result, message)
    assert all(engine.closed for engine in opener.engines)


def test_ctrl_c_writes_nothing(opener: Opener, truth: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(self: CountingEngine, slot: object) -> None:
        if self.waited == 5:
            os.kill(os.getpid(), signal.SIGINT)
        wait(self, slot)

    wait = CountingEngine.wait
    monkeypatch.setattr(CountingEngine, "wait", interrupt)
    result = temporal("a.onnx", "--sequence", truth, "-o", tmp_path / "values.json")
    assert result.exit_code == 130
    assert "nothing was written" in result.stderr
    assert not (tmp_path / "values.json").exists()
    assert opener.engines[0].closed


@pytest.fixture
def session(opener: Opener, truth: Path, tmp_path: Path) -> TemporalSession:
    assert temporal("a.onnx", "--sequence", truth, "-o", tmp_path / "session.json").exit_code == 0
    return read_temporal(tmp_path / "session.json")


def test_records_survive_the_file(session: TemporalSession, tmp_path: Path) -> None:
    write_temporal(session, tmp_path / "again.json")
    assert read_temporal(tmp_path / "again.json") == session
    values = json.loads(session.to_json())
    assert (values["format_version"], values["kind"]) == (4, "temporal")
    assert len(values["painters"][1]["values"][0]["latency_ns"]) == 7
    assert str(tmp_path) not in session.to_json()  # no paths: records can be published


def test_other_files_are_refused_in_one_line(session: TemporalSession, tmp_path: Path) -> None:
    path = tmp_path / "other.json"
    text = session.to_json()
    for spoilt, message in (
        ("{", "is no record of st-bench"),
        ('{"format_version": 1, "environment": {}, "records": []}', "is no record of st-bench temporal"),
        (text.replace('"format_version": 4', '"format_version": 5'), "has record version 5; this artmirror reads 4"),
        (text.replace('"format_version": 4', '"format_version": 3'), "has record version 3; this artmirror reads 4"),
        (text.replace('"squared_errors"', '"square_errors"'), "is a damaged record"),
        (text.replace('"visible"', '"invisible"'), "is a damaged record"),
    ):
        path.write_text(spoilt)
        with pytest.raises(ArtmirrorError, match=message) as caught:
            read_temporal(path)
        assert "\n" not in caught.value.message
    with pytest.raises(ArtmirrorError, match="cannot read"):
        read_temporal(tmp_path / "none.json")
    with pytest.raises(ArtmirrorError, match="cannot write"):
        write_temporal(session, tmp_path / "no folder" / "a.json")


def test_markdown_is_regenerated_from_the_record(session: TemporalSession) -> None:
    lines = markdown_temporal(session).splitlines()
    tables = [line for line in lines if line.startswith("|")]
    errors = "e_stab step 1 | of input | of edges | at rest | e_stab step 5 | of input"
    assert tables[0] == f"| # | network | on | {errors} | ms |"
    assert tables[3].startswith("| 1 | a | openvino fp32 | 0.0000 | - |")
    assert {line.count("|") for line in tables[:4]} == {11}


@pytest.mark.shared
@pytest.mark.slow
@pytest.mark.skipif(not (DATA / "flow_gt").is_dir(), reason="needs the shared data folder")
def test_known_figures_of_known_networks(tmp_path: Path) -> None:
    """Measured before with another program (torch, the same definition): the input 0.033, Johnson's mosaic 0.122."""
    record = tmp_path / "values.json"
    sequences = [word for name in ("alley_1", "alley_2") for word in ("--sequence", DATA / "flow_gt" / name)]
    result = temporal(*sequences, "--against", f"{DATA / 'peers' / 'johnson_mosaic.onnx'}@255", "-o", record)
    assert result.exit_code == 0, result.output
    session = read_temporal(record)
    assert sum(len(sequence.pairs) for sequence in session.sequences) == 4
    found = [temporal_error(row, session.sequences, 1) for row in session.painters]
    assert found == [pytest.approx(0.033, abs=5e-4), pytest.approx(0.122, abs=5e-4)]
