"""A painting that was sent to the remote: decoded in a process of its own with little memory, then one more scene.

The process is this file, run as a program: a picture on its input, pixels on its output.
"""

import struct
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import numpy as np

from artmirror.runtime.common.errors import ArtmirrorError

if TYPE_CHECKING:  # the process that decodes needs none of it
    from artmirror.runtime.show.performance import Opened

_MEMORY_BYTES = 1_500_000_000  # of address space
_TIME_S = 10
_SIDE = 512
_MOST_PIXELS = 50_000_000
_MOST = 24  # such paintings at a time
_HEAD = struct.Struct("<II")  # height, width
_adding = threading.Lock()


def decoded(body: bytes) -> "np.ndarray[tuple[int, int, int], np.dtype[np.uint8]]":
    """A picture's pixels, (h, w, 3) uint8 BGR, at most 512 a side.

    Raises:
        ArtmirrorError: it is no picture, too large, or takes too long.
    """
    try:
        done = subprocess.run(
            [sys.executable, "-m", __name__], input=body, capture_output=True, timeout=_TIME_S, check=False
        )
    except subprocess.TimeoutExpired:
        raise ArtmirrorError("the picture takes too long to read: send a smaller one") from None
    if done.returncode or len(done.stdout) < _HEAD.size:
        raise ArtmirrorError("this is no picture that can be read: send a JPEG, PNG or WebP")
    height, width = _HEAD.unpack_from(done.stdout)
    pixels = np.frombuffer(done.stdout, np.uint8, offset=_HEAD.size)
    if not 0 < max(height, width) <= _SIDE or pixels.size != height * width * 3:
        raise ArtmirrorError("this is no picture that can be read: send a JPEG, PNG or WebP")
    return pixels.reshape(height, width, 3)


def add_painting(opened: "Opened", body: bytes) -> str:
    """Make a scene of a picture and show it; returns its key.

    Raises:
        ArtmirrorError: it is no picture, there are too many, or the show has no network for any painting.
    """
    from artmirror.runtime.show.scenes import scene_of_picture

    stage = opened.director.stage
    with _adding:
        number = 1 + sum(scene.key.startswith("visitor-") for scene in stage.scenes)
        if number > _MOST:
            raise ArtmirrorError(f"there are {_MOST} such paintings already: restart the show to begin anew")
        scene = scene_of_picture(
            decoded(body),
            f"visitor-{number}",
            "A visitor's painting",
            stage.programme,
            opened.settings.playlist.every,
        )
        stage.add(scene)
    opened.director.show_key(scene.key)
    return scene.key


def _main() -> None:
    import resource

    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (_TIME_S, _TIME_S))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    import cv2

    from artmirror.runtime.common.pictures import decode_picture

    cv2.setNumThreads(1)
    picture = decode_picture(np.frombuffer(sys.stdin.buffer.read(), np.uint8), "the picture", _MOST_PIXELS)
    scale = min(1.0, _SIDE / max(picture.shape[:2]))
    if scale < 1:
        size = max(1, round(picture.shape[1] * scale)), max(1, round(picture.shape[0] * scale))
        picture = np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)
    sys.stdout.buffer.write(_HEAD.pack(*picture.shape[:2]) + picture.tobytes())


if __name__ == "__main__":
    try:
        _main()
    except Exception:  # whoever asked says that it is no picture
        sys.exit(1)
