"""The video files that a dataset is made of, and by what they are known again."""

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.runtime.common.suffixes import VIDEO_SUFFIXES

_EDGE_BYTES = 1 << 20  # of a file's beginning and end


@dataclass(frozen=True, slots=True)
class ClipFile:
    """A video file."""

    path: Path
    name: str  # below the folder that all files share
    bytes: int
    digest: str


def find_videos(clips: Sequence[Path]) -> list[ClipFile]:
    """List the files, each once, sorted by their names below the folder that they share.

    Raises:
        ArtmirrorError: something does not exist, or there is no video in the folders.
    """
    paths: set[Path] = set()
    for clip in clips:
        if clip.is_dir():
            paths |= {
                path.resolve()
                for path in clip.rglob("*")
                # Hidden ones are no videos: macOS lays "._clip.mp4" beside "clip.mp4" on foreign disks.
                if path.suffix.lower() in VIDEO_SUFFIXES and not path.name.startswith(".") and path.is_file()
            }
        elif clip.is_file():
            paths.add(clip.resolve())
        else:
            raise ArtmirrorError(f"{clip} does not exist; name video files, or folders of them")
    if not paths:
        raise ArtmirrorError(f"no video in {', '.join(map(str, clips))}; wanted {' '.join(sorted(VIDEO_SUFFIXES))}")
    shared = Path(os.path.commonpath([path.parent for path in paths]))
    named = sorted((path.relative_to(shared).as_posix(), path) for path in paths)
    return [ClipFile(path, name, path.stat().st_size, _digest(path)) for name, path in named]


def _digest(path: Path) -> str:
    """A checksum of the size, the beginning and the end: films are too long to be read whole only to be recognised."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            content = hashlib.sha256(str(size).encode())
            for at in (0, max(0, size - _EDGE_BYTES)):
                file.seek(at)
                content.update(file.read(_EDGE_BYTES))
    except OSError as error:
        raise ArtmirrorError(f"cannot read {path}: {error.strerror}; check its permissions") from None
    return content.hexdigest()
