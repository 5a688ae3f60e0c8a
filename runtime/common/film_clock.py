"""One clock for all tracks of a film, checked as its stamps are read."""

import heapq
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import cv2  # noqa: F401 - before PyAV: loaded after it, OpenCV's first window hangs in PyAV's copy of libxcb

# isort: split
import av

_BACK_S = Fraction(1, 2)  # stamps that step back farther belong to another recording
_AHEAD_S = Fraction(10)  # and those that leap farther, where a format's counter starts anew with each recording
_COUNTERS = {"mpegts", "mpeg", "flv", "live_flv", "rtsp", "rtp", "hls"}
_MOST_WAITING = 17  # pictures that wait for their turn; H.264 allows 16


@dataclass(slots=True)
class _Position:
    """How far one track was read; all but `part` in its own ticks, since this is asked for every packet."""

    part: int  # which recording of those that were joined
    end: int  # where its last packet stops, on the mended clock
    shift: int
    back: int
    ahead: int


class FilmClock:
    """Mends the stamps of packets in the order in which they stand in a film.

    Where recordings were joined, or a counter began anew, the stamps step back or leap. The first track that does so
    goes on where it stopped, and all others are moved by as much: they stay together.

    Args:
        format_name: libav's name of the container.
    """

    def __init__(self, format_name: str) -> None:
        self._leaps = bool(_COUNTERS & set(format_name.split(",")))
        self._shifts_s = [Fraction(0)]  # of each recording
        self._positions: dict[int, _Position] = {}

    @property
    def jumped(self) -> bool:
        """Whether the stamps did not go on by themselves."""
        return len(self._shifts_s) > 1

    def mend(self, packet: "av.Packet[Any]") -> None:
        """Move the stamps of `packet` to the film's clock, in place."""
        stamp = packet.pts if packet.dts is None else packet.dts
        if stamp is None:
            return
        position = self._positions.get(packet.stream_index)
        if position is None:
            tick_s = packet.time_base
            back, ahead = round(_BACK_S / tick_s), round(_AHEAD_S / tick_s)
            position = self._positions[packet.stream_index] = _Position(0, stamp, 0, back, ahead)
        off = stamp + position.shift - position.end
        if off < -position.back or (self._leaps and off > position.ahead):
            self._jump(position, stamp, packet.time_base)
        shift = position.shift
        position.end = max(position.end, stamp + shift + (packet.duration or 0))
        if shift:
            packet.dts = None if packet.dts is None else packet.dts + shift
            packet.pts = None if packet.pts is None else packet.pts + shift

    def _jump(self, position: _Position, stamp: int, tick_s: Fraction) -> None:
        position.part += 1
        if position.part == len(self._shifts_s):  # the first track that comes there says by how much
            self._shifts_s.append((position.end - stamp) * tick_s)
        position.shift = round(self._shifts_s[position.part] / tick_s)


class PictureOrder:
    """Stamps for pictures whose packets have none but those of their order in the file, as in AVI.

    Pictures come out of the decoder in the order in which they are shown, so that the earliest stamp that waits is
    that of the next.
    """

    def __init__(self) -> None:
        self._waiting: list[int] = []

    def packet(self, packet: "av.Packet[Any]") -> None:
        """A packet goes into the decoder."""
        if packet.dts is not None and packet.size:
            heapq.heappush(self._waiting, packet.dts)
            if len(self._waiting) > _MOST_WAITING:  # pictures were lost
                heapq.heappop(self._waiting)

    def stamp(self) -> int | None:
        """A picture comes out."""
        return heapq.heappop(self._waiting) if self._waiting else None
