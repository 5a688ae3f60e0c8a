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
    """How far one track was read."""

    part: int  # which recording of those that were joined
    end_s: Fraction  # where its last packet stops, on the mended clock


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
        at_s = stamp * packet.time_base
        position = self._positions.setdefault(packet.stream_index, _Position(0, at_s + self._shifts_s[0]))
        if not self._goes_on(position, at_s):
            position.part += 1
            if position.part == len(self._shifts_s):
                self._shifts_s.append(position.end_s - at_s)
        shift_s = self._shifts_s[position.part]
        position.end_s = max(position.end_s, at_s + shift_s + (packet.duration or 0) * packet.time_base)
        ticks = round(shift_s / packet.time_base)
        if ticks:
            packet.dts = None if packet.dts is None else packet.dts + ticks
            packet.pts = None if packet.pts is None else packet.pts + ticks

    def _goes_on(self, position: _Position, at_s: Fraction) -> bool:
        ahead_s = at_s + self._shifts_s[position.part] - position.end_s
        return ahead_s >= -_BACK_S and not (self._leaps and ahead_s > _AHEAD_S)


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
