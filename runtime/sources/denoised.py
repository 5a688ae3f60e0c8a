"""A camera whose noise is taken out, in the thread that reads it."""

from fractions import Fraction
from pathlib import Path

from artmirror.runtime.common.denoise import Denoiser
from artmirror.runtime.frame import FrameSlot
from artmirror.runtime.sources.base import Source
from artmirror.runtime.tracks import Tracks


class DenoisedSource:
    """A source whose frames follow each other; see `Source`."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._denoise = Denoiser(source.size)
        self.name = source.name
        self.size = source.size
        self.rate: Fraction | None = source.rate
        self.frame_count = source.frame_count
        self.live = source.live
        self.files: tuple[Path, ...] = source.files
        self.tracks: Tracks | None = source.tracks

    def read(self, slot: FrameSlot) -> bool:
        """As the source's, without noise."""
        if not self._source.read(slot):
            return False
        self._denoise(slot.frame)
        return True

    def close(self) -> None:
        """Close the source."""
        self._source.close()
