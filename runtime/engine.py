"""An engine: a network that is ready to run at one size. The Protocol that every back end keeps."""

from dataclasses import dataclass
from typing import Protocol

from artmirror.runtime.frame import FrameSlot
from artmirror.runtime.manifest import Manifest


@dataclass(frozen=True, slots=True)
class EngineInfo:
    """What an engine says of itself, for the line at start and for records."""

    backend: str  # openvino, onnxruntime, ...
    library: str  # name and version
    device: str  # the processor, as the library names it
    precision: str  # in which it computes, which may be lower than the file's
    size: tuple[int, int]  # (H, W)


class Engine(Protocol):
    """A network compiled for one size.

    Slots come from `allocate`, so that their memory suits the device. Between `submit` and the return of `wait` a slot
    belongs to the engine and nobody else touches it. Results come in the order of submission. One thread calls
    `submit` and `wait`.

    Attributes:
        manifest: What the file says of itself.
        has_strength: Whether the network blends with the camera picture.
        max_in_flight: How many slots may be submitted before the first is waited for.
    """

    manifest: Manifest
    has_strength: bool
    max_in_flight: int

    def allocate(self, count: int) -> list[FrameSlot]:
        """Make slots for this engine's size. They live as long as the engine."""
        ...

    def submit(self, slot: FrameSlot, strength: float) -> None:
        """Begin to stylize `slot.frame` into `slot.stylized`; returns at once.

        Args:
            strength: 0 for the camera picture, 1 for the full style.
        """
        ...

    def wait(self, slot: FrameSlot) -> None:
        """Block until `slot.stylized` is there.

        Raises:
            ArtmirrorError: the device or the library failed.
        """
        ...

    def describe(self) -> EngineInfo:
        """Back end, library, device, precision and size."""
        ...

    def close(self) -> None:
        """Free everything. Slots are invalid afterwards. May be called more than once."""
        ...


def stylize(engine: Engine, slot: FrameSlot, strength: float = 1.0) -> None:
    """Stylize one slot and wait for it.

    Raises:
        ArtmirrorError: the device or the library failed.
    """
    engine.submit(slot, strength)
    engine.wait(slot)
