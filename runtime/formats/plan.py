"""A plan with its manifest in front of it, in one file.

A plan by itself does not say which painting, size, library or GPU it is for, and a plan copied without a sidecar would
be unusable; so the manifest stands in front: `MAGIC`, its length as a little-endian uint32, its JSON, the engine.
The engine is the library's own bytes: cut the head off, and trtexec opens them.
"""

import hashlib
import struct
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Annotated

from msgspec import Meta

from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.runtime.common.files import write_whole
from artmirror.runtime.common.plain_data import fitted, read_up_to
from artmirror.runtime.formats.manifest import LONGEST_MANIFEST, Manifest, Side, damaged_manifest, parsed_manifest

MAGIC = b"ARTMIRROR PLAN\n"
_LENGTH = struct.Struct("<I")
LARGEST_PLAN_BYTES = 1_000_000_000

PlanLibrary = Annotated[str, Meta(pattern="^tensorrt(_rtx)?$")]


@dataclass(frozen=True, slots=True)
class PlanInfo:
    """What a plan says of itself beside its network's manifest."""

    library: PlanLibrary  # that built it and has to run it
    library_version: str
    targets: list[str] = field(default_factory=list)  # "sm86" and the like, or one GPU's name
    min_size: tuple[Side, Side] | None = None  # [H, W] in pixels; all three, or the manifest has one height and width
    opt_size: tuple[Side, Side] | None = None
    max_size: tuple[Side, Side] | None = None
    version_compatible: bool = False  # opens in later versions of its library too
    hardware_compatible: bool = False  # opens on GPUs newer than the one it was built for
    onnx_sha256: str | None = None  # of the whole ONNX file that it was built from
    plan_sha256: str | None = None  # of the engine's bytes, so that damage is noticed


@dataclass(frozen=True, slots=True)
class SizeRange:
    """Frame sizes of a plan as (H, W) in pixels; all three equal for one size."""

    smallest: tuple[int, int]
    best: tuple[int, int]  # the size that it is optimised for
    largest: tuple[int, int]

    @property
    def is_ordered(self) -> bool:
        """Whether no side of a smaller size exceeds that of a larger."""
        return self.best in self

    @property
    def is_one(self) -> bool:
        """Whether there is one size."""
        return self.smallest == self.largest

    def as_tuple(self) -> tuple[tuple[int, int], tuple[int, int], tuple[int, int]]:
        """Smallest, best, largest."""
        return self.smallest, self.best, self.largest

    def __contains__(self, size: tuple[int, int]) -> bool:
        return all(low <= side <= high for low, side, high in zip(self.smallest, size, self.largest, strict=True))

    def __str__(self) -> str:
        low, best, high = (f"{width}x{height}" for height, width in self.as_tuple())
        return best if low == high else f"{low} to {high}, best at {best}"


def sizes_taken(manifest: Manifest, info: PlanInfo | None) -> SizeRange | None:
    """The frames that a file takes, or None where it takes any from `pixels.SMALLEST_SIDE` up; no plan does.

    Args:
        info: What is the plan's own, or None for other kinds of file.
    """
    if manifest.height and manifest.width:
        size = (manifest.height, manifest.width)
        return SizeRange(size, size, size)
    if info is None or not (info.min_size and info.opt_size and info.max_size):
        return None
    return SizeRange(info.min_size, info.opt_size, info.max_size)


def write_plan(path: Path, manifest: Manifest, info: PlanInfo, engine: bytes | memoryview) -> PlanInfo:
    """Write a plan to a temporary name and rename it.

    Args:
        manifest: Of its network, with `height` and `width` where it is for one size.
        info: Its `plan_sha256` is filled in here.
        engine: What the builder serialised.

    Returns:
        `info` as written.

    Raises:
        ArtmirrorError: the folder does not exist or cannot be written.
    """
    info = replace(info, plan_sha256=hashlib.sha256(engine).hexdigest())
    text = manifest.to_json(asdict(info)).encode()
    try:
        write_whole(path, MAGIC + _LENGTH.pack(len(text)) + text, memoryview(engine), durable=True)
    except OSError as error:
        raise ArtmirrorError(f"cannot write {path}: {error.strerror}; name another place with -o") from None
    return info


def read_plan(path: Path) -> tuple[Manifest, PlanInfo, memoryview]:
    """Read a whole plan and check it against its checksum.

    Returns:
        Its network's manifest, what is its own, and the bytes to deserialise as an engine.

    Raises:
        ArtmirrorError: the file is missing, no plan of st-export, cut off or damaged.
    """
    try:
        data = memoryview(read_up_to(path, LARGEST_PLAN_BYTES))
    except OSError as error:
        raise _unreadable(path, error) from None
    except ValueError as error:
        raise ArtmirrorError(f"{path} is no plan of st-export: {error}") from None
    text, start = _head(path, data)
    manifest, info = _parse(path, text)
    engine = data[start:]
    if hashlib.sha256(engine).hexdigest() != info.plan_sha256:
        raise ArtmirrorError(
            f"{path} is cut off or damaged: its engine ({len(engine)} bytes) does not match the checksum in its "
            "manifest; build it again with st-export, or copy it again"
        )
    return manifest, info, engine


def read_plan_manifest(path: Path) -> tuple[Manifest, PlanInfo]:
    """Read what a plan says of itself without reading the engine, which is not checked.

    Raises:
        ArtmirrorError: the file is missing, no plan of st-export, or its manifest is cut off or damaged.
    """
    try:
        with path.open("rb") as file:
            data = memoryview(file.read(len(MAGIC) + _LENGTH.size + LONGEST_MANIFEST))
    except OSError as error:
        raise _unreadable(path, error) from None
    return _parse(path, _head(path, data)[0])


def _head(path: Path, data: memoryview) -> tuple[bytes, int]:
    """The manifest's JSON, and where the engine starts."""
    first = bytes(data[: len(MAGIC)])
    if not first or first != MAGIC[: len(first)]:
        raise ArtmirrorError(
            f"{path} is no plan with artmirror's manifest; wanted a file written by st-export: "
            "build it with st-export CHECKPOINT.pt"
        )
    start = len(MAGIC) + _LENGTH.size
    length = _LENGTH.unpack_from(data, len(MAGIC))[0] if len(data) >= start else 0
    if not 0 < length <= min(LONGEST_MANIFEST, len(data) - start):
        raise ArtmirrorError(
            f"{path} is cut off or damaged in its manifest; build it again with st-export, or copy it again"
        )
    return bytes(data[start : start + length]), start + length


def _parse(path: Path, text: bytes) -> tuple[Manifest, PlanInfo]:
    values = parsed_manifest(text, str(path))
    manifest = Manifest.from_values(values, str(path))
    try:
        info = fitted(values, PlanInfo)
    except ValueError as error:
        raise damaged_manifest(str(path), error) from None
    sizes = sizes_taken(manifest, info)
    if sizes is None or not info.library_version:
        raise ArtmirrorError(
            f"{path} has a manifest without its TensorRT library, version or sizes; build it again with st-export"
        )
    return manifest, info


def _unreadable(path: Path, error: OSError) -> ArtmirrorError:
    return ArtmirrorError(f"cannot read {path}: {error.strerror}; name a plan written by st-export")
