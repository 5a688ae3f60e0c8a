"""Video files and streams: the one place where they are opened, and how their pictures are to be shown."""

import cv2  # before PyAV: loaded after it, OpenCV's first window hangs in PyAV's copy of libxcb

# isort: split
import av
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.reformatter import Colorspace
from av.video.stream import VideoStream

from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.runtime.common.pixels import Size

NETWORK_TIMEOUT_S = 10.0
TURNS = {90: cv2.ROTATE_90_COUNTERCLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_CLOCKWISE}
_UNSPECIFIED = 2  # AVCOL_SPC_UNSPECIFIED


def open_video(name: str, *, stream: bool = False) -> tuple[InputContainer, VideoStream]:
    """Open the path or, as a `stream`, the URL `name`: the container, and the stream of its pictures.

    Raises:
        ArtmirrorError: it cannot be opened or holds no picture.
    """
    try:
        container = av.open(
            name if stream else f"file:{name}",  # a colon in a file's name must not read as a protocol
            metadata_errors="replace",  # titles in old encodings are no reason to refuse a video
            timeout=NETWORK_TIMEOUT_S if stream else None,
            options={"rtsp_flags": "prefer_tcp"} if stream else {},
        )
    except (av.FFmpegError, OSError, ValueError) as error:
        raise ArtmirrorError(_cannot_open(name, stream, error)) from error
    if not container.streams.video:
        container.close()
        raise ArtmirrorError(f"{name} has no picture (sound only?): a video file is wanted")
    return container, container.streams.video[0]


def reason_of(error: Exception) -> str:
    """What libav says went wrong."""
    if isinstance(error, av.error.ExitError):  # what it says when the timeout strikes
        return f"no data within {NETWORK_TIMEOUT_S:.0f} s"
    return getattr(error, "strerror", None) or str(error)


def turn_of(picture: VideoFrame) -> int:
    """How far the picture is to be turned, which phones note in the file: 0, 90, 180, 270 degrees counterclockwise."""
    return round(picture.rotation / 90) % 4 * 90


def upright_size(picture: VideoFrame) -> Size:
    """The size as shown, after the turn."""
    lying = turn_of(picture) in (90, 270)
    return Size(picture.width, picture.height) if lying else Size(picture.height, picture.width)


def scaled_bgr(picture: VideoFrame, size: tuple[int, int], interpolation: str = "BILINEAR") -> VideoFrame:
    """The picture as BGR at `size` (H, W), not yet turned."""
    # Untagged video of HD size is BT.709 by convention; libswscale would take it for BT.601.
    untagged_hd = picture.colorspace == _UNSPECIFIED and picture.height >= 720
    return picture.reformat(
        width=size[1],
        height=size[0],
        format="bgr24",
        src_colorspace=Colorspace.ITU709 if untagged_hd else None,
        interpolation=interpolation,
        threads=1,  # the engine wants all cores, and the bytes must not depend on their number
    )


def _cannot_open(name: str, stream: bool, error: Exception) -> str:
    reason = reason_of(error)
    if stream:
        return f"cannot open the stream {name} ({reason}): check the address, the network and that its server runs"
    if isinstance(error, PermissionError):
        return f"cannot read {name} ({reason}): check its permissions"
    return (
        f"{name} is not a video that can be read ({reason}; cut off, damaged or no video): a playable video is wanted"
    )
