"""Pictures that were painted before, one for each frame of a film, as `st-paint` makes them."""

from pathlib import Path

import numpy as np

from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.runtime.common.pictures import picture_paths, read_picture
from artmirror.runtime.engines.base import EngineInfo, Look
from artmirror.runtime.formats.kind import FRAMES_MANIFEST, EngineKind
from artmirror.runtime.formats.manifest import Manifest
from artmirror.runtime.frame import FrameSlot


class FramesEngine:
    """Gives the next picture of a folder for each frame. See `engines.base.Engine`."""

    max_in_flight = 1

    def __init__(self, folder: Path, size: tuple[int, int]) -> None:
        """`size` is (H, W) of the frames.

        Raises:
            ArtmirrorError: the folder holds no pictures.
        """
        self.manifest = FRAMES_MANIFEST
        self.has_strength = False
        self._folder, self._size = folder, size
        self._paths = picture_paths(folder)
        self._next = 0

    def allocate(self, count: int) -> list[FrameSlot]:
        return [
            FrameSlot(np.zeros((*self._size, 3), np.uint8), np.zeros((*self._size, 3), np.uint8)) for _ in range(count)
        ]

    def follow(self, slot: FrameSlot, look: Look) -> bool:
        return False  # nothing is remembered

    def submit(self, slot: FrameSlot, look: Look) -> None:
        pass

    def wait(self, slot: FrameSlot) -> None:
        if self._next >= len(self._paths):
            raise ArtmirrorError(
                f"{self._folder} holds {len(self._paths)} pictures, and the film has more frames; "
                "it is of another film, or st-paint did not end"
            )
        path = self._paths[self._next]
        picture = read_picture(path)
        if picture.shape[:2] != self._size:
            height, width = picture.shape[:2]
            raise ArtmirrorError(f"{path} is {width}x{height}; use --size {width}x{height}")
        np.copyto(slot.stylized, picture)
        self._next += 1

    def reset(self) -> None:
        self._next = 0

    def describe(self) -> EngineInfo:
        return EngineInfo("frames", "painted before", "CPU", "fp32", self._size, "no network")

    def close(self) -> None:
        pass


def open_file(path: Path, manifest: Manifest, *, size: tuple[int, int], **_: object) -> FramesEngine:
    """As the other back ends. See `engines.open_engine`."""
    return FramesEngine(Path(str(path).removeprefix(EngineKind.FRAMES.value[0])), size)
