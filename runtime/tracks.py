"""What a film holds beside its pictures: sound, subtitles, chapters, title. From the source to the sinks that keep it.

A film is read once, from beginning to end: its source hands over what belongs to other tracks while it looks for the
next picture, with times of the same clock. So a pipe keeps its sound, and both stay together where the stamps jump.
"""

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:  # PyAV takes its time to load, and a camera needs none of it
    from av.audio.frame import AudioFrame
    from av.container.core import Chapter
    from av.packet import Packet
    from av.stream import Stream


@dataclass(slots=True)
class TrackPacket:
    """A piece of a track, as it was stored."""

    packet: "Packet[Any]"
    time_s: Fraction  # when it begins, on the film's clock, where the first picture has `Tracks.origin_s`
    _frames: "list[AudioFrame] | None" = field(default=None, repr=False)

    def frames(self) -> "list[AudioFrame]":
        """The sound in it, decoded once for all sinks; nothing where it is damaged.

        Packets have to be asked in their order, and from one thread.
        """
        import av

        if self._frames is None:
            try:
                self._frames = cast("list[AudioFrame]", self.packet.decode())
            except av.FFmpegError:
                self._frames = []  # a short silence is no reason to lose the film
        return self._frames


class Tracks:
    """The other tracks of an opened film.

    Args:
        sound: The track of sound that belongs to the pictures, or None.
        others: Further tracks: more sound, subtitles.
        metadata: Title and the like.
        chapters: As PyAV gives them.
        release: Closes the film; called once, when the source and all readers are done.
    """

    def __init__(
        self,
        sound: "Stream | None",
        others: "Sequence[Stream]",
        metadata: dict[str, str],
        chapters: "list[Chapter]",
        release: Callable[[], None],
    ) -> None:
        self.sound, self.others, self.metadata, self.chapters = sound, tuple(others), metadata, chapters
        self.pictures_metadata: dict[str, str] = {}
        self.origin_s = Fraction(0)  # of the first picture, on the film's clock
        self.ended = False  # whether the film was read to its end
        self._release = release
        self._users = 1  # the source
        self._readers: list[TrackReader] = []
        self._early: list[TrackPacket] | None = []  # what came before the first picture
        self._changing = threading.Lock()

    def open_reader(self) -> "TrackReader":
        """Begin to collect for a sink, before the first picture is asked for."""
        reader = TrackReader(self)
        with self._changing:
            reader.waiting.extend(self._early or ())
            self._readers.append(reader)
            self._users += 1
        return reader

    def put(self, packet: TrackPacket) -> None:
        """Hand a piece on to all readers; called by the source."""
        with self._changing:
            if self._early is not None:
                self._early.append(packet)
            for reader in self._readers:
                reader.waiting.append(packet)

    def begin(self) -> None:
        """Pictures are asked for: whoever wants tracks has asked by now."""
        self._early = None

    def leave(self, reader: "TrackReader | None" = None) -> None:
        """The source, or a reader, needs the film no more."""
        with self._changing:
            if reader is not None:
                self._readers.remove(reader)
            self._users -= 1
            last = self._users == 0
        if last:
            self._release()


class TrackReader:
    """One sink's place in the tracks."""

    def __init__(self, tracks: Tracks) -> None:
        self.tracks = tracks
        self.waiting: deque[TrackPacket] = deque()
        self._open = True

    def until(self, time_s: Fraction | None) -> Iterator[TrackPacket]:
        """Take what is there and begins at or before `time_s`, counted from the first picture; None for all."""
        while self.waiting:
            if time_s is not None and self.waiting[0].time_s - self.tracks.origin_s > time_s:
                return
            yield self.waiting.popleft()

    def close(self) -> None:
        """Take no more. May be called more than once."""
        if self._open:
            self._open = False
            self.tracks.leave(self)
