"""NDI: a stream that vision mixers, OBS and media servers on the same network find by its name."""

from fractions import Fraction
from typing import Any

import cv2
import numpy as np

from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.runtime.frame import FrameSlot
from artmirror.runtime.sinks.base import SinkFormat

PREFIX = "ndi:"
_NAME = "artmirror"


class NdiSink:
    """Sends frames as an NDI source.

    Args:
        uri: `ndi:`, or `ndi:Hall 2` with the name that others see, behind that of this machine.

    Raises:
        ArtmirrorError: cyndilib, which brings NDI's own library, is missing or does not load, or the name is taken.
    """

    def __init__(self, uri: str, format: SinkFormat) -> None:
        try:
            from cyndilib.sender import Sender
            from cyndilib.video_frame import VideoSendFrame
            from cyndilib.wrapper.ndi_structs import FourCC
        except ImportError as error:
            raise ArtmirrorError(
                f"NDI cannot be used ({error}); install it with pip install 'artmirror[ndi]'"
            ) from None
        self._name = uri.removeprefix(PREFIX) or _NAME
        height, width = format.size
        frame = VideoSendFrame()
        frame.set_resolution(width, height)
        frame.set_frame_rate(format.rate or Fraction(30))
        frame.set_fourcc(FourCC.BGRX)
        self._sender: Any = Sender(self._name, clock_video=False)  # the pipeline has its own pace
        self._sender.set_video_frame(frame)
        self._bgrx = np.empty((height, width, 4), np.uint8)
        try:
            self._sender.open()
        except Exception as error:  # it has classes of its own, and raises RuntimeError too
            raise ArtmirrorError(f"cannot send {self._name} by NDI: {error}; is the name taken?") from error

    def write(self, slot: FrameSlot) -> bool:
        """Send `slot.stylized`.

        Raises:
            ArtmirrorError: NDI takes no more.
        """
        cv2.cvtColor(slot.stylized, cv2.COLOR_BGR2BGRA, dst=self._bgrx)
        try:
            self._sender.write_video_async(self._bgrx.reshape(-1))  # copies it first
        except Exception as error:  # see above
            raise ArtmirrorError(f"NDI failed: {error}; start again") from error
        return True

    def close(self) -> None:
        """Let others know that it is gone."""
        if self._sender is not None:
            self._sender.close()
            self._sender = None

    def discard(self) -> None:
        """Let it go."""
        self.close()
