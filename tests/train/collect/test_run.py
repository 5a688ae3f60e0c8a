"""Collecting clips, against a real server on this machine."""

import gzip
import hashlib
import json
import re
import time
import tracemalloc
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest

from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.train.collect import client as collect_client
from artmirror.train.collect.client import ATTEMPTS, USER_AGENT, PoliteClient
from artmirror.train.collect.collection import Collection
from artmirror.train.collect.links import links_in_list, links_on_page
from artmirror.train.collect.run import CollectConfig, Outcome, collect, find_links, plan
from tests.fakes.clip_server import ClipServer, FakeClock, Resource, noise_clip

Run = Callable[..., list[Outcome]]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ClipServer]:
    monkeypatch.setenv("NO_PROXY", "*")
    server = ClipServer()
    yield server
    server.close()


@pytest.fixture
def other_server(server: ClipServer) -> Iterator[ClipServer]:
    """Return a server that is another host to robots.txt: another port is another authority."""
    other = ClipServer()
    yield other
    other.close()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def client(clock: FakeClock, said: list[str]) -> Iterator[PoliteClient]:
    client = PoliteClient(0.0, on_wait=said.append, sleep=clock.sleep, monotonic=clock.monotonic)
    yield client
    client.close()


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Return an .mp4 file of noise, of some hundred kilobytes."""
    return noise_clip(tmp_path_factory.mktemp("clip") / "noise.mp4")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "clips"


@pytest.fixture
def run(client: PoliteClient, folder: Path, server: ClipServer) -> Run:
    """Return a function that collects paths of the server, or whole URLs, as one run of the command does."""

    def call(*paths: str, **limits: float) -> list[Outcome]:
        links = [path if "://" in path else server.url(path) for path in paths]
        for link in links:  # as from a list of the user's own
            client.name(link)
        return list(collect(links, client, Collection(folder), CollectConfig(**limits)))  # type: ignore[arg-type]

    return call


def _files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "collected.json"}


def _only(outcomes: list[Outcome]) -> Outcome:
    assert len(outcomes) == 1
    return outcomes[0]


class TestLinks:
    PAGE = b"""<!doctype html><html><head><meta property="og:video" content="/og.webm"></head><body>
        <a href="films/first%20one.MP4">relative</a> <a href="http://other.example/second.mov?size=big#t=3">absolute</a>
        <a href="./films/../films/first%20one.MP4#end">the first again</a>
        <a href="text.html">text</a> <a href="picture.jpg">picture</a> <a>none</a> <a href="mailto:a@b.mp4">mail</a>
        <a href="ftp://x.example/old.mp4">old</a> <a href="http://h.example:port/x.mp4">broken</a>
        <a href="x.mp4.html">page</a>
        <video src="third.mkv"><source src="//cdn.example/fourth.ogv"></video>
        <!-- <a href="hidden.mp4">comment</a> --><a href=unquoted.ts>unclosed"""

    def test_of_a_page(self) -> None:
        assert links_on_page(self.PAGE, "http://h.example/dir/page.html") == [
            "http://h.example/og.webm",
            "http://h.example/dir/films/first%20one.MP4",
            "http://other.example/second.mov?size=big",
            "http://h.example/dir/third.mkv",
            "http://cdn.example/fourth.ogv",
            "http://h.example/dir/unquoted.ts",
        ]

    @pytest.mark.parametrize(
        ("base", "expected"),
        [("/media/", "http://h.example/media/a.mp4"), ("http://h.example:port/", "http://h.example/dir/a.mp4")],
    )
    def test_base(self, base: str, expected: str) -> None:
        page = f'<base href="{base}"><a href="a.mp4">a</a>'.encode()
        assert links_on_page(page, "http://h.example/dir/page.html") == [expected]

    def test_encoding(self) -> None:
        page = '<meta charset="latin-1"><a href="/K\u00fcste.mp4">'.encode("latin-1")
        assert links_on_page(page, "http://h.example/") == ["http://h.example/K%C3%BCste.mp4"]

    def test_xhtml(self, recwarn: pytest.WarningsRecorder) -> None:
        page = b'<?xml version="1.0"?><html xmlns="http://www.w3.org/1999/xhtml"><a href="a.mp4"/></html>'
        assert links_on_page(page, "http://h.example/") == ["http://h.example/a.mp4"]
        assert not recwarn.list

    def test_of_a_list(self) -> None:
        text = "# films\r\nhttp://h.example/a.mp4\n\n  http://h.example/b?id=3  \nhttp://h.example/a.mp4\nnonsense\n"
        assert links_in_list(text) == ["http://h.example/a.mp4", "http://h.example/b?id=3", "nonsense"]
        assert links_in_list("http://[\x1b[31m") == ["http://[?[31m"]
        assert links_in_list("b.mp4", "http://h.example/list.txt") == ["http://h.example/b.mp4"]


class TestSource:
    def test_page_after_a_redirect(self, server: ClipServer, client: PoliteClient) -> None:
        server.resources["/old"] = Resource(status=301, headers={"Location": "/new/"})
        server.resources["/new/"] = Resource(b'<a href="a.mp4">', "text/html; charset=utf-8")
        assert find_links(client, server.url("/old")) == [server.url("/new/a.mp4")]

    def test_list_from_the_web(self, server: ClipServer, client: PoliteClient) -> None:
        server.resources["/list.txt"] = Resource(b"# films\na.mp4\n", "text/plain")
        assert find_links(client, server.url("/list.txt")) == [server.url("/a.mp4")]

    def test_the_video_itself(self, server: ClipServer, client: PoliteClient) -> None:
        server.resources["/watch"] = Resource(b"...", "video/webm")
        assert find_links(client, server.url("/watch")) == [server.url("/watch")]
        assert find_links(client, server.url("/a.mp4")) == [server.url("/a.mp4")]

    def test_local_list(self, client: PoliteClient, tmp_path: Path) -> None:
        path = tmp_path / "list.txt"
        path.write_text("\ufeffhttp://h.example/a.mp4\n", "utf-8")
        assert find_links(client, str(path)) == ["http://h.example/a.mp4"]

    @pytest.mark.parametrize(
        ("resource", "reason"),
        [
            (Resource(b"<p>no films", "text/html"), "has no links to video files"),
            (Resource(b"{}", "application/json"), "it is 'application/json', neither a page nor a list"),
            (Resource(b"gone", "text/html", 404), "127.0.0.1 answers 404 Not Found"),
            (Resource(status=302, headers={"Location": "ftp://h.example/"}), "not an http or https address"),
            (Resource(status=302, headers={"Location": "/page"}), "more than 10 redirects"),
            (Resource(status=302), "does not say where"),
            (Resource(b"<p>", "text/html", 503), "answers 503 Service Unavailable"),
        ],
    )
    def test_useless(self, server: ClipServer, client: PoliteClient, resource: Resource, reason: str) -> None:
        server.resources["/page"] = resource
        with pytest.raises(ArtmirrorError, match=reason):
            find_links(client, server.url("/page"))

    def test_disallowed(self, server: ClipServer, client: PoliteClient) -> None:
        server.resources["/robots.txt"] = Resource(b"User-agent: *\nDisallow: /page", "text/plain")
        with pytest.raises(ArtmirrorError, match=r"robots\.txt of 127\.0\.0\.1 disallows it"):
            find_links(client, server.url("/page"))
        assert not server.asked("/page")

    @pytest.mark.parametrize(
        ("content", "reason"),
        [
            (None, "does not exist"),
            (b"\x00\xff\xfe", "not a text file"),
            (b"# empty", "no links"),
            (b"some words\n", "holds no URL"),
        ],
    )
    def test_useless_list(self, client: PoliteClient, tmp_path: Path, content: bytes | None, reason: str) -> None:
        path = tmp_path / "list.txt"
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(ArtmirrorError, match=reason):
            find_links(client, str(path))


class TestDownload:
    def test_a_clip_and_what_is_noted_of_it(self, server: ClipServer, run: Run, folder: Path, clip: bytes) -> None:
        server.resources["/a.mp4"] = Resource(clip, headers={"ETag": '"1"', "Last-Modified": "yesterday"})
        outcome = _only(run("/a.mp4"))
        assert outcome == Outcome(server.url("/a.mp4"), "collected", "a.mp4", len(clip))
        assert _files(folder) == {"a.mp4": clip}
        manifest = json.loads((folder / "collected.json").read_text())
        noted = manifest["clips"][0]
        when = datetime.fromisoformat(noted.pop("collected_at"))
        assert abs(datetime.now(UTC) - when) < timedelta(minutes=1)
        assert noted == {
            "url": server.url("/a.mp4"),
            "file": "a.mp4",
            "bytes": len(clip),
            "sha256": hashlib.sha256(clip).hexdigest(),
            "etag": '"1"',
            "last_modified": "yesterday",
            "content_type": "video/mp4",
            "licence": "unknown",
        }
        assert manifest["partial"] == []
        assert {request.headers["user-agent"] for request in server.requests} == {USER_AGENT}

    def test_what_is_there_is_not_asked_for_again(self, server: ClipServer, run: Run, clip: bytes) -> None:
        server.resources["/a.mp4"] = Resource(clip)
        run("/a.mp4")
        server.requests.clear()
        assert _only(run("/a.mp4")).kind == "there"
        assert server.requests == []

    def test_what_was_removed_is_fetched_again(self, server: ClipServer, run: Run, folder: Path, clip: bytes) -> None:
        server.resources["/a.mp4"] = Resource(clip)
        run("/a.mp4")
        (folder / "a.mp4").unlink()
        assert _only(run("/a.mp4")).file == "a.mp4"
        assert _files(folder) == {"a.mp4": clip}

    def test_killed_just_before_the_last_rename(self, server: ClipServer, run: Run, folder: Path, clip: bytes) -> None:
        server.resources["/a.mp4"] = Resource(clip)
        run("/a.mp4")
        (folder / "a.mp4").rename(folder / "a.mp4.part")
        assert _only(run("/a.mp4")).kind == "there"
        assert _files(folder) == {"a.mp4": clip}
        assert len(server.asked("/a.mp4")) == 1

    def test_without_a_length(self, server: ClipServer, run: Run, folder: Path, clip: bytes) -> None:
        server.resources["/a.mp4"] = Resource(clip, tells_length=False)
        assert _only(run("/a.mp4")).kind == "collected"
        assert _files(folder) == {"a.mp4": clip}

    @pytest.mark.parametrize(
        "content_type", ["", "application/octet-stream", "Application/MP4", "video/x-whatever; charset=binary"]
    )
    def test_types_that_may_be_video(self, server: ClipServer, run: Run, clip: bytes, content_type: str) -> None:
        server.resources["/a.mp4"] = Resource(clip, content_type)
        assert _only(run("/a.mp4")).kind == "collected"

    @pytest.mark.parametrize(
        ("resource", "reason"),
        [
            (Resource(b"not found, dressed up", "text/html"), "127.0.0.1 says it is 'text/html'; wanted a video"),
            (Resource(b"I am text. " * 1000), "the file is not a video that can be decoded"),
            (Resource(b""), "the file is not a video that can be decoded"),
            (Resource(status=404), "127.0.0.1 answers 404 Not Found"),
            (Resource(status=204), "127.0.0.1 answers 204 No Content"),
            (Resource(status=206, body=b"x"), "does not go on where it broke off"),
        ],
    )
    def test_no_video(self, server: ClipServer, run: Run, folder: Path, resource: Resource, reason: str) -> None:
        server.resources["/a.mp4"] = resource
        outcome = _only(run("/a.mp4"))
        assert outcome.kind == "refused"
        assert reason in outcome.reason
        assert _files(folder) == {}

    def test_a_playlist_in_disguise_opens_no_other_file(
        self, server: ClipServer, run: Run, folder: Path, clip: bytes, tmp_path: Path
    ) -> None:
        (tmp_path / "secret.mp4").write_bytes(clip)
        playlist = f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{tmp_path}/secret.mp4\n#EXT-X-ENDLIST\n"
        server.resources["/hls.mp4"] = Resource(playlist.encode())
        server.resources["/concat.mp4"] = Resource(f"ffconcat version 1.0\nfile '{tmp_path}/secret.mp4'\n".encode())
        assert [outcome.kind for outcome in run("/hls.mp4", "/concat.mp4")] == ["refused", "refused"]
        assert _files(folder) == {}

    def test_a_clip_that_is_cut_off(self, server: ClipServer, run: Run, folder: Path, clip: bytes) -> None:
        server.resources["/a.mp4"] = Resource(clip[:5000], tells_length=False)
        assert "not a video" in _only(run("/a.mp4")).reason
        assert _files(folder) == {}

    def test_lines_that_are_no_urls(self, run: Run, server: ClipServer, clip: bytes) -> None:
        server.resources["/a.mp4"] = Resource(clip)
        outcomes = run("http://[::1", "file:///etc/passwd", "/a.mp4")
        assert [outcome.reason.partition(" (")[0] for outcome in outcomes] == [
            "not a URL",
            "not an http or https address",
            "",
        ]


class TestLimits:
    @pytest.mark.parametrize("tells_length", [True, False])
    def test_a_file_too_large_is_left_as_soon_as_it_is_known(
        self, server: ClipServer, run: Run, folder: Path, clip: bytes, tells_length: bool
    ) -> None:
        server.resources["/a.mp4"] = Resource(clip, tells_length=tells_length)
        outcome = _only(run("/a.mp4", max_size_bytes=len(clip) - 1))
        assert outcome.reason == f"larger than {(len(clip) - 1) / 1000:.1f} kB (--max-size)"
        assert _files(folder) == {}
        assert _only(run("/a.mp4", max_size_bytes=len(clip))).kind == "collected"

    def test_total_counts_what_is_there(self, server: ClipServer, run: Run, clip: bytes) -> None:
        for path in ("/a.mp4", "/b.mp4", "/c.mp4"):
            server.resources[path] = Resource(clip)
        run("/a.mp4")
        there, second, third = run("/a.mp4", "/b.mp4", "/c.mp4", max_total_bytes=2 * len(clip))
        assert (there.kind, second.kind) == ("there", "collected")
        assert "as much as --max-total allows" in third.reason
        assert not server.asked("/c.mp4")
        assert "that are left of --max-total" in _only(run("/c.mp4", max_total_bytes=2 * len(clip) + 10)).reason

    def test_number_of_files(self, server: ClipServer, run: Run, clip: bytes) -> None:
        for path in ("/a.mp4", "/b.mp4"):
            server.resources[path] = Resource(clip)
        assert [outcome.kind for outcome in run("/a.mp4", "/b.mp4", max_files=1)] == ["collected", "refused"]
        assert not server.asked("/b.mp4")

    def test_rate(self, server: ClipServer, run: Run, clock: FakeClock, clip: bytes) -> None:
        server.resources["/a.mp4"] = Resource(clip)
        run("/a.mp4", rate_bytes_per_s=50_000.0)
        assert clock.now_s == pytest.approx(len(clip) / 50_000)
        assert len(clock.sleeps_s) > 1

    def test_delay_between_requests_to_a_host(self, server: ClipServer, clock: FakeClock, folder: Path) -> None:
        client = PoliteClient(2.0, sleep=clock.sleep, monotonic=clock.monotonic)
        client.name(server.url("/"))
        list(collect([server.url("/a.mp4"), server.url("/b.mp4")], client, Collection(folder), CollectConfig()))
        assert clock.sleeps_s == [2.0, 2.0]
        assert [request.path for request in server.requests] == ["/robots.txt", "/a.mp4", "/b.mp4"]


TAG = {"ETag": '"1"'}


class TestResume:
    def _begin(self, server: ClipServer, run: Run, resource: Resource) -> None:
        """Let a download break off after 70,000 bytes as often as it is tried."""
        server.resources["/a.mp4"] = Resource(
            resource.body, headers=resource.headers, breaks_after=[70_000], ranges=False
        )
        server.resources["/a.mp4"].breaks_after *= ATTEMPTS
        outcome = _only(run("/a.mp4"))
        assert outcome.kind == "refused"
        assert outcome.reason.startswith("the connection to 127.0.0.1 broke off")
        assert outcome.reason.endswith("; what came of it is kept")
        server.requests.clear()
        server.resources["/a.mp4"] = resource

    def test_within_a_run(self, server: ClipServer, run: Run, folder: Path, clock: FakeClock, clip: bytes) -> None:
        server.resources["/a.mp4"] = Resource(clip, headers=TAG, breaks_after=[70_000])
        assert _only(run("/a.mp4")).kind == "collected"
        first, second = server.asked("/a.mp4")
        assert "range" not in first.headers
        assert second.headers["range"] == "bytes=70000-"
        assert second.headers["if-range"] == '"1"'
        assert _files(folder) == {"a.mp4": clip}
        assert 1.0 <= max(clock.sleeps_s) <= 1.5

    @pytest.mark.parametrize("headers", [{"ETag": '"1"'}, {"Last-Modified": "Sun, 22 Nov 2026 10:00:00 GMT"}])
    def test_in_a_later_run(
        self, server: ClipServer, run: Run, folder: Path, clip: bytes, headers: dict[str, str]
    ) -> None:
        self._begin(server, run, Resource(clip, headers=headers))
        assert [(name, len(content)) for name, content in _files(folder).items()] == [("a.mp4.part", 70_000)]
        assert _only(run("/a.mp4")).kind == "collected"
        assert [request.headers.get("range") for request in server.asked("/a.mp4")] == ["bytes=70000-"]
        assert (
            json.loads((folder / "collected.json").read_text())["clips"][0]["sha256"]
            == hashlib.sha256(clip).hexdigest()
        )
        assert _files(folder) == {"a.mp4": clip}

    def test_a_lower_limit_than_what_is_there_of_it(
        self, server: ClipServer, run: Run, folder: Path, clip: bytes
    ) -> None:
        self._begin(server, run, Resource(clip, headers=TAG))
        assert _only(run("/a.mp4", max_size_bytes=1000)).reason == "larger than 1.0 kB (--max-size)"
        assert not server.asked("/a.mp4")
        assert _files(folder) == {}

    def test_killed_when_all_was_there(self, server: ClipServer, run: Run, folder: Path, clip: bytes) -> None:
        self._begin(server, run, Resource(clip, headers=TAG))
        (folder / "a.mp4.part").write_bytes(clip)
        assert _only(run("/a.mp4")).kind == "collected"
        assert not server.asked("/a.mp4")

    def test_changed_in_between(self, server: ClipServer, run: Run, folder: Path, clip: bytes) -> None:
        self._begin(server, run, Resource(clip[::-1], headers=TAG))
        server.resources["/a.mp4"] = Resource(clip, headers={"ETag": '"2"'})
        assert _only(run("/a.mp4")).kind == "collected"
        assert _files(folder) == {"a.mp4": clip}

    def test_a_server_that_ignores_range(self, server: ClipServer, run: Run, folder: Path, clip: bytes) -> None:
        self._begin(server, run, Resource(clip, headers=TAG, ranges=False))
        assert _only(run("/a.mp4")).kind == "collected"
        assert len(server.asked("/a.mp4")) == 1
        assert _files(folder) == {"a.mp4": clip}

    @pytest.mark.parametrize("headers", [{}, {"ETag": 'W/"1"', "Last-Modified": "Sun, 22 Nov 2026 10:00:00 GMT"}])
    def test_versions_that_cannot_be_told_apart_begin_anew(
        self, server: ClipServer, run: Run, folder: Path, clip: bytes, headers: dict[str, str]
    ) -> None:
        self._begin(server, run, Resource(clip, headers=headers))
        assert _only(run("/a.mp4")).kind == "collected"
        assert "range" not in server.asked("/a.mp4")[0].headers
        assert _files(folder) == {"a.mp4": clip}

    @pytest.mark.parametrize(
        "wrong",
        [
            Resource(b"x" * 1000, status=206, headers={"ETag": '"2"', "Content-Range": "bytes 70000-70999/{size}"}),
            Resource(b"x" * 1000, status=206, headers={"ETag": '"1"', "Content-Range": "bytes 0-999/{size}"}),
            Resource(b"x" * 1000, status=206, headers={"ETag": '"1"', "Content-Range": "bytes 70000-70999/9"}),
            Resource(b"x" * 1000, status=206, headers={"ETag": '"1"'}),
            Resource(status=416),
        ],
    )
    def test_a_rest_that_does_not_fit_begins_anew(
        self, server: ClipServer, run: Run, folder: Path, clip: bytes, wrong: Resource
    ) -> None:
        headers = {name: value.format(size=len(clip)) for name, value in wrong.headers.items()}
        wrong = Resource(wrong.body, status=wrong.status, headers=headers)
        self._begin(server, run, Resource(clip, headers=TAG, failures=[wrong]))
        assert _only(run("/a.mp4")).kind == "collected"
        assert [request.headers.get("range") for request in server.asked("/a.mp4")] == ["bytes=70000-", None]
        assert _files(folder) == {"a.mp4": clip}

    def test_a_rest_that_is_not_all_of_it_goes_on_once_more(
        self, server: ClipServer, run: Run, folder: Path, clip: bytes
    ) -> None:
        told = f"bytes 70000-79999/{len(clip)}"
        some = Resource(clip[70_000:80_000], status=206, headers={**TAG, "Content-Range": told})
        self._begin(server, run, Resource(clip, headers=TAG, failures=[some]))
        assert _only(run("/a.mp4")).kind == "collected"
        assert [r.headers.get("range") for r in server.asked("/a.mp4")] == ["bytes=70000-", "bytes=80000-"]
        assert _files(folder) == {"a.mp4": clip}

    def test_a_host_that_is_away_for_a_run_costs_nothing(
        self, server: ClipServer, folder: Path, run: Run, clip: bytes, clock: FakeClock
    ) -> None:
        self._begin(server, run, Resource(clip, headers=TAG))
        server.resources["/robots.txt"] = Resource(status=500)
        client = PoliteClient(0.0, sleep=clock.sleep, monotonic=clock.monotonic)
        client.name(server.url("/"))
        outcome = _only(list(collect([server.url("/a.mp4")], client, Collection(folder), CollectConfig())))
        assert "is left out, its robots.txt cannot be read" in outcome.reason
        assert [len(content) for content in _files(folder).values()] == [70_000]


class TestRobots:
    def test_rules_for_us_and_for_all(self, server: ClipServer, run: Run, clip: bytes) -> None:
        rules = b"User-agent: *\nDisallow: /\n\nUser-agent: artmirror\nDisallow: /private/\nAllow: /private/open"
        server.resources["/robots.txt"] = Resource(rules, "text/plain")
        for path in ("/a.mp4", "/private/b.mp4", "/private/open.mp4"):
            server.resources[path] = Resource(clip)
        outcomes = run("/a.mp4", "/private/b.mp4", "/private/open.mp4")
        assert [outcome.kind for outcome in outcomes] == ["collected", "refused", "collected"]
        assert outcomes[1].reason == "robots.txt of 127.0.0.1 disallows it"
        assert not server.asked("/private/b.mp4")
        assert len(server.asked("/robots.txt")) == 1

    def test_crawl_delay(self, server: ClipServer, run: Run, clock: FakeClock, said: list[str]) -> None:
        server.resources["/robots.txt"] = Resource(b"User-agent: *\nCrawl-delay: 7.5", "text/plain")
        run("/a.mp4", "/b.mp4")
        assert clock.sleeps_s == [7.5, 7.5]
        assert said[0] == "127.0.0.1 wants 8 s between requests; waiting"

    @pytest.mark.parametrize("status", [401, 403, 404, 410])
    def test_none_allows_everything(self, server: ClipServer, run: Run, clip: bytes, status: int) -> None:
        server.resources["/robots.txt"] = Resource(b"User-agent: *\nDisallow: /", "text/plain", status)
        server.resources["/a.mp4"] = Resource(clip)
        assert _only(run("/a.mp4")).kind == "collected"

    @pytest.mark.parametrize("status", [429, 500, 503])
    def test_a_host_that_cannot_answer_is_left_out(self, server: ClipServer, run: Run, status: int) -> None:
        server.resources["/robots.txt"] = Resource(status=status)
        outcomes = run("/a.mp4", "/b.mp4")
        assert all("is left out, its robots.txt cannot be read" in outcome.reason for outcome in outcomes)
        assert [request.path for request in server.requests] == ["/robots.txt"] * ATTEMPTS

    def test_a_host_that_is_not_there(self, server: ClipServer, run: Run, clock: FakeClock) -> None:
        absent = ClipServer()
        absent.close()
        outcomes = run(absent.url("/a.mp4"), absent.url("/b.mp4"))
        assert all("cannot connect to 127.0.0.1" in outcome.reason for outcome in outcomes)
        assert len(clock.sleeps_s) == ATTEMPTS - 1  # once, not for every link

    def test_redirected_robots(
        self, server: ClipServer, other_server: ClipServer, run: Run, client: PoliteClient
    ) -> None:
        client.name(other_server.url("/"))
        server.resources["/robots.txt"] = Resource(status=301, headers={"Location": other_server.url("/rules")})
        other_server.resources["/rules"] = Resource(b"User-agent: *\nDisallow: /", "text/plain")
        assert _only(run("/a.mp4")).reason == "robots.txt of 127.0.0.1 disallows it"

    def test_a_redirect_is_looked_at_again(
        self, server: ClipServer, other_server: ClipServer, run: Run, clip: bytes, client: PoliteClient
    ) -> None:
        client.name(other_server.url("/"))
        server.resources["/robots.txt"] = Resource(b"User-agent: *\nDisallow: /private/", "text/plain")
        other_server.resources["/robots.txt"] = Resource(b"User-agent: *\nDisallow: /films/", "text/plain")
        targets = {
            "/a.mp4": "/private/a.mp4",
            "/b.mp4": other_server.url("/films/b.mp4"),
            "/c.mp4": "file:///etc/passwd",
            "/d.mp4": other_server.url("/d.mp4"),
        }
        for path, target in targets.items():
            server.resources[path] = Resource(status=302, headers={"Location": target})
        other_server.resources["/d.mp4"] = Resource(clip)
        disallowed = "robots.txt of 127.0.0.1 disallows it"
        assert [outcome.reason for outcome in run(*targets)] == [
            disallowed,
            disallowed,
            "not an http or https address",
            "",
        ]
        assert not server.asked("/private/a.mp4")
        assert not other_server.asked("/films/b.mp4")


class TestRetries:
    def test_too_many_requests(
        self, server: ClipServer, run: Run, clock: FakeClock, said: list[str], clip: bytes
    ) -> None:
        server.resources["/a.mp4"] = Resource(clip, failures=[Resource(status=429, headers={"Retry-After": "17"})])
        assert _only(run("/a.mp4")).kind == "collected"
        assert 17.0 in clock.sleeps_s
        assert said == ["127.0.0.1 answers 429 Too Many Requests; again in 17 s"]

    def test_a_date_to_come_back(self, server: ClipServer, run: Run, clock: FakeClock, clip: bytes) -> None:
        when = format_datetime(datetime.now(UTC) + timedelta(seconds=60), usegmt=True)
        server.resources["/a.mp4"] = Resource(clip, failures=[Resource(status=503, headers={"Retry-After": when})])
        assert _only(run("/a.mp4")).kind == "collected"
        assert 50.0 < max(clock.sleeps_s) <= 60.0

    def test_growing_pauses_and_an_end(self, server: ClipServer, run: Run, clock: FakeClock) -> None:
        server.resources["/a.mp4"] = Resource(status=502)
        assert _only(run("/a.mp4")).reason == "127.0.0.1 answers 502 Bad Gateway"
        assert len(server.asked("/a.mp4")) == ATTEMPTS
        assert [int(2**n <= s <= 1.5 * 2**n) for n, s in enumerate(clock.sleeps_s)] == [1, 1, 1]

    def test_a_host_that_wants_much_time_is_left_alone(self, server: ClipServer, run: Run, clock: FakeClock) -> None:
        server.resources["/a.mp4"] = Resource(status=429, headers={"Retry-After": "86400"})
        first, second = run("/a.mp4", "/b.mp4")
        assert first.reason == "127.0.0.1 answers 429 Too Many Requests and asks to come back in 86400 s"
        assert second.reason == first.reason
        assert not server.asked("/b.mp4")
        assert clock.sleeps_s == []


class TestNames:
    @pytest.mark.parametrize(
        ("path", "name"),
        [
            ("/..%2f..%2f..%2fescape.mp4", "escape.mp4"),
            ("/..%5c..%5cescape.mp4", "escape.mp4"),
            ("/.hidden.mp4", "hidden.mp4"),
            ("/%00a%0Ab%3Ac%C2%9B.mp4", "abc.mp4"),
            ("/con.mp4", "con_.mp4"),
            ("/K%C3%BCste%20am%20Abend.MP4", "K\u00fcste am Abend.MP4"),
            (f"/{'long' * 100}.mp4", f"{('long' * 100)[:150]}.mp4"),
            ("/watch?v=3", "watch.webm"),
            ("/", "clip.webm"),
            ("/collected.json", "collected.json.webm"),
        ],
    )
    def test_safe(self, server: ClipServer, run: Run, folder: Path, clip: bytes, path: str, name: str) -> None:
        server.resources[path] = Resource(clip, "video/webm")
        assert _only(run(path)).file == name
        assert _files(folder) == {name: clip}
        assert [entry.name for entry in folder.parent.iterdir()] == ["clips"]

    def test_suffix_of_the_redirect(self, server: ClipServer, run: Run, clip: bytes) -> None:
        server.resources["/get?id=3"] = Resource(status=302, headers={"Location": "/store/film.mkv"})
        server.resources["/store/film.mkv"] = Resource(clip, "application/octet-stream")
        assert _only(run("/get?id=3")).file == "get.mkv"

    def test_two_urls_with_one_name(self, server: ClipServer, run: Run, folder: Path, clip: bytes) -> None:
        for path in ("/1/a.mp4", "/2/A.mp4", "/3/a.mp4"):
            server.resources[path] = Resource(clip)
        folder.mkdir()
        (folder / "a.mp4").write_bytes(b"the user's own")
        outcomes = run("/1/a.mp4", "/2/A.mp4", "/3/a.mp4")
        assert [outcome.file for outcome in outcomes] == ["a-2.mp4", "A-3.mp4", "a-4.mp4"]
        assert (folder / "a.mp4").read_bytes() == b"the user's own"
        assert {outcome.kind for outcome in run("/3/a.mp4", "/1/a.mp4")} == {"there"}


class TestSafety:
    NOT_NAMED = r"is on this machine or in a private network \(127\.0\.0\.1\), and you did not name it"

    def test_a_redirect_reaches_no_port_that_was_not_named(
        self, server: ClipServer, other_server: ClipServer, run: Run, clip: bytes, folder: Path
    ) -> None:
        other_server.resources["/d.mp4"] = Resource(clip)
        server.resources["/d.mp4"] = Resource(status=302, headers={"Location": other_server.url("/d.mp4")})
        server.resources["/e.mp4"] = Resource(clip)
        refused, collected = run("/d.mp4", "/e.mp4")
        assert re.search(self.NOT_NAMED, refused.reason)
        assert collected.kind == "collected"
        assert other_server.requests == []
        assert list(_files(folder)) == ["e.mp4"]

    def test_nor_does_robots_txt(self, server: ClipServer, other_server: ClipServer, run: Run) -> None:
        server.resources["/robots.txt"] = Resource(status=301, headers={"Location": other_server.url("/rules")})
        assert re.search(self.NOT_NAMED, _only(run("/a.mp4")).reason)
        assert other_server.requests == []

    def test_nor_does_a_page(self, server: ClipServer, other_server: ClipServer, client: PoliteClient) -> None:
        page = f'<a href="{other_server.url("/a.mp4")}">film</a><a href="/b.mp4">film</a>'
        server.resources["/page"] = Resource(page.encode(), "text/html")
        links = find_links(client, server.url("/page"))
        assert [outcome.kind for outcome in plan(links, client, Collection(Path("none")))] == ["refused", "wanted"]
        assert other_server.requests == []

    @pytest.mark.parametrize(
        "address",
        [
            *("http://localhost:9/a.mp4", "http://[::1]/a.mp4", "http://2130706433/a.mp4", "http://0/a.mp4"),
            *("http://10.0.0.1/a.mp4", "http://169.254.169.254/a.mp4", "http://[::ffff:192.168.0.1]/a.mp4"),
            *("http://[fe80::1]/a.mp4", "http://100.64.0.1/a.mp4"),
        ],
    )
    def test_private_addresses_in_all_spellings(self, client: PoliteClient, folder: Path, address: str) -> None:
        outcome = _only(list(collect([address], client, Collection(folder), CollectConfig())))
        assert "is on this machine or in a private network" in outcome.reason

    def test_a_list_of_the_users_own_names_its_hosts(
        self, server: ClipServer, client: PoliteClient, tmp_path: Path
    ) -> None:
        (tmp_path / "list.txt").write_text(server.url("/a.mp4"))
        links = find_links(client, str(tmp_path / "list.txt"))
        assert [outcome.kind for outcome in plan(links, client, Collection(tmp_path))] == ["wanted"]

    def test_a_download_that_trickles_ends(
        self, server: ClipServer, run: Run, clip: bytes, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(collect_client, "SLOW_FOR_S", 0.4)
        server.resources["/a.mp4"] = Resource(clip, headers={"ETag": '"1"'}, trickles_s=0.05)
        began_s = time.monotonic()
        outcome = _only(run("/a.mp4"))
        assert time.monotonic() - began_s < 5
        assert re.search(r"sends \d+ bytes a second, at least 1000 are wanted; what came of it is kept", outcome.reason)
        assert _files(folder)["a.mp4.part"]
        server.resources["/a.mp4"] = Resource(clip, headers={"ETag": '"1"'})
        assert _only(run("/a.mp4")).kind == "collected"
        assert _files(folder) == {"a.mp4": clip}

    def test_a_page_that_trickles_ends(
        self, server: ClipServer, client: PoliteClient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(collect_client, "SLOW_FOR_S", 0.4)
        server.resources["/page"] = Resource(b"<a href=a.mp4>" * 100, "text/html", trickles_s=0.05)
        with pytest.raises(ArtmirrorError, match="bytes a second, at least 1000 are wanted"):
            find_links(client, server.url("/page"))

    def test_headers_that_trickle_end(self, server: ClipServer, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(collect_client, "LONGEST_HEAD_S", 0.3)
        server.resources["/a.mp4"] = Resource(head_trickles_s=0.05)
        began_s = time.monotonic()
        assert re.search("the connection to .* broke off", _only(run("/a.mp4")).reason)
        assert time.monotonic() - began_s < 0.3 * ATTEMPTS + 5

    def test_where_a_connection_leads_in_fact_counts(
        self, server: ClipServer, folder: Path, client: PoliteClient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A name server that says something else when it is asked for the second time."""
        address = server.url("/a.mp4")
        monkeypatch.setattr(PoliteClient, "_check_place", lambda *_: None)
        outcome = _only(list(collect([address], client, Collection(folder), CollectConfig())))
        assert re.search(self.NOT_NAMED, outcome.reason)
        assert server.requests == []

    def test_a_page_packed_as_gzip_is_read_and_a_bomb_is_not(self, server: ClipServer, client: PoliteClient) -> None:
        packed = {"Content-Encoding": "gzip"}
        server.resources["/page"] = Resource(gzip.compress(b"<a href=/a.mp4>film</a>"), "text/html", headers=packed)
        assert find_links(client, server.url("/page")) == [server.url("/a.mp4")]
        bomb = gzip.compress(bytes(300_000_000), 1)
        server.resources["/bomb"] = Resource(bomb, "text/html", headers=packed)
        tracemalloc.start()
        try:
            with pytest.raises(ArtmirrorError, match=r"larger than 5\.0 MB"):
                find_links(client, server.url("/bomb"))
            assert tracemalloc.get_traced_memory()[1] < 50_000_000
        finally:
            tracemalloc.stop()
        server.resources["/twice"] = Resource(bomb, "text/html", headers={"Content-Encoding": "gzip, br"})
        with pytest.raises(ArtmirrorError, match="packed as 'gzip, br', though it was asked not to"):
            find_links(client, server.url("/twice"))

    def test_a_packed_video_and_a_page_of_nothing_but_tags(
        self, server: ClipServer, run: Run, client: PoliteClient, clip: bytes
    ) -> None:
        server.resources["/a.mp4"] = Resource(gzip.compress(clip), headers={"Content-Encoding": "gzip"})
        assert "sends it packed as 'gzip'; wanted the video itself" in _only(run("/a.mp4")).reason
        server.resources["/page"] = Resource(b"<a>" * 600_000, "text/html")
        with pytest.raises(ArtmirrorError, match="more than 500000 tags"):
            find_links(client, server.url("/page"))


class TestManifest:
    @pytest.mark.parametrize(
        "content",
        [
            "{",
            "[]",
            '{"format_version": 1}',
            '{"format_version": 1, "clips": [{"url": "u", "file": "../x.mp4"}], "partial": []}',
        ],
    )
    def test_damaged(self, folder: Path, content: str) -> None:
        folder.mkdir()
        (folder / "collected.json").write_text(content)
        with pytest.raises(ArtmirrorError, match=r"collected\.json is damaged .* move it away"):
            Collection(folder)

    def test_of_a_later_version(self, folder: Path) -> None:
        folder.mkdir()
        (folder / "collected.json").write_text('{"format_version": 2}')
        with pytest.raises(ArtmirrorError, match="format version 2; this artmirror reads version 1"):
            Collection(folder)

    def test_a_folder_that_cannot_be_made(self, run: Run, folder: Path, server: ClipServer) -> None:
        folder.write_bytes(b"a file")
        with pytest.raises(ArtmirrorError, match=r"cannot (read|write to) .*clips"):
            run("/a.mp4")
        assert server.requests == []


def test_plan_asks_for_nothing_but_the_rules(
    server: ClipServer, run: Run, client: PoliteClient, folder: Path, clip: bytes
) -> None:
    server.resources["/robots.txt"] = Resource(b"User-agent: *\nDisallow: /private/", "text/plain")
    server.resources["/a.mp4"] = Resource(clip)
    run("/a.mp4")
    server.requests.clear()
    links = [server.url(path) for path in ("/a.mp4", "/private/b.mp4", "/c.mp4")]
    assert [outcome.kind for outcome in plan(links, client, Collection(folder))] == ["there", "refused", "wanted"]
    assert server.requests == []
