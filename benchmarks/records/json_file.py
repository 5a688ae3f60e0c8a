"""The JSON files of all kinds of records: read, checked and written in one way."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
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


@contextmanager
def open_record(text: str, source: str, kind: str, version: int, command: str) -> Iterator[dict[str, Any]]:
    """The values in a record's text; what is amiss while they are taken apart is told in one line.

    Args:
        source: The file's name, for errors.
        kind: What the record has to be, as its `kind` says.
        version: The one that is read here: nothing older was ever released.
        command: What writes such records, for errors.

    Raises:
        ArtmirrorError: the text is no such record, of another version, or something is missing or wrong in it.
    """
    try:
        values = json.loads(text)
    except json.JSONDecodeError as error:
        raise ArtmirrorError(f"{source} is no record of st-bench ({error}); measure again with -o FILE.json") from None
    if not isinstance(values, dict) or not {"format_version", "kind"} <= values.keys():
        raise ArtmirrorError(f"{source} is no record of {command}; measure again with -o FILE.json")
    if values["kind"] != kind:
        raise ArtmirrorError(f"{source} is a record of kind {values['kind']}; one of {kind} is wanted")
    if values["format_version"] != version:
        found = values["format_version"]
        raise ArtmirrorError(f"{source} has record version {found}; this artmirror reads {version}: measure again")
    try:
        yield values
    except (KeyError, TypeError, ValueError) as error:
        raise ArtmirrorError(f"{source} is a damaged record of st-bench ({error}); measure again") from None
