"""A show from its file to its end: performances one after the other, and the doors through which hands reach in."""

import logging
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Protocol

from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.runtime.show.health import Counters
from artmirror.runtime.show.kept import KeptFile
from artmirror.runtime.show.performance import Opened, Performance
from artmirror.runtime.show.photo import Photo
from artmirror.runtime.show.presenter import Screen
from artmirror.runtime.show.scenes import Programme, read_programme
from artmirror.runtime.show.service import notify
from artmirror.runtime.show.settings import Settings, folder_of, read_settings

_log = logging.getLogger("artmirror.show")

_BACK_OFF_S = (1.0, 2.0, 5.0, 10.0, 30.0)


class Door(Protocol):
    """A way for hands to reach the show; it is opened once and outlives performances."""

    def admit(self, opened: Opened | None) -> None:
        """The performance that runs from now on; None between two."""
        ...

    def close(self) -> None:
        """Shut it."""
        ...


class Show:
    """Runs a show's file for as long as nobody stops it.

    Args:
        path: Of the TOML file.
        open_screen: Makes the screen.
        open_doors: Makes the doors; called again where settings of theirs changed.
        stop: Asked many times a second.

    Raises:
        ArtmirrorError: at the start: the file, the screen or something else cannot be opened.
    """

    def __init__(
        self,
        path: Path,
        kept: KeptFile,
        open_screen: Callable[[Settings], Screen],
        open_doors: Callable[[Settings], list[Door]],
        *,
        photo_link: Callable[[Photo], str] = lambda photo: "",
        remote_link: Callable[[], str] = lambda: "",
        stop: Callable[[], bool] = lambda: False,
    ) -> None:
        self._path, self._kept, self._stop = path, kept, stop
        self._open_screen, self._open_doors = open_screen, open_doors
        self._photo_link, self._remote_link = photo_link, remote_link
        self.counters = Counters()
        self._seen: tuple[int, int, int] | None = None
        self.settings = self._read()
        self._wanted: tuple[Settings, Programme] | None = None
        self._asked_to_quit = False

    def run(self) -> None:
        """Until a stop.

        Raises:
            ArtmirrorError: at the start; or the engine hangs, and only a new process helps.
        """
        programme = read_programme(self.settings, folder_of(self._path))
        good: tuple[Settings, Programme] | None = None  # what ran before
        tries = 0
        with ExitStack() as closing:
            screen = self._open_screen(self.settings)
            closing.callback(lambda: screen.close())
            doors = self._open_doors(self.settings)
            closing.callback(lambda: _shut(doors))
            while not self._stop() and not self._asked_to_quit:
                try:
                    performance = self._opened(programme, screen)
                except ArtmirrorError as error:
                    if good is None:
                        raise
                    tries += 1
                    _log.warning("%s; the show goes on as before", error.message)
                    self.counters.settings_problem = str(error.message)
                    self.settings, programme = good
                    self._wait(_BACK_OFF_S[min(tries - 1, len(_BACK_OFF_S) - 1)])
                    continue
                good, tries = (self.settings, programme), 0
                try:
                    for door in doors:
                        door.admit(performance.opened)
                    performance.run()
                finally:
                    for door in doors:
                        door.admit(None)
                    performance.close()
                self._asked_to_quit = performance.asks_to_quit
                if self._wanted is not None:
                    before, (self.settings, programme) = self.settings, self._wanted
                    self._wanted = None
                    if before.screen != self.settings.screen:
                        screen.close()
                        screen = self._open_screen(self.settings)
                    if (before.remote, before.controllers) != (self.settings.remote, self.settings.controllers):
                        _shut(doors)
                        doors = self._open_doors(self.settings)
                self.counters.new_starts += 1
            notify("STOPPING=1")

    def _opened(self, programme: Programme, screen: Screen) -> Performance:
        performance = Performance(
            self.settings,
            programme,
            folder_of(self._path),
            screen,
            self._kept,
            self.counters,
            photo_link=self._photo_link,
            stop=self._stop,
            changed=self._file_changed,
        )
        performance.link = self._remote_link
        return performance

    def _file_changed(self, performance: Performance) -> bool:
        """Take over what changed in the file; True where that needs a new start. A wrong file changes nothing."""
        if not self._is_new():
            return False
        try:
            settings = self._read()
            if not self.settings.needs_new_start(settings):
                performance.adjust(settings)
                self.settings = settings
                self.counters.settings_problem = ""
                _log.info("%s was read again", self._path)
                return False
            self._wanted = (settings, read_programme(settings, folder_of(self._path)))
        except ArtmirrorError as error:
            self.counters.settings_problem = str(error.message)
            _log.warning("%s; the show goes on as it was", error.message)
            return False
        self.counters.settings_problem = ""
        _log.info("%s asks for a new start", self._path)
        return True

    def _is_new(self) -> bool:
        stamp = _stamp(self._path)
        return stamp is not None and stamp != self._seen

    def _read(self) -> Settings:
        self._seen = _stamp(self._path)
        return read_settings(self._path)

    def _wait(self, duration_s: float) -> None:
        until_s = time.monotonic() + duration_s
        while time.monotonic() < until_s and not self._stop():
            time.sleep(0.05)


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        told = path.stat()
    except OSError:
        return None  # in the middle of being saved
    return told.st_mtime_ns, told.st_size, told.st_ino


def _shut(doors: list[Door]) -> None:
    for door in doors:
        door.close()
