"""What a show remembers from one start to the next: the painting that hangs, and the remote's token. Nothing else."""

import json
import os
import secrets
import threading
from dataclasses import asdict, dataclass
from pathlib import Path

from artmirror.runtime.common.files import write_whole
from artmirror.runtime.common.plain_data import fitted, read_json

_TOKEN_BYTES = 16


@dataclass(slots=True)
class Kept:
    """The content of the file."""

    token: str
    scene: str = ""
    held: bool = False


class KeptFile:
    """One small JSON file, only for its owner to read; a file that is damaged is begun anew."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self.values = fitted(read_json(path), Kept)
        except (OSError, ValueError):
            self.values = Kept(secrets.token_urlsafe(_TOKEN_BYTES))
        self._written = ""
        self._writer: threading.Thread | None = None

    def save(self) -> bool:
        """Write it where something changed; False where the disk takes nothing, which the show survives."""
        text = self._text()
        if text == self._written:
            return True
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            write_whole(self._path, text.encode())
            self._path.chmod(0o600)
        except OSError:
            return False
        self._written = text
        return True

    def _text(self) -> str:
        return json.dumps(asdict(self.values))

    def save_beside(self) -> None:
        """Write it in a thread of its own: on a busy disk it takes seconds, and the picture must not wait."""
        if self._text() != self._written and (self._writer is None or not self._writer.is_alive()):
            self._writer = threading.Thread(target=self.save, name="kept", daemon=True)
            self._writer.start()


def kept_path(show: Path) -> Path:
    """Where a show's memory lies: `$STATE_DIRECTORY`, or the user's folder for such files."""
    chosen = os.environ.get("STATE_DIRECTORY") or os.environ.get("XDG_STATE_HOME", "")
    base = Path(chosen) if Path(chosen).is_absolute() else Path.home() / ".local" / "state"
    return base / "artmirror" / f"{show.resolve().stem}.json"
