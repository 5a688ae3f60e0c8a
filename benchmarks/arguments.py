"""What the commands of st-bench have in common on their command lines."""

from pathlib import Path

import click

from artmirror.runtime.gallery.bundled import find_style


def engine_path(name: str) -> Path:
    """The file that an ENGINE argument means: whatever looks like a file is one.

    Raises:
        ArtmirrorError: it looks like no file, and no bundled style has that name.
    """
    path = Path(name)
    return path if path.suffix or path.is_file() else find_style(name)


def check_output(option: str, path: Path | None) -> None:
    """See to it, before anything is measured, that the file can be written.

    Raises:
        click.UsageError: it is a folder, or lies in one that does not exist.
    """
    if path is not None and (path.is_dir() or not path.parent.is_dir()):
        raise click.UsageError(f"{option} {path} cannot be written: wanted a file in a folder that exists")
