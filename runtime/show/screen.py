"""The screen: a window or a whole monitor by SDL, on Wayland, X11 or straight on KMS."""

import ctypes
import logging
import os
import subprocess
import time
from pathlib import Path
from typing import Any

# SDL greets on the standard output otherwise.
os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")

import cv2
import numpy as np
import pygame

from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.runtime.common.pixels import Pixels, Size
from artmirror.runtime.show.settings import Screen as ScreenSettings

_log = logging.getLogger("artmirror.show")

_RETRY_S = 2.0
_BLUE_FIRST = (0xFF0000, 0xFF00, 0xFF)  # masks of red, green, blue in a pixel of 32 bits


class PygameScreen:
    """Shows pictures on one monitor. All calls come from the main thread.

    A monitor that is unplugged, or a compositor that ends, is looked for again; the show goes on meanwhile.

    Raises:
        ArtmirrorError: there is no screen at the start.
    """

    is_seen = True

    def __init__(self, settings: ScreenSettings, title: str) -> None:
        self._settings, self._title = settings, title
        self._pixels: Any = None  # (H, W, 4) uint8, the screen's own memory, or None
        self._surface: Any = None
        self._retry_s = 0.0
        self._powered = True
        try:
            self._open()
        except pygame.error as error:
            raise ArtmirrorError(
                f"there is no screen: {error}; start it within a desktop, or on a machine's own console, or set "
                "show = false under [screen]"
            ) from None

    @property
    def size(self) -> Size:
        """(H, W) in pixels."""
        width, height = self._surface.get_size() if self._surface is not None else (1280, 720)
        return Size(height, width)

    def show(self, picture: Pixels) -> bool:
        """Bring a picture of `size` to the screen; False where there is none at the moment."""
        if self._surface is None and not self._reopened():
            return False
        try:
            if picture.shape[:2] != self.size:
                return False  # of the screen before; the next one fits
            if self._pixels is not None:
                cv2.cvtColor(picture, cv2.COLOR_BGR2BGRA, dst=self._pixels)
            else:
                height, width = picture.shape[:2]
                self._surface.blit(pygame.image.frombuffer(picture.tobytes(), (width, height), "BGR"), (0, 0))
            pygame.display.flip()
            return True
        except pygame.error as error:
            self._lose(error)
            return False

    def events(self) -> list[str]:
        """The keys that were pressed, by name, and `quit` where the window was closed."""
        if self._surface is None:
            return []
        found = []
        try:
            for event in pygame.event.get():
                if event.type == pygame.QUIT:
                    found.append("quit")
                elif event.type == pygame.KEYDOWN:
                    found.append(event.unicode if event.unicode in ("+", "-") else pygame.key.name(event.key))
                elif event.type in (pygame.WINDOWSIZECHANGED, pygame.WINDOWDISPLAYCHANGED):
                    self._take_memory()
        except pygame.error as error:
            self._lose(error)
        return found

    def set_power(self, on: bool) -> None:
        """Switch the monitor on or off, where the system can; a black picture is shown there in any case."""
        if on == self._powered:
            return
        self._powered = on
        name = pygame.display.get_driver() if self._surface is not None else ""
        command = {
            "wayland": ["wlopm", "--on" if on else "--off", "*"],
            "x11": ["xset", "dpms", "force", "on" if on else "off"],
        }.get(name)
        if command is not None:
            try:
                subprocess.run(command, timeout=3, capture_output=True, check=False)
            except (OSError, subprocess.TimeoutExpired) as error:
                _log.info("the monitor stays on and black: %s", error)

    def close(self) -> None:
        """Give the screen back."""
        self.set_power(True)
        self._surface = self._pixels = None
        pygame.display.quit()

    def _open(self) -> None:
        pygame.display.init()
        pygame.display.set_caption(self._title)
        number = self._monitor()
        if self._settings.full_screen:
            width, height = pygame.display.get_desktop_sizes()[number]
            flags = pygame.FULLSCREEN
        else:
            height, width = self._settings.size
            flags = pygame.RESIZABLE
        pygame.display.set_mode((width, height), flags, display=number)
        pygame.display.set_allow_screensaver(False)
        pygame.mouse.set_visible(not self._settings.full_screen)
        self._take_memory()
        _log.info("screen of %s by %s", self.size, pygame.display.get_driver())

    def _take_memory(self) -> None:
        self._surface = pygame.display.get_surface()
        self._pixels = None
        width, height = self._surface.get_size()
        if self._surface.get_bitsize() == 32 and self._surface.get_masks()[:3] == _BLUE_FIRST:
            memory = np.frombuffer(self._surface.get_buffer(), np.uint8)
            if memory.size == width * height * 4 and memory.flags.writeable:
                self._pixels = memory.reshape(height, width, 4)

    def _monitor(self) -> int:
        wanted = self._settings.monitor
        names = monitor_names()
        if isinstance(wanted, int):
            number = wanted
        else:
            number = next((n for n, name in enumerate(names) if wanted.lower() in name.lower()), -1)
        if 0 <= number < len(names):
            return number
        _log.warning("there is no monitor %s; there are: %s; the first is taken", wanted, ", ".join(names))
        return 0

    def _lose(self, error: Exception) -> None:
        _log.warning("the screen is gone (%s); it is looked for", error)
        self._surface = self._pixels = None
        self._retry_s = time.monotonic() + _RETRY_S
        pygame.display.quit()

    def _reopened(self) -> bool:
        if time.monotonic() < self._retry_s:
            return False
        try:
            self._open()
        except pygame.error:
            self._retry_s = time.monotonic() + _RETRY_S
            return False
        _log.warning("the screen is back")
        return True


def monitor_names() -> list[str]:
    """What SDL calls each monitor; their numbers where it does not tell."""
    count = len(pygame.display.get_desktop_sizes())
    names = [str(number) for number in range(count)]
    folder = Path(pygame.__file__).parent.parent / "pygame_ce.libs"
    for path in folder.glob("libSDL2-2*.so*"):
        try:
            library = ctypes.CDLL(str(path))
            library.SDL_GetDisplayName.restype = ctypes.c_char_p
            found = [library.SDL_GetDisplayName(number) for number in range(count)]
        except (OSError, AttributeError):
            continue
        names = [name.decode("utf-8", "replace") if name else names[n] for n, name in enumerate(found)]
    return names


class NoScreen:
    """For a show whose picture goes to outputs and the remote alone."""

    is_seen = False

    def __init__(self, settings: ScreenSettings) -> None:
        self.size = Size(*settings.size)

    def show(self, picture: Pixels) -> bool:
        """Do nothing."""
        return True

    def events(self) -> list[str]:
        """None."""
        return []

    def set_power(self, on: bool) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""


def monitors() -> list[tuple[str, Size]]:
    """Name and (H, W) of each monitor.

    Raises:
        ArtmirrorError: there is no screen.
    """
    try:
        pygame.display.init()
        sizes = [Size(height, width) for width, height in pygame.display.get_desktop_sizes()]
        return list(zip(monitor_names(), sizes, strict=True))
    except pygame.error as error:
        raise ArtmirrorError(f"there is no screen: {error}; start it within a desktop or on the console") from None
    finally:
        pygame.display.quit()
