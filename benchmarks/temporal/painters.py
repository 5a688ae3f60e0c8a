"""Anything that paints frames and can be timed at it: our engines, behind the interface that peers share."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, Protocol

from artmirror.benchmarks.records.temporal import PainterInfo
from artmirror.runtime.common.pixels import Pixels
from artmirror.runtime.engines.base import FULL_STYLE, Look, stylize
from artmirror.runtime.engines.open import open_engine
from artmirror.runtime.gallery.paintings import Choice


class Painted(NamedTuple):
    """A painted frame, and what it took."""

    pixels: Pixels  # (H, W, 3) uint8 BGR, in memory of its own
    latency_ns: int


class Painter(Protocol):
    """A network that is ready for frames of one size."""

    def describe(self) -> PainterInfo:
        """What it is and on what it runs."""
        ...

    def paint(self, frame: Pixels) -> Painted:
        """Paint one frame, (H, W, 3) uint8 BGR.

        Raises:
            ArtmirrorError: the network failed.
        """
        ...

    def forget(self) -> None:
        """What comes next has nothing to do with what was painted before."""
        ...

    def close(self) -> None:
        """Free everything."""
        ...


class EnginePainter:
    """One of our files, by the runtime's engine, one frame at a time.

    The time is from submit to result, as it shows up in a live picture; a copy into the slot is not counted.
    """

    def __init__(
        self,
        path: Path,
        size: tuple[int, int],
        backend: str | None,
        device: str | None,
        threads: int,
        full_precision: bool,
        *,
        choose: Callable[[], Choice] | None = None,
        note: str = "",
    ) -> None:
        """Open the engine for frames of `size` (H, W). See `engines.open_engine`.

        Args:
            choose: Gives the style, of a network for many paintings; not asked of others.
            note: Behind its name, to tell it from another style of the same network.

        Raises:
            ArtmirrorError: it cannot be opened, or does not understand the style.
        """
        self._label = f"{path.stem} {note}".strip()
        self._threads = threads
        self._engine = open_engine(
            path, size=size, backend=backend, device=device, threads=threads, full_precision=full_precision
        )
        self._look = FULL_STYLE
        if choose is not None and self._engine.manifest.style is not None:
            self._look = Look(1.0, choose().paints(self._engine.manifest)[0].style)
        (self._slot,) = self._engine.allocate(1)

    def describe(self) -> PainterInfo:
        """The manifest's and the engine's own words."""
        manifest, info = self._engine.manifest, self._engine.describe()
        return PainterInfo(
            label=self._label,
            kind="engine",
            style=manifest.name,
            preset=manifest.preset,
            sha256=manifest.graph_sha256,
            backend=info.backend,
            library=info.library,
            device=info.device,
            precision=info.precision,
            threads=self._threads,
        )

    def paint(self, frame: Pixels) -> Painted:
        """Paint at full strength."""
        self._slot.frame[:] = frame
        started_ns = time.monotonic_ns()
        stylize(self._engine, self._slot, self._look)
        latency_ns = time.monotonic_ns() - started_ns
        return Painted(self._slot.stylized.copy(), latency_ns)

    def forget(self) -> None:
        """Reset the engine."""
        self._engine.reset()

    def close(self) -> None:
        """Close the engine."""
        self._engine.close()
