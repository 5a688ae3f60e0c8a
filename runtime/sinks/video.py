"""Video files, with the sound of the source and what else belongs to it."""

import logging
from contextlib import suppress
from errno import EDQUOT, ENOSPC
from pathlib import Path

import cv2  # noqa: F401 - before PyAV: loaded after it, OpenCV's first window hangs in PyAV's copy of libxcb

# isort: split
import av

from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.runtime.common.files import check_not_input, claim_part, part_path, stale_parts
from artmirror.runtime.common.pictures import check_writable
from artmirror.runtime.frame import FrameSlot
from artmirror.runtime.sinks.base import SinkFormat
from artmirror.runtime.sinks.film_writer import FORMATS, INDEXED, FilmWriter, reason_of

_log = logging.getLogger("artmirror.runtime")


class VideoSink:
    """Writes a video beside its final name and renames it when it is whole."""

    def __init__(self, path: Path, format: SinkFormat) -> None:
        """Open the file; the suffix of `path` chooses container and encoder.

        Raises:
            ArtmirrorError: the folder cannot be written, another process writes this file, it is the input, or the
                container takes neither these pictures nor this sound.
        """
        if path.is_dir():
            raise ArtmirrorError(f"{path} is a folder, a video's name is wanted: name a file inside it")
        check_not_input(path, format.files)
        path = path.resolve() if path.is_symlink() else path  # a link stays, what it leads to is replaced
        check_writable(path.parent)
        self._path = path
        self._kind = FORMATS[path.suffix.lower()]
        self._open = True
        self._rescue_older()
        try:
            self._part = claim_part(path)
        except OSError as error:
            raise ArtmirrorError(f"cannot write {path}: {reason_of(error)}") from error
        try:
            self._film = FilmWriter(f"file:{self._part}", str(path), self._kind, format)
        except BaseException:
            self._part.unlink(missing_ok=True)
            raise

    def write(self, slot: FrameSlot) -> bool:
        """Encode `slot.stylized`, and the sound up to its time.

        Raises:
            ArtmirrorError: the file cannot be written (disk full); what cannot be played is removed.
        """
        try:
            self._film.write(slot)
        except (av.FFmpegError, OSError, ValueError) as error:
            self._fail(error)
        return True

    def close(self) -> None:
        """Finish the video and give it its name; without a frame nothing is left behind.

        Raises:
            ArtmirrorError: the file cannot be finished (disk full); what cannot be played is removed.
        """
        self._finish(whole=True)

    def discard(self) -> None:
        """Finish the video with what was written where that can be played, else remove it.

        A finished file that stands there stays; what there is of the new one then gets a name of its own.
        """
        with suppress(ArtmirrorError):  # already removed, and the failure that brought us here is the one to tell
            self._finish(whole=False)

    def _finish(self, *, whole: bool) -> None:
        if not self._open:
            return
        if not self._film.written:
            self._abandon()
            return
        try:
            self._film.finish()
            if self._kind in INDEXED:
                self._check_fragments()
                self._put_index_in_front()
            self._open = False
            target = self._path if whole or not self._path.exists() else _free_name(self._path)
            self._part.replace(target)
        except (av.FFmpegError, OSError, ValueError) as error:
            self._fail(error)
        if target != self._path:
            _log.warning("%s is kept as it was; what there is of the new one is %s", self._path, target.name)

    def _rescue_older(self) -> None:
        """What a process that was killed had recorded gets a name that can be seen."""
        for part in stale_parts(self._path):
            with suppress(OSError):
                if not part.stat().st_size:
                    part.unlink()
                    continue
                target = _free_name(self._path)
                part.replace(target)
                _log.warning("an earlier run was cut short; what it had of %s is %s", self._path.name, target.name)

    def _check_fragments(self) -> None:
        """See that all is there: libav says nothing where the last fragment found no room.

        Raises:
            OSError: something is missing.
        """
        with av.open(f"file:{self._part}", metadata_errors="replace") as source:
            stored = sum(1 for packet in source.demux(video=0) if packet.size)
        if stored < self._film.encoded:
            with self._part.open("ab") as file:  # tells why, where it still is so
                file.write(bytes(1 << 16))
            raise OSError(f"{self._film.encoded - stored} of {self._film.encoded} pictures could not be stored")

    def _put_index_in_front(self) -> None:
        """Copy the finished fragments into an ordinary file, which plays while it is being loaded."""
        whole = part_path(self._path.with_name(f"whole.{self._path.name}"))
        try:
            with (
                av.open(f"file:{self._part}", metadata_errors="replace") as source,
                av.open(f"file:{whole}", "w", format=self._kind, options={"movflags": "+faststart"}) as target,
            ):
                target.metadata.update(source.metadata)
                streams = {}
                for stream in source.streams:
                    copy = target.add_stream_from_template(stream)
                    copy.time_base = stream.time_base
                    copy.metadata.update(stream.metadata)
                    copy.disposition = stream.disposition
                    streams[stream.index] = copy
                if self._film.tracks is not None:
                    target.set_chapters(self._film.tracks.chapters)
                for packet in source.demux():
                    if packet.size:
                        packet.stream = streams[packet.stream_index]
                        target.mux(packet)
            whole.replace(self._part)
        except (av.FFmpegError, OSError) as error:
            _log.warning(
                "%s stays in fragments (%s): most players show it all the same", self._path.name, reason_of(error)
            )
        finally:
            whole.unlink(missing_ok=True)

    def _fail(self, error: Exception) -> None:
        self._abandon()
        full = getattr(error, "errno", None) in (ENOSPC, EDQUOT)
        raise ArtmirrorError(
            f"cannot write {self._path}: {reason_of(error)}; the unfinished file is removed"
            f"{', make room and start again' if full else ''}"
        ) from error

    def _abandon(self) -> None:
        """Close without finishing and remove the partial file."""
        self._open = False
        self._film.abandon()
        self._part.unlink(missing_ok=True)


def _free_name(path: Path) -> Path:
    """A name beside `path` that says that the film is not whole."""
    numbers = ["", *(f"-{number}" for number in range(2, 1000))]
    names = (path.with_name(f"{path.stem}.unfinished{number}{path.suffix}") for number in numbers)
    return next(name for name in names if not name.exists())
