"""The sound of one file on its way into another, copied as it is where the container takes it."""

from collections.abc import Iterator
from fractions import Fraction

import cv2  # noqa: F401 - before PyAV: loaded after it, OpenCV's first window hangs in PyAV's copy of libxcb

# isort: split
import av
from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.packet import Packet

from artmirror.runtime.common.errors import ArtmirrorError

_PRIMING_S = Fraction(1, 10)  # encoders start with up to so much silence before time zero
_WHOLE_S = Fraction(1, 2)  # pictures that end this near to the file's own end were all written


class SoundTrack:
    """Feeds the first sound stream of a file into an output, in step with its pictures."""

    def __init__(self, path: str, output: OutputContainer) -> None:
        """Open `path` and add a stream to `output`, before anything is written into it.

        Raises:
            ArtmirrorError: the file cannot be opened or has no sound.
        """
        self._output = output
        try:
            self._input = av.open(f"file:{path}", metadata_errors="replace")
        except (av.FFmpegError, OSError) as error:
            raise ArtmirrorError(f"cannot read the sound of {path}: {error.strerror}") from error
        if not self._input.streams.audio:
            self._input.close()
            raise ArtmirrorError(f"{path} has no sound: leave the sound out")
        self._from = self._input.streams.audio[0]
        self._origin_s, self._pictures_end_s = self._picture_times()
        try:
            self._to: AudioStream = output.add_stream_from_template(self._from)
            self._encodes = False
        except ValueError:  # the container does not take this codec
            self._to = self._add_encoder()
            self._encodes = True
        self._packets = self._shifted()
        self._next = next(self._packets, None)

    def mux_until(self, time_s: Fraction) -> None:
        """Write the sound that begins at or before `time_s`, counted from the first picture.

        Raises:
            av.FFmpegError, OSError: the output cannot be written.
        """
        while self._next is not None and self._time_s(self._next) <= time_s:
            self._mux(self._next)
            self._next = next(self._packets, None)

    def finish(self, end_s: Fraction) -> None:
        """Write the rest: to its own end where all pictures were written, else to the last picture's end `end_s`.

        Raises:
            av.FFmpegError, OSError: the output cannot be written.
        """
        if self._pictures_end_s is None or end_s >= self._pictures_end_s - _WHOLE_S:
            while self._next is not None:
                self._mux(self._next)
                self._next = next(self._packets, None)
        else:
            self.mux_until(end_s)
        if self._encodes:
            self._output.mux(self._to.encode(None))
        self.close()

    def close(self) -> None:
        """Close the file that the sound comes from."""
        self._input.close()

    def _picture_times(self) -> tuple[Fraction, Fraction | None]:
        """Return when the first picture is shown, and how long the pictures last if the file says so."""
        if not self._input.streams.video:
            return Fraction(0), None
        video = self._input.streams.video[0]
        if video.time_base is None:
            return Fraction(0), None
        duration_s = None if video.duration is None else video.duration * video.time_base
        return (video.start_time or 0) * video.time_base, duration_s

    def _add_encoder(self) -> AudioStream:
        name = {"webm": "libopus", "avi": "libmp3lame"}.get(self._output.format.name, "aac")
        rate = 48_000 if name == "libopus" else self._from.rate
        stream = self._output.add_stream(name, rate=rate)
        assert isinstance(stream, AudioStream)
        stream.bit_rate = 192_000
        stream.layout = "stereo"
        return stream

    def _shifted(self) -> Iterator["Packet[AudioStream]"]:
        """The packets of the sound with time zero at the first picture, without those that begin before."""
        # Only MP4 and MOV can keep an encoder's priming in front of time zero; others would move the pictures.
        earliest_s = -_PRIMING_S if self._output.format.name in ("mp4", "mov") else Fraction(0)
        try:
            for packet in self._input.demux(self._from):
                if packet.dts is None or packet.pts is None:
                    continue
                shift = round(self._origin_s / packet.time_base)
                packet.pts -= shift
                packet.dts -= shift
                if self._time_s(packet) >= earliest_s:
                    yield packet
        except av.FFmpegError:
            return  # a cut off file: the pictures end there too, and their source tells

    def _time_s(self, packet: "Packet[AudioStream]") -> Fraction:
        return Fraction(packet.pts or 0) * packet.time_base

    def _mux(self, packet: "Packet[AudioStream]") -> None:
        if not self._encodes:
            packet.stream = self._to
            self._output.mux(packet)
            return
        try:
            frames = packet.decode()
        except av.FFmpegError:
            return  # one damaged packet is a short silence, not a reason to lose the video
        for frame in frames:
            self._output.mux(self._to.encode(frame))  # PyAV resamples to what the encoder takes
