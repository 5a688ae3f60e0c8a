"""Chunks of frames as WebDataset shards, in an order and with bytes that depend on nothing but the input.

A shard is written under a temporary name and renamed, then a note with its checksum is left: what a killed run leaves
behind is either a whole shard or one that the next run writes again.
"""

import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from webdataset import ShardWriter

from artmirror.runtime.common.files import cannot_write, file_sha256, part_path, remove_stale_parts, write_whole
from artmirror.runtime.common.flow import dense_flow, encode_flow_png, open_flow, trusted
from artmirror.runtime.common.pictures import encode_picture
from artmirror.runtime.common.pixels import Pixels
from artmirror.runtime.common.plain_data import fitted, read_json

FORMAT_VERSION = 1
JPEG_QUALITY = 95
SHARD_NAME = "shard-%06d.tar"
_SHARDS_WANTED = 32  # so that several machines with several workers each find some of their own
_LEAST_CHUNKS = 4  # in a shard of a small dataset
_KITTI_MAX_PX = 511.0

Sample = dict[str, Any]  # "__key__" and the members by suffix: bytes, or what webdataset encodes as JSON


@dataclass(frozen=True, slots=True)
class StoredFlow:
    """Flow to compute once and store."""

    estimator: str = "dis"  # a name for `open_flow`
    gaps: tuple[int, ...] = (1,)  # frames between the two of a pair


@dataclass(frozen=True, slots=True)
class ShardRecord:
    """A finished shard."""

    file: str
    sha256: str
    chunks: int
    bytes: int


def encoded_chunk(key: str, frames: Sequence[Pixels], about: dict[str, Any], flow: StoredFlow | None) -> Sample:
    """Encode consecutive frames, (H, W, 3) uint8 BGR each, as one sample: JPEGs, `about` as JSON, and flow if wanted.

    The flow from frame 0 to 1 is `00-01.flow.png`: KITTI's 16-bit PNG, its third channel 1 where it can be trusted.
    """
    sample: Sample = {"__key__": key, "json": about}
    for index, frame in enumerate(frames):
        sample[f"{index:02d}.jpg"] = bytes(encode_picture(frame, ".jpg", JPEG_QUALITY))
    if flow is not None:
        estimator = open_flow(flow.estimator)
        rgb = [np.ascontiguousarray(frame[..., ::-1]) for frame in frames]
        for gap in flow.gaps:
            for first in range(len(frames) - gap):
                forward, backward = dense_flow(rgb[first], rgb[first + gap], estimator)
                valid = trusted(forward, backward) & (np.abs(forward) <= _KITTI_MAX_PX).all(axis=-1)
                sample[f"{first:02d}-{first + gap:02d}.flow.png"] = encode_flow_png(forward, valid)
    return sample


def chunks_per_shard(chunks: int) -> int:
    """How many chunks a shard holds at most: fewer in a small dataset, so that there are shards for many workers."""
    return max(_LEAST_CHUNKS, -(-chunks // _SHARDS_WANTED))


class ShardFolder:
    """The shards of one dataset, and the notes about those that are finished."""

    def __init__(self, folder: Path, notes: Path) -> None:
        """Read the notes of an earlier run; shards that are not as noted are written again.

        Raises:
            ArtmirrorError: the folder cannot be made.
        """
        self._folder, self._notes = folder, notes
        try:
            folder.mkdir(parents=True, exist_ok=True)
            notes.mkdir(parents=True, exist_ok=True)
            for part in folder.glob(".shard-*.part"):
                remove_stale_parts(folder / part.name.split(".part")[0].removeprefix(".").rpartition(".")[0])
        except OSError as error:
            raise cannot_write(folder, error) from None
        self.finished: list[ShardRecord] = []
        while (record := self._noted(len(self.finished))) is not None:
            self.finished.append(record)

    @property
    def chunks(self) -> int:
        """How many chunks are done."""
        return sum(record.chunks for record in self.finished)

    def write(self, samples: Iterator[Sample], total: int, shard_bytes: int, observe: Callable[[int], None]) -> None:
        """Write the samples after those that are done already.

        Args:
            samples: Those from number `self.chunks` on.
            total: Number of all samples, the finished ones included.
            shard_bytes: A shard ends with the sample that makes it this large.
            observe: Told the number of samples that are in shards.

        Raises:
            ArtmirrorError: the disk is full, or the folder cannot be written.
        """
        if self.chunks >= total:
            return
        opened: list[IO[bytes]] = []
        before = self.chunks

        def opener(name: str) -> IO[bytes]:
            opened.append(self._part(name).open("wb"))
            return opened[-1]

        def post(name: str) -> None:
            file = opened.pop()
            file.flush()
            os.fsync(file.fileno())
            file.close()
            part = self._part(name)
            record = ShardRecord(name, file_sha256(part), writer.count, part.stat().st_size)
            part.replace(self._folder / name)
            write_whole(self._note(len(self.finished)), json.dumps(asdict(record)).encode(), durable=True)
            self.finished.append(record)

        try:
            writer = ShardWriter(
                SHARD_NAME,
                maxcount=chunks_per_shard(total),
                maxsize=shard_bytes,
                post=post,
                start_shard=len(self.finished),
                verbose=0,
                opener=opener,
                user="",
                group="",
                mode=0o644,
                mtime=0,
            )
            try:
                for sample in samples:
                    writer.write(sample)
                    observe(before + writer.total)
                writer.close()
            except BaseException:
                writer.post = None  # or half a shard would pass for a finished one
                with suppress(OSError):
                    writer.close()
                raise
        except OSError as error:
            raise cannot_write(self._folder, error) from None
        finally:
            for file in opened:
                with suppress(OSError):  # of a full disk, which was told already
                    file.close()
                Path(file.name).unlink(missing_ok=True)

    def _noted(self, number: int) -> ShardRecord | None:
        try:
            record = fitted(read_json(self._note(number)), ShardRecord)
            if record.file != SHARD_NAME % number:
                return None
            path = self._folder / record.file
            return record if path.stat().st_size == record.bytes and file_sha256(path) == record.sha256 else None
        except (OSError, ValueError):
            return None

    def _note(self, number: int) -> Path:
        return self._notes / f"shard-{number:06d}.json"

    def _part(self, name: str) -> Path:
        return part_path(self._folder / name)  # another process has another one: a checksum is of our own bytes
