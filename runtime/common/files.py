"""Files that are there whole or not at all, and their checksums."""

import glob
import hashlib
import os
from contextlib import suppress
from pathlib import Path

from artmirror.runtime.common.errors import ArtmirrorError


def write_whole(path: Path, *parts: bytes | memoryview, durable: bool = False) -> None:
    """Write `parts`, one after the other, under a temporary name and rename the file to `path`.

    Args:
        durable: Wait until the bytes are on the disk, since a rename may get there first: for what took long to make.

    Raises:
        OSError: the folder does not exist, cannot be written, or is full; then nothing is left behind.
    """
    part = part_path(path)
    try:
        with part.open("wb") as file:
            for content in parts:
                file.write(content)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        part.replace(path)
    except BaseException:
        with suppress(OSError):
            part.unlink()
        raise


def part_path(path: Path) -> Path:
    """The temporary name under which this process writes `path`: another process has another one."""
    return path.with_name(f".{path.name}.{os.getpid()}.part")


def remove_stale_parts(path: Path) -> None:
    """Take away what processes that were killed left half written of `path`.

    Raises:
        OSError: one cannot be removed.
    """
    for part in path.parent.glob(f".{glob.escape(path.name)}.*.part"):
        number = part.name.split(".")[-2]
        if number.isdecimal() and not _runs(int(number)):
            part.unlink(missing_ok=True)


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):  # another user's
        return True
    return process != os.getpid()


def cannot_write(path: Path, error: OSError) -> ArtmirrorError:
    """What to tell when the disk is full or a folder is closed."""
    return ArtmirrorError(
        f"cannot write {path}: {error.strerror or error}; free some space or name another place with -o"
    )


def file_sha256(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
