"""The pictures of a run of `st-bench temporal`, kept in a folder for a report to show.

run.json                        which run it was
0003/01/00012.jpg               frame 12 of sequence 3 by painter 1; painter 0 is the input
0003/01/00012.instability.jpg   grey: how far that picture and its successor differ, see `metric.instability`
"""

import json
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from artmirror.benchmarks.records.temporal import TemporalSession
from artmirror.benchmarks.temporal.sequences import FrameSequence
from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.runtime.common.pictures import encode_picture
from artmirror.runtime.common.pixels import Pixels
from artmirror.runtime.common.plain_data import fitted, read_json

WHITE = 0.25  # the instability that is shown as white; more is white too
_QUALITY = 90
_RUN = "run.json"


class SequenceKeeper:
    """Keeps the pictures of one sequence."""

    def __init__(self, folder: Path) -> None:
        """Keep them in `folder`."""
        self._folder = folder

    def keep_frame(self, index: int, pictures: Sequence[Pixels], latencies_ns: Sequence[int]) -> None:
        """Keep what each painter made of a frame, (H, W, 3) uint8 BGR.

        Raises:
            ArtmirrorError: a file cannot be written.
        """
        for painter, picture in enumerate(pictures):
            _write(self._folder / f"{painter:02}" / f"{index:05}.jpg", picture)

    def keep_instability(self, index: int, maps: Sequence[NDArray[np.float32]]) -> None:
        """Keep how far each painter's frame and its successor differ, (H, W) in [0, 1].

        Raises:
            ArtmirrorError: a file cannot be written.
        """
        for painter, values in enumerate(maps):
            grey = np.minimum(values / WHITE, 1) * 255
            _write(self._folder / f"{painter:02}" / f"{index:05}.instability.jpg", grey.astype(np.uint8))


class Keeper:
    """Keeps the pictures of a run."""

    def __init__(self, folder: Path, time: str) -> None:
        """Begin a folder.

        Args:
            time: The session's, by which a record knows its pictures.

        Raises:
            ArtmirrorError: the folder holds something, or cannot be made.
        """
        self._folder = folder
        try:
            folder.mkdir(exist_ok=True)
            if any(folder.iterdir()):
                raise ArtmirrorError(f"{folder} is not empty; name a new folder with --keep-frames")
            (folder / _RUN).write_text(json.dumps({"time": time}))
        except OSError as error:
            raise ArtmirrorError(f"cannot write to {folder}: {error.strerror}; name another --keep-frames") from None

    def sequence(self, index: int, sequence: FrameSequence) -> SequenceKeeper:
        """Keep the sequence at this index."""
        return SequenceKeeper(self._folder / f"{index:04}")


class KeptFrames:
    """The pictures that a run kept."""

    def __init__(self, folder: Path, session: TemporalSession) -> None:
        """Open the folder of `session`.

        Raises:
            ArtmirrorError: it is not the folder that this session kept.
        """
        self._folder = folder
        try:
            time = fitted(read_json(folder / _RUN), dict[str, str])["time"]
        except (OSError, ValueError, KeyError):
            raise ArtmirrorError(f"{folder} holds no frames of st-bench temporal --keep-frames") from None
        if time != session.environment.time:
            raise ArtmirrorError(
                f"{folder} holds the frames of a run of {time}; the record is of {session.environment.time}"
            )

    def frame(self, sequence: int, painter: int, index: int) -> Pixels | None:
        """A frame, (H, W, 3) uint8 BGR; None where it is missing."""
        return _read(self._folder / f"{sequence:04}" / f"{painter:02}" / f"{index:05}.jpg", cv2.IMREAD_COLOR_BGR)

    def instability(self, sequence: int, painter: int, index: int) -> NDArray[np.uint8] | None:
        """The instability between a frame and its successor, (H, W) uint8, 255 for `WHITE`; None where missing."""
        path = self._folder / f"{sequence:04}" / f"{painter:02}" / f"{index:05}.instability.jpg"
        return _read(path, cv2.IMREAD_GRAYSCALE)


def _write(path: Path, picture: NDArray[np.uint8]) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encode_picture(picture, ".jpg", _QUALITY))
    except OSError as error:
        raise ArtmirrorError(f"cannot write {path}: {error.strerror}; name another --keep-frames") from None


def _read(path: Path, flags: int) -> NDArray[np.uint8] | None:
    try:
        data = np.frombuffer(path.read_bytes(), np.uint8)
    except OSError:
        return None
    return cv2.imdecode(data, flags) if data.size else None  # type: ignore[return-value]
