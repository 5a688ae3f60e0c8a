"""What the commands of st-bench have in common on their command lines, and the files that they write."""

from pathlib import Path

import click
import cloup

from artmirror.runtime.common.files import cannot_write, write_whole
from artmirror.runtime.formats.kind import EngineKind, kind_of
from artmirror.runtime.gallery.bundled import find_network

RECORD, TABLE = ".json", ".md"  # what the suffix of an output asks for

outputs_option = cloup.option(
    "-o",
    "--output",
    "outputs",
    type=click.Path(path_type=Path),
    multiple=True,
    metavar="FILE",
    help="Write all values (FILE.json) or the table (FILE.md); may be given more than once.",
)


def engine_path(name: str) -> Path:
    """The file that an ENGINE argument means: whatever looks like a file is one.

    Raises:
        ArtmirrorError: it looks like no file, and no bundled style has that name.
    """
    path = Path(name)
    return path if path.suffix or path.is_file() or kind_of(path) is not EngineKind.ONNX else find_network(name)


def check_output(option: str, path: Path | None, suffix: str | None = None) -> None:
    """See to it, before anything is measured, that the file can be written, and is named for what it will hold.

    Args:
        suffix: The one that its name has to have; None where that does not matter.

    Raises:
        click.UsageError: it is a folder, or lies in one that does not exist; or its name ends otherwise.
    """
    if path is not None and (path.is_dir() or not path.parent.is_dir()):
        raise click.UsageError(f"{option} {path} cannot be written: wanted a file in a folder that exists")
    if path is not None and suffix is not None and path.suffix.lower() != suffix:
        raise click.UsageError(f"{option} {path}: wanted a name in {suffix}")


def split_outputs(outputs: tuple[Path, ...]) -> tuple[Path | None, Path | None]:
    """Where the record goes, and where the table; checked before anything is measured.

    Raises:
        click.UsageError: one has another suffix, or cannot be written; or two are of one kind.
    """
    found: dict[str, Path] = {}
    for path in outputs:
        kind = path.suffix.lower()
        check_output("-o", path)
        if kind not in (RECORD, TABLE):
            raise click.UsageError(f"-o {path}: wanted a name in {RECORD} for all values, or in {TABLE} for the table")
        if kind in found:
            raise click.UsageError(f"-o {found[kind]} and -o {path} are of one kind; leave out one")
        found[kind] = path
    return found.get(RECORD), found.get(TABLE)


def write_report(path: Path, text: str) -> None:
    """Write a report whole or not at all.

    Raises:
        ArtmirrorError: the file cannot be written.
    """
    try:
        write_whole(path, text.encode())
    except OSError as error:
        raise cannot_write(path, error) from None
