"""Who may ask the remote for what: names of the machine, the token, origins, and how often. Before anything else."""

import hmac
import socket
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, MutableMapping
from http.cookies import CookieError, SimpleCookie
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

COOKIE = "artmirror"
_OPEN_PATHS = ("/join", "/healthz", "/photo/", "/remote.css", "/photo.css", "/icon.svg")  # without a token
_SAFE = ("GET", "HEAD", "OPTIONS")
_LARGEST_BODY = 20_000  # bytes, of JSON
LARGEST_PICTURE = 12_000_000  # bytes
_HEADERS = [
    (
        b"content-security-policy",
        b"default-src 'self'; img-src 'self' blob:; base-uri 'none'; frame-ancestors 'none'; form-action 'self'",
    ),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
]
_CLIENTS = 2000  # whose requests are counted at a time


class RateLimit:
    """A bucket of requests for each client: `burst` at once, then `per_second`."""

    def __init__(self, per_second: float, burst: int, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._per_second, self._burst, self._clock_s = per_second, burst, clock_s
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def allows(self, client: str) -> bool:
        """Take one, where there is one."""
        now_s = self._clock_s()
        left, at_s = self._left.pop(client, (float(self._burst), now_s))
        left = min(self._burst, left + (now_s - at_s) * self._per_second)
        allowed = left >= 1
        self._left[client] = (left - allowed, now_s)
        while len(self._left) > _CLIENTS:
            self._left.popitem(last=False)
        return allowed


class Guard:
    """An ASGI application around the remote's.

    Args:
        hosts: Names, beside this machine's own, that a request may be for.
        token: What a client has to show; None where only this machine can reach the remote.
        paintings: Whether pictures may be sent.
    """

    def __init__(self, app: App, *, hosts: list[str], token: str | None, paintings: bool = False) -> None:
        self._app, self._token, self._paintings = app, token, paintings
        name = socket.gethostname().lower()
        own = ["localhost", name, f"{name.removesuffix('.local')}.local"]
        self._hosts = {host.lower().strip() for host in (*hosts, *own)}
        self._changes = RateLimit(15, 40)
        self._reads = RateLimit(60, 200)
        self._joins = RateLimit(1 / 6, 10)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        headers = {key.decode("latin-1").lower(): value.decode("latin-1") for key, value in scope["headers"]}
        refusal = self._refusal(scope, headers)
        if scope["type"] == "websocket":
            if refusal is not None:
                await send({"type": "websocket.close", "code": 1008, "reason": refusal[1]})
            else:
                await self._app(scope, receive, send)
            return
        if refusal is not None:
            await _answer(send, *refusal)
            return

        async def with_headers(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                present = {key for key, _ in message["headers"]}
                message["headers"] = [*message["headers"], *(pair for pair in _HEADERS if pair[0] not in present)]
                if b"cache-control" not in present:
                    message["headers"].append((b"cache-control", b"no-store"))
            await send(message)

        await self._app(scope, receive, with_headers)

    def _refusal(self, scope: Scope, headers: dict[str, str]) -> tuple[int, str] | None:
        """Status and words, or None where the request may go on."""
        client = scope["client"][0] if scope.get("client") else ""
        path = scope["path"]
        if not self._is_own_host(headers.get("host", ""), scope):
            return 421, "This name is not one of this machine: add it to hosts under [remote]."
        is_change = scope["type"] == "http" and scope["method"] not in _SAFE
        origin = headers.get("origin")
        if origin is not None and (is_change or scope["type"] == "websocket"):
            asked = urlsplit(origin)
            if asked.scheme not in ("http", "https") or asked.netloc.lower() != headers.get("host", "").lower():
                return 403, "This request comes from another site."
        limit = self._joins if path == "/join" else self._changes if is_change else self._reads
        if not limit.allows(client):
            return 429, "Too many requests: wait a moment."
        if not self._is_open(path) and not self._has_token(headers):
            return 401, "The remote's link is needed: st-show --link shows it, or the key L on the screen's console."
        return self._wrong_body(path, headers) if is_change else None

    def _wrong_body(self, path: str, headers: dict[str, str]) -> tuple[int, str] | None:
        kind = headers.get("content-type", "").partition(";")[0].strip().lower()
        length = headers.get("content-length", "0")
        if not length.isdecimal() or "transfer-encoding" in headers:
            return 411, "The length of the body is wanted."
        if path == "/api/paintings":
            if not self._paintings:
                return 403, "Paintings may not be sent: allow_paintings is false under [remote]."
            if kind not in ("image/jpeg", "image/png", "image/webp"):
                return 415, "A JPEG, PNG or WebP picture is wanted."
            return (413, "The picture has more than 12 MB.") if int(length) > LARGEST_PICTURE else None
        if kind != "application/json":
            return 415, "JSON is wanted: content-type application/json."
        return (413, "The body is too large.") if int(length) > _LARGEST_BODY else None

    def _is_own_host(self, host: str, scope: Scope) -> bool:
        try:
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:
            return False
        if name.lower() in self._hosts:
            return True
        try:  # an address, not a name, cannot be made to point here by others
            server = (scope.get("server") or ("", 0))[0]
            return ip_address(name) == ip_address(server) or ip_address(name).is_loopback
        except ValueError:
            return False

    def _is_open(self, path: str) -> bool:
        if self._token is None:
            return True
        return any(path == one or (one.endswith("/") and path.startswith(one)) for one in _OPEN_PATHS)

    def _has_token(self, headers: dict[str, str]) -> bool:
        bearer = headers.get("authorization", "")
        try:
            cookie = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
        except CookieError:
            cookie = None
        shown = [bearer.removeprefix("Bearer ")] if bearer.startswith("Bearer ") else []
        shown += [cookie.value] if cookie is not None else []
        return any(is_token(one, self._token) for one in shown)


def is_token(shown: str, token: str | None) -> bool:
    """Compare in a time that tells nothing."""
    return token is not None and hmac.compare_digest(shown.encode("utf-8", "replace"), token.encode())


async def _answer(send: Send, status: int, words: str) -> None:
    page = (
        '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>artmirror</title><h1>Not now</h1><p>{words}</p></html>"
    ).encode()
    headers = [
        (b"content-type", b"text/html; charset=utf-8"),
        (b"content-length", str(len(page)).encode()),
        (b"cache-control", b"no-store"),
        *_HEADERS,
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": page})
