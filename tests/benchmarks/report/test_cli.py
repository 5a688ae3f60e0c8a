"""`st-bench report`: one page that needs nothing else, and what a browser makes of it."""

import re
import shutil
import subprocess
import sys
import threading
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from queue import Queue

import numpy as np
import pytest
from click.testing import CliRunner, Result

from artmirror.benchmarks.cli import main
from artmirror.benchmarks.records.speed import Ceilings, Record, Session, write_session
from artmirror.benchmarks.records.temporal import TemporalSession, read_temporal
from artmirror.benchmarks.report.figures import instability_figure, roofline_figure, starts_figure
from artmirror.benchmarks.report.moments import side_by_side, worst_moments, worst_pairs
from artmirror.benchmarks.report.page import render_page
from artmirror.benchmarks.temporal import painters
from artmirror.benchmarks.temporal.kept_frames import WHITE, KeptFrames
from artmirror.benchmarks.temporal.metric import instability, squared_error
from artmirror.benchmarks.temporal.summary import temporal_error
from artmirror.runtime.common.errors import ArtmirrorError
from tests.fakes.benchmark_errors import check_one_line
from tests.fakes.benchmark_records import make_environment, make_record, make_round, make_start, make_start_record
from tests.fakes.counting_engine import SIZE, CountingEngine
from tests.fakes.moving_pictures import constant_flow, texture, write_frames

CHROMIUM = shutil.which("chromium")
ROOFS = Ceilings(2, (9e9, 10e9), {"fp32": (90e9, 100e9), "bf16": (300e9,)})


def speed_session(*records: Record, ceilings: Ceilings | None = ROOFS) -> Session:
    rounds = [make_round(10 + index) for index in range(5)]
    counted = {"macs": 400_000_000, "bytes_moved": 50_000_000}
    made = make_record(*rounds, **counted), make_record(*rounds, scenario="pipeline", source="clip.mp4", **counted)
    return Session(make_environment(), records or made, ceilings)


def drawn_in(page: str) -> list[str]:
    return re.findall(r"<svg [^>]*aria-label=\"([^\"]*)\"", page)


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, [*map(str, arguments)])


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """The record and the pictures of a run on frames that stand still, but for one that is brighter."""
    monkeypatch.setattr(painters, "open_engine", lambda path, **options: CountingEngine(path.stem))
    still = [texture()] * 12
    still[7] = texture() + 40
    folder = write_frames(tmp_path / "flash", still, constant_flow(0))
    record, frames = tmp_path / "temporal.json", tmp_path / "kept"
    result = run("temporal", "a.onnx", "--sequence", folder, "--step", "1", "-o", record, "--keep-frames", frames)
    assert result.exit_code == 0, result.output
    return record, frames


class TestPage:
    def test_it_needs_nothing_else(self) -> None:
        page = render_page([(speed_session(), None)])
        links = re.findall(r"(?:src|href)=\"([^\"]*)\"", page)
        assert links
        assert all(link.startswith(("#", "data:")) for link in links)
        assert "<script" not in page
        assert "url(http" not in page
        assert "@import" not in page

    def test_identifiers_are_single_and_colours_are_the_pages(self) -> None:
        page = render_page([(speed_session(), None)])
        identifiers = re.findall(r" id=\"([^\"]+)\"", page)
        assert len(set(identifiers)) == len(identifiers)
        body = page[page.index("<body>") :]
        assert "var(--series-0)" in body
        assert not re.search(r"#[0-9a-f]{6}\b(?=[;\"])", body)
        assert "prefers-color-scheme: dark" in page

    def test_all_figures_are_there(self) -> None:
        page = render_page([(speed_session(), None)])
        latency = ["Distribution of latency", "Latency over time"]
        assert drawn_in(page) == ["FPS of each round", *latency, "Roofline"]
        page = render_page([(speed_session(ceilings=None), None)])
        assert "Roofline" not in page
        live = make_record(make_round(10), make_round(11), scenario="live")
        starts = make_start_record((make_start(1000),), (make_start(400),))
        session = replace(speed_session(make_record(make_round(10)), live), starts=(starts,))
        assert drawn_in(render_page([(session, None)])) == ["FPS of each round", *latency, *latency, "Start-up"]

    def test_each_size_has_its_figures_and_an_engine_one_colour_at_all(self) -> None:
        other = make_record(make_round(30), backend="onnxruntime")
        large = make_record(make_round(40), height=720, width=1280)
        page = render_page([(speed_session(make_record(make_round(10)), other, large), None)])
        assert re.findall(r"<b>(FPS[^<]*)</b>", page) == ["FPS, 640x360", "FPS, 1280x720"]
        assert re.findall(r"</i>(\d: [^<]*)</li>", page) == ["1: starry openvino bf16", "2: starry onnxruntime bf16"]
        small_figure, large_figure = re.findall(r"<svg .*?</svg>", page, re.DOTALL)[::3]
        assert [f"var(--series-{place})" in small_figure for place in (0, 1)] == [True, True]
        assert [f"var(--series-{place})" in large_figure for place in (0, 1)] == [True, False]

    def test_starts_alone_make_a_page(self) -> None:
        starts = make_start_record((make_start(1000),), (make_start(400),))
        page = render_page([(Session(make_environment(), (), starts=(starts,)), None)])
        assert drawn_in(page) == ["Start-up"]
        assert "<h3>Start-up and memory</h3>" in page

    def test_names_are_escaped(self) -> None:
        page = render_page([(speed_session(make_record(make_round(10), engine="<b>&night")), None)])
        assert "&lt;b&gt;&amp;night" in page
        assert "<b>&night" not in page

    def test_each_record_has_its_section_and_its_machine(self) -> None:
        elsewhere = replace(speed_session(), environment=replace(make_environment(), cpu="another processor"))
        page = render_page([(speed_session(), None), (elsewhere, None)])
        assert page.count("<section>") == 2
        assert page.count("another processor, 2 cores") == 1

    def test_the_same_record_makes_the_same_page(self) -> None:
        assert render_page([(speed_session(), None)]) == render_page([(speed_session(), None)])

    def test_what_the_system_did_not_tell_is_named(self) -> None:
        page = render_page([(speed_session(), None)])
        absent = re.search(r"not told or not there</dt><dd>([^<]*)", page)
        assert absent is not None
        assert absent[1].startswith("core limit, instruction sets, virtual machine, clock")
        assert absent[1].endswith("governor, memory, GPU, commit")


class TestFigures:
    def test_a_curve_has_a_point_for_each_pair(self, kept: tuple[Path, Path]) -> None:
        session = read_temporal(kept[0])
        svg = instability_figure(session, 0, 1)
        assert svg is not None
        assert len(re.findall(r"<use [^>]*fill: var\(--series-1\)", svg)) == 11
        assert instability_figure(session, 0, 5) is None

    def test_a_roofline_wants_roofs(self) -> None:
        assert roofline_figure(speed_session(ceilings=None)) is None
        svg = roofline_figure(speed_session())
        assert svg is not None
        assert ">bf16 product</text>" in svg
        assert len(re.findall(r">1: \d+%</text>", svg)) == 1  # the pipeline has no point

    def test_a_queue_that_is_kept_full_has_no_latency_curve(self) -> None:
        page = render_page([(speed_session(make_record(make_round(10), scenario="pipeline")), None)])
        assert drawn_in(page) == ["FPS of each round"]

    def test_starts_have_a_bar_for_each_stage_of_each(self) -> None:
        starts = make_start_record((make_start(1000), make_start(1200)), (make_start(400),) * 2)
        session = Session(make_environment(), (), starts=(starts,))
        svg = starts_figure(session, session.starts)
        assert [label in svg for label in (">1 cold</text>", ">1 cached</text>", ">first frame</text>")] == [True] * 3
        assert svg.count("fill: var(--series-6)") == 3  # compiling, twice, and its legend


class TestKeptFrames:
    def test_the_map_is_the_error(self) -> None:
        first, second = texture(), texture(seed=1)
        everywhere, still = np.ones(SIZE, bool), constant_flow(0)
        values = instability(first, second, still, everywhere)
        expected = squared_error(first, second, still, everywhere)
        assert float(np.square(values, dtype=np.float64).mean()) == pytest.approx(expected, rel=1e-5)

    def test_pictures_come_back(self, kept: tuple[Path, Path]) -> None:
        record, folder = kept
        frames = KeptFrames(folder, read_temporal(record))
        picture, painted = frames.frame(0, 0, 0), frames.frame(0, 1, 0)
        assert picture is not None
        assert painted is not None
        assert np.abs(picture.astype(int) - texture()).mean() < 12  # JPEG of noise
        assert np.abs(255 - painted.astype(int) - texture()).mean() < 12  # the fake engine inverts
        heat = frames.instability(0, 1, 6)
        assert heat is not None
        assert heat.mean() == pytest.approx(255 * 40 / 255 / WHITE, abs=2)
        still = frames.instability(0, 1, 0)
        assert still is not None
        assert still.max() == 0
        assert frames.frame(0, 1, 99) is None

    def test_frames_of_another_run_are_refused(self, kept: tuple[Path, Path]) -> None:
        session = read_temporal(kept[0])
        other = replace(session, environment=make_environment())
        with pytest.raises(ArtmirrorError, match="holds the frames of a run of"):
            KeptFrames(kept[1], other)
        with pytest.raises(ArtmirrorError, match="holds no frames of st-bench temporal"):
            KeptFrames(kept[0].parent, session)

    def test_a_used_folder_is_refused_before_anything_runs(self, kept: tuple[Path, Path]) -> None:
        folder = kept[0].parent / "flash"
        result = run("temporal", "a.onnx", "--sequence", folder, "--keep-frames", folder)
        assert result.exit_code == 1
        assert "is not empty; name a new folder with --keep-frames" in result.stderr


class TestMoments:
    def test_the_worst_pair_is_the_flash(self, kept: tuple[Path, Path]) -> None:
        session = read_temporal(kept[0])
        assert worst_pairs(session) == [(1, 0, 7)]  # and not frame 6 too, which is the same flash
        frames = KeptFrames(kept[1], session)
        (moment, *_) = worst_moments(session, frames)
        assert [name for name, _ in moment.rows] == ["input", "a (openvino)", "instability of a (openvino)"]
        assert [len(pictures) for _, pictures in moment.rows] == [5, 5, 5]
        assert sum(picture.marked for picture in moment.rows[0][1]) == 2
        assert f"{40 / 255:.3f}" in moment.title

    def test_side_by_side_is_the_middle_frame_of_each_sequence(self, kept: tuple[Path, Path]) -> None:
        session = read_temporal(kept[0])
        (moment,) = side_by_side(session, KeptFrames(kept[1], session))
        assert moment.title == "flash, frame 5"
        assert [name for name, _ in moment.rows] == ["input", "a (openvino)"]
        assert all(picture.data.startswith("data:image/webp;base64,") for _, row in moment.rows for picture in row)


def test_the_command_writes_a_page(kept: tuple[Path, Path], tmp_path: Path) -> None:
    write_session(speed_session(), tmp_path / "speed.json")
    page = tmp_path / "report.html"
    result = run("report", tmp_path / "speed.json", kept[0], "--frames", kept[1], "-o", page)
    assert result.exit_code == 0, result.output
    text = page.read_text()
    assert text.count("<img ") == 2 * 2 + 15  # side by side, and one film strip
    error = temporal_error(read_temporal(kept[0]).painters[1], read_temporal(kept[0]).sequences, 1)
    assert f"<td>{error:.4f}</td>" in text
    assert "no pictures" not in text
    assert run("report", kept[0], "-o", page).exit_code == 0
    assert "no pictures: the run kept none" in page.read_text()


def test_markdown_has_the_tables(kept: tuple[Path, Path], tmp_path: Path) -> None:
    write_session(speed_session(), tmp_path / "speed.json")
    page = tmp_path / "report.md"
    result = run("report", tmp_path / "speed.json", kept[0], "-o", page)
    assert result.exit_code == 0, result.output
    lines = page.read_text().splitlines()
    assert [line for line in lines if line.startswith("# ")] == ["# Speed", "# Temporal error"]
    assert "| 1 | starry | openvino bf16 | engine | 83.3 | 71.4-100.0~ | 12.0 | 14.0 | 14.0 |  |" in lines
    assert "| starry | openvino bf16 | 0.40 | 50 | 67 | 4.2 | memory | 42% |" in lines
    result = run("report", kept[0], "--frames", kept[1], "-o", page)
    assert result.exit_code == 2
    assert "Markdown holds no pictures" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("none.json", "-o", "{folder}/a.html"), "cannot read none.json"),
        (("{speed}", "-o", "no/folder/a.html"), "wanted a file in a folder that exists"),
        (
            ("{speed}", "--frames", "{folder}", "-o", "{folder}/a.html"),
            "--frames goes with a record of st-bench temporal",
        ),
        (("{speed}",), "Missing option '-o'"),
    ],
)
def test_mistakes_are_one_line(tmp_path: Path, arguments: tuple[str, ...], message: str) -> None:
    write_session(speed_session(), tmp_path / "speed.json")
    result = run("report", *(word.format(folder=tmp_path, speed=tmp_path / "speed.json") for word in arguments))
    check_one_line(result, message)


def test_without_its_libraries_it_says_what_to_install(tmp_path: Path) -> None:
    write_session(speed_session(), tmp_path / "speed.json")
    code = "import sys; sys.modules['matplotlib'] = None; from artmirror.benchmarks.cli import main; main()"
    command = [sys.executable, "-c", code, "report", tmp_path / "speed.json", "-o", tmp_path / "a.html"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "needs the package matplotlib; install it with pip install 'artmirror[report]'" in done.stderr


PROBE = """<script>
addEventListener("load", async () => {
  const images = [...document.images];
  images.forEach((image) => { image.loading = "eager"; });
  await Promise.all(images.map((image) => image.decode()));
  const drawn = [...document.querySelectorAll("svg")].map((svg) => svg.getBoundingClientRect());
  const found = {
    width: innerWidth,
    content: document.documentElement.scrollWidth,
    images: images.every((image) => image.naturalWidth > 0 && image.getBoundingClientRect().width > 0),
    drawings: drawn.filter((box) => box.width > 200 && box.height > 100).length,
    paper: getComputedStyle(document.body).backgroundColor,
    line: getComputedStyle(document.querySelector("svg path[style*='series-0']")).stroke,
  };
  parent.postMessage(Object.entries(found).map((entry) => entry.join("=")).join(";"), "*");
});
</script>"""
# Windows are not made as narrow as a phone; frames in them are.
HOST = """<body><iframe src="page.html" style="width: {width}px; height: 2000px; border: 0"></iframe><script>
addEventListener("message", (event) => fetch("found", {{ method: "POST", body: event.data }}));
</script>"""


class Listener(ThreadingHTTPServer):
    """Serves a folder, and keeps what a page in it posts: however slow the browser is, there is no guessing when."""

    def __init__(self, folder: Path) -> None:
        self.told: Queue[str] = Queue()
        super().__init__(("127.0.0.1", 0), partial(Handler, directory=str(folder)))


class Handler(SimpleHTTPRequestHandler):
    server: Listener

    def do_POST(self) -> None:
        self.server.told.put(self.rfile.read(int(self.headers["Content-Length"])).decode())
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="needs chromium")
@pytest.mark.parametrize(("width", "dark"), [(1280, False), (390, True)])
def test_a_browser_lays_it_out(kept: tuple[Path, Path], tmp_path: Path, width: int, dark: bool) -> None:
    """On a screen and on a phone: nothing sticks out to the side, every picture is decoded, colours follow."""
    session: TemporalSession = read_temporal(kept[0])
    page = render_page([(speed_session(), None), (session, KeptFrames(kept[1], session))])
    (tmp_path / "page.html").write_text(page.replace("</body>", f"{PROBE}</body>"))
    (tmp_path / "host.html").write_text(HOST.format(width=width))
    assert CHROMIUM is not None
    with Listener(tmp_path) as listener:
        threading.Thread(target=listener.serve_forever, daemon=True).start()
        command = [
            *(CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}"),
            *(f"--blink-settings=preferredColorScheme={0 if dark else 1}", "--hide-scrollbars"),
            *("--window-size=1400,2100", f"http://127.0.0.1:{listener.server_port}/host.html"),
        ]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as browser:
            try:
                told = listener.told.get(timeout=120)
            finally:
                browser.terminate()
        listener.shutdown()
    found = dict(entry.split("=") for entry in told.split(";"))
    assert int(found["width"]) == width
    assert int(found["content"]) == width
    assert found["images"] == "true"
    assert int(found["drawings"]) == 5
    assert found["paper"] == ("rgb(20, 22, 26)" if dark else "rgb(251, 250, 248)")
    assert found["line"] == ("rgb(110, 168, 254)" if dark else "rgb(37, 99, 235)")
