"""The command, with a fake engine in the place of a library."""

import os
import signal
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from artmirror.benchmarks.cli import main
from artmirror.benchmarks.records.speed import read_session
from artmirror.benchmarks.speed import candidates, ceilings
from artmirror.benchmarks.speed.rounds import Starts
from artmirror.benchmarks.speed.start_probe import Request
from artmirror.benchmarks.speed.workload import read_workload
from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.runtime.gallery import bundled as gallery
from tests.fakes.benchmark_errors import check_one_line
from tests.fakes.benchmark_records import make_start
from tests.fakes.counting_engine import SIZE, CountingEngine
from tests.fakes.moving_pictures import texture, write_picture
from tests.places import STARRY

FEW = ("--size", "80x64", "--rounds", "2", "--frames", "3", "--no-ceilings")
SHORT = (*FEW, "--scenario", "engine", "--scenario", "pipeline")


class Opener:
    """Stands in for `open_engine` and writes down what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str | None, int | None]] = []
        self.devices: set[str | None] = set()
        self.full_precision: set[bool] = set()
        self.sizes: list[tuple[int, int]] = []
        self.engines: list[CountingEngine] = []

    def __call__(
        self,
        path: Path,
        *,
        size: tuple[int, int],
        backend: str | None,
        device: str | None,
        threads: int | None,
        full_precision: bool,
    ) -> CountingEngine:
        self.sizes.append(size)
        if path.stem == "broken" or (path.stem == "fixed" and size != SIZE):
            raise ArtmirrorError(f"cannot read {path}")
        self.asked.append((str(path), backend, threads))
        self.devices.add(device)
        self.full_precision.add(full_precision)
        self.engines.append(CountingEngine(path.stem, backend or "openvino", size=size))
        return self.engines[-1]


class FakeStarter:
    """Starts nothing, and says what it was asked to start."""

    asked: list[Request]

    def __init__(self, request: Request) -> None:
        self.asked.append(request)
        self.frames = request.frames

    def run(self, should_stop: object) -> Starts:
        return Starts(make_start(1000), make_start(400), 7)


@pytest.fixture
def styles(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of bundled styles with one in it."""
    folder = tmp_path_factory.mktemp("styles")
    (folder / "starry.onnx").touch()
    monkeypatch.setattr(gallery, "styles_folder", lambda: folder)
    return folder


@pytest.fixture
def opener(styles: Path, monkeypatch: pytest.MonkeyPatch) -> Opener:
    fake = Opener()
    monkeypatch.setattr(candidates, "open_engine", fake)
    return fake


def bench(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments)


def test_version_names_the_command() -> None:
    assert bench("--version").output.startswith("st-bench, version ")


def test_measures_engine_and_pipeline_and_writes_records(opener: Opener, tmp_path: Path) -> None:
    path = tmp_path / "records.json"
    result = bench("night.onnx", "day.onnx", *SHORT, "--threads", "1", "-o", str(path))
    assert result.exit_code == 0, result.output
    assert opener.asked == [("night.onnx", None, 1), ("day.onnx", None, 1)]
    assert all(engine.closed for engine in opener.engines)
    session = read_session(path)
    assert [(record.engine, record.scenario) for record in session.records] == [
        ("night", "engine"),
        ("night", "pipeline"),
        ("day", "engine"),
        ("day", "pipeline"),
    ]
    for record in session.records:
        assert [len(one_round.measured.latency_ns) for one_round in record.rounds] == [3, 3]
        assert (record.height, record.width) == SIZE
    assert session.records[1].source == "synthetic:80x64"
    assert "80x64 on " in result.stdout
    assert "pipeline" in result.stdout
    assert "opening night.onnx" in result.stderr


def test_all_scenarios_are_measured_where_none_is_named(
    opener: Opener, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(candidates, "StartUp", FakeStarter)
    monkeypatch.setattr(FakeStarter, "asked", [], raising=False)
    path = tmp_path / "records.json"
    result = bench("night.onnx", *FEW, "--input", "synthetic:80x64@200", "-o", str(path), "--backend", "openvino")
    assert result.exit_code == 0, result.output
    session = read_session(path)
    assert [(record.scenario, record.source) for record in session.records] == [
        ("engine", None),
        ("transfers", None),
        ("pipeline", "synthetic:80x64"),
        ("live", "synthetic:80x64@200"),
    ]
    assert all(entry.bookkeeping_ns is not None for record in session.records for entry in record.rounds)
    (started,) = session.starts
    assert (started.engine, started.cold, started.cached) == ("night", (make_start(1000),) * 2, (make_start(400),) * 2)
    (request,) = FakeStarter.asked
    assert (request.path, request.height, request.width) == (str(Path("night.onnx").absolute()), *SIZE)
    assert (request.backend, request.threads, request.full_precision) == ("openvino", None, False)
    for words in ("transfers: with a copy of each frame", "cached", "measuring took at most", "live from synthetic:"):
        assert words in " ".join(result.stdout.split())


def test_every_file_is_measured_at_every_size(opener: Opener, tmp_path: Path) -> None:
    path = tmp_path / "records.json"
    sizes = ("--size", "96x64", "--size", "80x64", "--size", "96x64")
    few = ("--rounds", "1", "--frames", "2", "--no-ceilings", "--scenario", "engine", "--scenario", "pipeline")
    assert bench("a.onnx", "b.onnx", *sizes, *few, "-o", str(path)).exit_code == 0
    assert opener.sizes == [(64, 96), (64, 96), SIZE, SIZE]
    records = read_session(path).records
    assert [(record.engine, record.width) for record in records if record.scenario == "engine"] == [
        *(("a", 96), ("b", 96), ("a", 80), ("b", 80))
    ]
    assert {record.source for record in records if record.width == 96} == {None, "synthetic:96x64"}


def test_a_size_that_a_file_does_not_take_is_stated(opener: Opener, tmp_path: Path) -> None:
    path = tmp_path / "records.json"
    both = ("--size", "96x64", *SHORT, "--scenario", "engine")
    result = bench("a.onnx", "fixed.onnx", *both, "-o", str(path))
    assert result.exit_code == 0, result.output
    session = read_session(path)
    assert {(record.engine, record.width) for record in session.records} == {("a", 96), ("a", 80), ("fixed", 80)}
    assert session.omissions == ("cannot read fixed.onnx",)
    assert bench("a.onnx", "fixed.onnx", *FEW[2:], "--size", "96x64", "--scenario", "engine").exit_code == 1
    assert all(engine.closed for engine in opener.engines)


def test_a_back_end_takes_the_files_that_it_can(opener: Opener, tmp_path: Path) -> None:
    path = tmp_path / "records.json"
    backends = ("--backend", "openvino", "--backend", "tensorrt")
    result = bench("a.onnx", "a.plan", *SHORT, *backends, "-o", str(path))
    assert result.exit_code == 0, result.output
    assert [(name, backend) for name, backend, _ in opener.asked] == [("a.onnx", "openvino"), ("a.plan", "tensorrt")]
    omissions = read_session(path).omissions
    assert [line.split(",")[0] for line in omissions] == [
        "a.onnx is no plan",
        "a.plan is a TensorRT plan",
    ]
    assert "left out: a.onnx is no plan, which the tensorrt back end wants" in result.stdout
    result = bench("a.plan", *SHORT, "--backend", "openvino")
    assert result.exit_code == 1
    assert "Error: a.plan is a TensorRT plan, not for --backend openvino" in result.stderr


def test_what_an_input_cannot_do_is_stated(opener: Opener, tmp_path: Path) -> None:
    pictures, path = tmp_path / "pictures", tmp_path / "records.json"
    for index in range(12):
        write_picture(pictures / f"{index}.png", texture(seed=index))
    scenarios = ("--scenario", "pipeline", "--scenario", "live")
    assert bench("a.onnx", *FEW, *scenarios, "--input", str(pictures), "-o", str(path)).exit_code == 0
    session = read_session(path)
    assert [record.scenario for record in session.records] == ["pipeline"]
    assert session.omissions == (
        "live: pictures has no pace of its own; name a video, a camera or synthetic:640x360@30",
    )
    result = bench("a.onnx", *FEW, "--scenario", "live", "--input", str(pictures))
    assert result.exit_code == 1
    assert "Error: nothing is left to be measured: live: pictures has no pace of its own" in result.stderr


def test_roofs_stand_beside_what_was_measured(opener: Opener, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ceilings, "MATRIX_SIDE", 64)
    monkeypatch.setattr(ceilings, "COPY_BYTES", 1 << 20)
    path = tmp_path / "records.json"
    result = bench(str(STARRY), *SHORT, "--ceilings", "-o", str(path))
    assert result.exit_code == 0, result.output
    session = read_session(path)
    assert session.ceilings is not None
    assert len(session.ceilings.copy_bytes_per_s) == len(session.ceilings.product_flop_per_s["fp32"]) == 2
    assert session.records[0].macs == read_workload(STARRY, SIZE).macs
    assert "roofs measured here: copy" in result.stdout
    assert bench(str(STARRY), *SHORT, "--device", "cuda", "--ceilings").stdout.count("roofs") == 0  # not the GPU's


@pytest.mark.parametrize("asked", [False, True])
def test_full_precision_is_handed_on(opener: Opener, asked: bool) -> None:
    assert bench("a.onnx", *SHORT, *["--full-precision"] * asked).exit_code == 0
    assert opener.full_precision == {asked}


def test_names_are_not_taken_for_markup(opener: Opener) -> None:
    assert "a[red]b " in bench("a[red]b.onnx", *SHORT).stdout


def test_default_is_the_bundled_style(opener: Opener, styles: Path) -> None:
    assert bench(*SHORT).exit_code == 0
    assert opener.asked == [(str(styles / "starry.onnx"), None, None)]
    assert opener.devices == {None}


def test_device_is_handed_on(opener: Opener) -> None:
    assert bench("starry", *SHORT, "--device", "cuda:1").exit_code == 0
    assert opener.devices == {"cuda:1"}


def test_each_backend_is_measured_once(opener: Opener) -> None:
    backends = ("--backend", "onnxruntime", "--backend", "openvino", "--backend", "onnxruntime")
    assert bench("starry", *SHORT, *backends).exit_code == 0
    assert [backend for _, backend, _ in opener.asked] == ["onnxruntime", "openvino"]


def test_engines_are_measured_on_the_inputs_pictures(opener: Opener, tmp_path: Path) -> None:
    path = tmp_path / "records.json"
    result = bench("starry", *SHORT, "--input", "synthetic:80x64@200", "-o", str(path))
    assert result.exit_code == 0, result.output
    alone, whole = read_session(path).records
    assert (alone.scenario, whole.scenario, whole.source) == ("engine", "pipeline", "synthetic:80x64")
    assert 0 not in opener.engines[0].inputs[:10]  # the test picture, not an empty slot


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("broken.onnx",), "cannot read broken.onnx"),
        (("stary",), "did you mean starry"),
        (("--input", "none.mp4"), "none.mp4"),
        (("-o", "no/such/folder/records.json"), "wanted a file in a folder that exists"),
        (("-o", "."), "wanted a file in a folder that exists"),
        (("--size", "wide"), "wanted WIDTHxHEIGHT"),
        (("--rounds", "0"), "--rounds"),
    ],
)
def test_errors_are_one_line(opener: Opener, arguments: tuple[str, ...], message: str) -> None:
    result = bench(*SHORT, *arguments)
    check_one_line(result, message)
    assert all(engine.closed for engine in opener.engines)


def test_debug_shows_the_traceback(opener: Opener) -> None:
    assert "Traceback" in bench("broken.onnx", *SHORT, "--debug").stderr


def test_unwritable_json_still_prints_the_table(
    opener: Opener, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Path, *arguments: object, **options: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "replace", refuse)
    result = bench("starry", *SHORT, "-o", str(tmp_path / "records.json"))
    assert result.exit_code == 1
    assert "pipeline" in result.stdout
    assert "Error: cannot write" in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_interrupt_is_clean(opener: Opener, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wait = CountingEngine.wait

    def interrupted_wait(self: CountingEngine, slot: object) -> None:
        wait(self, slot)
        if self.waited == 9:
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(CountingEngine, "wait", interrupted_wait)
    path = tmp_path / "records.json"
    result = bench("starry", *SHORT, "-o", str(path))
    assert result.exit_code == 130
    assert "nothing was written" in result.stderr
    assert not path.exists()
    assert opener.engines[0].closed
    assert result.stdout == ""
