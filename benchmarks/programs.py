"""Programs of the project in processes of their own, started and waited for."""

import json
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

from artmirror.runtime.common.errors import ArtmirrorError


def run_program(module: str, words: Sequence[object], limit_s: float) -> str:
    """Run a module's `main` as a program; what it said on stdout.

    Args:
        words: Its command line.
        limit_s: It is killed by then, but not within the first second.

    Raises:
        ArtmirrorError: it failed, with its last line; or the time was up.
    """
    code = f"import sys; from {module} import main; main(sys.argv[1:])"
    try:
        done = subprocess.run(
            [sys.executable, "-c", code, *map(str, words)],
            capture_output=True,
            text=True,
            check=False,
            timeout=max(limit_s, 1),
        )
    except subprocess.TimeoutExpired:
        raise ArtmirrorError(f"{module} was not done within {limit_s:.0f} s; give it more time") from None
    if done.returncode != 0:
        lines = [line for line in done.stderr.splitlines() if line.strip()] or [f"exit code {done.returncode}"]
        raise ArtmirrorError(lines[-1].removeprefix("Error: "))
    return done.stdout


def run_st_run(words: Sequence[object], limit_s: float) -> dict[str, Any]:
    """Run `st-run` into nothing; what its `--json` tells.

    Args:
        words: Its command line, with `--max-frames`: it has to end by itself.
        limit_s: It is killed by then.

    Raises:
        ArtmirrorError: it failed, with its last line; or the time was up.
    """
    told = run_program("artmirror.runtime.cli", [*words, "--output", "null:", "--json"], limit_s)
    found: dict[str, Any] = json.loads(told.splitlines()[-1])
    return found
