"""Reads the datasets that `st-data prepare` writes: clips as WebDataset shards, and `dataset.json` beside them."""

import hashlib
import re
import tarfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from artmirror.runtime.common.cache import cache_folder, write_cache
from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.runtime.common.files import file_sha256
from artmirror.runtime.common.plain_data import Sha256, Whole, fitted, plain_name, read_json, version_of

FORMAT_VERSION = 1
_FLOW_NAME = re.compile(r"(\d{2,6})-(\d{2,6})\.flow\.png")
_AGAIN = "take it from a backup or run st-data prepare again"


@dataclass(frozen=True, slots=True)
class _Shard:
    file: str
    sha256: Sha256
    chunks: Whole


@dataclass(frozen=True, slots=True)
class _Dataset:
    """What is read of `dataset.json`."""

    format_version: int
    shards: tuple[_Shard, ...]


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
        values = read_json(path)
        version = version_of(values)
        if version not in (None, FORMAT_VERSION):
            raise ArtmirrorError(f"{path} has format version {version}; this artmirror reads version {FORMAT_VERSION}")
        dataset = fitted(values, _Dataset)
        names = [plain_name(shard.file) for shard in dataset.shards]
        if len(set(names)) < len(names):
            raise ValueError("it names a shard twice")
    except (OSError, ValueError) as error:
        raise ArtmirrorError(f"{path} is damaged ({error}); {_AGAIN}") from None
    chunks = []
    for shard in dataset.shards:
        file = folder / shard.file
        _check_shard(file, shard.sha256)
        found = _chunks_of(file)
        if len(found) != shard.chunks:
            raise ArtmirrorError(
                f"{file} holds {len(found)} chunks; wanted {shard.chunks}, as {path.name} says; {_AGAIN}"
            )
        chunks += found
    return chunks


def _check_shard(shard: Path, sha256: str) -> None:
    """See that a shard is what was written, and lies in its folder.

    Once it was read for that, a note in the user's cache folder says so for as long as its size and time of change are
    the same. 1 GB takes about a second.
    """
    try:
        if shard.resolve().parent != shard.parent.resolve():
            raise ArtmirrorError(f"{shard} is a link that leads out of its folder; put the file itself there")
        if not shard.is_file():
            raise ArtmirrorError(f"cannot read {shard}: No such file; {_AGAIN}")
        told = shard.stat()
        known = f"{shard.resolve()}\n{told.st_ino}\n{told.st_size}\n{told.st_mtime_ns}\n{sha256}"
        note = cache_folder() / "shards" / hashlib.sha256(known.encode(errors="surrogateescape")).hexdigest()
        if note.is_file():
            return
        if file_sha256(shard) != sha256:
            raise ArtmirrorError(f"{shard} is damaged: its checksum is not the one in dataset.json; {_AGAIN}")
    except OSError as error:
        raise ArtmirrorError(f"cannot read {shard}: {error.strerror}; {_AGAIN}") from None
    write_cache(note, b"")


def _chunks_of(shard: Path) -> list[Chunk]:
    members: dict[str, dict[str, Span]] = {}
    try:
        with tarfile.open(shard, "r:") as archive:
            for member in archive:
                if member.isfile():
                    key, _, name = member.name.partition(".")
                    members.setdefault(key, {})[name] = (member.offset_data, member.size)
        size = shard.stat().st_size
    except (tarfile.TarError, ValueError, OverflowError) as error:
        raise ArtmirrorError(f"{shard} is damaged ({error}); {_AGAIN}") from None
    except OSError as error:
        raise ArtmirrorError(f"cannot read {shard}: {error.strerror}; {_AGAIN}") from None
    chunks = []
    for key, spans in members.items():
        frames = sorted(name for name in spans if name.endswith(".jpg"))
        numbered = frames == [f"{number:02}.jpg" for number in range(len(frames))]
        whole = all(0 <= offset <= offset + length <= size for offset, length in spans.values())
        if not numbered or not whole:
            raise ArtmirrorError(f"{shard} is damaged at {key}; {_AGAIN}")
        flows = {}
        for name, span in spans.items():
            pair = _FLOW_NAME.fullmatch(name)
            if pair:
                flows[int(pair[1]), int(pair[2])] = span
        chunks.append(Chunk(shard, key, tuple(spans[name] for name in frames), flows))
    return chunks
