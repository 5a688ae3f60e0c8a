"""Frames to measure temporal error on: videos, folders of frames, and such with ground-truth flow.

A sequence is read frame by frame, as often as wanted; nothing is kept.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from artmirror.benchmarks.temporal.ground_truth import TruthFiles, find_scenes
from artmirror.benchmarks.temporal.metric import Flow, Mask
from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.runtime.common.fit import check_native_size, place
from artmirror.runtime.common.pictures import natural_order, picture_paths, read_picture
from artmirror.runtime.common.pixels import Pixels
from artmirror.runtime.common.suffixes import PICTURE_SUFFIXES, VIDEO_SUFFIXES
from artmirror.runtime.frame import FrameSlot
from artmirror.runtime.sources.open import open_source


@dataclass(frozen=True, slots=True)
class Truth:
    """Given motion from one frame to the next."""

    flow: Flow
    visible: Mask
    occlusions: bool  # whether `visible` knows what is covered in the next frame


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame, in memory of its own."""

    pixels: Pixels  # (H, W, 3) uint8 BGR
    truth: Truth | None = None  # to the next frame


class FrameSequence(Protocol):
    """Frames of one shot and one size.

    Attributes:
        name: Without folders.
        size: (H, W)
        frame_count: How many `frames` will give, or None where that is not known before.
        unrelated: Whether the pictures have nothing to do with each other, so that no two make a pair.
    """

    name: str
    size: tuple[int, int]
    frame_count: int | None
    unrelated: bool

    def frames(self) -> Iterator[Frame]:
        """Read from the first frame on.

        Raises:
            ArtmirrorError: a frame or its flow cannot be read, or has another size.
        """
        ...


class VideoSequence:
    """A video file."""

    unrelated = False

    def __init__(self, path: Path, size: tuple[int, int] | None, max_frames: int | None) -> None:
        """Open the file for a moment; `size` is (H, W) to scale and crop to, or None for the video's own.

        Raises:
            ArtmirrorError: it is no video that can be read.
        """
        self._path = path
        self._max_frames = max_frames
        self.name = path.name
        with closing(open_source(str(path), size=size, max_frames=max_frames)) as source:
            self.size = source.size
            self.frame_count = source.frame_count

    def frames(self) -> Iterator[Frame]:
        """Decode the video."""
        with closing(open_source(str(self._path), size=self.size, max_frames=self._max_frames)) as source:
            while True:
                pixels = np.empty((*self.size, 3), np.uint8)
                if not source.read(FrameSlot(pixels, pixels)):
                    return
                yield Frame(pixels)


class PictureSequence:
    """Picture files in their order, with ground truth where it is known."""

    def __init__(
        self,
        name: str,
        paths: Sequence[Path],
        size: tuple[int, int] | None = None,
        truths: Mapping[Path, TruthFiles] | None = None,
        *,
        unrelated: bool = False,
    ) -> None:
        """Read the first picture for its size.

        Args:
            size: (H, W) to scale and crop to; None takes the first picture's, and all have to have it.
            truths: By the earlier frame's path; only without a size, since ground truth holds at its own.

        Raises:
            ArtmirrorError: the first picture cannot be read or is smaller than 64 pixels.
        """
        self.name = name
        self.unrelated = unrelated
        self._paths = list(paths)
        self._truths = dict(truths or {})
        self._scaled = size is not None
        height, width = read_picture(self._paths[0]).shape[:2]
        self.size = size or check_native_size(str(self._paths[0]), (height, width))
        self.frame_count: int | None = len(self._paths)

    def frames(self) -> Iterator[Frame]:
        """Load the pictures."""
        for path in self._paths:
            picture = read_picture(path)
            if picture.shape[:2] != self.size and not self._scaled:
                raise ArtmirrorError(
                    f"{path} is {picture.shape[1]}x{picture.shape[0]}, the frames before it are "
                    f"{self.size[1]}x{self.size[0]}; a sequence has one size: bring them to one with --size"
                )
            pixels = np.empty((*self.size, 3), np.uint8)
            place(picture, False, pixels)
            files = self._truths.get(path)
            yield Frame(pixels, None if files is None else _read_truth(files, self.size))


def _read_truth(files: TruthFiles, size: tuple[int, int]) -> Truth:
    flow, visible = files.read()
    if flow.shape[:2] != size:
        raise ArtmirrorError(
            f"{files.flow} is for {flow.shape[1]}x{flow.shape[0]}, its frame is {size[1]}x{size[0]}; "
            "ground truth is wanted at the frames' own size"
        )
    return Truth(flow, visible, files.occlusions)


def open_sequences(name: str, size: tuple[int, int] | None, max_frames: int | None) -> list[FrameSequence]:
    """Find what `name` stands for.

    Args:
        name: A video; a folder of frames, of videos or of such folders; a folder with ground truth as MPI-Sintel,
            Middlebury and KITTI have it, or with `frame_0001.flo` beside `frame_0001.png`; a pattern of any of these.
        size: (H, W) to scale and crop to where there is no ground truth; None keeps each sequence's own.
        max_frames: Take so many frames of each at most.

    Raises:
        ArtmirrorError: it does not exist, or holds no sequence.
    """
    path = Path(name).expanduser()
    if path.exists():
        paths = [path]
    elif re.search(r"[*?\[]", path.name):
        paths = natural_order(list(path.parent.glob(path.name)))
    else:
        paths = []
    if not paths:
        raise ArtmirrorError(f"{name} does not exist; name a video, a folder of frames or a pattern with --sequence")
    found = [sequence for path in paths for sequence in _sequences_at(path, size, max_frames)]
    if not found:
        raise ArtmirrorError(f"{name} holds neither frames nor videos; name a folder that does with --sequence")
    return found


def open_photos(folder: Path, count: int, size: tuple[int, int]) -> PictureSequence:
    """Photos that have nothing to do with each other, spread evenly over a folder, scaled and cropped to `size`.

    Raises:
        ArtmirrorError: the folder holds no picture.
    """
    paths = picture_paths(folder)
    chosen = [paths[index * len(paths) // count] for index in range(count)] if len(paths) > count else paths
    return PictureSequence(folder.name, chosen, size, unrelated=True)


def _sequences_at(path: Path, size: tuple[int, int] | None, max_frames: int | None) -> list[FrameSequence]:
    if path.is_file():
        if path.suffix.lower() in PICTURE_SUFFIXES:
            raise ArtmirrorError(f"{path} is a single picture, which has no neighbour; name a folder of frames")
        return [VideoSequence(path, size, max_frames)]
    scenes = find_scenes(path)
    if scenes:
        return [PictureSequence(scene.name, scene.frames[:max_frames], truths=scene.truths) for scene in scenes]
    inside = natural_order([entry for entry in path.iterdir() if not entry.name.startswith(".")])
    if any(entry.suffix.lower() in PICTURE_SUFFIXES for entry in inside):
        return [PictureSequence(path.name, picture_paths(path)[:max_frames], size)]
    videos = [entry for entry in inside if entry.suffix.lower() in VIDEO_SUFFIXES]
    if videos:
        return [VideoSequence(video, size, max_frames) for video in videos]
    return [sequence for entry in inside if entry.is_dir() for sequence in _sequences_at(entry, size, max_frames)]
