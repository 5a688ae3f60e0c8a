"""`st-data collect` as its users meet it: help, options, summary, errors of one line, Ctrl-C."""

import io
import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result
from rich.console import Console

from artmirror.train.collect.progress import CollectProgress
from artmirror.train.collect.run import Outcome
from artmirror.train.data_cli import BytesType, main
from tests.fakes.clip_server import ClipServer, Resource, noise_clip

Collect = Callable[..., Result]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ClipServer]:
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setattr("time.sleep", lambda seconds: None)  # pauses before retries
    server = ClipServer()
    yield server
    server.close()


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return noise_clip(tmp_path_factory.mktemp("clip") / "noise.mp4")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "clips"


@pytest.fixture
def collect(folder: Path) -> Collect:
    def call(*arguments: object) -> Result:
        words = [str(argument) for argument in arguments]
        return CliRunner().invoke(main, ["collect", *words, "-o", str(folder), "--delay", "0"], prog_name="st-data")

    return call


@pytest.fixture
def page(server: ClipServer, clip: bytes) -> str:
    """Return the address of a page with two clips, one that is none, and one that robots.txt disallows."""
    links = "".join(f'<a href="{link}">' for link in ("a.mp4", "b.mp4", "text.mp4", "private/c.mp4", "about.html"))
    server.resources["/films.html"] = Resource(links.encode(), "text/html")
    server.resources["/robots.txt"] = Resource(b"User-agent: *\nDisallow: /private/", "text/plain")
    for path in ("/a.mp4", "/b.mp4", "/private/c.mp4"):
        server.resources[path] = Resource(clip)
    server.resources["/text.mp4"] = Resource(b"no video at all")
    return server.url("/films.html")


@pytest.mark.parametrize(
    ("told", "size_bytes"),
    [
        ("500MB", 500_000_000),
        ("1.5GiB", 1_610_612_736),
        ("64 k", 64_000),
        ("64KiB", 65_536),
        ("7", 7),
        ("2TB", 2 * 10**12),
    ],
)
def test_sizes(told: str, size_bytes: int) -> None:
    assert BytesType().convert(told, None, None) == size_bytes
    assert BytesType(per_second=True).convert(f"{told}/s", None, None) == size_bytes


@pytest.mark.parametrize("told", ["", "MB", "-1MB", "0", "0.1B", "5 apples", "5MB/s", "1e3", "inf", "\u0663MB"])
def test_sizes_that_are_none(told: str) -> None:
    with pytest.raises(click.BadParameter, match="wanted a number above 0 with B, kB, MB"):
        BytesType().convert(told, None, None)


def test_help_imports_nothing_that_is_not_installed_everywhere() -> None:
    program = (
        "import sys, artmirror.train.data_cli\n"
        "sys.exit(str([m for m in ('httpx', 'bs4', 'protego', 'tenacity', 'pathvalidate', 'av', 'cv2') "
        "if m in sys.modules] or ''))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.stderr.strip() == ""
    told = " ".join(CliRunner().invoke(main, ["collect", "--help"]).stdout.split())
    assert "st-data collect https://example.org/films.html -o clips/" in told
    for option in ("--max-size", "--max-total", "--max-files", "--rate", "--delay", "--dry-run", "[default: 500MB]"):
        assert option in told


def test_without_the_extra(collect: Collect, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("artmirror.train.collect.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "protego", None)
    result = collect("list.txt")
    assert result.exit_code == 1
    assert result.stderr == "Error: st-data needs the package protego; install it with pip install 'artmirror[data]'\n"


def test_a_page_from_beginning_to_end(server: ClipServer, page: str, collect: Collect, folder: Path) -> None:
    result = collect(page)
    assert result.exit_code == 0, result.output
    assert sorted(path.name for path in folder.iterdir()) == ["a.mp4", "b.mp4", "collected.json"]
    refused = [line for line in result.stdout.splitlines() if line.startswith("refused ")]
    assert refused[0].startswith(f"refused {server.url('/text.mp4')}: the file is not a video that can be decoded")
    assert refused[1] == f"refused {server.url('/private/c.mp4')}: robots.txt of 127.0.0.1 disallows it"
    assert result.stdout.splitlines()[-1].startswith("2 collected (")
    assert result.stdout.splitlines()[-1].endswith(", 0 already there, 2 refused")
    lines = result.stderr.splitlines()
    assert [line.split()[:2] for line in lines] == [
        ["[1/4]", "collected"],
        ["[2/4]", "collected"],
        ["[3/4]", "refused"],
        ["[4/4]", "refused"],
    ]
    again = collect(page)
    assert again.exit_code == 0
    assert again.stdout.splitlines()[-1] == "0 collected, 2 already there, 2 refused"


def test_dry_run(server: ClipServer, page: str, collect: Collect, folder: Path) -> None:
    result = collect(page, "--dry-run")
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        *(f"would fetch {server.url(path)}" for path in ("/a.mp4", "/b.mp4", "/text.mp4")),
        f"refused {server.url('/private/c.mp4')}: robots.txt of 127.0.0.1 disallows it",
        "3 to fetch, 0 already there, 1 refused",
    ]
    assert not folder.exists()
    assert {request.path for request in server.requests} == {"/robots.txt", "/films.html"}


def test_limits_reach_the_download(page: str, collect: Collect, clip: bytes) -> None:
    assert "larger than 1.0 kB (--max-size)" in collect(page, "--max-size", "1kB").stdout
    assert "that are left of --max-total" in collect(page, "--max-total", "2kB").stdout
    assert "as many as --max-files allows" in collect(page, "--max-files", 1).stdout


class TestErrors:
    def _line(self, result: Result) -> str:
        assert result.exit_code == 1
        assert result.stderr.splitlines()[-1].startswith("Error: ")
        assert "Traceback" not in result.stderr
        return result.stderr.splitlines()[-1].removeprefix("Error: ")

    def test_nothing_collected(self, server: ClipServer, collect: Collect) -> None:
        result = collect(server.url("/absent.mp4"))
        assert "answers 404 Not Found" in result.stdout
        assert "nothing could be collected" in self._line(result)

    @pytest.mark.parametrize(
        ("source", "told"),
        [
            ("http://[::1", "not a URL"),
            ("ftp://h.example/a.mp4", "not an http or https address"),
            ("www.example.org/films.html", "does not exist; wanted a list, or a page's address with http"),
            (".", "cannot read ."),
        ],
    )
    def test_bad_sources(self, server: ClipServer, collect: Collect, source: str, told: str) -> None:
        assert told in self._line(collect(source))

    def test_no_network(self, server: ClipServer, collect: Collect) -> None:
        absent = ClipServer()
        absent.close()
        assert "cannot connect to 127.0.0.1" in self._line(collect(absent.url("/films.html")))

    def test_a_folder_that_cannot_be_made(self, page: str, collect: Collect, folder: Path) -> None:
        folder.parent.joinpath("file").write_bytes(b"")
        result = CliRunner().invoke(
            main, ["collect", page, "-o", str(folder.parent / "file" / "clips"), "--delay", "0"]
        )
        assert "file/clips" in self._line(result)

    def test_a_full_disk(self, page: str, collect: Collect, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def full(*_: object) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("os.fsync", full)
        assert f"cannot write to {folder}: No space left on device; free some space" in self._line(collect(page))
        assert (folder / "a.mp4.part").exists()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 130), (signal.SIGKILL, -9)])
def test_stopped_and_gone_on(server: ClipServer, folder: Path, clip: bytes, number: signal.Signals, code: int) -> None:
    server.resources["/a.mp4"] = Resource(clip, headers={"ETag": '"1"'})
    url = server.url("/a.mp4")
    program = [Path(sys.executable).with_name("st-data"), "collect", url, "-o", folder, "--delay", "0"]
    slow = [*program, "--rate", "1kB/s"]  # the first piece alone takes a minute
    with subprocess.Popen(slow, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        part = folder / "a.mp4.part"
        _wait_until(lambda: part.exists() or process.poll() is not None)
        threading.Event().wait(0.3)  # for the first piece
        process.send_signal(number)
        out, err = process.communicate(timeout=300)
    assert process.returncode == code, err
    if code == 130:
        assert "0 collected, 0 already there, 0 refused" in out
        assert f"Go on with: st-data collect {url} -o {folder} --delay 0 --rate 1kB/s" in err
        assert "Traceback" not in err
    there = part.stat().st_size
    done = subprocess.run(program, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (folder / "a.mp4").read_bytes() == clip
    if there:
        assert server.asked("/a.mp4")[-1].headers["range"] == f"bytes={there}-"
    assert json.loads((folder / "collected.json").read_text())["partial"] == []


def _wait_until(is_so: Callable[[], bool]) -> None:
    end_s = time.monotonic() + 300
    while not is_so():
        assert time.monotonic() < end_s
        threading.Event().wait(0.02)  # not time.sleep, which does not sleep here


def test_bars_on_a_terminal() -> None:
    console = Console(force_terminal=True, width=100, record=True, file=io.StringIO())
    with CollectProgress(console) as progress:
        progress.count = 2
        progress.bytes_there("http://h.example/[b]film.mp4", 500, 1000)
        progress.bytes_there("http://h.example/[b]film.mp4", 1000, 1000)
        progress.tell(Outcome("http://h.example/[b]film.mp4", "collected", "film.mp4", 1000))
        progress.bytes_there("http://h.example/other.mp4", 70, None)
        progress.say("h.example [answers] 429")
    shown = console.export_text()
    assert "h.example [answers] 429" in shown
    assert "1/2" in shown
    assert "other.mp4" in shown
