"""Where stylized frames go: the Protocol that the pipeline writes to."""

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Protocol

from artmirror.runtime.frame import FrameSlot
from artmirror.runtime.tracks import Tracks


class Controls(Protocol):
    """What keys in a window change."""

    @property
    def title(self) -> str:
        """Of the style that is shown."""
        ...

    @property
    def titles(self) -> list[str]:
        """Of all styles that there are."""
        ...

    @property
    def strength(self) -> float:
        """0 for the camera picture, 1 for the full style."""
        ...

    def turn(self, by: int) -> None:
        """Go on by so many styles, or back."""
        ...

    def strengthen(self, by: float) -> None:
        """More of the painting, or less."""
        ...


@dataclass(frozen=True, slots=True)
class SinkFormat:
    """What a sink is told before the first frame."""

    size: tuple[int, int]  # (H, W)
    rate: Fraction | None  # frames per second; None for single pictures
    frame_count: int | None  # None when unknown
    tracks: Tracks | None  # sound and what else goes with the pictures
    title: str = "artmirror"
    files: tuple[Path, ...] = ()  # what the frames come from, which no sink may write over
    controls: Controls | None = None  # None: nothing can be changed
    live: bool = False  # as of a source: the painting does not wait


class Sink(Protocol):
    """An opened destination. Sinks are called from the main thread only (a window demands it)."""

    def write(self, slot: FrameSlot) -> bool:
        """Take `slot.stylized`; it is valid only during the call. Returns False when the viewer asks to stop.

        Raises:
            ArtmirrorError: the destination broke (disk full, folder gone).
        """
        ...

    def close(self) -> None:
        """Finish what was written so that it can be played or opened. May be called more than once."""
        ...

    def discard(self) -> None:
        """Close after a failure: leave what is playable, remove what is not."""
        ...
