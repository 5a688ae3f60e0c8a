"""The JSON files of all kinds of records: read, checked and written in one way."""

from pathlib import Path
from typing import Any, ClassVar, Protocol, TypeVar

from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.runtime.common.files import write_whole
from artmirror.runtime.common.plain_data import LARGEST_JSON_BYTES, fitted, parse_json, read_up_to


class _Dataclass(Protocol):
    __dataclass_fields__: ClassVar[dict[str, Any]]


Record = TypeVar("Record", bound=_Dataclass)


def read_text(path: Path, command: str = "st-bench") -> str:
    """The text of a record.

    Raises:
        ArtmirrorError: the file is missing or no text; `command` would write one.
    """
    try:
        return read_up_to(path, LARGEST_JSON_BYTES).decode()
    except (OSError, ValueError) as error:
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


def fitted_record(text: str, source: str, kind: str, version: int, command: str, form: type[Record]) -> Record:
    """A record's text as what it is a record of.

    Args:
        source: The file's name, for errors.
        kind: What the record has to be, as its `kind` says.
        version: The one that is read here: nothing older was ever released.
        command: What writes such records, for errors.
        form: The dataclass with the types and ranges of all fields.

    Raises:
        ArtmirrorError: the text is no such record, of another version, or something is missing or wrong in it.
    """
    try:
        values = parse_json(text)
    except ValueError as error:
        raise ArtmirrorError(f"{source} is no record of st-bench ({error}); measure again with -o FILE.json") from None
    if not isinstance(values, dict) or not {"format_version", "kind"} <= values.keys():
        raise ArtmirrorError(f"{source} is no record of {command}; measure again with -o FILE.json")
    if values["kind"] != kind:
        found = _told(values["kind"])
        raise ArtmirrorError(f"{source} is a record of kind {found}; one of {kind} is wanted")
    if values["format_version"] != version:
        found = _told(values["format_version"])
        raise ArtmirrorError(f"{source} has record version {found}; this artmirror reads {version}: measure again")
    try:
        missing = form.__dataclass_fields__.keys() - values.keys()
        if missing:
            raise ValueError(f"it has no {', '.join(sorted(missing))}")
        return fitted(values, form)
    except ValueError as error:
        raise ArtmirrorError(f"{source} is a damaged record of st-bench ({error}); measure again") from None


def _told(value: object) -> str:
    return str(value)[:40] if isinstance(value, str | int | float) else "unknown"
