"""A painting for the network of many paintings, in a small file: NAME.style, JSON.

It holds the painting's code, which every network of the same family understands, and, where it was tuned, what is added
to the scales and shifts of the one network that it was tuned for; and title, artist and a thumbnail.
"""

import json
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.runtime.common.files import cannot_write, write_whole
from artmirror.runtime.common.plain_data import Sha256, fitted, parse_json, read_up_to, version_of

SUFFIX = ".style"
FORMAT_VERSION = 1
LARGEST_BYTES = 2_000_000
_KIND = "artmirror style"
_STORED = np.dtype("<f2")  # half precision, as the networks' weights are trained and kept
_LARGEST_NUMBER = 64.0  # of a code, a scale or a shift; trained ones stay below 8

Vector = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class StyleFile:
    """The content of a file; numbers are little-endian half precision."""

    name: str  # short, as `--style NAME` takes it
    title: str
    artist: str
    year: str
    code_space: str  # of the networks that understand the code
    code: bytes
    changes: dict[Sha256, bytes] = field(default_factory=dict)  # SHA-256 of a network's checkpoint -> scales, shifts
    thumbnail: bytes = b""  # JPEG
    kind: Literal["artmirror style"] = "artmirror style"
    format_version: int = FORMAT_VERSION

    def vector_for(self, checkpoint_sha256: str, code_space: str, length: int, source: Path | str) -> Vector:
        """What a network takes as `style`, (length,) float32: the code, then what was tuned for this network, or zeros.

        Args:
            checkpoint_sha256: Of the network, as its manifest has it; so are the next two.
            source: The file, for errors.

        Raises:
            ArtmirrorError: it was made for other networks.
        """
        code = _numbers(self.code)
        vector = np.zeros(length, np.float32)
        changes = self.changes.get(checkpoint_sha256)
        rest = vector[code.size :]
        if code_space != self.code_space or code.size > length or (changes and len(changes) != 2 * rest.size):
            raise ArtmirrorError(
                f"{source} was made for another network than this one; make it again with "
                "st-train --base any.pt --painting"
            )
        vector[: code.size] = code
        if changes:
            rest[:] = _numbers(changes)
        return vector


def stored(numbers: Vector) -> bytes:
    """Numbers as a `StyleFile` holds them."""
    return np.asarray(numbers, _STORED).tobytes()


def save_style(path: Path, style: StyleFile) -> None:
    """Write NAME.style.

    Raises:
        ArtmirrorError: it cannot be written.
    """
    values = asdict(style)
    values |= {key: b64encode(values[key]).decode() for key in ("code", "thumbnail")}
    values["changes"] = {key: b64encode(value).decode() for key, value in style.changes.items()}
    try:
        write_whole(path, json.dumps(values, indent=1).encode())
    except OSError as error:
        raise cannot_write(path, error) from None


def load_style(path: Path) -> StyleFile:
    """Open NAME.style.

    Raises:
        ArtmirrorError: it is missing, damaged, or none.
    """
    try:
        values = parse_json(read_up_to(path, LARGEST_BYTES))
        if not isinstance(values, Mapping) or values.get("kind") != _KIND:
            raise ValueError("it does not say that it is one")
        if version_of(values) != FORMAT_VERSION:
            raise ValueError(f"it has version {version_of(values)}, version {FORMAT_VERSION} is read here")
        style = fitted(values, StyleFile)
        for numbers in (style.code, *style.changes.values()):
            _numbers(numbers)
    except OSError as error:
        raise ArtmirrorError(f"cannot read {path}: {error.strerror}; name a .style file of st-train") from None
    except ValueError as error:
        raise ArtmirrorError(
            f"{path} is no style file, or it is damaged: {error}; make it again with st-train --base any.pt --painting"
        ) from None
    return style


def _numbers(content: bytes) -> Vector:
    if not content or len(content) % _STORED.itemsize:
        raise ValueError(f"{len(content)} bytes of numbers")
    found = np.frombuffer(content, _STORED).astype(np.float32)
    if not (np.abs(found) <= _LARGEST_NUMBER).all():  # NaN neither
        raise ValueError(f"a number is not within {_LARGEST_NUMBER:g}")
    return found
