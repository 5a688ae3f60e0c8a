"""An engine: a network that is ready to run at one size. The Protocol that every back end keeps."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from artmirror.runtime.formats.manifest import Manifest
from artmirror.runtime.frame import FrameSlot


@dataclass(frozen=True, slots=True)
class EngineInfo:
    """What an engine says of itself, for the line at start and for records."""

    backend: str  # openvino, onnxruntime, ...
    library: str  # name and version
    device: str  # the processor, as the library names it
    precision: str  # in which it computes, which may be lower than the file's
    size: tuple[int, int]  # (H, W)
    note: str = ""  # what else tells a fast run from a slow one


@dataclass(frozen=True, slots=True, eq=False)
class Look:
    """How a frame is painted: what a show may change from one frame to the next, without opening the engine again."""

    strength: float = 1.0  # 0 for the camera picture, 1 for the full style
    style: NDArray[np.float32] | None = None  # (S,), of a network for many paintings; None for the mean of all
    network: int = 0  # which one, where an engine holds several (`engines.switching`)


class SmallInputs:
    """What a network takes beside the frame, in memory that belongs to one slot and stays where it is."""

    def __init__(self, has_strength: bool, style_length: int) -> None:
        self.by_name: dict[str, NDArray[np.float32]] = {}
        if has_strength:
            self.by_name["strength"] = np.ones(1, np.float32)
        if style_length:
            self.by_name["style"] = np.zeros(style_length, np.float32)

    def set(self, look: Look) -> None:
        """Take over a look; allocates nothing."""
        if "strength" in self.by_name:
            self.by_name["strength"][0] = look.strength
        if "style" in self.by_name:
            self.by_name["style"][:] = 0 if look.style is None else look.style


FULL_STYLE = Look()


class Engine(Protocol):
    """A network compiled for one size.

    Slots come from `allocate`, so that their memory suits the device: on a GPU it is page-locked, and a source writes
    into `frame` and a sink reads from `stylized` without a copy between.

    Ownership. A slot has one owner at a time. `submit` hands it to the engine: from then on nobody else reads or writes
    `frame` or `stylized`, since a device may be copying either at any moment, and it is not submitted again. The return
    of `wait` hands it back: `frame` is as it was, `stylized` is complete, and the engine touches neither until the next
    `submit`. If `wait` raises, the slot stays with the engine, and the engine is good for nothing but `close`.

    Order and back-pressure. `wait` is called once for every submitted slot, in the order of submission. At most
    `max_in_flight` slots are submitted and not waited for; whoever submits keeps count, `submit` does not block for it.

    Memory. An engine may keep something of the frames that it painted, for those that come after. `reset` makes it
    forget. Then `submit` blocks until the frame before is painted. What can be done before that is done by `follow`,
    which may be called ahead, and by `submit` where it was not.

    Threads. One thread at a time calls `allocate`, `follow`, `submit`, `wait` and `reset`. It may be another one later,
    as where the main thread opens an engine and warms it up and a second thread runs it: a back end whose device knows
    a current context makes it current for the length of each call, and leaves nothing current behind. `close` may come
    from any thread, even while another is inside a call that hangs; what is in use then is freed when that call
    returns.

    Attributes:
        manifest: What the file says of itself.
        has_strength: Whether the network blends with the camera picture.
        max_in_flight: How many slots may be submitted before the first is waited for.
    """

    manifest: Manifest
    has_strength: bool
    max_in_flight: int

    def allocate(self, count: int) -> list[FrameSlot]:
        """Make slots for this engine's size, with all that belongs to them: nothing is allocated later.

        Raises:
            ArtmirrorError: there is not so much memory.
        """
        ...

    def follow(self, slot: FrameSlot, look: Look) -> bool:
        """Find how `slot.frame` moved, while a GPU paints the frame before it; else `submit` does.

        The slot, unchanged and with the same look, is the next one to be submitted.

        Returns:
            Whether there was anything to find.

        Raises:
            ArtmirrorError: the engine was closed.
        """
        ...

    def submit(self, slot: FrameSlot, look: Look) -> None:
        """Begin to stylize `slot.frame` into `slot.stylized`; returns at once.

        Args:
            look: Of this frame alone, and copied: its style may be overwritten when `submit` returns. Whoever submits
                many with the same look passes the same object.

        Raises:
            ArtmirrorError: the device or the library failed, or the engine was closed.
        """
        ...

    def wait(self, slot: FrameSlot) -> None:
        """Block until `slot.stylized` is there.

        Raises:
            ArtmirrorError: the device or the library failed.
        """
        ...

    def reset(self) -> None:
        """Forget what earlier frames left: at a cut or a seek. Does nothing where a network has no memory.

        It holds for the frames that are submitted after it; slots may be in flight, and their pictures stay as they
        would have been. Called by the thread that calls `submit`.

        Raises:
            ArtmirrorError: the device or the library failed.
        """
        ...

    def describe(self) -> EngineInfo:
        """Back end, library, device, precision and size."""
        ...

    def close(self) -> None:
        """Free everything; never raises. No slot may be submitted afterwards. May be called more than once.

        The arrays of a slot stay memory that can be touched as long as somebody holds them: a source that hangs in its
        driver may wake up later and write its frame.
        """
        ...


def stylize(engine: Engine, slot: FrameSlot, look: Look = FULL_STYLE) -> None:
    """Stylize one slot and wait for it.

    Raises:
        ArtmirrorError: the device or the library failed.
    """
    engine.submit(slot, look)
    engine.wait(slot)
