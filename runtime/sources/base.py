"""Where frames come from: the Protocol that the pipeline reads from."""

from fractions import Fraction
from pathlib import Path
from typing import Protocol

from artmirror.runtime.frame import FrameSlot
from artmirror.runtime.tracks import Tracks


class Source(Protocol):
    """An opened source of pictures of one size.

    Attributes:
        name: The source as the user wrote it.
        size: (H, W) of the pictures that `read` writes.
        rate: Frames per second, exact where a file says so; None for single pictures.
        frame_count: Number of frames to come, or None if unknown (a live source, a stream).
        live: True where time does not wait (camera, stream, paced synthetic picture): the newest frame wins.
        files: Those that are read, in their order; none where the pictures come from elsewhere.
        tracks: Sound and what else belongs to the pictures of a film, or None.
    """

    name: str
    size: tuple[int, int]
    rate: Fraction | None
    frame_count: int | None
    live: bool
    files: tuple[Path, ...]
    tracks: Tracks | None

    def read(self, slot: FrameSlot) -> bool:
        """Write the next picture into `slot.frame` in place and set its times and `label`.

        Blocks until a picture is there. Returns False at the end, with the slot's pixels undefined.

        Raises:
            ArtmirrorError: the source broke; what was read before stays valid.
        """
        ...

    def close(self) -> None:
        """Release the device or file, from any thread, more than once; a blocked `read` returns soon after."""
        ...
