"""`st-show`: a museum's mirror from one file."""

import logging
import os
import sys
from importlib.resources import files
from pathlib import Path
from typing import Any

import click
import cloup

from artmirror.runtime.common.command import EXIT_INTERRUPTED, Command, StopOnSignals, common_options
from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.runtime.common.files import cannot_write, write_whole


@cloup.command(
    "st-show",
    cls=Command,
    extra="show",
    examples=(
        "st-show --init show.toml",
        "st-show show.toml",
        "st-show --check show.toml",
        "st-show --link show.toml",
        "st-show --install-service show.toml",
    ),
)
@cloup.argument("show", type=click.Path(path_type=Path), metavar="SHOW.toml", required=False)
@cloup.option_group(
    "Instead of running it",
    cloup.option("--init", is_flag=True, help="Write a show's file to begin with, with words for each setting."),
    cloup.option("--check", is_flag=True, help="Read the file, find its paintings, and say what is wrong."),
    cloup.option("--link", is_flag=True, help="Show the remote's address with its token, as a QR code too."),
    cloup.option("--install-service", is_flag=True, help="Write a systemd unit that runs the show with the machine."),
    cloup.option("--uninstall-service", is_flag=True, help="Remove that unit."),
    cloup.option("--get-mask-model", is_flag=True, help="Download the network that finds people, 0.25 MB."),
    cloup.option("--monitors", is_flag=True, help="List the monitors that [screen] monitor can name."),
)
@common_options("st-show")
def main(**options: Any) -> None:
    """Run an installation: camera in, painted picture on a whole screen, with nobody near.

    One TOML file describes it. Changes to the file are taken over while the show runs; a wrong file is refused, and the
    show goes on.
    """
    show: Path | None = options["show"]
    if options["uninstall_service"]:
        _uninstall()
    elif options["get_mask_model"]:
        from artmirror.runtime.show.mask import download_model

        click.echo(f"The model is in {download_model()}")
    elif options["monitors"]:
        _list_monitors()
    elif show is None:
        raise click.UsageError("a show's file is wanted: st-show --init show.toml writes one")
    elif options["init"]:
        _init(show)
    elif options["check"]:
        _check(show)
    elif options["link"]:
        _link(show)
    elif options["install_service"]:
        _install(show)
    else:
        _run(show, debug=options["debug"])


def _run(path: Path, *, debug: bool) -> None:
    from artmirror.runtime.show.controllers import MidiDoor, OscDoor
    from artmirror.runtime.show.health import limit_heaps
    from artmirror.runtime.show.kept import KeptFile, kept_path
    from artmirror.runtime.show.presenter import Screen
    from artmirror.runtime.show.remote import RemoteDoor
    from artmirror.runtime.show.settings import Settings
    from artmirror.runtime.show.show import Door, Show

    logging.basicConfig(level=logging.INFO, format="%(message)s" if "JOURNAL_STREAM" in os.environ else _FORMAT)
    logging.getLogger("artmirror").setLevel(logging.DEBUG if debug else logging.INFO)
    limit_heaps()
    kept = KeptFile(kept_path(path))
    kept.save()  # --link finds the same token from now on
    remote: list[RemoteDoor] = []

    def open_screen(settings: Settings) -> Screen:
        from artmirror.runtime.show.screen import NoScreen, PygameScreen

        return PygameScreen(settings.screen, settings.title) if settings.screen.show else NoScreen(settings.screen)

    def open_doors(settings: Settings) -> list[Door]:
        remote.clear()
        doors: list[Door] = []
        if settings.remote.show:
            remote.append(RemoteDoor(settings.remote, kept.values.token))
            doors.append(remote[0])
            where = "this machine alone" if settings.remote.is_loopback else "other machines, with its token"
            logging.getLogger("artmirror.show").info("remote at %s, for %s", remote[0].base, where)
        if settings.controllers.osc_port:
            doors.append(OscDoor(settings.controllers.osc_address, settings.controllers.osc_port))
        if settings.controllers.midi:
            doors.append(MidiDoor(settings.controllers.midi))
        return doors

    with StopOnSignals() as signals:
        Show(
            path,
            kept,
            open_screen,
            open_doors,
            photo_link=lambda photo: remote[0].photo_link(photo) if remote else "",
            remote_link=lambda: remote[0].link() if remote else "",
            stop=lambda: signals.asked,
        ).run()
    if signals.asked:
        sys.exit(EXIT_INTERRUPTED)


_FORMAT = "%(asctime)s %(message)s"


def _init(path: Path) -> None:
    if path.exists():
        raise ArtmirrorError(f"{path} is there already: name another file, or remove it")
    text = (files("artmirror.runtime.show") / "example.toml").read_bytes()
    try:
        write_whole(path, text)
    except OSError as error:
        raise cannot_write(path, error) from None
    click.echo(f"{path} is written. Look through it, then: st-show {path}")


def _check(path: Path) -> None:
    from artmirror.runtime.show.scenes import read_programme
    from artmirror.runtime.show.settings import folder_of, read_settings

    settings = read_settings(path)
    programme = read_programme(settings, folder_of(path))
    for number, scene in enumerate(programme.scenes, 1):
        told = ", ".join(filter(None, (scene.title, scene.artist, scene.year)))
        click.echo(f"{number:3}. {told} ({scene.seconds:g} s)")
    networks = len(programme.networks)
    click.echo(f"{path} is right: {len(programme.scenes)} paintings by {networks} network{'s' * (networks != 1)}.")


def _link(path: Path) -> None:
    from artmirror.runtime.show.kept import KeptFile, kept_path
    from artmirror.runtime.show.remote import join_address
    from artmirror.runtime.show.settings import read_settings

    settings = read_settings(path)
    if not settings.remote.show:
        raise ArtmirrorError(f"{path} has no remote: set show = true under [remote]")
    kept = KeptFile(kept_path(path))
    if not kept.save():
        raise ArtmirrorError(f"cannot write {kept_path(path)}: make room, or check its permissions")
    address = join_address(settings.remote, kept.values.token)
    if settings.remote.is_loopback:
        click.echo(f'{address} (on this machine alone: for a phone, set address = "0.0.0.0" under [remote])')
        return
    import segno

    segno.make(address, error="m", micro=False).terminal(compact=True)
    click.echo(address)


def _install(path: Path) -> None:
    from artmirror.runtime.show.service import install, unit_path
    from artmirror.runtime.show.settings import read_settings

    read_settings(path)
    commands = install(path)
    click.echo(f"{unit_path()} is written. Now run:")
    for command in commands:
        click.echo(f"  {command}")


def _uninstall() -> None:
    from artmirror.runtime.show.service import UNIT, uninstall, unit_path

    if not uninstall():
        raise ArtmirrorError(f"there is no {unit_path()}: nothing was installed")
    click.echo(f"{unit_path()} is removed. To stop it now: systemctl --user stop {UNIT}")


def _list_monitors() -> None:
    from artmirror.runtime.show.screen import monitors

    for number, (name, size) in enumerate(monitors()):
        click.echo(f"{number}  {size}  {name}")


if __name__ == "__main__":
    main()
