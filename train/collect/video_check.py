"""What counts as a video: by what a server calls it, and by looking inside the file."""

from pathlib import Path

import cv2  # noqa: F401  # before PyAV: loaded after it, OpenCV's first window hangs in PyAV's copy of libxcb

# isort: split
import av
from av.stream import Disposition

_VIDEO_APPLICATIONS = {  # what servers call videos that they do not call video/*
    "application/mp4",
    "application/octet-stream",
    "application/ogg",
    "application/x-matroska",
    "binary/octet-stream",
}
# Containers of their own only: a playlist or a script that calls itself .mp4 would make libav open what it names.
_DEMUXERS = "mov,matroska,avi,mpeg,mpegts,mpegvideo,ogg"


class NotAVideoError(Exception):
    """The file cannot be used; the message says why."""


def is_video_type(content_type: str) -> bool:
    """Tell whether a server's Content-Type may be that of a video file; an empty one may."""
    kind = content_type.partition(";")[0].strip().lower()
    return not kind or kind.startswith("video/") or kind in _VIDEO_APPLICATIONS


def check_video(path: Path) -> None:
    """Open a file of unknown origin and decode its first picture.

    Raises:
        NotAVideoError: it is no video in a known container, or its first picture cannot be decoded.
    """
    options = {"protocol_whitelist": "file", "format_whitelist": _DEMUXERS}
    try:
        with av.open(f"file:{path}", options=options, metadata_errors="replace") as container:
            films = [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]
            if not films:
                raise NotAVideoError("the file holds no moving picture")
            if films[0].codec_context is None:
                raise NotAVideoError("the file holds a moving picture of a kind that is not known here")
            films[0].codec_context.thread_count = 1
            if next(container.decode(films[0]), None) is None:
                raise NotAVideoError("the file holds no picture that can be decoded")
    except (av.FFmpegError, OSError, ValueError) as error:
        told = error.strerror if isinstance(error, OSError) else error
        raise NotAVideoError(f"the file is not a video that can be decoded ({told})") from None
