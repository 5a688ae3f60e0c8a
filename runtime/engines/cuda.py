"""An engine on an NVIDIA GPU: copy in, compute and copy out on three streams, so that neighbouring frames overlap.

    copy in    | frame 0 | frame 1 | frame 2 |
    compute              | frame 0 | frame 1 | frame 2 |
    copy out                       | frame 0 | frame 1 | frame 2 |

Which library computes is a `Network`; the rest is the same for all of them. A slot's arrays are page-locked host memory
that a source writes straight into and a sink reads straight from; its twins on the GPU and its events are made with it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.runtime.common.latch import Latch
from artmirror.runtime.engines.base import EngineInfo, Look
from artmirror.runtime.engines.cuda_device import Device, DeviceBuffer, abandon
from artmirror.runtime.formats.manifest import Manifest
from artmirror.runtime.frame import FrameSlot


@dataclass(frozen=True, slots=True, eq=False)
class DeviceSlot:
    """What belongs to a slot on the GPU."""

    slot: FrameSlot
    strength: NDArray[np.float32]  # (1,) page-locked; what the GPU has, or NaN
    style: NDArray[np.float32]  # (S,) page-locked; what the GPU has, or NaN
    frame_buffer: DeviceBuffer  # (1, H, W, 3) uint8
    strength_buffer: DeviceBuffer  # (1,) float32
    style_buffer: DeviceBuffer | None  # (S,) float32; None where the network takes no style
    stylized_buffer: DeviceBuffer  # (1, H, W, 3) uint8
    copied_in: Any  # events
    computed: Any
    copied_out: Any


class Network(Protocol):
    """A library that computes on one stream. All calls come with the GPU current.

    Attributes:
        has_strength: Whether it reads `strength_buffer`.
    """

    has_strength: bool

    def prepare(self, places: DeviceSlot) -> None:
        """Set up whatever belongs to a new slot, and run once; the buffers hold a black picture."""
        ...

    def launch(self, places: DeviceSlot) -> None:
        """Put one run from `frame_buffer` to `stylized_buffer` into the stream; returns without waiting for it.

        Raises:
            ArtmirrorError: the library refuses.
        """
        ...

    def describe(self) -> EngineInfo:
        """Back end, library, device, precision and size."""
        ...

    def close(self) -> None:
        """Free what it holds on the GPU, which is idle."""
        ...


@dataclass(slots=True, eq=False)
class _Resources:
    """All that is freed together."""

    network: Network
    streams: tuple[Any, Any, Any]  # copy in, compute, copy out
    places: dict[FrameSlot, DeviceSlot]


class CudaEngine:
    """Keeps the Protocol `artmirror.runtime.engines.base.Engine` with a network on a GPU.

    Attributes:
        device: The GPU.
    """

    max_in_flight = 2

    def __init__(
        self,
        device: Device,
        manifest: Manifest,
        size: tuple[int, int],
        open_network: Callable[[Any], Network],
    ) -> None:
        """Make the streams and open the network.

        Args:
            size: (H, W).
            open_network: Called with the stream to compute on.

        Raises:
            ArtmirrorError: `open_network` or the GPU failed.
        """
        self.manifest = manifest
        self.device = device
        self._size = size
        self._mean_style = np.zeros(manifest.style_length, np.float32)
        with device:
            streams = (device.stream(), device.stream(), device.stream())
            network = open_network(streams[1])
        self.has_strength = network.has_strength
        self._info = network.describe()
        self._resources: _Resources | None = _Resources(network, streams, {})
        self._latch = Latch(self._release)

    def allocate(self, count: int) -> list[FrameSlot]:
        with self._latch, self.device:
            resources = self._open_resources()
            return [self._make_slot(resources) for _ in range(count)]

    def submit(self, slot: FrameSlot, look: Look) -> None:
        with self._latch, self.device as device:
            resources = self._open_resources()
            copy_in, compute, copy_out = resources.streams
            places = resources.places[slot]
            device.copy_in(slot.frame, places.frame_buffer, copy_in)
            if self.has_strength and places.strength[0] != np.float32(look.strength):
                places.strength[0] = look.strength
                device.copy_in(places.strength, places.strength_buffer, copy_in)
            if places.style_buffer is not None:
                wanted = self._mean_style if look.style is None else look.style
                if not np.array_equal(places.style, wanted):
                    np.copyto(places.style, wanted)
                    device.copy_in(places.style, places.style_buffer, copy_in)
            places.copied_in.record(copy_in)
            compute.wait_for_event(places.copied_in)
            resources.network.launch(places)
            places.computed.record(compute)
            copy_out.wait_for_event(places.computed)
            device.copy_out(places.stylized_buffer, slot.stylized, copy_out)
            places.copied_out.record(copy_out)

    def wait(self, slot: FrameSlot) -> None:
        with self._latch, self.device:
            self._open_resources().places[slot].copied_out.synchronize()

    def compute(self, slot: FrameSlot, count: int) -> None:
        """Run the network `count` times on what the GPU has of `slot`, without copies, and wait; for measurements.

        Raises:
            ArtmirrorError: the device or the library failed.
        """
        with self._latch, self.device:
            resources = self._open_resources()
            for _ in range(count):
                resources.network.launch(resources.places[slot])
            resources.streams[1].synchronize()

    def reset(self) -> None:
        pass  # every frame is painted by itself

    def describe(self) -> EngineInfo:
        return self._info

    def close(self) -> None:
        self._latch.close()

    def _open_resources(self) -> _Resources:
        if self._resources is None or self._latch.closed.is_set():
            raise ArtmirrorError("the engine was closed")
        return self._resources

    def _make_slot(self, resources: _Resources) -> FrameSlot:
        device = self.device
        shape = (*self._size, 3)
        slot = FrameSlot(device.page_locked(shape, np.uint8), device.page_locked(shape, np.uint8))
        length = self._mean_style.size
        places = DeviceSlot(
            slot,
            device.page_locked((1,), np.float32),
            device.page_locked((max(length, 1),), np.float32),
            device.memory(slot.frame.nbytes),
            device.memory(4),
            device.memory(4 * length) if length else None,
            device.memory(slot.stylized.nbytes),
            device.event(),
            device.event(),
            device.event(),
        )
        copy_in = resources.streams[0]
        device.copy_in(slot.frame, places.frame_buffer, copy_in)
        device.copy_in(places.strength, places.strength_buffer, copy_in)
        if places.style_buffer is not None:
            device.copy_in(places.style, places.style_buffer, copy_in)
        copy_in.synchronize()
        resources.network.prepare(places)
        resources.streams[1].synchronize()
        places.strength[0] = np.nan
        places.style[:] = np.nan
        resources.places[slot] = places
        self._info = resources.network.describe()
        return slot

    def _release(self) -> None:
        """Free all but the page-locked arrays, which live as long as anybody holds them: see `cuda.open_device`."""
        resources, self._resources = self._resources, None
        if resources is None:
            return
        try:
            if not self.device.lost:
                with self.device:
                    _free(resources)
        except ArtmirrorError:
            pass  # lost just now; whoever waits for a result is told
        if self.device.lost:
            abandon(resources)


def _free(resources: _Resources) -> None:
    for stream in resources.streams:
        stream.synchronize()
    resources.network.close()
    resources.places.clear()
    resources.streams = (None, None, None)
