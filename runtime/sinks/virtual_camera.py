"""A camera that other programs see: OBS's on Windows and macOS, v4l2loopback on Linux."""

from typing import Any

import cv2
import numpy as np

from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.runtime.frame import FrameSlot
from artmirror.runtime.sinks.base import SinkFormat

PREFIX = "camera:"


class VirtualCameraSink:
    """Shows frames as a camera of this machine.

    Args:
        uri: `camera:`, or `camera:/dev/video9` for one of several.

    Raises:
        ArtmirrorError: pyvirtualcam or the driver is missing.
    """

    def __init__(self, uri: str, format: SinkFormat) -> None:
        try:
            import pyvirtualcam
        except ImportError:
            raise ArtmirrorError(
                "a virtual camera needs pyvirtualcam; install it with pip install 'artmirror[camera]'"
            ) from None
        height, width = format.size
        try:
            self._camera: Any = pyvirtualcam.Camera(
                width, height, float(format.rate or 30), device=uri.removeprefix(PREFIX) or None
            )
        except Exception as error:  # each back end has its own
            raise ArtmirrorError(
                f"there is no virtual camera: {' '.join(str(error).split())}; on Linux load v4l2loopback, elsewhere "
                "install OBS"
            ) from error
        self._rgb = np.empty((height, width, 3), np.uint8)

    def write(self, slot: FrameSlot) -> bool:
        """Show `slot.stylized`.

        Raises:
            ArtmirrorError: the driver failed.
        """
        cv2.cvtColor(slot.stylized, cv2.COLOR_BGR2RGB, dst=self._rgb)
        try:
            self._camera.send(self._rgb)
        except Exception as error:  # see above
            raise ArtmirrorError(f"the virtual camera failed: {error}; is its driver still loaded?") from error
        return True

    def close(self) -> None:
        """Let it go."""
        if self._camera is not None:
            self._camera.close()
            self._camera = None

    def discard(self) -> None:
        """Let it go."""
        self.close()
