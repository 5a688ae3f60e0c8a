"""What takes long to make is made once, and kept in the user's cache folder."""

import fcntl
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from artmirror.runtime.common.cache import cache_folder


def keep(name: str, make: Callable[[Path], None]) -> Path:
    """The folder of that name; if it is not there, `make` fills it. One process makes it while the others wait."""
    done = cache_folder() / name
    done.parent.mkdir(parents=True, exist_ok=True)
    with (done.parent / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists():
            with TemporaryDirectory(dir=done.parent) as folder:
                made = Path(folder) / "made"
                made.mkdir()
                make(made)
                made.rename(done)
    return done


def told(*command: object, **variables: str) -> str:
    """What a command prints.

    Raises:
        RuntimeError: it failed, with all that it said.
    """
    words = [str(word) for word in command]
    done = subprocess.run(words, capture_output=True, text=True, env={**os.environ, **variables}, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(words)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout
