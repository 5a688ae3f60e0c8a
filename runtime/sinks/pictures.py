"""Picture files: one, or one per frame in a folder."""

import re
from pathlib import Path

from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.runtime.common.files import check_not_input
from artmirror.runtime.common.pictures import JPEG_SUFFIXES, check_writable, save_picture
from artmirror.runtime.frame import FrameSlot
from artmirror.runtime.sinks.base import SinkFormat

_NUMBER = re.compile(r"%0?\d*d")


class PictureSink:
    """Writes one picture file, or a numbered one per frame where its name holds a pattern such as `%06d`."""

    def __init__(self, path: Path, format: SinkFormat) -> None:
        """Check that `path` can be written.

        Raises:
            ArtmirrorError: its folder cannot be written, or the source has many pictures and there is one name.
        """
        check_not_input(path, format.files)
        self._path, self._inputs = path, format.files
        self._numbered = _NUMBER.search(path.name) is not None
        self._written = 0
        if path.is_dir():
            raise ArtmirrorError(f"{path} is a folder, a picture's name is wanted: end it with / to fill the folder")
        if format.frame_count is not None and format.frame_count > 1:
            self._check_single()
        check_writable(path.parent)

    def write(self, slot: FrameSlot) -> bool:
        """Write the picture.

        Raises:
            ArtmirrorError: it cannot be written, or it is the second for one name; the first stays.
        """
        if self._written:
            self._check_single()
        name = self._path.name
        if self._numbered:
            name = _NUMBER.sub(lambda pattern: pattern[0] % slot.id, name, count=1)
        check_not_input(self._path.with_name(name), self._inputs)
        save_picture(slot.stylized, self._path.with_name(name))
        self._written += 1
        return True

    def close(self) -> None:
        """Nothing to finish: each picture was whole when it was written."""

    def discard(self) -> None:
        """Leave the pictures: each is whole."""

    def _check_single(self) -> None:
        if not self._numbered:
            numbered = f"{self._path.stem}_%06d{self._path.suffix}"
            raise ArtmirrorError(
                f"{self._path} is one picture and the source has many: "
                f"name a folder (with / at its end), a video, or {numbered}"
            )


class FolderSink:
    """Writes one picture per frame into a folder, under the name of its source where it has one."""

    def __init__(self, folder: Path, format: SinkFormat) -> None:
        """Make `folder` where only its parent exists.

        Raises:
            ArtmirrorError: the folder cannot be made or written, or the pictures come from it.
        """
        if format.rate is None and folder.exists() and any(folder.samefile(file.parent) for file in format.files):
            raise ArtmirrorError(f"{folder} holds the pictures that are read; name another folder for the painted ones")
        self._inputs = format.files
        self._folder = folder
        self._names: set[str] = set()
        if not folder.exists() and folder.parent.is_dir():
            try:
                folder.mkdir()
            except OSError as error:
                raise ArtmirrorError(f"cannot make the folder {folder}: {error.strerror}; choose another") from error
        check_writable(folder)

    def write(self, slot: FrameSlot) -> bool:
        """Write the picture; it stays JPEG where the source was, and is PNG otherwise.

        Raises:
            ArtmirrorError: it cannot be written.
        """
        source = Path(Path(slot.label).name)
        suffix = source.suffix if source.suffix.lower() in JPEG_SUFFIXES else ".png"
        name = f"{source.stem}{suffix}" if slot.label else f"frame_{slot.id:06d}{suffix}"
        if name in self._names:  # a.bmp and a.png of one source would both be a.png
            name = f"{source.stem}_{slot.id:06d}{suffix}"
        self._names.add(name)
        check_not_input(self._folder / name, self._inputs)
        save_picture(slot.stylized, self._folder / name)
        return True

    def close(self) -> None:
        """Nothing to finish: each picture was whole when it was written."""

    def discard(self) -> None:
        """Leave the pictures: each is whole."""
