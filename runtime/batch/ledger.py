"""What a batch did: one JSON line for each task that ended. A second run reads it, and does what is missing."""

import json
import threading
from dataclasses import asdict, dataclass
from pathlib import Path

from artmirror.runtime.batch.tasks import Task
from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.runtime.common.files import cannot_write
from artmirror.runtime.common.plain_data import fitted, parse_json

NAME = "batch.jsonl"
DONE, FAILED = "done", "failed"


@dataclass(frozen=True, slots=True)
class Entry:
    """How a task ended."""

    name: str
    result: str  # done or failed
    settings: str  # fingerprint
    input_bytes: int
    input_mtime_ns: int
    input_sha256: str
    output: str
    output_sha256: str
    frames: int
    began: float  # seconds since 1970
    seconds: float
    tries: int
    worker: str
    error: str = ""


class Ledger:
    """The file; the last line of a task counts. Lines that are damaged, as after a power cut, are left out."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._writing = threading.Lock()
        self.entries: dict[str, Entry] = {}
        try:
            lines = path.read_text("utf-8", errors="replace").splitlines()
        except FileNotFoundError:
            lines = []
        except OSError as error:
            raise ArtmirrorError(f"cannot read {path}: {error.strerror}") from None
        for line in lines:
            try:
                entry = fitted(parse_json(line), Entry)
            except ValueError:
                continue
            self.entries[entry.name] = entry

    def add(self, entry: Entry) -> None:
        """Write one more line.

        Raises:
            ArtmirrorError: it cannot be written.
        """
        with self._writing:
            self.entries[entry.name] = entry
            try:
                with self._path.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(asdict(entry), ensure_ascii=False) + "\n")
            except OSError as error:
                raise cannot_write(self._path, error) from None

    def is_done(self, task: Task, settings: str, size_bytes: int, mtime_ns: int, sha256: "str | None" = None) -> bool:
        """Whether a task was done with these settings, for this very file.

        Args:
            mtime_ns: 0 where the storage tells none.
            sha256: Of the file, where size and time alone do not tell.
        """
        entry = self.entries.get(task.name)
        if entry is None or entry.result != DONE or entry.settings != settings or entry.output != task.output:
            return False
        if entry.input_bytes != size_bytes:
            return False
        return (mtime_ns != 0 and entry.input_mtime_ns == mtime_ns) or (
            sha256 is not None and entry.input_sha256 == sha256
        )
