"""Who may ask the remote for what."""

import asyncio
from typing import Any

import pytest

from artmirror.runtime.show.guard import COOKIE, Guard, RateLimit
from tests.fakes.show_parts import Clock

TOKEN = "a-token"


async def app(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.accept"})
        return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"ok"})


def ask(
    path: str = "/",
    method: str = "GET",
    host: str = "localhost:8470",
    headers: dict[str, str] | None = None,
    *,
    kind: str = "http",
    guard: Guard | None = None,
    token: str | None = None,
    paintings: bool = False,
    server: str = "127.0.0.1",
) -> Any:
    """The status; of a WebSocket whether it was accepted."""
    given = {"host": host, **(headers or {})}
    if method == "POST":
        given = {"content-type": "application/json", "content-length": "2", **given}
    scope = {
        "type": kind,
        "path": path,
        "method": method,
        "headers": [(name.encode(), value.encode()) for name, value in given.items()],
        "client": ("10.0.0.1", 1),
        "server": (server, 8470),
    }
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {}

    asked = guard or Guard(app, hosts=["mirror.example"], token=token, paintings=paintings)
    asyncio.run(asked(scope, receive, send))
    if kind == "websocket":
        return sent[0]["type"] == "websocket.accept"
    return sent[0]["status"]


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost:8470", 200),
        ("127.0.0.1", 200),
        ("[::1]:8470", 200),
        ("mirror.example:8470", 200),
        ("MIRROR.example", 200),
        ("evil.example", 421),
        ("localhost.evil.example", 421),
        ("10.0.0.9", 421),  # another machine's address
        ("", 421),
        ("[::1", 421),
    ],
)
def test_hosts(host: str, status: int) -> None:
    assert ask(host=host) == status


def test_the_machine_s_own_address_is_a_host() -> None:
    assert ask(host="192.168.1.5:8470", server="192.168.1.5") == 200


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        ("http://localhost:8470", 200),
        ("http://localhost:9999", 403),
        ("https://evil.example", 403),
        ("null", 403),
        ("", 403),
    ],
)
def test_origins_of_changes(origin: str, status: int) -> None:
    assert ask("/api/next", "POST", headers={"origin": origin}) == status
    assert ask("/api/live", kind="websocket", headers={"origin": origin}) is (status == 200)


def test_a_program_has_no_origin() -> None:
    assert ask("/api/next", "POST") == 200


@pytest.mark.parametrize("path", ["/", "/api/state", "/metrics", "/openapi.json", "/api/scenes", "/remote.js"])
def test_without_the_token_nothing_is_told(path: str) -> None:
    assert ask(path, token=TOKEN) == 401
    assert ask(path, token=TOKEN, headers={"authorization": f"Bearer {TOKEN}"}) == 200
    assert ask(path, token=TOKEN, headers={"cookie": f"other=1; {COOKIE}={TOKEN}"}) == 200
    for wrong in ("", "a-toke", "a-token2", "ä"):
        assert ask(path, token=TOKEN, headers={"authorization": f"Bearer {wrong}".encode().decode("latin-1")}) == 401
        assert ask(path, token=TOKEN, headers={"cookie": f"{COOKIE}={wrong}".encode().decode("latin-1")}) == 401


def test_a_websocket_wants_the_token_too() -> None:
    origin = {"origin": "http://localhost:8470"}
    assert ask("/api/live", kind="websocket", token=TOKEN, headers=origin) is False
    assert ask("/api/live", kind="websocket", token=TOKEN, headers={**origin, "cookie": f"{COOKIE}={TOKEN}"}) is True


@pytest.mark.parametrize("path", ["/photo/" + "0" * 32, "/join", "/healthz", "/photo.css"])
def test_a_visitor_needs_no_token(path: str) -> None:
    assert ask(path, token=TOKEN) == 200


@pytest.mark.parametrize("path", ["/photo", "/joint", "/healthz/../api/state"])
def test_what_only_looks_like_an_open_path_is_none(path: str) -> None:
    assert ask(path, token=TOKEN) == 401


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"content-type": "application/json; charset=utf-8"}, 200),
        ({"content-type": "text/plain"}, 415),  # what a form of another site could send
        ({"content-type": "application/x-www-form-urlencoded"}, 415),
        ({"content-length": "1000000"}, 413),
        ({"content-length": "x"}, 411),
        ({"transfer-encoding": "chunked"}, 411),
    ],
)
def test_bodies(headers: dict[str, str], status: int) -> None:
    assert ask("/api/next", "POST", headers=headers) == status


@pytest.mark.parametrize(
    ("allowed", "kind", "length", "status"),
    [
        (False, "image/jpeg", 10, 403),
        (True, "image/jpeg", 10, 200),
        (True, "image/svg+xml", 10, 415),
        (True, "application/json", 10, 415),
        (True, "image/png", 13_000_000, 413),
    ],
)
def test_pictures(allowed: bool, kind: str, length: int, status: int) -> None:
    headers = {"content-type": kind, "content-length": str(length)}
    assert ask("/api/paintings", "POST", headers=headers, paintings=allowed) == status


def test_too_many_changes_are_refused_and_forgiven() -> None:
    clock = Clock()
    limit = RateLimit(2, 3, clock)
    assert [limit.allows("a") for _ in range(5)] == [True, True, True, False, False]
    assert limit.allows("b")
    clock.now_s += 1
    assert [limit.allows("a") for _ in range(3)] == [True, True, False]


def test_guessing_a_token_is_slow() -> None:
    guard = Guard(app, hosts=[], token=TOKEN)
    told = [ask("/join", guard=guard) for _ in range(20)]
    assert told.count(200) == 10
    assert told[-1] == 429


def test_pages_of_others_cannot_hold_it() -> None:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "path": "/", "method": "GET", "headers": [(b"host", b"localhost")], "client": ("1", 1)}
    asyncio.run(Guard(app, hosts=[], token=None)(scope, None, send))  # type: ignore[arg-type]
    headers = dict(sent[0]["headers"])
    assert b"frame-ancestors 'none'" in headers[b"content-security-policy"]
    assert headers[b"x-content-type-options"] == b"nosniff"
    assert headers[b"cache-control"] == b"no-store"
