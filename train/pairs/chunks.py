"""Reads the datasets that `st-data prepare` writes: clips as WebDataset shards, and `dataset.json` beside them."""

import json
import tarfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from artmirror.runtime.common.errors import ArtmirrorError

FORMAT_VERSION = 1
_AGAIN = "take it from a backup or run st-data prepare again"

Span = tuple[int, int]  # where a member's bytes begin in its shard, and how many there are


@dataclass(frozen=True, slots=True)
class Chunk:
    """Consecutive frames of one shot, one sample of a shard; a dataset of hours is some ten thousand of these."""

    shard: Path
    key: str  # "shot000012-003"
    frames: tuple[Span, ...]  # JPEG
    flows: dict[tuple[int, int], Span]  # 16-bit PNG, by the numbers of the frames that they lead from and to

    @property
    def shot(self) -> str:
        """What all chunks of a shot have in common."""
        return self.key.rpartition("-")[0]

    def read(self, spans: Iterable[Span]) -> list[NDArray[np.uint8]]:
        """Read the bytes of members.

        The shard is opened anew each time: nothing stays open that processes would have to share.

        Raises:
            ArtmirrorError: the shard cannot be read.
        """
        found = []
        try:
            with self.shard.open("rb") as file:
                for offset, size in spans:
                    file.seek(offset)
                    found.append(np.frombuffer(file.read(size), np.uint8))
        except OSError as error:
            raise ArtmirrorError(f"cannot read {self.shard}: {error.strerror}; {_AGAIN}") from None
        return found


def read_chunks(folder: Path) -> list[Chunk]:
    """Find all chunks of a dataset, in the order of its shards.

    Raises:
        ArtmirrorError: the folder holds no dataset of this format version, or shards are missing or damaged.
    """
    path = folder / "dataset.json"
    if not path.is_file():
        raise ArtmirrorError(f"{folder} holds no dataset.json; name with --clips a folder that st-data prepare wrote")
    try:
        description = json.loads(path.read_text())
        version = description.get("format_version")
        shards = [(folder / shard["file"], shard["chunks"]) for shard in description.get("shards", [])]
    except (OSError, ValueError, AttributeError, KeyError, TypeError) as error:
        raise ArtmirrorError(f"{path} is damaged ({type(error).__name__}: {error}); {_AGAIN}") from None
    if version != FORMAT_VERSION:
        raise ArtmirrorError(f"{path} has format version {version}; this artmirror reads version {FORMAT_VERSION}")
    chunks = []
    for shard, wanted in shards:
        found = _chunks_of(shard)
        if len(found) != wanted:
            raise ArtmirrorError(f"{shard} holds {len(found)} chunks; wanted {wanted}, as {path.name} says; {_AGAIN}")
        chunks += found
    return chunks


def _chunks_of(shard: Path) -> list[Chunk]:
    members: dict[str, dict[str, Span]] = {}
    try:
        with tarfile.open(shard, "r:") as archive:
            for member in archive:
                if member.isfile():
                    key, _, name = member.name.partition(".")
                    members.setdefault(key, {})[name] = (member.offset_data, member.size)
        size = shard.stat().st_size
    except tarfile.TarError as error:
        raise ArtmirrorError(f"{shard} is damaged ({error}); {_AGAIN}") from None
    except OSError as error:
        raise ArtmirrorError(f"cannot read {shard}: {error.strerror}; {_AGAIN}") from None
    chunks = []
    for key, spans in members.items():
        frames = sorted(name for name in spans if name.endswith(".jpg"))
        numbered = frames == [f"{number:02}.jpg" for number in range(len(frames))]
        whole = all(offset + length <= size for offset, length in spans.values())
        if not numbered or not whole:
            raise ArtmirrorError(f"{shard} is damaged at {key}; {_AGAIN}")
        flows = {}
        for name, span in spans.items():
            if name.endswith(".flow.png"):
                first, _, second = name.removesuffix(".flow.png").partition("-")
                flows[int(first), int(second)] = span
        chunks.append(Chunk(shard, key, tuple(spans[name] for name in frames), flows))
    return chunks
