"""The styles of a show and the hand that picks one: what changes while a camera runs."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from artmirror.runtime.common.style_file import Vector
from artmirror.runtime.engines.base import Look

FADE_S = 0.8  # from one painting to the next


@dataclass(frozen=True, slots=True, eq=False)
class Paint:
    """One style to paint in."""

    title: str
    style: Vector | None = None  # (S,) float32; None where the network has but one
    network: int = 0  # which of several engines


class Palette:
    """Gives each frame its look. `look` is called by the thread that submits, all else by any.

    A change from one frame to the next is a few numbers more: no frame is lost. Two styles of one network are
    crossfaded by their codes. Between two networks the paint goes off the camera picture and comes back.

    Args:
        paints: The first is shown first.
    """

    def __init__(
        self,
        paints: Sequence[Paint],
        strength: float = 1.0,
        *,
        fade_s: float = FADE_S,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._paints, self.fade_s, self._clock_s = list(paints), fade_s, clock_s
        self._wanted = self._target = self._paints[0]
        self._strength = strength
        self._network = self._target.network
        # What looks refer to, where a fade began, and a place to work in: one of each for every length of style.
        lengths = {paint.style.size for paint in self._paints if paint.style is not None}
        self._memory = {length: np.zeros((3, length), np.float32) for length in lengths}
        self._shown = self._memory_of(self._target)
        if self._shown is not None and self._target.style is not None:
            np.copyto(self._shown[0], self._target.style)
        self._began_s: float | None = None  # of the fade
        self._from_share = 1.0  # of the strength, where a fade through the camera picture began
        self._look = self._made(1.0)

    @property
    def title(self) -> str:
        """Of the style that is shown, or faded to."""
        return self._wanted.title

    @property
    def titles(self) -> list[str]:
        """Of all."""
        return [paint.title for paint in self._paints]

    @property
    def strength(self) -> float:
        """0 for the camera picture, 1 for the full style."""
        return self._strength

    def turn(self, by: int) -> None:
        """Go on by so many styles, or back; behind the last comes the first."""
        self.show(self._paints[(self._paints.index(self._wanted) + by) % len(self._paints)])

    def show(self, paint: Paint) -> None:
        """Fade to a style of one of the networks that were there from the beginning."""
        self._wanted = paint

    def strengthen(self, by: float) -> None:
        """More of the painting, or less."""
        self.set_strength(self._strength + by)

    def set_strength(self, strength: float) -> None:
        """0 for the camera picture, 1 for the full style."""
        self._strength = min(1.0, max(0.0, round(strength, 3)))

    def look(self) -> Look:
        """Of the next frame; its style is overwritten by the next call."""
        if self._wanted is not self._target:  # also in the middle of a fade: it begins anew from what is shown
            self._target = self._wanted
            self._from_share = self._look.strength / self._strength if self._strength else 1.0
            if self._shown is not None:
                np.copyto(self._shown[1], self._shown[0])
            self._began_s = self._clock_s()
        share = 1.0
        if self._began_s is not None:
            along = min(1.0, (self._clock_s() - self._began_s) / self.fade_s) if self.fade_s > 0 else 1.0
            share = self._mixed(along) if self._network == self._target.network else self._changed(along)
            if along == 1:
                self._began_s = None
        if share * self._strength != self._look.strength or self._network != self._look.network:
            self._look = self._made(share)
        return self._look

    def _mixed(self, along: float) -> float:
        """Mix the codes of two styles of one network; returns the share of the strength."""
        part = along * along * (3 - 2 * along)
        if self._shown is not None and self._target.style is not None:
            shown, before, work = self._shown
            np.multiply(before, 1 - part, out=shown)
            np.multiply(self._target.style, part, out=work)
            np.add(shown, work, out=shown)
        return self._from_share + (1 - self._from_share) * along

    def _changed(self, along: float) -> float:
        """Take the paint off, change the network in the middle; returns the share of the strength."""
        if along < 0.5:
            return self._from_share * (1 - 2 * along)
        self._network = self._target.network
        self._shown = self._memory_of(self._target)
        if self._shown is not None and self._target.style is not None:  # both ends of what is left of the fade
            np.copyto(self._shown[0], self._target.style)
            np.copyto(self._shown[1], self._target.style)
        if along < 1:  # from here on it is a fade within one network, from nothing
            self._began_s = self._clock_s() - self.fade_s * (2 * along - 1)
        self._from_share = 0.0
        return 2 * along - 1

    def _memory_of(self, paint: Paint) -> Vector | None:  # (3, S)
        return None if paint.style is None else self._memory[paint.style.size]

    def _made(self, share: float) -> Look:
        return Look(self._strength * share, None if self._shown is None else self._shown[0], self._network)
