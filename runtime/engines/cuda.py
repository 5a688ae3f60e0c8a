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
from artmirror.runtime.engines.memory import Memory
from artmirror.runtime.formats.manifest import Manifest
from artmirror.runtime.frame import FrameSlot


@dataclass(frozen=True, slots=True, eq=False)
class DeviceMemory:
    """A `Memory`, in page-locked arrays, and its buffers, (1, H, W, 3) uint8, which all slots share."""

    host: Memory
    previous: DeviceBuffer
    mask: DeviceBuffer
    painted: DeviceBuffer

    def by_name(self) -> dict[str, DeviceBuffer]:
        """The buffers, as the graph names them."""
        return {"previous": self.previous, "mask": self.mask, "painted": self.painted}


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
    memory: DeviceMemory | None  # None where the network has none
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
    memory: DeviceMemory | None
    places: dict[FrameSlot, DeviceSlot]
    last: DeviceSlot | None = None  # whose picture the next frame remembers


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
            memory = self._make_memory() if manifest.has_memory else None
            network = open_network(streams[1])
        self.has_strength = network.has_strength
        self._info = network.describe()
        self._resources: _Resources | None = _Resources(network, streams, memory, {})
        self._latch = Latch(self._release)

    def allocate(self, count: int) -> list[FrameSlot]:
        with self._latch, self.device:
            resources = self._open_resources()
            return [self._make_slot(resources) for _ in range(count)]

    def follow(self, slot: FrameSlot, look: Look) -> bool:
        with self._latch:
            memory = self._open_resources().memory
            if memory is not None:
                memory.host.follow(slot.frame, look)
            return memory is not None

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
            if resources.memory is not None:
                self._remember(resources.memory, resources, places, look)
            places.copied_in.record(copy_in)
            compute.wait_for_event(places.copied_in)
            resources.network.launch(places)
            places.computed.record(compute)
            copy_out.wait_for_event(places.computed)
            device.copy_out(places.stylized_buffer, slot.stylized, copy_out)
            if resources.memory is not None:
                device.copy_out(resources.memory.painted, resources.memory.host.painted, copy_out)
                resources.last = places
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
        resources = self._resources
        if resources is not None and resources.memory is not None:
            resources.memory.host.forget()

    def describe(self) -> EngineInfo:
        return self._info

    def close(self) -> None:
        self._latch.close()

    def _make_memory(self) -> DeviceMemory:
        device = self.device
        host = Memory(self._size, lambda shape: device.page_locked(shape, np.uint8))
        return DeviceMemory(host, *(device.memory(host.previous.nbytes) for _ in range(3)))

    def _remember(self, memory: DeviceMemory, resources: _Resources, places: DeviceSlot, look: Look) -> None:
        """Put what is remembered into the stream that copies in. Flow and warp are the processor's."""
        memory.host.follow(places.slot.frame, look)
        if resources.last is not None:  # its picture is needed, and then nothing reads what is written here
            resources.last.copied_out.synchronize()
        memory.host.bring()
        self._copy_memory_in(memory, resources.streams[0])

    def _copy_memory_in(self, memory: DeviceMemory, stream: Any) -> None:
        self.device.copy_in(memory.host.previous, memory.previous, stream)
        self.device.copy_in(memory.host.mask, memory.mask, stream)

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
            resources.memory,
            device.event(),
            device.event(),
            device.event(),
        )
        copy_in = resources.streams[0]
        device.copy_in(slot.frame, places.frame_buffer, copy_in)
        device.copy_in(places.strength, places.strength_buffer, copy_in)
        if places.style_buffer is not None:
            device.copy_in(places.style, places.style_buffer, copy_in)
        if resources.memory is not None:
            self._copy_memory_in(resources.memory, copy_in)
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
    resources.memory = resources.last = None
    resources.streams = (None, None, None)
