"""The JSON files of all kinds of records: read, checked and written in one way."""

import json
from pathlib import Path
from typing import Any

from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.runtime.common.files import write_whole


def read_text(path: Path, command: str = "st-bench") -> str:
    """The text of a record.

    Raises:
        ArtmirrorError: the file is missing or no text; `command` would write one.
    """
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ArtmirrorError(f"cannot read {path}: {error}; name a file written by {command} -o FILE.json") from None


def write_text(text: str, path: Path) -> None:
    """Write a record whole or not at all.

    Raises:
        ArtmirrorError: the file cannot be written.
    """
    try:
        write_whole(path, (text + "\n").encode())
    except OSError as error:
        raise ArtmirrorError(f"cannot write {path}: {error.strerror}; name another file with -o") from None


def parse(text: str, source: str) -> Any:
    """The values in a record's text.

    Args:
        source: The file's name, for errors.

    Raises:
        ArtmirrorError: the text is no JSON.
    """
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise ArtmirrorError(f"{source} is no record of st-bench ({error}); measure again with -o FILE.json") from None


def check_version(version: object, wanted: int, source: str) -> None:
    """Raise ArtmirrorError where a record is of a version that is not read here."""
    if version != wanted:
        raise ArtmirrorError(f"{source} has record version {version}; this artmirror reads {wanted}: measure again")
