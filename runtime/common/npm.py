"""Packages of npm that are fetched when they are first needed, without npm itself: an archive, by HTTPS."""

import urllib.request
from pathlib import Path

from artmirror.runtime.common.cache import cache_folder, read_cache, write_cache
from artmirror.runtime.common.errors import ArtmirrorError

_REGISTRY = "https://registry.npmjs.org"
_LARGEST_BYTES = 200_000_000
_TIMEOUT_S = 60


def archive_name(package: str, version: str) -> str:
    """The file that `npm pack` writes too."""
    return f"{package.rpartition('/')[2]}-{version}.tgz"


def npm_archive(package: str, version: str) -> Path:
    """The archive of one release, in the cache; fetched where it is not there yet. What is in it is not checked here.

    Raises:
        ArtmirrorError: there is no connection, or no room.
    """
    name = archive_name(package, version)
    kept = cache_folder() / name
    if read_cache(kept):
        return kept
    address = f"{_REGISTRY}/{package}/-/{name}"
    try:
        with urllib.request.urlopen(address, timeout=_TIMEOUT_S) as answer:
            content = answer.read(_LARGEST_BYTES)
    except OSError as error:
        raise ArtmirrorError(f"cannot fetch {address}: {error}; try again with a connection") from None
    if not write_cache(kept, content):
        raise ArtmirrorError(f"cannot write {kept}: make room, or check its permissions")
    return kept
