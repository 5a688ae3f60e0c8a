"""One string, one sink: a window, a pipe, a camera, NDI, a stream, a video, a picture, a folder, nothing."""

import os
import sys
from pathlib import Path

from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.runtime.common.suffixes import WRITTEN_PICTURE_SUFFIXES, WRITTEN_VIDEO_SUFFIXES
from artmirror.runtime.sinks.base import Sink, SinkFormat

RAW_PIPE = "pipe:raw"
PIPES = ("-", "pipe:", "/dev/stdout", RAW_PIPE)  # names of our standard output


ANNOUNCED = ("camera:", "ndi:")  # what other programs find by its name, which stands behind
STREAMS = ("rtsp", "rtsps", "udp", "srt", "tcp", "rtmp", "rtmps", "whip+http", "whip+https")  # before ://


def is_stream(uri: str) -> bool:
    """Whether a sink's name is a stream's."""
    scheme, separator, _ = uri.partition("://")
    return bool(separator and scheme in STREAMS) or uri.endswith(".m3u8")


def display_available() -> bool:
    """Whether a window can be shown: there is a display, and OpenCV was built with windows."""
    if sys.platform not in ("win32", "darwin") and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        return False
    import cv2

    return bool(cv2.currentUIFramework())


def is_one_file_a_frame(uri: str) -> bool:
    """Whether each frame becomes a file of its own there, or nothing, so that frames may have several sizes."""
    suffix = Path(uri).suffix.lower()
    if uri in PIPES or uri == "window:" or uri.startswith(ANNOUNCED) or is_stream(uri):
        return False
    return suffix not in WRITTEN_VIDEO_SUFFIXES


def open_sink(uri: str, format: SinkFormat) -> Sink:
    """Open what `uri` names, ready for frames of `format`.

    Args:
        uri: `window:`, `null:`, `pipe:` (Matroska), `pipe:raw` (pixels), `camera:` (one that other programs see),
            `ndi:`, a stream (`rtsp://`, `udp://`, `whip+https://`, ..., or a path ending in .m3u8), the path of a video
            (.mp4 .mkv .mov .webm .avi), the path of a picture, or a folder (one that exists, or one whose name ends
            in `/` and whose parent exists).
        format: What is known of the frames before the first.

    Raises:
        ArtmirrorError: there is no such sink, or it cannot be opened or written.
    """
    # The modules come in on use: each brings a library that takes its time to load.
    if uri == "null:":
        from artmirror.runtime.sinks.null import NullSink

        return NullSink()
    if uri == "window:":
        if not display_available():
            raise ArtmirrorError("there is no display for a window: name a file with --output, or set DISPLAY")
        from artmirror.runtime.sinks.window import WindowSink

        return WindowSink(format)
    if uri in PIPES:
        from artmirror.runtime.sinks.pipe import FilmPipe, RawPipe

        return RawPipe(format) if uri == RAW_PIPE else FilmPipe(format)
    if uri.startswith("camera:"):
        from artmirror.runtime.sinks.virtual_camera import VirtualCameraSink

        return VirtualCameraSink(uri, format)
    if uri.startswith("ndi:"):
        from artmirror.runtime.sinks.ndi import NdiSink

        return NdiSink(uri, format)
    if is_stream(uri):
        from artmirror.runtime.sinks.stream import StreamSink

        return StreamSink(uri, format)
    path = Path(uri).expanduser()
    suffix = path.suffix.lower()
    is_folder = uri.endswith(("/", os.sep)) or (uri != "" and path.is_dir())
    if not is_folder and suffix in WRITTEN_VIDEO_SUFFIXES:
        from artmirror.runtime.sinks.video import VideoSink

        return VideoSink(path, format)
    from artmirror.runtime.sinks.pictures import FolderSink, PictureSink

    if is_folder:
        return FolderSink(path, format)
    if suffix in WRITTEN_PICTURE_SUFFIXES:
        return PictureSink(path, format)
    raise ArtmirrorError(
        f"{uri or 'an empty name'} names no sink: window:, null:, pipe:, camera:, ndi:, a stream (rtsp://..., "
        f"udp://..., NAME.m3u8), a video ({' '.join(WRITTEN_VIDEO_SUFFIXES)}), a picture "
        f"({' '.join(WRITTEN_PICTURE_SUFFIXES)}) or a folder (with / at its end) is wanted"
    )
