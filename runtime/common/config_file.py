"""Options of a command from a TOML file, and into one: `--config FILE`.

Keys are the long names of options, without the dashes. What stands on the command line wins.
"""

import json
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import cloup

from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.runtime.common.files import cannot_write, write_whole


def _read(ctx: click.Context, parameter: click.Parameter, path: Path | None) -> None:
    if path is None or ctx.resilient_parsing:
        return
    try:
        values = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise ArtmirrorError(f"cannot read {path}: {error.strerror}; name a TOML file of options") from None
    except (ValueError, RecursionError) as error:  # not TOML, or not UTF-8
        raise ArtmirrorError(f"{path} is no TOML file of options: {error}") from None
    options = _options(ctx.command)
    found: dict[str, Any] = {}
    for key, value in values.items():
        option = options.get(key)
        if option is None or option is parameter:
            raise ArtmirrorError(f"{path} has {key!r}, which is no option of {ctx.info_name}: see its --help")
        found[str(option.name)] = _checked(ctx, option, value, path, key)
    ctx.default_map = {**(ctx.default_map or {}), **found}


config_option = cloup.option(
    "--config",
    type=click.Path(path_type=Path),
    metavar="FILE",
    is_eager=True,
    expose_value=False,
    callback=_read,
    help="Read options from a TOML file, each as NAME = VALUE without dashes; what stands on the command line wins. "
    "Paths in it are relative to its folder.",
)


def _options(command: click.Command) -> dict[str, click.Option]:
    """The options that a file may hold, by their long names."""
    eager = ("config", "help", "version")
    options = [entry for entry in command.params if isinstance(entry, click.Option) and entry.name not in eager]
    return {name.removeprefix("--"): option for option in options for name in option.opts if name.startswith("--")}


def _checked(ctx: click.Context, option: click.Option, value: Any, path: Path, key: str) -> Any:
    """A value as the option takes it from the command line; paths are made relative to the file's folder.

    Raises:
        ArtmirrorError: it is of another kind, or out of range.
    """
    several = option.multiple
    if several != isinstance(value, list):
        raise ArtmirrorError(f"{path}: {key} is {value!r}; wanted {'a list' if several else 'one value'}")
    entries = value if several else [value]
    for entry in entries:
        kind = bool if option.is_flag else (str, int, float)
        if not isinstance(entry, kind) or (isinstance(entry, bool) and not option.is_flag):
            raise ArtmirrorError(
                f"{path}: {key} is {entry!r}; wanted {'true or false' if option.is_flag else 'a value'}"
            )
        if isinstance(entry, str) and "\0" in entry:
            raise ArtmirrorError(f"{path}: {key} holds a character of no text; wanted a value")
    if isinstance(option.type, click.Path):
        entries = [str(path.parent / str(entry)) for entry in entries]
    try:
        for entry in entries:
            option.type.convert(entry if option.is_flag else str(entry), option, ctx)
    except click.BadParameter as error:
        raise ArtmirrorError(f"{path}: {key}: {error.message}") from None
    texts = entries if option.is_flag else [str(entry) for entry in entries]
    return texts if several else texts[0]


def write_config(path: Path, ctx: click.Context, leave_out: Sequence[str]) -> None:
    """Write all options of a command with their present values, so that `--config` gives the same again.

    Paths are written whole, since the file may lie elsewhere.

    Args:
        leave_out: Names of parameters that are no part of it.

    Raises:
        ArtmirrorError: the file cannot be written.
    """
    lines = [f"# Options of {ctx.info_name}; see {ctx.info_name} --help."]
    told = None
    for key, option in _options(ctx.command).items():
        value = ctx.params.get(str(option.name))
        if option.name in leave_out or value is None or value == ():
            continue
        group = getattr(option, "group", None)
        if group is not None and group is not told:
            lines += ["", f"# {group.title}"]
            told = group
        if isinstance(option.type, click.Path):
            value = str(Path(value).absolute())
        entries = [_toml(entry) for entry in (value if option.multiple else (value,))]
        lines.append(f"{key} = [{', '.join(entries)}]" if option.multiple else f"{key} = {entries[0]}")
    try:
        write_whole(path, ("\n".join(lines) + "\n").encode())
    except OSError as error:
        raise cannot_write(path, error) from None


def _toml(value: Any) -> str:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return repr(value)
    # JSON's booleans and strings are TOML's too, but for one character
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
