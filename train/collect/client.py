"""The web, asked politely: robots.txt, a pause between two requests to a host, retries, every redirect looked at."""

import email.utils
import ipaddress
import random
import socket
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http import HTTPStatus
from importlib.metadata import version
from typing import Any, TypeVar

import httpx  # over requests: typed, a time-out for every read, and it hands redirects over instead of following them
import tenacity
from protego import Protego

ROBOT_NAME = "artmirror"  # as robots.txt may name it
USER_AGENT = f"{ROBOT_NAME}/{version('artmirror')} (+st-data collect)"
ATTEMPTS = 4
LONGEST_RETRY_AFTER_S = 600.0

_TIMEOUT = httpx.Timeout(30.0, connect=10.0)
_MAX_REDIRECTS = 10
_MAX_ROBOTS_REDIRECTS = 5  # RFC 9309, 2.3.1.2
_MAX_ROBOTS_BYTES = 512_000  # RFC 9309, 2.5: at least 500 KiB are read
_LONG_WAIT_S = 3.0  # a wait that is told, so that nobody takes it for a hang
_REDIRECTS = {301, 302, 303, 307, 308}
SLOWEST_BYTES_PER_S = 1000  # of an answer that is waited for; whoever sends less holds the line
SLOW_FOR_S = 30.0
LONGEST_HEAD_S = 60.0  # from a request to the end of an answer's headers

Result = TypeVar("Result")


class RefusedError(Exception):
    """A URL that is not fetched; the message says why."""


class PostponedError(RefusedError):
    """A URL that cannot be fetched in this run, but perhaps in a later one."""


class UnavailableError(PostponedError):
    """A URL that cannot be fetched now, but perhaps in a while."""

    def __init__(self, reason: str, *, retry_after_s: float | None = None, silent_origin: str | None = None) -> None:
        super().__init__(reason)
        self.retry_after_s = retry_after_s
        self.silent_origin = silent_origin  # who could not even be connected to


class _Line:
    """The connection of one request, as httpx tells of it: where it leads in fact, and a way to cut it."""

    def __init__(self, host: str, *, anywhere: bool) -> None:
        self._host, self._anywhere = host, anywhere
        self._is_direct = False
        self._stream: Any = None

    def __call__(self, event: str, info: dict[str, Any]) -> None:
        if event == "connection.connect_tcp.started":
            self._is_direct = info["host"] == self._host  # else to a proxy, which the user chose
        elif event in ("connection.connect_tcp.complete", "connection.start_tls.complete"):
            self._stream = info["return_value"]
        if event == "connection.connect_tcp.complete" and self._is_direct and not self._anywhere:
            # Names were looked up before; a name server may give another answer now.
            _check_public(self._host, str(self._stream.get_extra_info("server_addr")[0]))

    def cut(self) -> None:
        """End it, whoever waits for it."""
        with suppress(OSError, AttributeError):  # there is none yet, or no longer
            self._stream.get_extra_info("socket").shutdown(socket.SHUT_RDWR)


def _check_public(host: str, told: str) -> None:
    address = ipaddress.ip_address(told.partition("%")[0])
    address = getattr(address, "ipv4_mapped", None) or address
    if not address.is_global or address.is_multicast:
        raise RefusedError(
            f"{host} is on this machine or in a private network ({address}), and you did not name it: "
            "name its address itself to collect from there"
        )


class PoliteClient:
    """An HTTP client that asks one thing at a time, and nothing that a host does not want to be asked."""

    def __init__(
        self,
        delay_s: float = 1.0,
        *,
        on_wait: Callable[[str], object] = lambda told: None,
        sleep: Callable[[float], None] | None = None,
        monotonic: Callable[[], float] | None = None,
    ) -> None:
        """Prepare; nothing is asked yet.

        Args:
            delay_s: Pause between two requests to a host; a longer Crawl-delay of its robots.txt takes precedence.
            on_wait: Is told about long waits, one line each.
        """
        self.sleep = sleep or time.sleep
        self.monotonic = monotonic or time.monotonic
        self._delay_s = delay_s
        self._on_wait = on_wait
        self._robots: dict[str, Protego] = {}  # by origin
        self._left_out: dict[str, str] = {}  # origin -> why nothing more is asked there
        self._last_s: dict[str, float] = {}  # origin -> end of the last request
        self._named: set[str] = set()  # origins that the user named
        headers = {"User-Agent": USER_AGENT, "Accept": "*/*", "Accept-Encoding": "identity"}
        limits = httpx.Limits(max_keepalive_connections=0)  # a connection for each request, so that it can be cut
        self._http = httpx.Client(headers=headers, timeout=_TIMEOUT, limits=limits, follow_redirects=False)

    def close(self) -> None:
        """Close all connections."""
        self._http.close()

    def name(self, address: str) -> None:
        """Note that the user named this address: its host and port may be on this machine or in a private network."""
        with suppress(RefusedError):
            self._named.add(_origin(parsed(address)))

    def check(self, url: httpx.URL) -> None:
        """See that a URL may be asked for.

        Raises:
            PostponedError: its host does not answer, or does not want to be asked now.
            RefusedError: it is neither http nor https, or robots.txt disallows it.
        """
        if url.scheme not in ("http", "https") or not url.host:
            raise RefusedError("not an http or https address")
        self._check_place(url)
        origin = _origin(url)
        if origin in self._left_out:
            raise PostponedError(self._left_out[origin])
        if origin not in self._robots:
            try:
                self._robots[origin] = self.persist(lambda: self._read_robots(url))
            except RefusedError as error:  # RFC 9309, 2.3.1.4: no answer means no
                self._left_out[origin] = f"{url.host} is left out, its robots.txt cannot be read: {error}"
                raise PostponedError(self._left_out[origin]) from error
        if not self._robots[origin].can_fetch(str(url), ROBOT_NAME):
            raise RefusedError(f"robots.txt of {url.host} disallows it")

    def _check_place(self, url: httpx.URL) -> None:
        """See that no page and no redirect leads to a service of this machine or network that the user did not name."""
        if _origin(url) in self._named:
            return
        try:
            found = socket.getaddrinfo(url.host, url.port or url.scheme, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError):
            return  # whoever connects says what is wrong with the name
        for entry in found:
            _check_public(url.host, str(entry[4][0]))

    @contextmanager
    def get(self, address: str, headers: dict[str, str] | None = None) -> Iterator[httpx.Response]:
        """Ask for a URL, following redirects; the answer is 200, 206 or 416, its body not read yet.

        Raises:
            UnavailableError: the host does not answer, breaks off, or asks to come back soon.
            PostponedError: the host asks to come back much later, or is left out after it did not answer.
            RefusedError: the URL or one that it leads to may not be asked for, or is not there.
        """
        url = parsed(address)
        for _ in range(_MAX_REDIRECTS + 1):
            self.check(url)
            with self._response(url, headers or {}) as response:
                if response.status_code in _REDIRECTS:
                    url = _redirected(url, response)
                    continue
                self._check_status(url, response)
                yield response
                return
        raise RefusedError(f"more than {_MAX_REDIRECTS} redirects")

    def persist(self, operation: Callable[[], Result]) -> Result:
        """Call `operation` until it works, with growing pauses, or those that the host asks for.

        Raises:
            UnavailableError: it did not work at the last attempt either.
            RefusedError: no further attempt would help.
        """
        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(UnavailableError),
            stop=tenacity.stop_after_attempt(ATTEMPTS),
            wait=_back_off_s,
            sleep=self.sleep,
            before_sleep=self._tell_retry,
            reraise=True,
        )
        try:
            return retrying(operation)
        except UnavailableError as error:
            if error.silent_origin:  # the next URL there need not be tried as often again
                self._left_out[error.silent_origin] = str(error)
            raise

    def _read_robots(self, asked: httpx.URL) -> Protego:
        url = asked.copy_with(raw_path=b"/robots.txt", fragment=None)
        for _ in range(_MAX_ROBOTS_REDIRECTS + 1):
            with self._response(url, {}) as response:
                if response.status_code in _REDIRECTS:
                    url = _redirected(url, response)
                    if url.scheme not in ("http", "https"):
                        break
                    self._check_place(url)
                    continue
                if response.is_client_error and response.status_code != HTTPStatus.TOO_MANY_REQUESTS:
                    break
                self._check_status(url, response)
                content, _ = read_up_to(response, _MAX_ROBOTS_BYTES)
                return Protego.parse(content.decode("utf-8-sig", errors="replace"))
        return Protego.parse("")  # RFC 9309, 2.3.1.3: a host without a robots.txt allows everything

    @contextmanager
    def _response(self, url: httpx.URL, headers: dict[str, str]) -> Iterator[httpx.Response]:
        origin = _origin(url)
        self._wait_for_turn(url)
        line = _Line(url.host, anywhere=origin in self._named)
        watch = threading.Timer(LONGEST_HEAD_S, line.cut)
        watch.start()
        try:
            with self._http.stream("GET", url, headers=headers, extensions={"trace": line}) as response:
                watch.cancel()
                yield response
        except httpx.TimeoutException as error:
            raise UnavailableError(f"{url.host} does not answer in time") from error
        except httpx.ConnectError as error:
            raise UnavailableError(f"cannot connect to {url.host} ({error})", silent_origin=origin) from error
        except httpx.RequestError as error:
            raise UnavailableError(f"the connection to {url.host} broke off ({error})") from error
        finally:
            watch.cancel()
            self._last_s[origin] = self.monotonic()

    def _wait_for_turn(self, url: httpx.URL) -> None:
        origin = _origin(url)
        if origin not in self._last_s:
            return
        robots = self._robots.get(origin)
        delay_s = max(self._delay_s, (robots.crawl_delay(ROBOT_NAME) if robots else None) or 0.0)
        wait_s = self._last_s[origin] + delay_s - self.monotonic()
        if wait_s > 0:
            if wait_s >= _LONG_WAIT_S:
                self._on_wait(f"{url.host} wants {delay_s:.0f} s between requests; waiting")
            self.sleep(wait_s)

    def _tell_retry(self, state: tenacity.RetryCallState) -> None:
        assert state.outcome is not None
        assert state.next_action is not None
        self._on_wait(f"{state.outcome.exception()}; again in {state.next_action.sleep:.0f} s")

    def _check_status(self, url: httpx.URL, response: httpx.Response) -> None:
        code = response.status_code
        if code in (HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT, HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE):
            return
        told = f"{url.host} answers {code} {httpx.codes.get_reason_phrase(code)}".rstrip()
        if code not in (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS) and not response.is_server_error:
            raise RefusedError(told)
        retry_after_s = _retry_after_s(response)
        if retry_after_s is not None and retry_after_s > LONGEST_RETRY_AFTER_S:
            told = f"{told} and asks to come back in {retry_after_s:.0f} s"
            self._left_out[_origin(url)] = told
            raise PostponedError(told)
        raise UnavailableError(told, retry_after_s=retry_after_s)


def parsed(address: str) -> httpx.URL:
    """Read a URL.

    Raises:
        RefusedError: it is none.
    """
    try:
        return httpx.URL(address)
    except httpx.InvalidURL as error:
        raise RefusedError(f"not a URL ({error})") from None


def read_up_to(response: httpx.Response, limit_bytes: int) -> tuple[bytes, bool]:
    """Read a body, unpacked, but not beyond `limit_bytes`; and tell whether that was all of it.

    Raises:
        PostponedError: it comes too slowly.
        RefusedError: it is packed in another way than gzip, though nothing packed was asked for.
    """
    packed = encoding_of(response)
    if packed not in ("", "gzip", "x-gzip"):
        raise RefusedError(f"{response.url.host} sends it packed as {packed!a}, though it was asked not to")
    unpacker = zlib.decompressobj(wbits=31) if packed else None
    content = bytearray()
    try:
        for chunk in in_time(response):
            content += chunk if unpacker is None else unpacker.decompress(chunk, limit_bytes + 1 - len(content))
            if len(content) > limit_bytes:
                return bytes(content[:limit_bytes]), False
    except zlib.error:
        raise RefusedError(f"{response.url.host} says that it is packed as gzip, and it is not") from None
    return bytes(content), True


def encoding_of(response: httpx.Response) -> str:
    """How a body is packed; empty where it is not."""
    told: str = response.headers.get("content-encoding", "").strip().lower()
    return "" if told == "identity" else told


def in_time(response: httpx.Response) -> Iterator[bytes]:
    """The pieces of a body as they were sent.

    Raises:
        PostponedError: fewer than `SLOWEST_BYTES_PER_S` came over `SLOW_FOR_S` of waiting.
    """
    waited_s, got_bytes = 0.0, 0
    pieces = response.iter_raw()
    while True:
        began_s = time.monotonic()
        piece = next(pieces, None)
        waited_s += time.monotonic() - began_s
        if piece is None:
            return
        got_bytes += len(piece)
        if waited_s >= SLOW_FOR_S:
            if got_bytes < SLOWEST_BYTES_PER_S * waited_s:
                raise PostponedError(
                    f"{response.url.host} sends {got_bytes / waited_s:.0f} bytes a second, "
                    f"at least {SLOWEST_BYTES_PER_S} are wanted"
                )
            waited_s, got_bytes = 0.0, 0
        yield piece


def _origin(url: httpx.URL) -> str:
    return f"{url.scheme}://{url.netloc.decode()}"


def _redirected(url: httpx.URL, response: httpx.Response) -> httpx.URL:
    if "location" not in response.headers:
        raise RefusedError(f"{url.host} redirects, but does not say where")
    return url.join(parsed(response.headers["location"]))


def _retry_after_s(response: httpx.Response) -> float | None:
    told = response.headers.get("retry-after", "").strip()
    if told.isdecimal():
        return float(told)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(told).timestamp() - time.time())
    except (ValueError, OverflowError):
        return None


def _back_off_s(state: tenacity.RetryCallState) -> float:
    """Return 1, 2, 4 s and up to half as much again, so that many clients do not come back at once."""
    error = state.outcome.exception() if state.outcome else None
    if isinstance(error, UnavailableError) and error.retry_after_s is not None:
        return error.retry_after_s
    return float(2 ** (state.attempt_number - 1)) * random.uniform(1.0, 1.5)
