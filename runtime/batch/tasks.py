"""The tasks of a batch: one file, one task."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.runtime.common.files import file_sha256
from artmirror.runtime.common.suffixes import PICTURE_SUFFIXES, WRITTEN_PICTURE_SUFFIXES, WRITTEN_VIDEO_SUFFIXES
from artmirror.runtime.gallery.paintings import choose

_VIDEO_SUFFIXES = (
    *WRITTEN_VIDEO_SUFFIXES,
    ".m4v",
    ".mts",
    ".m2ts",
    ".ts",
    ".mpg",
    ".mpeg",
    ".wmv",
    ".flv",
    ".3gp",
    ".ogv",
)
_ANIMATED = (".gif", ".apng")


@dataclass(frozen=True, slots=True)
class BatchSettings:
    """How all files are painted; plain data, which travels to other machines."""

    styles: tuple[str, ...] = ()
    paintings: tuple[str, ...] = ()
    engine: str | None = None
    strength: float = 1.0
    keep_colours: bool = False
    size: tuple[int, int] | None = None  # (H, W)
    quality: str | None = None
    backend: str | None = None
    device: str | None = None
    threads: int | None = None
    memory: int | None = None

    def fingerprint(self) -> str:
        """Tells one way of painting from another, by what it comes out as: the styles' files count, not their names.

        Raises:
            ArtmirrorError: a style or a painting is missing.
        """
        choice = choose(
            Path(self.engine) if self.engine else None, self.styles, [Path(painting) for painting in self.paintings]
        )
        values: dict[str, Any] = asdict(self)
        for name in ("threads", "memory", "device", "backend", "engine", "paintings"):  # how, not what
            values.pop(name)
        values["network"] = file_sha256(choice.engine)
        values["codes"] = [
            [hashlib.sha256(named.style.code + b"".join(named.style.changes.values())).hexdigest(), named.weight]
            for named in choice.named
        ]
        return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Task:
    """One file to paint."""

    name: str  # relative, with slashes: the same on every machine
    input: str  # path, or URL of a storage
    output: str

    @property
    def is_picture(self) -> bool:
        """Whether it becomes one picture."""
        suffix = PurePosixPath(self.name).suffix.lower()
        return suffix in PICTURE_SUFFIXES and suffix not in _ANIMATED


def output_name(name: str) -> str:
    """What a file is called when it is painted: its own name, with a suffix that can be written."""
    path = PurePosixPath(name)
    suffix = path.suffix.lower()
    if suffix in WRITTEN_PICTURE_SUFFIXES or suffix in WRITTEN_VIDEO_SUFFIXES:
        return name
    is_film = suffix in _VIDEO_SUFFIXES or suffix in _ANIMATED
    return str(path.with_name(f"{path.name}{'.mp4' if is_film else '.png'}"))  # a.heic and a.png must not meet


def find_tasks(names: list[str], source: str, target: str) -> list[Task]:
    """The tasks of a list of files, in an order that is the same everywhere.

    Args:
        names: Relative, with slashes.
        source: Folder or URL that they are relative to.
        target: The same for what is painted.
    """
    known = {*PICTURE_SUFFIXES, *_VIDEO_SUFFIXES}
    return [
        Task(name, f"{source.rstrip('/')}/{name}", f"{target.rstrip('/')}/{output_name(name)}")
        for name in sorted(names)
        if PurePosixPath(name).suffix.lower() in known and not PurePosixPath(name).name.startswith(".")
    ]


def shard(tasks: list[Task], text: str) -> list[Task]:
    """Those of one machine of several: `2/4` is every fourth task, from the second on.

    Raises:
        ArtmirrorError: it is not understood.
    """
    number, _, count = text.partition("/")
    if not (number.isdecimal() and count.isdecimal() and 1 <= int(number) <= int(count)):
        raise ArtmirrorError(f"got --shard {text}; wanted I/N, as in 2/4 for the second of four machines")
    return tasks[int(number) - 1 :: int(count)]


def local_names(folder: Path) -> Iterator[str]:
    """Files below a folder, relative."""
    for path in folder.rglob("*"):
        if path.is_file():
            yield path.relative_to(folder).as_posix()
