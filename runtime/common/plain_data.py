"""Plain data that came from a file: JSON, and the form that it must have. The one place where such data is checked.

What is read may be damaged, or written by somebody who means harm: everything that is wrong with it is a ValueError.
"""

import json
import re
from pathlib import Path
from typing import Annotated, Any, TypeVar

import msgspec

LARGEST_JSON_BYTES = 64_000_000  # 64 MB of the worst text take 1.5 GB when they are taken apart
DEEPEST_JSON = 64  # lists and objects inside each other
LONGEST_NAME = 255  # characters of a file's name

Whole = Annotated[int, msgspec.Meta(ge=0, le=1 << 62)]  # a count, a size in bytes, nanoseconds
Finite = Annotated[float, msgspec.Meta(ge=-1e300, le=1e300)]  # neither NaN nor infinite
Decibels = Annotated[float, msgspec.Meta(ge=0)]  # infinite where two pictures are one
Positive = Annotated[float, msgspec.Meta(ge=0, le=1e300)]  # 0 too
Rate = Annotated[float, msgspec.Meta(gt=0, le=1e30)]  # of something a second: it is divided by
Duration = Annotated[int, msgspec.Meta(ge=1, le=1 << 62)]  # nanoseconds; no frame takes none
Pixels = Annotated[int, msgspec.Meta(ge=1, le=1 << 20)]  # of a side

Sha256 = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]

Kind = TypeVar("Kind")

_TOO_DEEP = f"lists in it are nested more than {DEEPEST_JSON} deep"
_HALF_CHARACTER = re.compile(rb"\\u[dD][89a-fA-F]")


def read_json(path: Path) -> Any:
    """What a JSON file holds; see `parse_json`.

    Raises:
        OSError: it cannot be read.
        ValueError: it is larger than `LARGEST_JSON_BYTES`, or no JSON.
    """
    return parse_json(read_up_to(path, LARGEST_JSON_BYTES))


def read_up_to(path: Path, limit_bytes: int) -> bytes:
    """A file's content.

    Raises:
        OSError: it cannot be read.
        ValueError: it is larger than `limit_bytes`; then no more than that was read.
    """
    with path.open("rb") as file:
        content = file.read(limit_bytes + 1)
    if len(content) > limit_bytes:
        raise ValueError(f"it is larger than {limit_bytes / 1e6:.0f} MB")
    return content


def parse_json(text: bytes | str) -> Any:
    """Take JSON apart; bytes are UTF-8.

    Raises:
        ValueError: it is none, nested deeper than `DEEPEST_JSON`, or holds a half character, which nothing could print.
    """
    try:
        text = text.encode() if isinstance(text, str) else text
        values = json.loads(text.decode())
    except RecursionError:
        raise ValueError(_TOO_DEEP) from None
    level = [values]
    for _ in range(DEEPEST_JSON + 1):
        level = [
            child
            for value in level
            if isinstance(value, list | dict)
            for child in (value.values() if isinstance(value, dict) else value)
            if isinstance(child, list | dict)
        ]
    if level:
        raise ValueError(_TOO_DEEP)
    if _HALF_CHARACTER.search(text):
        json.dumps(values, ensure_ascii=False).encode()
    return values


def fitted(values: Any, kind: type[Kind]) -> Kind:
    """Plain data as a dataclass or another type of fields with types, checked to the last of them.

    Lists become tuples and dictionaries become dataclasses where `kind` says so; nothing else is converted. What `kind`
    does not know is left out.

    Raises:
        ValueError: something is missing, or has another type or a value out of its range; the message says where.
    """
    try:
        return msgspec.convert(values, kind)
    except (msgspec.MsgspecError, OverflowError) as error:
        raise ValueError(str(error)) from None
    except RecursionError:
        raise ValueError(_TOO_DEEP) from None


def version_of(values: Any) -> int | None:
    """The `format_version` that plain data says it has; None where it says none."""
    found = values.get("format_version") if isinstance(values, dict) else None
    return found if isinstance(found, int) else None


def plain_name(name: str) -> str:
    """A file's name that leads to no other folder.

    Raises:
        ValueError: it is empty, hidden, too long, or holds what separates folders or cannot be printed.
    """
    if not name.isprintable() or not 0 < len(name) <= LONGEST_NAME or name.startswith(".") or set(name) & set("/\\:"):
        raise ValueError(f"{name[:LONGEST_NAME]!r} is not the plain name of a file")
    return name
