"""One process that reads spoiled files, one after the other, as the other end of a pipe asks.

A line in: the kind, the number that the input is drawn from, the folder to write it into. A line out: what became of
it, as JSON. What the libraries print goes to standard error.
"""

import json
import os
import random
import sys
import time
import traceback
from pathlib import Path
from typing import TextIO

import click

import tests.fuzz.kinds as kinds


def spoil(name: str, number: int, folder: Path) -> Path:
    """Write the input of a number; the same at every call."""
    return kinds.KINDS[name].spoil(folder, random.Random(f"{name} {number}"))


def read(name: str, path: Path) -> tuple[str, str]:
    """Read an input; returns what was wrong with that, and what a user is told, each empty where there is nothing."""
    try:
        kinds.KINDS[name].read(path)
    except (click.ClickException, click.Abort) as error:
        message = getattr(error, "message", "")
        if "\n" in message:
            return f"an error of several lines: {message[:300]!r}", message
        if "--debug shows where" in message:
            return f"an internal error: {message[:300]}", message
        return "", message or "refused"
    except BaseException:
        return traceback.format_exc()[-3000:], ""
    return "", ""


def main() -> None:
    """Serve until the other end closes."""
    answers: TextIO = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for line in sys.stdin:
        name, number, folder = line.rstrip("\n").split(" ", 2)
        path = spoil(name, int(number), Path(folder))
        started_s = time.monotonic()
        fault, told = read(name, path)
        seconds = time.monotonic() - started_s
        answers.write(json.dumps({"fault": fault, "told": told, "seconds": seconds}) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
