"""Sound, subtitles and chapters of a film on their way into another: as they are where the container takes them."""

import logging
from collections.abc import Iterator
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import cv2  # noqa: F401 - before PyAV: loaded after it, OpenCV's first window hangs in PyAV's copy of libxcb

# isort: split
import av
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from av.audio.stream import AudioStream
from av.bitstream import BitStreamFilterContext
from av.container import OutputContainer
from av.stream import Stream
from numpy.typing import NDArray

from artmirror.runtime.tracks import TrackPacket, Tracks

if TYPE_CHECKING:  # it exists for the checker only
    from av.container.core import Chapter

_log = logging.getLogger("artmirror.runtime")

_PRIMING_S = Fraction(1, 10)  # encoders start with up to so much silence before time zero
_NEAR_S = Fraction(1, 50)  # sound that is off by less is not moved: stamps of many containers are rounded
_BITS_PER_CHANNEL = 96_000  # per second
_STEREO = 2
# Encoder for sound that a container does not take, and whether it takes more than two channels.
_ENCODERS = {"webm": ("libopus", True), "avi": ("libmp3lame", False)}
_ENCODER = ("aac", True)
_WITH_CHAPTERS = {"mp4", "mov", "matroska"}
_NO_LEAD = {"avi"}  # containers that hold neither a late start of the sound nor a gap in it
_MP3_DELAY = 1105  # samples that a decoder of MP3 is late (LAME's 576 and the decoder's 529); AVI cannot tell it


class FilmTracks:
    """Feeds the tracks of a film into an output, in step with its pictures.

    Args:
        tracks: Of the film.
        output: Opened, with its stream of pictures, nothing written yet.
        copy_sound: Store the sound as it is; else it is encoded anew.
        copy_others: Store the other tracks as they are; else they are left out.

    Attributes:
        chapters: For the output, where its container has some.

    Raises:
        av.FFmpegError, ValueError: the container does not take them.
    """

    def __init__(self, tracks: Tracks, output: OutputContainer, *, copy_sound: bool, copy_others: bool) -> None:
        self._output, self._tracks = output, tracks
        self._copies: dict[int, Stream] = {}
        self._filters: dict[int, BitStreamFilterContext] = {}
        self._encoder: SoundEncoder | None = None
        self._last_dts: dict[int, int] = {}
        sound = tracks.sound
        if sound is not None and copy_sound:
            if output.format.name in _NO_LEAD:
                raise ValueError(f"{output.format.name} cannot keep the times of sound")
            self._copies[sound.index] = self._copied(sound)
        elif sound is not None:
            self._encoder = SoundEncoder(sound, output)
        for track in tracks.others if copy_others and output.format.name not in _NO_LEAD else ():
            if track.type in ("audio", "subtitle") and _name(track) in output.supported_codecs:
                self._copies[track.index] = self._copied(track)
        known = output.format.name in _WITH_CHAPTERS
        self.chapters = [_moved(chapter, tracks.origin_s) for chapter in tracks.chapters if known]
        self._reader = tracks.open_reader()

    def left_out(self) -> str:
        """What is not carried over, in words; empty where all is."""
        left = [
            f"{track.type} {track.index} ({_name(track) or 'unknown'})"
            for track in self._tracks.others
            if track.index not in self._copies
        ]
        if len(self.chapters) < len(self._tracks.chapters):
            left.append("chapters")
        return ", ".join(left)

    def mux_until(self, time_s: Fraction | None) -> None:
        """Write what begins at or before `time_s`, counted from the first picture; None for all that is there.

        Raises:
            av.FFmpegError, OSError: the output cannot be written.
        """
        for packet in self._reader.until(time_s):
            index = packet.packet.stream_index
            if index in self._copies:
                self._copy(packet, self._copies[index])
            elif self._encoder is not None and self._tracks.sound is not None and index == self._tracks.sound.index:
                for encoded in self._encoder.encode(packet, self._tracks.origin_s):
                    self._output.mux(encoded)

    def finish(self, end_s: Fraction) -> None:
        """Write the rest: to its own end where all pictures were read, else to the last picture's end `end_s`.

        Raises:
            av.FFmpegError, OSError: the output cannot be written.
        """
        self.mux_until(None if self._tracks.ended else end_s)
        if self._encoder is not None:
            for encoded in self._encoder.flush():
                self._output.mux(encoded)
        self.close()

    def close(self) -> None:
        """Take no more from the film."""
        self._reader.close()

    def _copied(self, track: Stream) -> Stream:
        stream = self._output.add_stream_from_template(track)
        for key in ("language", "title"):
            if key in track.metadata:
                stream.metadata[key] = track.metadata[key]
        stream.disposition = track.disposition
        if _name(track) == "aac" and not track.codec_context.extradata and self._output.format.name in ("mp4", "mov"):
            # As broadcast: each packet tells its own format, which these containers want once.
            self._filters[stream.index] = BitStreamFilterContext("aac_adtstoasc", track)
        return stream

    def _copy(self, track_packet: TrackPacket, stream: Stream) -> None:
        packet: av.Packet[Any] = track_packet.packet
        # Only MP4 and MOV can keep an encoder's priming in front of time zero; others would move the pictures.
        earliest_s = -_PRIMING_S if self._output.format.name in ("mp4", "mov") else Fraction(0)
        if track_packet.time_s - self._tracks.origin_s < earliest_s:
            return
        shift = round(self._tracks.origin_s / packet.time_base)
        pts = (packet.dts if packet.pts is None else packet.pts) or 0
        dts = pts if packet.dts is None else packet.dts
        if dts - shift <= self._last_dts.get(stream.index, dts - shift - 1):
            return  # a muxer refuses stamps that do not go on
        self._last_dts[stream.index] = dts - shift
        copy = av.Packet(bytes(packet))  # muxing changes a packet, and other sinks want it too
        copy.time_base, copy.duration, copy.is_keyframe = packet.time_base, packet.duration, packet.is_keyframe
        for note in packet.iter_sidedata():
            copy.set_sidedata(note)
        copy.pts, copy.dts = pts - shift, dts - shift
        filtered = self._filters[stream.index].filter(copy) if stream.index in self._filters else [copy]
        for ready in filtered:
            ready.stream = stream
            self._output.mux(ready)


class SoundEncoder:
    """Encodes sound for a container that does not take it as it is, in step with the film's clock.

    What comes before the first picture is cut off; where sound is missing, silence stands in for it.

    Args:
        sound: The track that will be encoded.
        output: Gets a stream of its own kind of sound.

    Raises:
        av.FFmpegError, ValueError: no encoder takes it.
    """

    def __init__(self, sound: Stream, output: OutputContainer) -> None:
        assert isinstance(sound, AudioStream)
        name, surround = _ENCODERS.get(output.format.name, _ENCODER)
        self._rate = _nearest(sound.codec_context.sample_rate, av.Codec(name, "w").audio_rates)
        layout = sound.codec_context.layout
        if layout.nb_channels > _STEREO and not (
            surround and layout.name in ("5.1", "5.1(side)", "quad", "5.0", "7.1")
        ):
            layout = av.AudioLayout("stereo")
        elif layout.nb_channels <= _STEREO:
            layout = av.AudioLayout("mono" if layout.nb_channels == 1 else "stereo")
        elif layout.name == "5.1(side)":
            layout = av.AudioLayout("5.1")
        self._layout = layout
        stream = output.add_stream(name, rate=self._rate)
        assert isinstance(stream, AudioStream)
        stream.layout = layout
        if self._rate >= 32_000:  # below, the encoder's own choice is right
            stream.bit_rate = _BITS_PER_CHANNEL * layout.nb_channels
        if "language" in sound.metadata:
            stream.metadata["language"] = sound.metadata["language"]
        self._stream = stream
        self._resampler = AudioResampler(format="fltp", layout=layout, rate=self._rate)
        # Samples since the first picture. Those of the decoder's delay are taken for written: all comes earlier by it.
        self._written = _MP3_DELAY if output.format.name in _NO_LEAD else 0
        self._first = self._written

    def encode(self, packet: TrackPacket, origin_s: Fraction) -> "Iterator[av.Packet[Any]]":
        """Decode a packet; give what the encoder has ready."""
        for frame in packet.frames():
            begins_s = packet.time_s
            if frame.pts is not None and frame.time_base is not None:
                begins_s = frame.pts * frame.time_base
            copy = AudioFrame.from_ndarray(frame.to_ndarray(), format=frame.format.name, layout=frame.layout.name)
            copy.sample_rate = frame.sample_rate  # without stamps: the resampler would not bear a gap
            for part in self._resampler.resample(copy):
                samples = _samples(part)
                yield from self._put(samples, round((begins_s - origin_s) * self._rate))
                begins_s += Fraction(samples.shape[1], self._rate)

    def flush(self) -> "Iterator[av.Packet[Any]]":
        """Give the rest."""
        for part in self._resampler.resample(None):
            yield from self._put(_samples(part), self._written)
        yield from self._stream.encode(None)

    def _put(self, samples: NDArray[np.float32], at: int) -> "Iterator[av.Packet[Any]]":
        ahead = at - self._written
        if ahead > _NEAR_S * self._rate:
            yield from self._encoded(np.zeros((samples.shape[0], ahead), np.float32))
        elif ahead < -_NEAR_S * self._rate or (ahead < 0 and self._written == self._first):
            samples = np.ascontiguousarray(samples[:, -ahead:])
        yield from self._encoded(samples)

    def _encoded(self, samples: NDArray[np.float32]) -> "Iterator[av.Packet[Any]]":
        if not samples.shape[1]:
            return
        frame = AudioFrame.from_ndarray(samples, format="fltp", layout=self._layout.name)
        frame.sample_rate, frame.time_base = self._rate, Fraction(1, self._rate)
        frame.pts = self._written - self._first
        self._written += samples.shape[1]
        yield from self._stream.encode(frame)


def _name(track: Stream) -> str:
    return track.codec_context.name if track.codec_context is not None else ""


def _nearest(rate: int, known: list[int] | None) -> int:
    """The encoder's rate that loses least: the same, else the next higher, else the highest."""
    if not known or rate in known:
        return rate
    return min((other for other in known if other > rate), default=max(known))


def _samples(frame: AudioFrame) -> NDArray[np.float32]:
    return np.asarray(frame.to_ndarray(), np.float32)  # (channels, samples)


def _moved(chapter: "Chapter", origin_s: Fraction) -> "Chapter":
    shift = round(origin_s / (chapter["time_base"] or 1))
    start = max(0, chapter["start"] - shift)
    return {**chapter, "start": start, "end": max(start, chapter["end"] - shift)}
