"""A plan with its manifest in front of it, in one file.

A plan by itself does not say which painting, size, library or GPU it is for, and a plan copied without a sidecar would
be unusable; so the manifest stands in front: `MAGIC`, its length as a little-endian uint32, its JSON, the engine.
The engine is the library's own bytes: cut the head off, and trtexec opens them.
"""

import hashlib
import json
import struct
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path

from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.runtime.common.files import write_whole
from artmirror.runtime.formats.manifest import Manifest

MAGIC = b"ARTMIRROR PLAN\n"
_LENGTH = struct.Struct("<I")
_LONGEST_MANIFEST = 1 << 20  # bytes; a longer one is a damaged length
_LIBRARIES = ("tensorrt", "tensorrt_rtx")


@dataclass(frozen=True, slots=True)
class PlanInfo:
    """What a plan says of itself beside its network's manifest."""

    library: str  # that built it and has to run it: tensorrt or tensorrt_rtx
    library_version: str
    targets: list[str] = field(default_factory=list)  # "sm86" and the like, or one GPU's name
    min_size: list[int] | None = None  # [H, W] in pixels; all three, or the manifest has one height and width
    opt_size: list[int] | None = None
    max_size: list[int] | None = None
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
    if info is None:
        return None
    return SizeRange(*((size[0], size[1]) for size in (info.min_size, info.opt_size, info.max_size) if size))


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
        data = memoryview(path.read_bytes())
    except OSError as error:
        raise _unreadable(path, error) from None
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
            data = memoryview(file.read(len(MAGIC) + _LENGTH.size + _LONGEST_MANIFEST))
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
    if not 0 < length <= min(_LONGEST_MANIFEST, len(data) - start):
        raise ArtmirrorError(
            f"{path} is cut off or damaged in its manifest; build it again with st-export, or copy it again"
        )
    return bytes(data[start : start + length]), start + length


def _parse(path: Path, text: bytes) -> tuple[Manifest, PlanInfo]:
    manifest = Manifest.from_json(text.decode(errors="replace"), str(path))
    values = json.loads(text)
    sizes = [values.get(name) for name in ("min_size", "opt_size", "max_size")]
    has_size = (manifest.height and manifest.width) or all(size and len(size) == 2 for size in sizes)
    if values.get("library") not in _LIBRARIES or not values.get("library_version") or not has_size:
        raise ArtmirrorError(
            f"{path} has a manifest without its TensorRT library, version or sizes; build it again with st-export"
        )
    known = {entry.name for entry in fields(PlanInfo)}
    return manifest, PlanInfo(**{key: value for key, value in values.items() if key in known})


def _unreadable(path: Path, error: OSError) -> ArtmirrorError:
    return ArtmirrorError(f"cannot read {path}: {error.strerror}; name a plan written by st-export")
