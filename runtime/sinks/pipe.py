"""What other programs read from our standard output: a film in Matroska, or bare pixels."""

import sys
from contextlib import suppress
from typing import BinaryIO

import cv2  # noqa: F401 - before PyAV: loaded after it, OpenCV's first window hangs in PyAV's copy of libxcb

# isort: split
import av

from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.runtime.frame import FrameSlot
from artmirror.runtime.sinks.base import SinkFormat
from artmirror.runtime.sinks.film_writer import FilmWriter, reason_of

_STDOUT = 1
# Out as soon as a picture is there: whoever reads is waiting for it.
_PROMPT = {"flush_packets": "1", "cluster_time_limit": "100", "live": "1"}


class FilmPipe:
    """A film with its sound in Matroska; it ends where the reader goes away."""

    def __init__(self, format: SinkFormat) -> None:
        """Write the head.

        Raises:
            ArtmirrorError: the standard output is a terminal, or the film cannot be written to it.
        """
        _check_output()
        self._film = FilmWriter(f"pipe:{_STDOUT}", "pipe:", "matroska", format, _PROMPT)
        self._open = True

    def write(self, slot: FrameSlot) -> bool:
        """Encode `slot.stylized`; False where nobody reads any more.

        Raises:
            ArtmirrorError: it cannot be written.
        """
        try:
            self._film.write(slot)
        except BrokenPipeError:
            self._film.abandon()
            self._open = False
            return False
        except (av.FFmpegError, OSError, ValueError) as error:
            raise ArtmirrorError(f"cannot write to pipe: ({reason_of(error)})") from error
        return True

    def close(self) -> None:
        """Write the end of the film.

        Raises:
            ArtmirrorError: it cannot be written.
        """
        if self._open:
            self._open = False
            try:
                self._film.finish()
            except BrokenPipeError:
                self._film.abandon()
            except (av.FFmpegError, OSError, ValueError) as error:
                raise ArtmirrorError(f"cannot write to pipe: ({reason_of(error)})") from error

    def discard(self) -> None:
        """Write the end of what there is."""
        with suppress(ArtmirrorError):
            self.close()


class RawPipe:
    """Bare pixels, 8-bit BGR, row by row, one frame after the other; no sound and no times."""

    def __init__(self, format: SinkFormat, file: BinaryIO | None = None) -> None:
        """Take the standard output, or `file`.

        Raises:
            ArtmirrorError: the standard output is a terminal.
        """
        if file is None:
            _check_output()
        self._file = file or sys.stdout.buffer

    def write(self, slot: FrameSlot) -> bool:
        """Write the frame; False where nobody reads any more.

        Raises:
            ArtmirrorError: it cannot be written.
        """
        try:
            self._file.write(slot.stylized.data)
            self._file.flush()
        except BrokenPipeError:
            return False
        except OSError as error:
            raise ArtmirrorError(f"cannot write to pipe:raw ({error.strerror})") from error
        return True

    def close(self) -> None:
        """Nothing to finish."""

    def discard(self) -> None:
        """Nothing to remove."""


def _check_output() -> None:
    if sys.stdout is None or sys.stdout.isatty():
        raise ArtmirrorError(
            "pipe: writes a film, and the terminal cannot show it: send it to another program, "
            "such as st-run -o pipe: | ffplay -"
        )
