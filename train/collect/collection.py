"""What a folder of collected clips holds, and what is on its way there: `collected.json`."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.runtime.common.files import write_whole
from artmirror.runtime.common.plain_data import Whole, fitted, plain_name, read_json, version_of

MANIFEST_NAME = "collected.json"
PART_SUFFIX = ".part"
FORMAT_VERSION = 1


@dataclass(frozen=True, slots=True)
class PartialClip:
    """A download that has begun; its bytes are in `FILE.part`."""

    url: str
    file: str
    bytes_expected: Whole | None  # None where the server does not tell
    etag: str
    last_modified: str
    content_type: str


@dataclass(frozen=True, slots=True)
class CollectedClip:
    """A whole clip, and where it came from."""

    url: str
    file: str
    bytes: Whole
    sha256: str
    etag: str
    last_modified: str
    content_type: str
    collected_at: str  # ISO 8601, UTC
    licence: str = "unknown"


@dataclass(frozen=True, slots=True)
class _Manifest:
    format_version: int
    clips: list[CollectedClip]
    partial: list[PartialClip]


class Collection:
    """The clips in a folder, by URL. Every change is written at once, whole."""

    def __init__(self, folder: Path) -> None:
        """Open the manifest of `folder`; without one, or without the folder, it is empty.

        Raises:
            ArtmirrorError: the manifest cannot be read.
        """
        self.folder = folder
        self.clips: dict[str, CollectedClip] = {}
        self.partial: dict[str, PartialClip] = {}
        path = folder / MANIFEST_NAME
        try:
            values = read_json(path)
            version = version_of(values)
            if version not in (None, FORMAT_VERSION):
                raise ArtmirrorError(
                    f"{path} has format version {version}; this artmirror reads version {FORMAT_VERSION}"
                )
            found = fitted(values, _Manifest)
            for name in [clip.file for clip in found.clips] + [clip.file for clip in found.partial]:
                plain_name(name)
            self.clips = {clip.url: clip for clip in found.clips}
            self.partial = {clip.url: clip for clip in found.partial}
        except FileNotFoundError:
            return
        except OSError as error:
            raise ArtmirrorError(f"cannot read {path}: {error.strerror}; name another folder with -o") from None
        except ValueError as error:
            raise ArtmirrorError(
                f"{path} is damaged ({error}); move it away, and the clips are collected anew"
            ) from None

    def prepare(self) -> None:
        """Make the folder, and see that it can be written to.

        Raises:
            ArtmirrorError: it cannot.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise self.cannot_write(error) from None
        self._save()

    def is_there(self, url: str) -> bool:
        """Tell whether the clip of `url` lies in the folder; finish what was interrupted just before the end.

        Raises:
            ArtmirrorError: the folder cannot be written to.
        """
        clip = self.clips.get(url)
        if clip is None:
            return False
        path = self.folder / clip.file
        part = self.part_path(clip.file)
        try:
            if not path.exists() and part.exists() and part.stat().st_size == clip.bytes:
                part.replace(path)
            return path.exists() and path.stat().st_size == clip.bytes
        except OSError as error:
            raise self.cannot_write(error) from None

    def part_path(self, file: str) -> Path:
        """Where the beginning of `file` lies until it is whole."""
        return self.folder / f"{file}{PART_SUFFIX}"

    def begin(self, partial: PartialClip) -> None:
        """Note a download, before its first byte is written."""
        self.partial[partial.url] = partial
        self.clips.pop(partial.url, None)  # it was there once, and is no longer
        self._save()

    def finish(self, clip: CollectedClip) -> None:
        """Note that `FILE.part` is whole and good, and give it its name. Killed in between, `is_there` goes on."""
        self.partial.pop(clip.url, None)
        self.clips[clip.url] = clip
        self._save()
        self.part_path(clip.file).replace(self.folder / clip.file)

    def drop(self, url: str) -> None:
        """Forget a download, and remove what came of it."""
        partial = self.partial.pop(url, None)
        if partial is not None:
            self.part_path(partial.file).unlink(missing_ok=True)
            self._save()

    def free_name(self, wanted: str, url: str) -> str:
        """Return `wanted`, with a number where another URL's clip has that name; upper and lower case are one name."""
        taken = {clip.file.lower() for clip in self.clips.values() if clip.url != url}
        taken |= {partial.file.lower() for partial in self.partial.values() if partial.url != url}
        taken |= {path.name.lower().removesuffix(PART_SUFFIX) for path in self.folder.iterdir()}
        stem, suffix = Path(wanted).stem, Path(wanted).suffix
        name, number = wanted, 1
        while name.lower() in taken:
            number += 1
            name = f"{stem}-{number}{suffix}"
        return name

    def cannot_write(self, error: OSError) -> ArtmirrorError:
        """Return what to tell a user when something in the folder cannot be written."""
        return ArtmirrorError(
            f"cannot write to {self.folder}: {error.strerror}; free some space or name another with -o"
        )

    def _save(self) -> None:
        data = {
            "format_version": FORMAT_VERSION,
            "clips": [asdict(clip) for clip in self.clips.values()],
            "partial": [asdict(partial) for partial in self.partial.values()],
        }
        path = self.folder / MANIFEST_NAME
        try:
            write_whole(path, (json.dumps(data, indent=1, ensure_ascii=False) + "\n").encode())
        except OSError as error:
            raise self.cannot_write(error) from None
