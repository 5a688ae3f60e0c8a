"""Where files are: folders of this machine, or a storage by its URL (S3, GCS, ...) through fsspec."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from artmirror.runtime.batch.tasks import local_names
from artmirror.runtime.common.errors import ArtmirrorError


def is_url(place: str) -> bool:
    """Whether a place is a storage's."""
    return "://" in place


def names_in(place: str) -> list[str]:
    """Files below a place, relative, with slashes.

    Raises:
        ArtmirrorError: it is not there, or cannot be reached.
    """
    if not is_url(place):
        folder = Path(place).expanduser()
        if not folder.is_dir():
            raise ArtmirrorError(f"{place} is no folder: name the folder with what is to be painted")
        return list(local_names(folder))
    system, root = _system(place)
    try:
        found = system.find(root)
    except Exception as error:  # each storage has its own
        raise ArtmirrorError(f"cannot list {place}: {error}") from error
    base = root.rstrip("/") + "/"
    return [path.removeprefix(base) for path in found]


def stamp_of(place: str) -> tuple[int, int]:
    """(bytes, time of the last change in nanoseconds or 0) of a file; (-1, 0) where there is none."""
    if not is_url(place):
        try:
            told = Path(place).stat()
        except OSError:
            return -1, 0
        return told.st_size, told.st_mtime_ns
    system, path = _system(place)
    try:
        return int(system.info(path)["size"]), 0
    except Exception:  # each storage has its own for what is not there
        return -1, 0


@contextmanager
def fetched(place: str) -> Iterator[Path]:
    """A file as one of this machine."""
    if not is_url(place):
        yield Path(place)
        return
    system, path = _system(place)
    with TemporaryDirectory(prefix="artmirror-") as folder:
        here = Path(folder) / path.rpartition("/")[2]
        try:
            system.get_file(path, str(here))
        except Exception as error:  # each storage has its own
            raise ArtmirrorError(f"cannot fetch {place}: {error}") from error
        yield here


@contextmanager
def put_when_whole(place: str) -> Iterator[Path]:
    """A path to write to; what is there in the end is put to its place."""
    if not is_url(place):
        path = Path(place)
        path.parent.mkdir(parents=True, exist_ok=True)
        yield path
        return
    system, path_there = _system(place)
    with TemporaryDirectory(prefix="artmirror-") as folder:
        here = Path(folder) / path_there.rpartition("/")[2]
        yield here
        try:
            system.makedirs(path_there.rpartition("/")[0], exist_ok=True)
            system.put_file(str(here), path_there)
        except Exception as error:  # each storage has its own
            raise ArtmirrorError(f"cannot put {place}: {error}") from error


def _system(place: str) -> tuple[Any, str]:
    try:
        import fsspec
    except ImportError:
        raise ArtmirrorError(
            f"{place} needs the package fsspec; install it with pip install 'artmirror[storage]'"
        ) from None
    try:
        system, path = fsspec.core.url_to_fs(place)
    except (ValueError, ImportError) as error:
        raise ArtmirrorError(f"{place} cannot be reached: {error}") from None
    return system, str(path)
