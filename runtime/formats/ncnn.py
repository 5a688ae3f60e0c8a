"""The two files of ncnn, NAME.ncnn.param and NAME.ncnn.bin, with the manifest at the end of the second.

The graph is a text in which a comment has no place, and a third file beside them would be lost in copying; but ncnn
reads of the weights just what its layers ask for. So behind the weights stand the manifest's JSON, its length as a
little-endian uint32, and `MAGIC`. Any program with ncnn in it opens the two files as they are: blob `IN` takes
(3, H, W) float32 RGB in [0, 1] with the grain added, and blob `OUT` gives the painted picture in the same form. Blob
`STYLE`, where the network is for many paintings, takes the style. Where the network has a memory, two more blobs, of
`memory_blobs`, take its earlier picture, and how far that is to be trusted, both in the form of the frame. Blob
`GRAIN`, where the network has one, is the tile of grain (1, side, side) that is repeated over the frame.
"""

import hashlib
import struct
from pathlib import Path

from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.runtime.common.files import write_whole
from artmirror.runtime.common.plain_data import read_up_to
from artmirror.runtime.formats.manifest import Manifest
from artmirror.runtime.formats.ncnn_graph import WrongGraph, check_ncnn_graph

MAGIC = b"\nARTMIRROR NCNN\n"
IN, STYLE, OUT, GRAIN = "in0", "in1", "out0", "out1"  # as pnnx numbers them
PARAM_SUFFIX, BIN_SUFFIX = ".ncnn.param", ".ncnn.bin"
_LENGTH = struct.Struct("<I")
_TAIL = _LENGTH.size + len(MAGIC)
LARGEST_PARAM_BYTES = 1 << 20
LARGEST_BIN_BYTES = 512_000_000


def memory_blobs(manifest: Manifest) -> tuple[str, str]:
    """The inputs for the earlier picture and for its trust."""
    first = 2 if manifest.style_length else 1
    return f"in{first}", f"in{first + 1}"


def ncnn_pair(path: Path) -> tuple[Path, Path]:
    """Graph and weights, from the path of either."""
    name = path.name.removesuffix(PARAM_SUFFIX).removesuffix(BIN_SUFFIX)
    return path.with_name(name + PARAM_SUFFIX), path.with_name(name + BIN_SUFFIX)


def graph_sha256(param: bytes, weights: bytes) -> str:
    """What a manifest's `graph_sha256` is for ncnn: of the graph's text and of the weights behind it."""
    return hashlib.sha256(param + weights).hexdigest()


def write_ncnn(path: Path, manifest: Manifest, param: bytes, weights: bytes) -> None:
    """Write both files, each whole or not at all.

    Args:
        path: Of either file.

    Raises:
        ArtmirrorError: the folder does not exist or cannot be written.
    """
    text = manifest.to_json().encode()
    param_path, bin_path = ncnn_pair(path)
    try:
        write_whole(bin_path, weights + text + _LENGTH.pack(len(text)) + MAGIC, durable=True)
        write_whole(param_path, param, durable=True)
    except OSError as error:
        raise ArtmirrorError(f"cannot write {param_path}: {error.strerror}; name another place with -o") from None


def read_ncnn_manifest(path: Path, size: tuple[int, int] | None = None) -> Manifest:
    """Read what the two files say of themselves, and check them against their checksum.

    Args:
        path: Of either file.
        size: (H, W) of the frames that ncnn is going to paint: then the graph is checked for them too.

    Raises:
        ArtmirrorError: one is missing or damaged, they do not belong together, or st-export did not write them.
    """
    param_path, bin_path = ncnn_pair(path)
    try:
        param = read_up_to(param_path, LARGEST_PARAM_BYTES)
        content = read_up_to(bin_path, LARGEST_BIN_BYTES)
    except OSError as error:
        raise ArtmirrorError(
            f"cannot read {error.filename}: {error.strerror}; {param_path.name} and {bin_path.name} belong together, "
            "in one folder"
        ) from None
    except ValueError as error:
        raise ArtmirrorError(f"{param_path} and {bin_path.name} are no files of st-export: {error}") from None
    if not content.endswith(MAGIC) or len(content) < _TAIL:
        raise ArtmirrorError(
            f"{bin_path} is cut off or without artmirror's manifest; wanted a file written by st-export: "
            "export your checkpoint with st-export --ncnn CHECKPOINT.pt"
        )
    length = _LENGTH.unpack_from(content, len(content) - _TAIL)[0]
    start = len(content) - _TAIL - length
    text = content[max(start, 0) : len(content) - _TAIL]
    manifest = Manifest.from_json(text, str(bin_path))
    weights = content[: max(start, 0)]
    if manifest.graph_sha256 != graph_sha256(param, weights):
        raise ArtmirrorError(
            f"{param_path.name} and {bin_path.name} do not belong together or are damaged: they do not match the "
            "checksum in their manifest; export them again with st-export --ncnn, or copy both again"
        )
    if size is not None:
        try:
            check_ncnn_graph(param, weights, size, manifest.style_length, has_memory=manifest.has_memory)
        except WrongGraph as error:
            raise ArtmirrorError(
                f"{param_path} was not written by st-export, or is damaged: {error}; "
                "export it again with st-export --ncnn"
            ) from None
    return manifest
