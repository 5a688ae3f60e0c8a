"""Writes reports."""

from pathlib import Path

from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.runtime.common.files import write_whole


def write_report(path: Path, text: str) -> None:
    """Write a report whole or not at all.

    Raises:
        ArtmirrorError: the file cannot be written.
    """
    try:
        write_whole(path, text.encode())
    except OSError as error:
        raise ArtmirrorError(f"cannot write {path}: {error.strerror}; name another file with --output") from None
