"""A web server on this machine that misbehaves as told, and a clock that only tests wind."""

import threading
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import cv2
import numpy as np


@dataclass
class Resource:
    """What the server answers at one path."""

    body: bytes = b""
    content_type: str = "video/mp4"
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)  # ETag, Location, Retry-After, ...
    failures: list["Resource"] = field(default_factory=list)  # are answered first, each once
    ranges: bool = True  # obeys Range and If-Range
    tells_length: bool = True
    breaks_after: list[int] = field(
        default_factory=list
    )  # bytes of the body after which an answer breaks off, each once
    trickles_s: float = 0.0  # between one byte and the next
    head_trickles_s: float = 0.0  # the same in headers that never end


@dataclass(frozen=True)
class Request:
    path: str
    headers: dict[str, str]


class ClipServer:
    """Serves `resources` by path, with 404 for all others, and notes every request."""

    def __init__(self) -> None:
        self.resources: dict[str, Resource] = {}
        self.requests: list[Request] = []
        owner = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                owner.requests.append(Request(self.path, {k.lower(): v for k, v in self.headers.items()}))
                resource = owner.resources.get(self.path, Resource(b"nothing here", "text/plain", 404))
                _answer(self, resource.failures.pop(0) if resource.failures else resource)

            def log_message(self, format: str, *values: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self._server.server_port}{path}"

    def asked(self, path: str) -> list[Request]:
        """Return the requests for `path`."""
        return [request for request in self.requests if request.path == path]

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def _answer(handler: BaseHTTPRequestHandler, resource: Resource) -> None:
    start, status = 0, resource.status
    if resource.head_trickles_s:
        with suppress(OSError):
            handler.wfile.write(b"HTTP/1.1 200 OK\r\nX: ")
            for _ in range(1000):
                handler.wfile.write(b"x")
                threading.Event().wait(resource.head_trickles_s)
        return
    told = handler.headers.get("Range", "")
    unchanged = handler.headers.get("If-Range") in (resource.headers.get("ETag"), resource.headers.get("Last-Modified"))
    if told and unchanged and resource.ranges and status == 200:
        start = int(told.removeprefix("bytes=").rstrip("-"))
        status = 206 if start < len(resource.body) else 416
    body = resource.body[start:] if status != 416 else b""
    handler.send_response(status)
    if resource.content_type:
        handler.send_header("Content-Type", resource.content_type)
    if resource.tells_length:
        handler.send_header("Content-Length", str(len(body)))
    if start and status == 206:
        handler.send_header("Content-Range", f"bytes {start}-{len(resource.body) - 1}/{len(resource.body)}")
    for name, value in resource.headers.items():
        handler.send_header(name, value)
    handler.end_headers()
    if resource.trickles_s:
        with suppress(OSError):  # the other end had enough
            for byte in body:
                handler.wfile.write(bytes([byte]))
                threading.Event().wait(resource.trickles_s)
        return
    handler.wfile.write(body[: resource.breaks_after.pop(0)] if resource.breaks_after else body)


class FakeClock:
    """Time that passes by sleeping only."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.sleeps_s: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.sleeps_s.append(seconds)
        self.now_s += seconds

    def monotonic(self) -> float:
        return self.now_s


def noise_clip(path: Path) -> bytes:
    """Write an .mp4 file of noise, and return its some hundred kilobytes."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 25.0, (160, 128))
    random = np.random.default_rng(1)
    for _ in range(12):
        writer.write(random.integers(0, 256, (128, 160, 3), np.uint8))
    writer.release()
    content = path.read_bytes()
    assert len(content) > 100_000
    return content
