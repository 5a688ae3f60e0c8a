"""Puts a view of the director on the screen: which patches lie over the picture, drawn once and kept."""

from collections.abc import Callable
from typing import Protocol

import numpy as np

from artmirror.runtime.common.pictures import decode_picture
from artmirror.runtime.common.pixels import Pixels, Size
from artmirror.runtime.show import cards
from artmirror.runtime.show.canvas import Canvas, Overlay
from artmirror.runtime.show.cards import Words
from artmirror.runtime.show.director import Phase, PhotoStep, View
from artmirror.runtime.show.photo import Photo
from artmirror.runtime.show.scenes import Scene
from artmirror.runtime.show.settings import Settings

_PAINTING_SHARE = 0.6  # of the shorter side, of the painting that hangs while there is no camera


class Screen(Protocol):
    """Something that shows pictures; `screen.PygameScreen` in a show."""

    is_seen: bool  # False where nobody sees it: nothing is drawn

    @property
    def size(self) -> Size:
        """(H, W) in pixels."""
        ...

    def show(self, picture: Pixels) -> bool:
        """Bring it there; False where that is not possible at the moment."""
        ...

    def events(self) -> list[str]:
        """Keys that were pressed."""
        ...

    def set_power(self, on: bool) -> None:
        """Switch it on or off."""
        ...

    def close(self) -> None:
        """Give it back."""
        ...


class Presenter:
    """Draws on a screen. All calls come from the main thread.

    Args:
        photo_link: Makes the address of a photo, or empty text where no page shows photos.
    """

    def __init__(
        self, screen: Screen, settings: Settings, photo_link: Callable[[Photo], str] = lambda photo: ""
    ) -> None:
        self._screen, self.settings, self._photo_link = screen, settings, photo_link
        self._canvas = Canvas(screen.size, settings.screen.rotation, settings.screen.fit)
        self._kept: dict[str, tuple[object, Overlay]] = {}
        self._white: Pixels | None = None
        self._decoded: tuple[str, Pixels] | None = None  # the photo that is shown
        self.link_shown: str = ""  # an address for the attendant, as a QR code

    def present(self, picture: Pixels | None, view: View, scene: Scene, problem: str = "") -> bool:
        """Compose and show; False where there is no screen at the moment.

        Args:
            picture: The painted one, (h, w, 3) uint8 BGR; None where there is none.
            problem: What the attendant should know, where there is no camera.
        """
        if not self._screen.is_seen:
            return True
        if self._canvas.size != self._screen.size:  # the monitor was changed
            self._canvas = Canvas(self._screen.size, self.settings.screen.rotation, self.settings.screen.fit)
            self._kept.clear()
        overlays: list[Overlay] = []
        brightness = view.brightness
        if view.phase in (Phase.CLOSED, Phase.BLACK):
            picture, brightness = None, 0.0
        elif view.phase is Phase.NO_CAMERA:
            picture = None
            overlays += self._painting(scene, problem)
        if view.photo is None:
            self._decoded = None
        elif picture is not None:
            picture = self._photo_picture(view.photo)
            overlays.append(self._photo(view.photo))
        if view.photo_step is PhotoStep.FAILED and picture is not None:
            overlays.append(self._message("photo", ["The photo did not work.", "Please try once more."]))
        if view.countdown:
            overlays.append(self._countdown(view.countdown))
        if view.card > 0 and picture is not None:
            card = self._title(scene)
            card.opacity = view.card
            overlays.append(card)
        if self.link_shown:
            overlays.append(self._link(self.link_shown))
        if view.flash > 0 and picture is not None:
            picture = self._flash(picture, view.flash)
        return self._screen.show(self._canvas.draw(picture, overlays, brightness))

    def message(self, lines: list[str]) -> bool:
        """Words on black, before the show begins."""
        return self._screen.show(self._canvas.draw(None, [self._message("start", lines)]))

    def _side(self) -> int:
        return min(self._canvas.upright)

    def _patch(self, name: str, of: object, make: Callable[[], Overlay]) -> Overlay:
        kept = self._kept.get(name)
        if kept is None or kept[0] != of:
            kept = (of, make())
            self._kept[name] = kept
        return kept[1]

    def _title(self, scene: Scene) -> Overlay:
        side = self._side()
        corner = self.settings.card.corner

        def make() -> Overlay:
            words = Words(scene.title, scene.artist, scene.year)
            width = round(self._canvas.upright.width * 0.9)
            return Overlay(cards.title_card(words, scene.picture, round(side * 0.17), width), corner)

        return self._patch("title", (id(scene), corner), make)

    def _painting(self, scene: Scene, problem: str) -> list[Overlay]:
        """The painting itself hangs there while the camera is away, and a line says why."""
        side = self._side()

        def painting() -> Overlay:
            height = round(side * _PAINTING_SHARE)
            words = Words(scene.title, scene.artist, scene.year)
            return Overlay(cards.title_card(words, scene.picture, height // 2, self._canvas.upright.width), "centre")

        def line() -> Overlay:
            width = round(self._canvas.upright.width * 0.8)
            return Overlay(cards.message_card([f"The camera is {problem}"], width, max(10, side // 36)), "bottom-left")

        return [self._patch("painting", id(scene), painting), self._patch("problem", problem, line)]

    def _photo(self, photo: Photo) -> Overlay:
        address = self._photo_link(photo)
        minutes = round(self.settings.photo.kept / 60)

        def make() -> Overlay:
            if not address:
                return self._message("photo without a page", ["Your picture is there."])
            lines = ["Scan to take it home.", f"Gone after {minutes} minutes."]
            return Overlay(cards.qr_card(address, lines, round(self._side() * 0.5)), "bottom-right")

        return self._patch("photo", photo.key, make)

    def _photo_picture(self, photo: Photo) -> Pixels:
        if self._decoded is None or self._decoded[0] != photo.key:
            self._decoded = (photo.key, decode_picture(np.frombuffer(photo.jpeg, np.uint8), "the photo"))
        return self._decoded[1]

    def _countdown(self, number: int) -> Overlay:
        return self._patch(
            "countdown", number, lambda: Overlay(cards.countdown(number, round(self._side() * 0.35)), "centre")
        )

    def _link(self, address: str) -> Overlay:
        lines = ["For the attendant: the remote.", "Press L to hide it."]
        return self._patch(
            "link", address, lambda: Overlay(cards.qr_card(address, lines, round(self._side() * 0.45)), "top-right")
        )

    def _message(self, name: str, lines: list[str]) -> Overlay:
        width, size = round(self._canvas.upright.width * 0.8), max(12, self._side() // 20)
        return self._patch(name, tuple(lines), lambda: Overlay(cards.message_card(lines, width, size), "centre"))

    def _flash(self, picture: Pixels, share: float) -> Pixels:
        if self._white is None or self._white.shape != picture.shape:
            self._white = np.empty_like(picture)
        np.copyto(self._white, np.uint8(255) - ((255 - picture) * np.float32(1 - share)).astype(np.uint8))
        return self._white
