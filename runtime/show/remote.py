"""The remote: a page for the attendant's phone, and what it asks for. FastAPI and uvicorn, in a thread of their own."""

import asyncio
import html
import logging
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from importlib.resources import files
from typing import Annotated, Any

import uvicorn
from fastapi import FastAPI, HTTPException, Path, Query, Request, Response, WebSocket, WebSocketDisconnect
from fastapi.responses import HTMLResponse, PlainTextResponse
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.runtime.common.pictures import encode_picture
from artmirror.runtime.common.priority import give_way
from artmirror.runtime.show.api import (
    CameraRequest,
    Done,
    LookRequest,
    Nothing,
    SceneInfo,
    ShowRequest,
    State,
    SwitchRequest,
    scenes_of,
    state_of,
)
from artmirror.runtime.show.guard import COOKIE, Guard, is_token
from artmirror.runtime.show.health import open_files, thread_count
from artmirror.runtime.show.performance import Opened
from artmirror.runtime.show.photo import Photo
from artmirror.runtime.show.settings import Remote as RemoteSettings

_log = logging.getLogger("artmirror.show")

_STATE_S = 0.5  # between two looks at the state for a page
_TICK_S = 0.03
_HEARTBEAT_S = 3.0
_MOST_PAGES = 20  # open at a time
_PARTS = {
    "remote.css": "text/css",
    "remote.js": "text/javascript",
    "photo.css": "text/css",
    "icon.svg": "image/svg+xml",
}
_Key = Annotated[str, Path(min_length=1, max_length=300)]
_PhotoKey = Annotated[str, Path(pattern="^[0-9a-f]{32}$")]


class Hub:
    """What the remote's routes find: the performance that runs, if one does."""

    def __init__(self) -> None:
        self.opened: Opened | None = None
        self.pages = 0

    def now(self) -> Opened:
        """The performance.

        Raises:
            HTTPException: the show is about to begin.
        """
        if self.opened is None:
            raise HTTPException(503, "The show is about to begin.")
        return self.opened


def make_app(hub: Hub, token: str | None) -> FastAPI:
    """All routes; `Guard` goes around it."""
    app = FastAPI(title="artmirror remote", docs_url=None, redoc_url=None, openapi_url="/openapi.json")
    _add_pages(app, hub, token)
    _add_commands(app, hub)
    _add_live(app, hub)
    return app


def _part(name: str) -> str:
    return (files("artmirror.runtime.show") / name).read_text("utf-8")


def _add_pages(app: FastAPI, hub: Hub, token: str | None) -> None:
    registry = CollectorRegistry()
    registry.register(_Figures(hub))

    @app.get("/", response_class=HTMLResponse, include_in_schema=False)
    def page() -> str:
        return _part("remote.html")

    @app.get("/join", response_class=HTMLResponse, include_in_schema=False)
    def join(shown: Annotated[str, Query(alias="token", max_length=200)] = "") -> Response:
        if token is not None and not is_token(shown, token):
            return HTMLResponse("<!doctype html><title>artmirror</title><p>This link is not valid.", 401)
        # Not a redirect: a strict cookie is not sent with one that another program began.
        answer = HTMLResponse(
            '<!doctype html><html lang="en"><meta charset="utf-8"><title>artmirror</title>'
            '<meta http-equiv="refresh" content="0; url=/"><a href="/">To the remote</a></html>'
        )
        if token is not None:
            answer.set_cookie(COOKIE, token, max_age=400 * 86400, httponly=True, samesite="strict")
        return answer

    @app.get("/metrics", response_class=PlainTextResponse)
    def metrics() -> Response:
        """Figures for Prometheus."""
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    @app.get("/healthz", response_class=PlainTextResponse, responses={503: {"description": "not well"}})
    def health() -> Response:
        """200 where pictures reach the screen."""
        opened = hub.opened
        well = opened is not None and state_of(opened).phase != "no camera"
        return PlainTextResponse("ok" if well else "not well", 200 if well else 503)

    @app.get("/photo/{key}", response_class=HTMLResponse, include_in_schema=False)
    def photo(key: _PhotoKey) -> Response:
        opened = hub.opened
        found = opened.photos.get(key) if opened else None
        if opened is None or found is None:
            return HTMLResponse(_photo_page("This picture is gone", "It was deleted after some minutes.", ""), 404)
        minutes = max(1, round(opened.photos.left_s(found) / 60))
        words = f"It is deleted in {minutes} minute{'s' * (minutes != 1)}. Nobody else has this address."
        picture = (
            f'<img src="/photo/{key}/picture.jpg" alt="You, painted as {html.escape(found.title, quote=True)}">'
            f'<a class="save" href="/photo/{key}/picture.jpg" download="artmirror.jpg">Save the picture</a>'
        )
        return HTMLResponse(_photo_page("Your picture", words, picture))

    @app.get("/photo/{key}/picture.jpg", include_in_schema=False)
    def photo_picture(key: _PhotoKey) -> Response:
        found = hub.opened.photos.get(key) if hub.opened else None
        if found is None:
            raise HTTPException(404, "This picture is gone.")
        return Response(found.jpeg, media_type="image/jpeg")

    @app.get("/{name}", include_in_schema=False)
    def part(name: str) -> Response:
        if name not in _PARTS:
            raise HTTPException(404, "There is no such page.")
        return Response(_part(name), media_type=_PARTS[name])


def _add_commands(app: FastAPI, hub: Hub) -> None:
    busy: dict[int | str, dict[str, Any]] = {503: {"description": "The show is about to begin."}}

    @app.get("/api/state", responses=busy)
    def state() -> State:
        """How the show does."""
        return state_of(hub.now())

    @app.get("/api/scenes", responses=busy)
    def scenes() -> list[SceneInfo]:
        """The paintings of the playlist."""
        return scenes_of(hub.now())

    @app.get("/api/scenes/{key}/picture", responses={**busy, 404: {"description": "no such painting"}})
    def scene_picture(key: _Key) -> Response:
        """A painting, small, as JPEG."""
        for scene in hub.now().director.stage.scenes:
            if scene.key == key and scene.picture is not None:
                picture = bytes(encode_picture(scene.picture, ".jpg", 80))
                return Response(picture, media_type="image/jpeg", headers={"cache-control": "private, max-age=600"})
        raise HTTPException(404, "There is no such picture.")

    @app.post("/api/show", responses={**busy, 404: {"description": "no such painting"}})
    def show(asked: ShowRequest) -> Done:
        """Fade to a painting."""
        if not hub.now().director.show_key(asked.key):
            raise HTTPException(404, "There is no such painting.")
        return Done(done=True)

    @app.post("/api/next", responses=busy)
    def go_on(asked: Nothing) -> Done:
        """The next painting."""
        hub.now().director.next()
        return Done(done=True)

    @app.post("/api/previous", responses=busy)
    def go_back(asked: Nothing) -> Done:
        """The painting before."""
        hub.now().director.previous()
        return Done(done=True)

    @app.post("/api/look", responses=busy)
    def look(asked: LookRequest) -> Done:
        """Strength and colours."""
        director = hub.now().director
        if asked.strength is not None:
            director.set_strength(asked.strength)
        if asked.keep_colours is not None:
            director.set_keep_colours(asked.keep_colours)
        return Done(done=True)

    @app.post("/api/hold", responses=busy)
    def hold(asked: SwitchRequest) -> Done:
        """Stay with the painting."""
        hub.now().director.hold(asked.on)
        return Done(done=True)

    @app.post("/api/black", responses=busy)
    def black(asked: SwitchRequest) -> Done:
        """A black screen."""
        hub.now().director.black(asked.on)
        return Done(done=True)

    @app.post("/api/card", responses=busy)
    def card(asked: Nothing) -> Done:
        """The title card once more."""
        hub.now().director.show_card()
        return Done(done=True)

    @app.post("/api/photo", responses=busy)
    def photo(asked: Nothing) -> Done:
        """Begin a photo's countdown."""
        done = hub.now().director.take_photo()
        return Done(done=done, why="" if done else "A photo cannot be taken now.")

    @app.post("/api/camera", responses={**busy, 404: {"description": "no such camera"}})
    def camera(asked: CameraRequest) -> Done:
        """Another camera."""
        director = hub.now().director
        if asked.index >= len(director.source.labels):
            raise HTTPException(404, "There is no such camera.")
        director.choose_camera(asked.index)
        return Done(done=True)

    @app.post("/api/restart", responses=busy)
    def restart(asked: Nothing) -> Done:
        """Open cameras and networks again."""
        hub.now().director.restart()
        return Done(done=True)

    @app.post(
        "/api/paintings",
        responses={**busy, 403: {"description": "not allowed"}, 422: {"description": "no picture"}},
        openapi_extra={"requestBody": {"content": {"image/jpeg": {"schema": {"type": "string", "format": "binary"}}}}},
    )
    async def painting(request: Request) -> Done:
        """Add a painting to the playlist, until the next start; JPEG, PNG or WebP."""
        opened = hub.now()
        if not opened.settings.remote.allow_paintings:
            raise HTTPException(403, "Paintings may not be sent.")
        body = await request.body()
        from artmirror.runtime.show.visitors_painting import add_painting

        try:
            key = await asyncio.to_thread(add_painting, opened, body)
        except ArtmirrorError as error:
            raise HTTPException(422, str(error.message)) from None
        return Done(done=True, why=key)


def _add_live(app: FastAPI, hub: Hub) -> None:
    @app.websocket("/api/live")
    async def live(page: WebSocket) -> None:
        """State as JSON where it changed, and pictures as JPEG: one for each message of the page."""
        if hub.pages >= _MOST_PAGES:
            await page.close(1013)
            return
        await page.accept()
        hub.pages += 1
        asked = asyncio.Event()
        listener = asyncio.create_task(_listen(page, asked))
        try:
            await _tell(page, hub, asked, listener)
        except (WebSocketDisconnect, RuntimeError, OSError):
            pass  # the page went away while something was sent
        finally:
            hub.pages -= 1
            listener.cancel()
            with suppress(asyncio.CancelledError, Exception):
                await listener


async def _listen(page: WebSocket, asked: asyncio.Event) -> None:
    """Each message asks for one more picture."""
    with suppress(WebSocketDisconnect, RuntimeError, KeyError):
        while True:
            await page.receive_text()
            asked.set()


async def _tell(page: WebSocket, hub: Hub, asked: asyncio.Event, listener: "asyncio.Task[None]") -> None:
    told, told_s, looked_s, number = "", 0.0, 0.0, 0
    performance: Opened | None = None
    while not listener.done():
        now_s = time.monotonic()
        opened = hub.opened
        if opened is not performance:
            performance, number = opened, 0
        if now_s - looked_s >= _STATE_S:
            looked_s = now_s
            text = state_of(opened).model_dump_json() if opened else '{"starting":true}'
            if text != told or now_s - told_s >= _HEARTBEAT_S:
                await page.send_text(text)
                told, told_s = text, now_s
        if opened is not None and asked.is_set():
            found = opened.preview.jpeg(number)
            if found is not None:
                asked.clear()
                number = found[0]
                await page.send_bytes(found[1])
        await asyncio.sleep(_TICK_S)


class _Figures:
    """Reads the show when Prometheus asks."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    def collect(self) -> Iterator[Metric]:
        """The figures of now."""
        opened = self._hub.opened
        yield _gauge("artmirror_up", "Whether a show runs.", 0 if opened is None else 1)
        if opened is None:
            return
        state, counters = state_of(opened), opened.counters
        yield _counter("artmirror_frames", "Painted frames.", counters.painted)
        yield _counter("artmirror_presented", "Pictures that reached the screen.", counters.presented)
        yield _counter("artmirror_switches", "Changes of the painting.", state.switches)
        yield _counter("artmirror_photos", "Photos that were taken.", state.photos)
        yield _counter("artmirror_camera_losses", "How often the camera was lost.", state.camera_losses)
        yield _counter("artmirror_engine_failures", "How often the engine failed.", state.engine_failures)
        yield _counter("artmirror_new_starts", "Performances begun, the first one left out.", counters.new_starts)
        yield _gauge("artmirror_fps", "Frames a second, over the last seconds.", state.fps)
        yield _gauge("artmirror_latency_seconds", "From the camera to the screen.", state.latency_ms / 1000)
        yield _gauge("artmirror_camera_ok", "Whether the camera is well.", float(state.camera_is_well))
        yield _gauge("artmirror_memory_bytes", "Resident memory.", state.memory_mb * 1e6)
        yield _gauge("artmirror_open_files", "File descriptors.", open_files())
        yield _gauge("artmirror_threads", "Threads.", thread_count())
        yield _gauge("artmirror_longest_gap_seconds", "Longest time without a new picture.", counters.longest_gap_s)
        if state.temperature_c is not None:
            yield _gauge("artmirror_temperature_celsius", "The hottest place in the machine.", state.temperature_c)
        dropped = CounterMetricFamily("artmirror_output_dropped", "Pictures an output left out.", labels=["output"])
        for number, output in enumerate(state.outputs):
            dropped.add_metric([str(number)], output.dropped)
        yield dropped


def _gauge(name: str, words: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, words, value=value)


def _counter(name: str, words: str, value: float) -> CounterMetricFamily:
    return CounterMetricFamily(name, words, value=value)


def _photo_page(heading: str, words: str, picture: str) -> str:
    return _part("photo.html").format(heading=heading, words=words, picture=picture)


class RemoteDoor:
    """Serves the remote from opening to closing.

    Args:
        token: Demanded where other machines can reach the remote.

    Raises:
        ArtmirrorError: the address is taken, or is none of this machine's.
    """

    def __init__(self, settings: RemoteSettings, token: str) -> None:
        self._settings, self._token = settings, token
        demanded = None if settings.is_loopback else token
        self._hub = Hub()
        app = Guard(
            make_app(self._hub, demanded), hosts=settings.hosts, token=demanded, paintings=settings.allow_paintings
        )
        config = uvicorn.Config(
            app,
            log_level="warning",
            access_log=False,  # addresses of photos and tokens are in it
            server_header=False,
            timeout_graceful_shutdown=2,
            ws="websockets-sansio",
            ws_max_size=4096,
            h11_max_incomplete_event_size=16_384,
            limit_concurrency=100,
        )
        self._server = uvicorn.Server(config)
        family = socket.AF_INET6 if ":" in settings.address else socket.AF_INET
        self._socket = socket.socket(family, socket.SOCK_STREAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            self._socket.bind((settings.address, settings.port))
        except (OSError, OverflowError) as error:
            self._socket.close()
            raise ArtmirrorError(
                f"the remote cannot listen at {settings.address}:{settings.port}: "
                f"{getattr(error, 'strerror', error)}; choose another port under [remote]"
            ) from None
        self.port = self._socket.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, name="remote", daemon=True)
        self._thread.start()

    def admit(self, opened: Opened | None) -> None:
        """The performance that the page shows from now on."""
        self._hub.opened = opened

    @property
    def base(self) -> str:
        """The address as others reach it, without a slash at the end."""
        return base_address(self._settings, self.port)

    def photo_link(self, photo: Photo) -> str:
        """The address of a photo's page."""
        return f"{self.base}/photo/{photo.key}"

    def link(self) -> str:
        """The page's address with the token."""
        return join_address(self._settings, self._token, self.port)

    def close(self) -> None:
        """Say goodbye to all pages."""
        self._server.should_exit = True
        self._thread.join(timeout=5)
        self._socket.close()

    def _serve(self) -> None:
        give_way()
        try:
            asyncio.run(self._server.serve([self._socket]))
        except Exception as error:  # the show goes on without a remote
            _log.warning("the remote ended: %r", error)


def join_address(settings: RemoteSettings, token: str, port: int | None = None) -> str:
    """The remote's address with its token, for the attendant's phone."""
    base = base_address(settings, port or settings.port)
    return f"{base}/" if settings.is_loopback else f"{base}/join?token={token}"


def base_address(settings: RemoteSettings, port: int) -> str:
    """As the file says, or found: the address that this machine would speak to others from."""
    if settings.link:
        return settings.link.rstrip("/")
    host = settings.address
    if host in ("0.0.0.0", "::"):
        host = _own_address()
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _own_address() -> str:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # of the block for examples; nothing is sent
            return str(probe.getsockname()[0])
        except OSError:
            return socket.gethostname()
