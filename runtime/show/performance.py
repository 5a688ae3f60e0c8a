"""One performance: all that is opened together, and the loop in the main thread that brings pictures to the screen."""

import logging
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.runtime.common.pixels import Pixels, Size
from artmirror.runtime.engines.base import Engine
from artmirror.runtime.engines.open import open_for_show
from artmirror.runtime.frame import FrameSlot
from artmirror.runtime.pipeline import Pipeline
from artmirror.runtime.show.camera import WatchedSource, is_camera
from artmirror.runtime.show.director import Director, Phase, View
from artmirror.runtime.show.health import Counters, FrameRate, QualityKeeper, give_memory_back
from artmirror.runtime.show.kept import KeptFile
from artmirror.runtime.show.outputs import Output, open_output
from artmirror.runtime.show.photo import Photo, PhotoBooth, PhotoStore
from artmirror.runtime.show.presence import Presence
from artmirror.runtime.show.presenter import Presenter, Screen
from artmirror.runtime.show.preview import Preview
from artmirror.runtime.show.rehearsal import PREFIX, RehearsalSource
from artmirror.runtime.show.scenes import Programme
from artmirror.runtime.show.service import notify
from artmirror.runtime.show.settings import Settings
from artmirror.runtime.show.stage import Stage
from artmirror.runtime.sources.base import Source
from artmirror.runtime.sources.denoised import DenoisedSource
from artmirror.runtime.sources.open import open_source
from artmirror.runtime.tracks import Tracks

_log = logging.getLogger("artmirror.show")

_STILL_S = 0.1  # between two pictures of a screen on which nothing moves
_HOUSE_S = 1.0  # between two rounds of looking after things
_NOTIFY_S = 2.0
_TRIM_S = 60.0
_HUNG_S = 20.0  # without a painted picture while the camera is well
_BACK_OFF_S = (0.0, 1.0, 2.0, 5.0, 10.0, 30.0)
_SOON_S = 60.0  # an engine that fails twice within it is too heavy, or broken


class EngineHangs(ArtmirrorError):
    """The engine gives no pictures and cannot be stopped: the process has to be started again."""


@dataclass(slots=True)
class Opened:
    """What doors (remote, OSC, MIDI, keys) get to see of a performance."""

    settings: Settings
    director: Director
    preview: Preview
    outputs: list[Output]
    painted: FrameRate
    camera_rate: FrameRate
    counters: Counters
    kept: KeptFile
    photos: PhotoStore


class Performance:
    """From opening to closing. All calls come from the main thread.

    Args:
        programme: What is painted with.
        stop: Asked many times a second.
        changed: Asked once a second; True where the file asks for a new start.

    Raises:
        ArtmirrorError: something of it cannot be opened.
    """

    def __init__(
        self,
        settings: Settings,
        programme: Programme,
        folder: Path,
        screen: Screen,
        kept: KeptFile,
        counters: Counters,
        *,
        photo_link: Callable[[Photo], str] = lambda photo: "",
        stop: Callable[[], bool] = lambda: False,
        changed: Callable[["Performance"], bool] = lambda performance: False,
    ) -> None:
        self.settings, self._screen, self._kept, self._counters = settings, screen, kept, counters
        self._stop, self._changed = stop, changed
        self.presenter = Presenter(screen, settings, photo_link)
        self.begins_anew = self.asks_to_quit = False
        self.link: Callable[[], str] = lambda: ""  # the remote's address with its token
        self._first_picture = False
        self._notified_s = self._house_s = self._presented_s = self._painted_s = 0.0
        self._trimmed_s = time.monotonic()
        self._failures_s: list[float] = []
        size = settings.look.size
        with ExitStack() as opened:
            around = _around(settings, opened, folder)
            self._stage = Stage(
                programme, settings.look, size, around=around, report=lambda line: self._tell("Starting ...", line)
            )
            opened.callback(self._stage.close)
            booth = _open_booth(settings, programme, around, lambda line: self._tell("Starting ...", line))
            if booth is not None:
                opened.callback(booth.close)
            presence = Presence()
            self._camera_rate = FrameRate()

            def look_at(picture: Pixels) -> None:
                presence.look_at(picture)
                self._camera_rate.add()

            self._source = open_camera(settings, folder, look_at)
            opened.callback(self._source.close)
            self._director = Director(settings, self._stage, self._source, presence, booth)
            outputs = []
            for wanted in settings.output:
                outputs.append(open_output(wanted, size, folder))
                opened.callback(outputs[-1].close)
            self._closing = opened.pop_all()
        if kept.values.scene:
            self._director.show_key(kept.values.scene)
        self._director.held = kept.values.held
        self._painted = FrameRate()
        self._quality = QualityKeeper(settings.look.target_fps)
        self._outputs = outputs
        photos = booth.store if booth is not None else PhotoStore(settings.photo.kept, 1)
        self.opened = Opened(
            settings,
            self._director,
            Preview(settings.remote.preview_fps),
            outputs,
            self._painted,
            self._camera_rate,
            counters,
            kept,
            photos,
        )

    def run(self) -> None:
        """Until a stop, or until a new start is due (`begins_anew`).

        Raises:
            EngineHangs: nothing is painted any more.
        """
        while not self._ends():
            try:
                lent: Source = _Lent(self._source)
                camera = self.settings.camera
                if camera.denoise and any(map(is_camera, camera.sources)):
                    lent = DenoisedSource(lent)
                pipeline = Pipeline(lent, self._stage.engine, [self], look=self._director.look)
                self._painted_s = time.monotonic()
                pipeline.run(should_stop=self._go_on)
                failure = pipeline.failure
            except EngineHangs:
                raise
            except ArtmirrorError as error:
                failure = error
            if failure is not None and not self._ends():
                self._recover(failure)

    def adjust(self, settings: Settings) -> None:
        """Take over settings that need no new start."""
        self.settings = self.presenter.settings = self.opened.settings = settings
        self._director.adjust(settings)

    def close(self) -> None:
        """Close everything but the screen."""
        self._closing.close()

    # As a sink of the pipeline.

    def write(self, slot: FrameSlot) -> bool:
        """Bring a painted picture to the screen and to all outputs."""
        self._painted_s = time.monotonic()
        self._painted.add()
        counters = self._counters
        counters.painted += 1
        latency_ms = (time.monotonic_ns() - slot.captured_ns) / 1e6
        counters.latency_ms += 0.05 * (latency_ms - counters.latency_ms)
        for output in self._outputs:
            output.offer(slot)
        self.opened.preview.offer(slot)
        self._present(slot.stylized, self._director.tick())
        return True

    def discard(self) -> None:
        """Nothing: the screen stays open from one pipeline to the next."""

    def _go_on(self) -> bool:
        """Called by the pipeline many times a second: whether to stop; all that goes on beside the frames is done."""
        now_s = time.monotonic()
        for key in self._screen.events():
            self._obey(key)
        view = self._director.tick()
        still = view.phase is not Phase.RUNNING
        if still and now_s - max(self._presented_s, self._painted_s) >= _STILL_S:
            self._present(None, view)
        if still or self._source.state.name == "STARTING":
            self._painted_s = max(self._painted_s, now_s - 1.0)
        if now_s - self._painted_s > _HUNG_S:
            raise EngineHangs("the engine has given no picture for 20 s: the show is started again")
        if now_s - self._house_s >= _HOUSE_S:
            self._house_s = now_s
            self._look_after(view)
        if now_s - self._trimmed_s >= _TRIM_S:
            self._trimmed_s = now_s
            give_memory_back()
        return self._ends()

    def _ends(self) -> bool:
        return self._stop() or self.begins_anew or self.asks_to_quit

    def _present(self, picture: Pixels | None, view: View) -> None:
        self._screen.set_power(not ((view.phase is Phase.AWAY and view.brightness <= 0) or view.phase is Phase.CLOSED))
        if not self.presenter.present(picture, view, self._stage.scene, self._source.state.value):
            return
        now_s = time.monotonic()
        if self._presented_s:
            self._counters.longest_gap_s = max(self._counters.longest_gap_s, now_s - self._presented_s)
        self._presented_s = now_s
        self._counters.presented += 1
        if not self._first_picture:
            self._first_picture = True
            notify("READY=1\nSTATUS=running")
        if now_s - self._notified_s >= _NOTIFY_S:
            self._notified_s = now_s
            notify("WATCHDOG=1")

    def _look_after(self, view: View) -> None:
        director = self._director
        if director.asked_to_restart or self._changed(self):
            self.begins_anew = True
        if view.phase is Phase.RUNNING and self.settings.look.quality == "auto":
            step = self._quality.step(self._painted.fps, self._camera_rate.fps)
            if step > 0:
                self._stage.lighter()
            elif step < 0:
                self._stage.better()
        else:
            self._quality.rest()
        self._kept.values.scene, self._kept.values.held = self._stage.scene.key, director.held
        self._kept.save_beside()

    def _recover(self, failure: ArtmirrorError) -> None:
        """Open the engine again; a lighter one where it fails again and again."""
        self._counters.engine_failures += 1
        now_s = time.monotonic()
        self._failures_s = [at for at in self._failures_s if now_s - at < _SOON_S] + [now_s]
        times = len(self._failures_s)
        _log.warning("the engine failed: %s; it is opened again", failure.message)
        if times >= 2:
            self._stage.lighter()
        pause_s = _BACK_OFF_S[min(times - 1, len(_BACK_OFF_S) - 1)]
        until_s = now_s + pause_s
        while time.monotonic() < until_s and not self._ends():
            self._tell("One moment, please.", "")
            time.sleep(0.1)
        try:
            self._stage.open()
        except ArtmirrorError as error:
            _log.warning("it cannot be opened: %s", error.message)

    def _obey(self, key: str) -> None:
        director = self._director
        if key in ("right", "n", "page down"):
            director.next()
        elif key in ("left", "p", "page up"):
            director.previous()
        elif key in ("+", "up"):
            director.set_strength(self._stage.palette.strength + 0.1)
        elif key in ("-", "down"):
            director.set_strength(self._stage.palette.strength - 0.1)
        elif key in ("space", "return"):
            director.take_photo()
        elif key == "h":
            director.hold(not director.held)
        elif key == "b":
            director.black(not director.is_black)
        elif key == "t":
            director.show_card()
        elif key == "c":
            director.set_keep_colours(not self._stage.keep_colours)
        elif key == "escape":
            director.end_photo()
        elif key == "l":
            self.presenter.link_shown = "" if self.presenter.link_shown else self.link()
        elif key in ("quit", "q"):
            self.asks_to_quit = True

    def _tell(self, first: str, second: str) -> None:
        self._screen.events()
        self.presenter.message([line for line in (first, second) if line])


class _Lent:
    """The camera for one pipeline, whose closing ends the lending alone."""

    def __init__(self, source: WatchedSource) -> None:
        self._source = source
        self._ended = False
        self.name, self.size, self.rate = source.name, source.size, source.rate
        self.frame_count: int | None = None
        self.live = True
        self.files: tuple[Path, ...] = ()
        self.tracks: Tracks | None = None

    def read(self, slot: FrameSlot) -> bool:
        return self._source.read(slot, lambda: self._ended)

    def close(self) -> None:
        self._ended = True
        self._source.wake()


def open_camera(settings: Settings, folder: Path, look_at: Callable[[Pixels], None]) -> WatchedSource:
    """The show's camera as its file, which lies in `folder`, names it."""
    camera, size = settings.camera, settings.look.size
    asked = camera.size or size
    if camera.size is None and camera.rotation in (90, 270):
        asked = Size(size.width, size.height)

    def open_one(uri: str) -> Source:
        if uri.startswith(PREFIX):
            return RehearsalSource(uri, asked)
        return open_source(uri if is_camera(uri) else str(folder / uri), size=asked, live=True)

    return WatchedSource(
        camera.sources,
        open_one,
        size,
        rotation=camera.rotation,
        mirror=camera.mirror,
        watches=is_camera,
        look_at=look_at,
    )


def _open_booth(
    settings: Settings, programme: Programme, around: Callable[[Engine], Engine], report: Callable[[str], None]
) -> PhotoBooth | None:
    if not settings.photo.allow:
        return None
    asked = settings.camera.size or settings.look.size
    turned = settings.camera.size is not None and settings.camera.rotation in (90, 270)
    size = Size(asked.width, asked.height) if turned else asked
    best = sorted({scene.best.network for scene in programme.scenes})
    with ExitStack() as opened:
        engines: dict[int, Engine] = {}
        for network in best:
            report("for photos")
            engines[network] = open_for_show(
                programme.networks[network],
                size=size,
                device=settings.look.device or None,
                threads=settings.look.threads or None,
            ).engine
            opened.callback(engines[network].close)
        opened.pop_all()
    return PhotoBooth(engines, PhotoStore(settings.photo.kept, settings.photo.most), around)


def _around(settings: Settings, opened: ExitStack, folder: Path) -> Callable[[Engine], Engine]:
    """What goes around each engine: the mask."""
    if settings.mask.paint == "all":
        return lambda engine: engine
    from artmirror.runtime.show.mask import MaskedEngine, PersonMask, model_path  # on use: it loads a network

    path = folder / settings.mask.model if settings.mask.model else model_path()
    mask = PersonMask(path)
    opened.callback(mask.close)
    return lambda engine: MaskedEngine(engine, mask, paint_person=settings.mask.paint == "person")
