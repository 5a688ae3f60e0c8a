"""Files that are there whole or not at all, and their checksums."""

import glob
import hashlib
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from artmirror.runtime.common.errors import ArtmirrorError

_LONGEST_NAME = 255 - len("..4294967296.part")  # bytes that most file systems allow, less what a part's name adds


def write_whole(path: Path, *parts: bytes | memoryview, durable: bool = False) -> None:
    """Write `parts`, one after the other, under a temporary name and rename the file to `path`.

    Args:
        durable: Wait until the bytes are on the disk, since a rename may get there first: for what took long to make.

    Raises:
        OSError: the folder does not exist, cannot be written, or is full; then nothing is left behind.
    """
    path = path.resolve() if path.is_symlink() else path  # a link stays, what it leads to is replaced
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
    return path.with_name(f".{_short_name(path)}.{os.getpid()}.part")


@contextmanager
def claimed(path: Path) -> Iterator[None]:
    """While open, no other process that asks so writes `path`: for work that writes it again and again.

    Raises:
        ArtmirrorError: another process does.
        OSError: the folder takes no file.
    """
    mark = path.with_name(f"{path.name}.run")
    remove_stale_parts(mark)
    part = claim_part(mark, path)
    try:
        yield
    finally:
        part.unlink(missing_ok=True)


def claim_part(path: Path, told: Path | None = None) -> Path:
    """Make this process's part of `path`, so that no other writes the same file meanwhile; `told` is for messages.

    Raises:
        ArtmirrorError: another process writes it, or this one already does.
        OSError: the part cannot be made.
    """
    part = part_path(path)
    try:
        part.touch(exist_ok=False)
    except FileExistsError:
        raise ArtmirrorError(f"{told or path} is named twice as an output; name another file") from None
    others = [number for other, number in _parts(path) if other != part and _runs(number)]
    if others:
        part.unlink(missing_ok=True)
        raise ArtmirrorError(
            f"{told or path} is being written by another process ({others[0]}); name another one, or wait"
        )
    return part


def check_not_input(path: Path, files: Iterable[Path]) -> None:
    """See that writing `path` does not destroy what is read: the same file by any name, through any link.

    Raises:
        ArtmirrorError: it is one of `files`.
    """
    try:
        target = path.stat()
    except OSError:
        return  # nothing stands there
    for file in files:
        with suppress(OSError):
            if os.path.samestat(target, file.stat()):
                raise ArtmirrorError(f"{path} is read and would be written over; name another output")


def stale_parts(path: Path) -> list[Path]:
    """What processes that were killed left half written of `path`."""
    return [part for part, number in _parts(path) if number != os.getpid() and not _runs(number)]


def remove_stale_parts(path: Path) -> None:
    """Take away what processes that were killed left half written of `path`.

    Raises:
        OSError: one cannot be removed.
    """
    for part in stale_parts(path):
        part.unlink(missing_ok=True)


def _short_name(path: Path) -> str:
    """The file's name, or what stands for it where a number beside it would make it too long for a folder."""
    if len(os.fsencode(path.name)) <= _LONGEST_NAME:
        return path.name
    return hashlib.sha256(os.fsencode(path.name)).hexdigest()[:32]


def _parts(path: Path) -> list[tuple[Path, int]]:
    found = path.parent.glob(f".{glob.escape(_short_name(path))}.*.part")
    numbered = [(part, part.name.split(".")[-2]) for part in found]
    return [(part, int(number)) for part, number in numbered if number.isdecimal()]


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):  # another user's
        return True
    return True


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
