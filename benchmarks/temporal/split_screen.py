"""A video of a run of `st-bench temporal`: the input and the networks beside each other, their figures burnt in."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from statistics import median
from typing import Self

import cv2
import numpy as np
from numpy.typing import NDArray

from artmirror.benchmarks.temporal.metric import e_stab
from artmirror.benchmarks.temporal.sequences import FrameSequence
from artmirror.runtime.common.fit import place
from artmirror.runtime.common.pixels import Pixels
from artmirror.runtime.frame import FrameSlot
from artmirror.runtime.sinks.base import Sink, SinkFormat
from artmirror.runtime.sinks.open import open_sink

MOST_CELLS = 4  # the input and the first three networks
_RATE = Fraction(25)  # frames per second: sequences are measured frame by frame and have no rate
_BAR_PER_WIDTH = 0.1  # height of the bar below a cell
_LINES = 2


class SplitScreen:
    """Writes the video while the run goes on. All sequences come into it, scaled to the first one's size."""

    def __init__(self, path: Path, labels: Sequence[str]) -> None:
        """Open nothing yet.

        Args:
            path: The video; its suffix chooses container and encoder.
            labels: The painters' names, the input's first.
        """
        self._path = path
        self._labels = list(labels)[:MOST_CELLS]
        self._sink: Sink | None = None
        self._cell = (0, 0)  # (H, W), without the bar
        self._written = 0

    def sequence(self, index: int, sequence: FrameSequence) -> "SequenceScreen | None":
        """Begin with a sequence; photos, which have nothing to do with each other, are left out.

        Raises:
            ArtmirrorError: the video cannot be opened.
        """
        if sequence.unrelated:
            return None
        if self._sink is None:
            self._cell = sequence.size
            height, width = self._compose([np.zeros((*self._cell, 3), np.uint8)] * len(self._labels), []).shape[:2]
            self._sink = open_sink(str(self._path), SinkFormat((height, width), _RATE, None, None))
        return SequenceScreen(self)

    def write(self, pictures: Sequence[Pixels], figures: Sequence[str]) -> None:
        """Write one frame of the video: a picture for each cell, and the line of figures below it.

        Raises:
            ArtmirrorError: the video cannot be written.
        """
        assert self._sink is not None
        picture = self._compose(pictures, figures)
        self._sink.write(FrameSlot(picture, picture, id=self._written, media_time_s=self._written / _RATE))
        self._written += 1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, failure: type[BaseException] | None, *_: object) -> None:
        """Finish the video; after a failure with what there is of it.

        Raises:
            ArtmirrorError: it cannot be finished.
        """
        if self._sink is not None:
            if failure is None:
                self._sink.close()
            else:
                self._sink.discard()

    def _compose(self, pictures: Sequence[Pixels], figures: Sequence[str]) -> Pixels:
        height, width = self._cell
        bar = max(24, round(_BAR_PER_WIDTH * width))
        columns = len(self._labels) if len(self._labels) < MOST_CELLS else MOST_CELLS // 2
        rows = -(-len(self._labels) // columns)
        canvas = np.zeros((rows * (height + bar), columns * width, 3), np.uint8)
        canvas = np.pad(canvas, ((0, canvas.shape[0] % 2), (0, canvas.shape[1] % 2), (0, 0)))  # encoders want it even
        texts = [*figures, *[""] * len(self._labels)]
        for index, (label, picture) in enumerate(zip(self._labels, pictures, strict=False)):
            top, left = index // columns * (height + bar), index % columns * width
            place(picture, False, canvas[top : top + height, left : left + width])
            below = canvas[top + height : top + height + bar, left : left + width]
            _print(below, [label, texts[index]])
        return canvas


class SequenceScreen:
    """One sequence of the video."""

    def __init__(self, screen: SplitScreen) -> None:
        """Write into `screen`."""
        self._screen = screen
        self._squared_errors: list[list[float]] = []  # by painter
        self._latencies_ns: list[list[int]] = []  # by painter, without the input

    def keep_instability(self, index: int, maps: Sequence[NDArray[np.float32]]) -> None:
        """Take in a pair's errors; see `metric.instability`."""
        self._squared_errors = self._squared_errors or [[] for _ in maps]
        for errors, values in zip(self._squared_errors, maps, strict=True):
            errors.append(float(np.square(values, dtype=np.float64).mean()))

    def keep_frame(self, index: int, pictures: Sequence[Pixels], latencies_ns: Sequence[int]) -> None:
        """Write a frame with the figures up to it.

        Raises:
            ArtmirrorError: the video cannot be written.
        """
        self._latencies_ns = self._latencies_ns or [[] for _ in latencies_ns]
        for times, latency_ns in zip(self._latencies_ns, latencies_ns, strict=True):
            times.append(latency_ns)
        self._screen.write(pictures, [self._figures(painter) for painter in range(len(pictures))])

    def _figures(self, painter: int) -> str:
        words = []
        if self._squared_errors:
            error, floor = e_stab(self._squared_errors[painter]), e_stab(self._squared_errors[0])
            words.append(f"e_stab {error:.3f}")
            if painter and floor:
                words.append(f"{error / floor:.1f}x input")
        if painter:
            words.append(f"{median(self._latencies_ns[painter - 1]) / 1e6:.0f} ms")
        return "   ".join(words)


def _print(bar: Pixels, lines: Sequence[str]) -> None:
    """Write lines of text into a bar (h, w, 3) in place, so large that the longest fits."""
    height, width = bar.shape[:2]
    scale = height / _LINES / 34  # letters and their distance are some 34 pixels high
    longest = max(cv2.getTextSize(line, cv2.FONT_HERSHEY_SIMPLEX, 1, 1)[0][0] for line in lines)
    scale = min(scale, (width - 12) / max(longest, 1))
    bar[:] = 0
    for number, line in enumerate(lines, start=1):
        at = (6, round(height * (number - 0.25) / _LINES))
        text = line.encode("ascii", "replace").decode()
        cv2.putText(bar, text, at, cv2.FONT_HERSHEY_SIMPLEX, scale, (255, 255, 255), 1, cv2.LINE_AA)
