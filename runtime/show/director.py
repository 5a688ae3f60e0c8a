"""Decides what is shown: playlist, hours, presence, photo, and what hands ask for. Knows no screen and no network."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import Enum

import numpy as np

from artmirror.runtime.engines.base import Look
from artmirror.runtime.show.camera import CameraState, WatchedSource
from artmirror.runtime.show.hours import is_open
from artmirror.runtime.show.photo import Photo, PhotoBooth
from artmirror.runtime.show.presence import Presence
from artmirror.runtime.show.settings import Settings
from artmirror.runtime.show.stage import Stage

_DIM = 0.12  # of the brightness
_DIM_S = 2.0  # to get there; back at once
_CARD_FADE_S = 0.6
_FLASH_S = 0.25


class Phase(Enum):
    """What the screen shows."""

    RUNNING = "running"
    CLOSED = "closed"  # outside the opening hours
    AWAY = "away"  # nobody is there
    BLACK = "black"  # somebody asked for it
    NO_CAMERA = "no camera"


class PhotoStep(Enum):
    """How far a photo is."""

    NONE = "none"
    COUNTDOWN = "countdown"
    PAINTING = "painting"
    SHOWN = "shown"
    FAILED = "failed"


@dataclass(slots=True)
class View:
    """What one picture of the screen needs to know."""

    phase: Phase
    brightness: float
    card: float  # opacity of the title card
    countdown: int  # 0 for none
    flash: float  # share of white
    photo: Photo | None
    photo_step: PhotoStep


class Director:
    """All state of a show that changes while it runs. Commands come from any thread; `tick` from the main one.

    Args:
        booth: None where no photo may be taken.
        wall_clock: The local time, for opening hours.
    """

    def __init__(
        self,
        settings: Settings,
        stage: Stage,
        source: WatchedSource,
        presence: Presence,
        booth: PhotoBooth | None,
        *,
        clock_s: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], datetime] = datetime.now,
    ) -> None:
        self.settings, self.stage, self.source, self.booth = settings, stage, source, booth
        self._presence, self._clock_s, self._wall_clock = presence, clock_s, wall_clock
        self._lock = threading.RLock()
        self.held = False  # the playlist stands still
        self.is_black = False
        self.asked_to_restart = False
        self.switches = 0
        self.photos = 0
        now_s = clock_s()
        self._scene_since_s = self._card_since_s = now_s
        self._phase = Phase.RUNNING
        self._phase_since_s = now_s
        self._photo_step, self._photo_since_s = PhotoStep.NONE, now_s
        self._photo: Photo | None = None

    # What hands ask for.

    def next(self) -> None:
        """The next painting."""
        self.show(self.stage.scene_index + 1)

    def previous(self) -> None:
        """The one before."""
        self.show(self.stage.scene_index - 1)

    def show(self, index: int) -> None:
        """A painting by its place in the playlist."""
        with self._lock:
            self.stage.show(index)
            self._scene_since_s = self._card_since_s = self._clock_s()
            self.switches += 1

    def show_key(self, key: str) -> bool:
        """A painting by its key; False where there is none of that name."""
        for index, scene in enumerate(self.stage.scenes):
            if scene.key == key:
                self.show(index)
                return True
        return False

    def set_strength(self, strength: float) -> None:
        """0 for the camera picture, 1 for the full style."""
        self.stage.palette.set_strength(strength)

    def set_keep_colours(self, on: bool) -> None:
        """Colours of the camera, or of the painting."""
        self.stage.keep_colours = on

    def hold(self, on: bool) -> None:
        """Stay with the present painting, or go on."""
        self.held = on
        self._scene_since_s = self._clock_s()

    def black(self, on: bool) -> None:
        """A black screen, or the picture again."""
        self.is_black = on

    def show_card(self) -> None:
        """The title card once more."""
        self._card_since_s = self._clock_s()

    def choose_camera(self, index: int) -> None:
        """Another one of the cameras."""
        self.source.choose(index)

    def restart(self) -> None:
        """Open cameras and networks again."""
        self.asked_to_restart = True

    def take_photo(self) -> bool:
        """Begin the countdown; False where photos are off, one is being taken, or there is no picture."""
        with self._lock:
            if self.booth is None or self._photo_step in (PhotoStep.COUNTDOWN, PhotoStep.PAINTING):
                return False
            if self.source.state is not CameraState.OK:
                return False
            self._set_photo(PhotoStep.COUNTDOWN)
            self._photo = None
            return True

    def end_photo(self) -> None:
        """Take the photo off the screen; it can still be fetched."""
        with self._lock:
            if self._photo_step in (PhotoStep.SHOWN, PhotoStep.FAILED):
                self._set_photo(PhotoStep.NONE)

    # What goes on by itself.

    def tick(self) -> View:
        """Go on with the time; several times a second at least."""
        with self._lock:
            now_s = self._clock_s()
            phase = self._phase_now()
            if phase is not self._phase:
                if self._phase in (Phase.CLOSED, Phase.AWAY):  # the visitor who comes sees what hangs there
                    self._card_since_s = now_s
                self._phase, self._phase_since_s = phase, now_s
                self.source.rest(
                    phase is Phase.CLOSED or (phase is Phase.AWAY and self.settings.presence.then == "off")
                )
            self._advance_playlist(now_s)
            self._advance_photo(now_s)
            return self._view(now_s)

    def adjust(self, settings: Settings) -> None:
        """Take over settings that need no new start."""
        with self._lock:
            if settings.look != self.settings.look:  # else what hands changed stays
                self.stage.adjust(settings.look)
            if self.booth is not None:
                self.booth.store.kept_s, self.booth.store.most = settings.photo.kept, settings.photo.most
            self.settings = settings

    @property
    def phase(self) -> Phase:
        """What the screen shows."""
        return self._phase

    @property
    def photo_step(self) -> PhotoStep:
        """How far a photo is."""
        return self._photo_step

    def look(self) -> Look:
        """Of the next frame."""
        return self.stage.look()

    def _phase_now(self) -> Phase:
        if not is_open(self.settings.hours.open, self._wall_clock()):
            return Phase.CLOSED
        if self.is_black:
            return Phase.BLACK
        if self.source.state is not CameraState.OK:
            return Phase.NO_CAMERA
        after_s = self.settings.presence.after
        if after_s and self._presence.away_s > after_s and self._photo_step is PhotoStep.NONE:
            return Phase.AWAY
        return Phase.RUNNING

    def _advance_playlist(self, now_s: float) -> None:
        busy = self._photo_step in (PhotoStep.COUNTDOWN, PhotoStep.PAINTING)
        resting = self._phase in (Phase.CLOSED, Phase.BLACK)
        if self.held or busy or resting or len(self.stage.scenes) == 1:
            return
        if now_s - self._scene_since_s >= self.stage.scene.seconds:
            self.next()

    def _advance_photo(self, now_s: float) -> None:
        step, since_s = self._photo_step, now_s - self._photo_since_s
        if step is PhotoStep.COUNTDOWN and since_s >= self.settings.photo.countdown:
            picture = self.source.snapshot()
            assert self.booth is not None
            if picture is None:
                self._set_photo(PhotoStep.FAILED)
                return
            scene = self.stage.scene
            paint = scene.best
            strength = self.stage.palette.strength
            self.booth.begin(picture, Look(strength, paint.style, paint.network), scene.title)
            self._set_photo(PhotoStep.PAINTING)
        elif step is PhotoStep.PAINTING and self.booth is not None and not self.booth.busy:
            self._photo = self.booth.newest
            self.photos += self._photo is not None
            self._set_photo(PhotoStep.SHOWN if self._photo is not None else PhotoStep.FAILED)
        elif step in (PhotoStep.SHOWN, PhotoStep.FAILED) and since_s >= self.settings.photo.shown:
            self._set_photo(PhotoStep.NONE)

    def _set_photo(self, step: PhotoStep) -> None:
        self._photo_step, self._photo_since_s = step, self._clock_s()

    def _view(self, now_s: float) -> View:
        photo_s = now_s - self._photo_since_s
        counting = self._photo_step is PhotoStep.COUNTDOWN
        left = int(np.ceil(self.settings.photo.countdown - photo_s)) if counting else 0
        flash = max(0.0, 1 - photo_s / _FLASH_S) if self._photo_step is PhotoStep.PAINTING else 0.0
        return View(
            phase=self._phase,
            brightness=self._brightness(now_s),
            card=self._card(now_s) if self._photo_step is PhotoStep.NONE else 0.0,
            countdown=max(0, left),
            flash=flash,
            photo=self._photo if self._photo_step is PhotoStep.SHOWN else None,
            photo_step=self._photo_step,
        )

    def _brightness(self, now_s: float) -> float:
        if self._phase in (Phase.CLOSED, Phase.BLACK):
            return 0.0
        if self._phase is Phase.AWAY:
            goal = 0.0 if self.settings.presence.then == "off" else _DIM
            along = min(1.0, (now_s - self._phase_since_s) / _DIM_S)
            return 1 - (1 - goal) * along
        return 1.0

    def _card(self, now_s: float) -> float:
        card = self.settings.card
        if not card.show or self._phase not in (Phase.RUNNING, Phase.AWAY):
            return 0.0
        since_s = now_s - self._card_since_s
        opacity = min(1.0, since_s / _CARD_FADE_S)
        if card.seconds:
            opacity = min(opacity, (card.seconds - since_s) / _CARD_FADE_S)
        return max(0.0, opacity)
