"""systemd: what the show tells it, and the unit that starts the show with the machine."""

import os
import shutil
import socket
import sys
from pathlib import Path

from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.runtime.common.files import cannot_write, write_whole

UNIT = "artmirror-show.service"
WATCHDOG_S = 20

_TEXT = """\
# Written by st-show --install-service. Journal: journalctl --user -u {unit}
[Unit]
Description=artmirror: {show}
After=graphical-session.target network.target
PartOf=graphical-session.target
# It is started again for ever: a mirror has nobody who would do it.
StartLimitIntervalSec=0

[Service]
Type=notify
ExecStart="{python}" -m artmirror.runtime.show.cli "{show}"
WorkingDirectory={folder}
Restart=always
RestartSec=1
# What a stop ends with.
SuccessExitStatus=130
# READY is told with the first picture on the screen; a cold start compiles networks before it.
TimeoutStartSec=180
# WATCHDOG=1 is told only when a picture reached the screen.
WatchdogSec={watchdog}
TimeoutStopSec=15
Nice=-5
LogRateLimitIntervalSec=30
LogRateLimitBurst=200
{environment}
[Install]
WantedBy=default.target
"""


def notify(message: str) -> None:
    """Tell systemd something, such as READY=1; does nothing where it did not start us."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
            channel.connect("\0" + address[1:] if address.startswith("@") else address)
            channel.sendall(message.encode())
    except OSError:
        pass  # a show goes on without being watched


def unit_text(show: Path) -> str:
    """The unit file for a show's file."""
    kept = [
        name for name in ("DISPLAY", "WAYLAND_DISPLAY", "XDG_RUNTIME_DIR", "SDL_VIDEODRIVER") if os.environ.get(name)
    ]
    return _TEXT.format(
        unit=UNIT,
        show=show.resolve(),
        folder=show.resolve().parent,
        python=sys.executable,
        watchdog=WATCHDOG_S,
        environment="".join(f"Environment={name}={os.environ[name]}\n" for name in kept),
    )


def unit_path() -> Path:
    """Where the user's unit lies."""
    chosen = os.environ.get("XDG_CONFIG_HOME", "")
    base = Path(chosen) if Path(chosen).is_absolute() else Path.home() / ".config"
    return base / "systemd" / "user" / UNIT


def install(show: Path) -> list[str]:
    """Write the unit; returns the commands that start it, for the user to run.

    Raises:
        ArtmirrorError: it cannot be written, or a path in it would be misread.
    """
    for part in (str(show.resolve()), sys.executable):
        if any(character in part for character in '"%\\$\n'):
            raise ArtmirrorError(f'{part} holds one of " % \\ $, which systemd reads as something else: rename it')
    path = unit_path()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, unit_text(show).encode())
    except OSError as error:
        raise cannot_write(path, error) from None
    commands = ["systemctl --user daemon-reload", f"systemctl --user enable --now {UNIT}", "loginctl enable-linger"]
    return commands if shutil.which("systemctl") else [*commands, "(there is no systemd on this machine)"]


def uninstall() -> bool:
    """Remove the unit; False where there is none."""
    path = unit_path()
    if not path.is_file():
        return False
    path.unlink()
    return True
