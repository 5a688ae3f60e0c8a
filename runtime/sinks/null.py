"""A sink that keeps nothing, for measuring and for warming up."""

from artmirror.runtime.frame import FrameSlot


class NullSink:
    """Takes every frame and forgets it."""

    def write(self, slot: FrameSlot) -> bool:
        """Go on for ever."""
        return True

    def close(self) -> None:
        """Nothing to finish."""

    def discard(self) -> None:
        """Nothing to remove."""
