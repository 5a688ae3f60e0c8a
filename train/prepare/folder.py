"""The folder of a prepared dataset: whose it is, whether it is finished, and how to clear it."""

import hashlib
import json
import shutil
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.runtime.common.files import cannot_write
from artmirror.runtime.common.pixels import Size
from artmirror.runtime.common.plain_data import fitted, read_json
from artmirror.train.prepare.files import ClipFile
from artmirror.train.prepare.shards import StoredFlow
from artmirror.train.prepare.shots import Rules

STATE_FOLDER, HOLDOUT_FOLDER, DATASET_FILE, IDENTITY_FILE = ".prepare", "holdout", "dataset.json", "identity.json"
_OURS = ("shard-*.tar", ".*.part", DATASET_FILE, "report.json", "report.md", "contact_sheet*.jpg")


@dataclass(frozen=True, slots=True)
class PrepareConfig:
    """Everything that the content of a dataset depends on, but the clips."""

    size: Size = field(default_factory=lambda: Size(360, 640))  # of all frames
    frames_per_chunk: int = 16
    rules: Rules = field(default_factory=Rules)
    flow: StoredFlow | None = None
    shard_bytes: int = 256_000_000
    holdout: float = 0.0  # share of the frames, by whole sources


@dataclass(frozen=True, slots=True)
class _Shard:
    file: str


@dataclass(frozen=True, slots=True)
class _Known:
    """What a dataset says of itself, finished or begun."""

    settings: dict[str, Any] | None = None
    clips_sha256: str = ""
    shards: tuple[_Shard, ...] = ()


def identify(files: Sequence[ClipFile], config: PrepareConfig) -> dict[str, Any]:
    """By what a run knows its own dataset again: the settings, and a checksum over the clips' names and contents."""
    clips = hashlib.sha256(json.dumps([(file.name, file.digest) for file in files]).encode()).hexdigest()
    settings: dict[str, Any] = json.loads(json.dumps(asdict(config)))  # tuples become lists, as they are read back
    return {"settings": settings, "clips_sha256": clips}


def is_complete(output: Path, identity: dict[str, Any]) -> bool:
    """Whether the dataset is there already.

    Raises:
        ArtmirrorError: another dataset is there, or begun, or this one is damaged.
    """
    if output.exists() and not output.is_dir():
        raise ArtmirrorError(f"{output} is a file; wanted a folder for the dataset, choose it with -o")
    for path in (output / DATASET_FILE, output / STATE_FOLDER / IDENTITY_FILE):
        try:
            found = fitted(read_json(path), _Known)
        except FileNotFoundError:
            continue
        except (OSError, ValueError) as error:
            raise ArtmirrorError(f"{path} cannot be read ({error}); --overwrite begins anew") from None
        changed = _changed(found, identity)
        if changed:
            raise ArtmirrorError(
                f"{output} holds a dataset of other {changed}; run with the same again, name another folder with -o, "
                "or let --overwrite replace it"
            )
        if path.name == DATASET_FILE:
            lost = [shard.file for shard in found.shards if not (output / shard.file).is_file()]
            if lost:
                raise ArtmirrorError(f"{output} lacks {', '.join(lost)[:200]}; --overwrite makes the dataset again")
            return True
    if list(output.glob("shard-*.tar")) and not (output / STATE_FOLDER / IDENTITY_FILE).exists():
        raise ArtmirrorError(
            f"{output} holds shards of something else; name another folder with -o, or use --overwrite"
        )
    return False


def _changed(found: _Known, wanted: dict[str, Any]) -> str:
    if found.settings is None:
        return "making"
    settings = [
        f"{key} ({str(found.settings.get(key))[:80]}, now {value})"
        for key, value in wanted["settings"].items()
        if found.settings.get(key) != value
    ]
    if settings:
        return f"settings: {', '.join(settings)}"
    return "clips" if found.clips_sha256 != wanted["clips_sha256"] else ""


def clear(output: Path) -> None:
    """Remove what `prepare` writes, and nothing else; measurements stay, since they depend on the clips alone."""
    try:
        for folder in (output, output / HOLDOUT_FOLDER):
            for pattern in _OURS:
                for path in folder.glob(pattern):
                    path.unlink()
        with suppress(FileNotFoundError):
            (output / STATE_FOLDER / IDENTITY_FILE).unlink()
        for notes in ("train", "holdout"):
            shutil.rmtree(output / STATE_FOLDER / notes, ignore_errors=True)
        with suppress(OSError):  # not there, or not empty
            (output / HOLDOUT_FOLDER).rmdir()
    except OSError as error:
        raise cannot_write(output, error) from None
