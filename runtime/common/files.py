"""Files that are there whole or not at all."""

import os
from contextlib import suppress
from pathlib import Path


def write_whole(path: Path, *parts: bytes | memoryview, durable: bool = False) -> None:
    """Write `parts`, one after the other, under a temporary name and rename the file to `path`.

    Args:
        durable: Wait until the bytes are on the disk, since a rename may get there first: for what took long to make.

    Raises:
        OSError: the folder does not exist, cannot be written, or is full; then nothing is left behind.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
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
