"""Where work that can be done again is kept: the user's cache folder, never beside the user's files."""

import os
import re
from pathlib import Path

from artmirror.runtime.common.files import write_whole


def cache_folder() -> Path:
    """`$XDG_CACHE_HOME/artmirror`, or `~/.cache/artmirror`. It is not made here."""
    chosen = os.environ.get("XDG_CACHE_HOME", "")
    base = Path(chosen) if Path(chosen).is_absolute() else Path.home() / ".cache"
    return base / "artmirror"


def cache_file(kind: str, *, graph_sha256: str, library: str, library_version: str, gpu: str) -> Path:
    """The file that caches one thing for one network, one library and one GPU.

    Args:
        kind: What is cached, which is the file's suffix: "timing" (of a builder) or "runtime" (kernels finished on
            first use).
        gpu: A GPU's name, or the targets of a build for GPUs elsewhere.
    """
    words = (graph_sha256[:16], library, library_version, gpu)
    return cache_folder() / ("-".join(re.sub(r"[^A-Za-z0-9.]+", "_", word) for word in words) + f".{kind}")


def read_cache(path: Path) -> bytes:
    """What was kept, or nothing: a cache that cannot be read is an empty one."""
    try:
        return path.read_bytes()
    except OSError:
        return b""


def write_cache(path: Path, data: bytes | memoryview) -> bool:
    """Write to a temporary name and rename it; False where the folder cannot be written, which harms nobody."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, data)
    except OSError:
        return False
    return True
