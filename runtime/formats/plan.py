"""A plan with its manifest in front of it, in one file.

A plan by itself does not say which painting, size, library or GPU it is for, and a plan copied without a sidecar would
be unusable; so the manifest stands in front: `MAGIC`, its length as a little-endian uint32, its JSON, the engine.
The engine is the library's own bytes: cut the head off, and trtexec opens them.
"""

import dataclasses
import hashlib
import struct
from pathlib import Path

from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.runtime.common.files import write_whole
from artmirror.runtime.formats.manifest import Manifest

MAGIC = b"ARTMIRROR PLAN\n"
_LENGTH = struct.Struct("<I")
_LONGEST_MANIFEST = 1 << 20  # bytes; a longer one is a damaged length
_LIBRARIES = ("tensorrt", "tensorrt_rtx")


def write_plan(path: Path, manifest: Manifest, engine: bytes | memoryview) -> Manifest:
    """Write a plan to a temporary name and rename it.

    Args:
        manifest: Of the plan; its `plan_sha256` is filled in here.
        engine: What the builder serialised.

    Returns:
        The manifest as written.

    Raises:
        ArtmirrorError: the folder does not exist or cannot be written.
    """
    manifest = dataclasses.replace(manifest, plan_sha256=hashlib.sha256(engine).hexdigest())
    text = manifest.to_json().encode()
    try:
        write_whole(path, MAGIC + _LENGTH.pack(len(text)) + text, memoryview(engine), durable=True)
    except OSError as error:
        raise ArtmirrorError(f"cannot write {path}: {error.strerror}; name another place with -o") from None
    return manifest


def read_plan(path: Path) -> tuple[Manifest, memoryview]:
    """Read a whole plan and check it against its checksum.

    Returns:
        The manifest, and the bytes to deserialise as an engine.

    Raises:
        ArtmirrorError: the file is missing, no plan of st-export, cut off or damaged.
    """
    try:
        data = memoryview(path.read_bytes())
    except OSError as error:
        raise _unreadable(path, error) from None
    text, start = _head(path, data)
    manifest = _plan_manifest(path, text)
    engine = data[start:]
    if hashlib.sha256(engine).hexdigest() != manifest.plan_sha256:
        raise ArtmirrorError(
            f"{path} is cut off or damaged: its engine ({len(engine)} bytes) does not match the checksum in its "
            "manifest; build it again with st-export, or copy it again"
        )
    return manifest, engine


def read_plan_manifest(path: Path) -> Manifest:
    """Read what a plan says of itself without reading the engine, which is not checked.

    Raises:
        ArtmirrorError: the file is missing, no plan of st-export, or its manifest is cut off or damaged.
    """
    try:
        with path.open("rb") as file:
            data = memoryview(file.read(len(MAGIC) + _LENGTH.size + _LONGEST_MANIFEST))
    except OSError as error:
        raise _unreadable(path, error) from None
    return _plan_manifest(path, _head(path, data)[0])


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


def _plan_manifest(path: Path, text: bytes) -> Manifest:
    manifest = Manifest.from_json(text.decode(errors="replace"), str(path))
    sizes = (manifest.min_size, manifest.opt_size, manifest.max_size)
    has_size = (manifest.height and manifest.width) or all(size and len(size) == 2 for size in sizes)
    if manifest.library not in _LIBRARIES or not manifest.library_version or not has_size:
        raise ArtmirrorError(
            f"{path} has a manifest without its TensorRT library, version or sizes; build it again with st-export"
        )
    return manifest


def _unreadable(path: Path, error: OSError) -> ArtmirrorError:
    return ArtmirrorError(f"cannot read {path}: {error.strerror}; name a plan written by st-export")
