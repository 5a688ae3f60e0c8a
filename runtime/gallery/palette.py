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


class Palette:
    """Gives each frame its look. `turn` and `strengthen` come from any thread, `look` from the one that submits.

    A change from one frame to the next is a few numbers more: nothing is allocated and no frame is lost.

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
        self._paints, self._fade_s, self._clock_s = list(paints), fade_s, clock_s
        self._wanted = self._target = 0
        self._strength = strength
        first = self._paints[0].style
        self._shown = None if first is None else first.copy()  # what looks refer to
        self._before = None if first is None else first.copy()
        self._part = None if first is None else first.copy()
        self._began_s: float | None = None  # of the fade
        self._look = Look(strength, self._shown)

    @property
    def title(self) -> str:
        """Of the style that is shown, or faded to."""
        return self._paints[self._wanted].title

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
        self._wanted = (self._wanted + by) % len(self._paints)

    def strengthen(self, by: float) -> None:
        """More of the painting, or less."""
        self._strength = min(1.0, max(0.0, round(self._strength + by, 3)))

    def look(self) -> Look:
        """Of the next frame; its style is overwritten by the next call."""
        if self._strength != self._look.strength:
            self._look = Look(self._strength, self._shown)
        if self._shown is None or self._before is None or self._part is None:
            return self._look
        if self._wanted != self._target:  # also in the middle of a fade: it begins anew from what is shown
            self._target = self._wanted
            np.copyto(self._before, self._shown)
            self._began_s = self._clock_s()
        if self._began_s is not None:
            along = min(1.0, (self._clock_s() - self._began_s) / self._fade_s) if self._fade_s > 0 else 1.0
            share = along * along * (3 - 2 * along)
            target = self._paints[self._target].style
            assert target is not None
            np.multiply(self._before, 1 - share, out=self._shown)
            np.multiply(target, share, out=self._part)
            np.add(self._shown, self._part, out=self._shown)
            if along == 1:
                self._began_s = None
        return self._look
