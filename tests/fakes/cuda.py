"""A simulation of CUDA on the CPU: it keeps the order and the asynchrony of streams, and none of the speed.

`FakeCuda` stands in for `pycuda.driver`. A stream is a thread that takes its work in order, some random moment later;
copies happen then, in two halves, and not when they are asked for, so that whoever touches a slot too early or too
late sees a torn picture. Calls without a current context fail as they do on a GPU. What is not simulated: kernels,
speed, what a real driver does when it breaks, and that freeing memory waits for the copies that use it: whoever lets
go of an engine closes it first, and a copy whose memory is gone fails its test.
"""

import itertools
import queue
import random
import sys
import threading
import time
import weakref
from collections.abc import Callable
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from artmirror.runtime.engines import cuda_device as cuda


class FakeCuda(ModuleType):
    """See the module.

    Attributes:
        spans: (stream number, what, start, end) in seconds, of everything that ran.
        memory_limit: Bytes on the device.
        broken: If set, every call that can fail does so with this message: the device is lost.
        delay_s: Called for every piece of work: how long it takes.
        computing: While it is clear, networks do not finish.
    """

    class Error(Exception):
        pass

    class MemoryError(Error):
        pass

    class LogicError(Error):
        pass

    event_flags = SimpleNamespace(DISABLE_TIMING=2, BLOCKING_SYNC=1)

    def __init__(self, *, devices: int = 1, name: str = "Simulated GPU", capability: tuple[int, int] = (8, 6)) -> None:
        super().__init__("pycuda.driver")
        self.spans: list[tuple[int, str, float, float]] = []
        self.memory_limit = 1 << 30
        self.host_limit = 1 << 30
        self.broken: str | None = None
        self.init_error: str | None = None
        self.driver_version = 13000
        rng = random.Random(0)
        self.delay_s: Callable[[], float] = lambda: rng.choice([0.0, 0.0, 0.0005, 0.001])
        self.computing = threading.Event()
        self.computing.set()
        self.memory: dict[int, np.ndarray] = {}  # address -> bytes
        self.page_locked: dict[int, int] = {}  # address -> size
        self.streams: weakref.WeakValueDictionary[int, FakeStream] = weakref.WeakValueDictionary()  # by handle
        self.stream_numbers = itertools.count()
        self.current = threading.local()
        self.contexts: list[weakref.ref[FakeContext]] = []
        self.pop_error = ""
        self.freed_without_context: list[str] = []  # which pycuda leaks
        self.addresses = itertools.count(0x7000_0000_0000, 0x1_0000_0000)
        self.devices, self.name, self.capability = devices, name, capability
        owner = self

        class Device:
            def __init__(self, ordinal: int) -> None:
                assert 0 <= ordinal < owner.devices

            @staticmethod
            def count() -> int:
                return owner.devices

            def name(self) -> str:
                return owner.name

            def compute_capability(self) -> tuple[int, int]:
                return owner.capability

            def retain_primary_context(self) -> "FakeContext":
                return FakeContext(owner)

        self.Device = Device

    def call(self, name: str) -> None:
        """Every call that needs a context begins with this."""
        if not getattr(self.current, "stack", None):
            raise self.LogicError(f"{name} failed: invalid device context")
        if self.broken:
            raise self.LogicError(f"{name} failed: {self.broken}")

    def init(self) -> None:
        if self.init_error:
            raise self.LogicError(f"cuInit failed: {self.init_error}")

    def get_driver_version(self) -> int:
        return self.driver_version

    def Stream(self, flags: int) -> "FakeStream":
        self.call("cuStreamCreate")
        assert flags == 1, "a stream that the default stream holds up"
        stream = FakeStream(self, next(self.stream_numbers))
        self.streams[stream.handle] = stream
        return stream

    def Event(self, flags: int) -> "FakeEvent":
        self.call("cuEventCreate")
        return FakeEvent(self)

    def mem_alloc(self, size: int) -> "FakeAllocation":
        self.call("cuMemAlloc")
        if sum(array.size for array in self.memory.values()) + size > self.memory_limit:
            raise self.MemoryError("cuMemAlloc failed: out of memory")
        return FakeAllocation(self, size)

    def pagelocked_empty(self, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
        self.call("cuMemHostAlloc")
        allocation = FakeHostAllocation(self, np.empty(shape, dtype).nbytes)
        return np.asarray(allocation).view(dtype).reshape(shape)

    def memcpy_htod_async(self, address: int, array: np.ndarray, stream: "FakeStream") -> None:
        self._copy("copy in", array, stream, lambda: (self.memory[address], array.reshape(-1).view(np.uint8)))

    def memcpy_dtoh_async(self, array: np.ndarray, address: int, stream: "FakeStream") -> None:
        self._copy("copy out", array, stream, lambda: (array.reshape(-1).view(np.uint8), self.memory[address]))

    def is_capturing(self, handle: int) -> bool:
        return self.streams[handle].captured is not None

    def paint(self, handle: int, frame: int, strength: int, stylized: int, style: int | None) -> str | None:
        """Put the stand-in for a network into a stream; what the GPU says where it refuses."""
        if not self.broken:
            self.streams[handle].put("compute", invert(self, frame, strength, stylized, style))
        return self.broken

    def _copy(self, what: str, array: np.ndarray, stream: "FakeStream", ends: Callable[[], Any]) -> None:
        self.call("cuMemcpyAsync")
        assert self.page_locked.get(array.ctypes.data) == array.nbytes, "the array is not page-locked"

        def work() -> None:
            to, source = ends()
            half = to.size // 2
            to[:half] = source[:half]
            time.sleep(self.delay_s())
            to[half:] = source[half:]

        stream.put(what, work)


class FakeContext:
    def __init__(self, owner: FakeCuda) -> None:
        self._owner = owner
        self.detached = 0
        owner.contexts.append(weakref.ref(self))

    def push(self) -> None:
        self._owner.current.stack = [*getattr(self._owner.current, "stack", []), self]

    def pop(self) -> None:
        stack = getattr(self._owner.current, "stack", [])
        assert stack
        assert stack[-1] is self
        if self._owner.pop_error:  # the context stays on pycuda's stack
            raise self._owner.LogicError(f"cuCtxPopCurrent failed: {self._owner.pop_error}")
        self._owner.current.stack = stack[:-1]

    def detach(self) -> None:
        self.detached += 1
        self._owner.current.stack = [one for one in self._owner.current.stack if one is not self]


class FakeAllocation:
    def __init__(self, owner: FakeCuda, size: int) -> None:
        self._address = next(owner.addresses)
        owner.memory[self._address] = np.full(size, 0xA5, np.uint8)
        weakref.finalize(self, owner.memory.pop, self._address)

    def __int__(self) -> int:
        return self._address


class FakeHostAllocation:
    """Page-locked memory; `free` is what the owner of an array of it is asked for."""

    def __init__(self, owner: FakeCuda, size: int) -> None:
        if sum(owner.page_locked.values()) + size > owner.host_limit:
            raise owner.MemoryError("cuMemHostAlloc failed: out of memory")
        self._bytes = np.full(size, 0xCD, np.uint8)
        self.__array_interface__ = self._bytes.__array_interface__
        self._owner, self._address = owner, self._bytes.ctypes.data
        owner.page_locked[self._address] = size

    def free(self) -> None:
        self._owner.call("cuMemFreeHost")
        del self._owner.page_locked[self._address]


Work = tuple[str, Callable[[], None]]  # what, for the spans, and how


class FakeStream:
    """Work in order, in a thread that ends with the stream; while captured, work is kept and does not run."""

    def __init__(self, owner: FakeCuda, number: int) -> None:
        self.owner = owner
        self.number = number
        self.handle = 0x1000 + number
        self.captured: list[Work] | None = None
        self._work: queue.SimpleQueue[Work | None] = queue.SimpleQueue()
        self._freed, self._current = owner.freed_without_context, owner.current
        weakref.finalize(self, self._work.put, None)
        arguments = (number, self._work, weakref.ref(owner))
        threading.Thread(target=_serve, args=arguments, daemon=True, name=f"stream {number}").start()

    def __del__(self) -> None:
        if not getattr(self._current, "stack", None):
            self._freed.append(f"stream {self.number}")

    def put(self, what: str, work: Callable[[], None]) -> None:
        if self.captured is not None:
            self.captured.append((what, work))
        else:
            self._work.put((what, work))

    def wait_for_event(self, event: "FakeEvent") -> None:
        self.owner.call("cuStreamWaitEvent")
        done = event.done  # as it stands now
        self.put("", lambda: done.wait() and None)

    def synchronize(self) -> None:
        self.owner.call("cuStreamSynchronize")
        done = threading.Event()
        self.put("", done.set)
        done.wait()
        self.owner.call("cuStreamSynchronize")


def _serve(number: int, waiting: "queue.SimpleQueue[Work | None]", owner_reference: "weakref.ref[FakeCuda]") -> None:
    while item := waiting.get():
        owner = owner_reference()
        if owner is None:
            return
        what, work = item
        time.sleep(owner.delay_s())
        start = time.monotonic()
        work()
        if what:
            owner.spans.append((number, what, start, time.monotonic()))
        del owner, item, work  # or the stream would live as long as its thread waits


class FakeEvent:
    def __init__(self, owner: FakeCuda) -> None:
        self._owner = owner
        self.done = threading.Event()
        self.done.set()

    def record(self, stream: FakeStream) -> None:
        self._owner.call("cuEventRecord")
        self.done = threading.Event()
        stream.put("", self.done.set)

    def synchronize(self) -> None:
        self._owner.call("cuEventSynchronize")
        self.done.wait()
        self._owner.call("cuEventSynchronize")


class FakeBindings(ModuleType):
    """Stands in for `cuda.bindings.driver`: graphs of the simulated streams."""

    CUstreamCaptureMode = SimpleNamespace(CU_STREAM_CAPTURE_MODE_THREAD_LOCAL=1)

    def __init__(self, owner: FakeCuda) -> None:
        super().__init__("cuda.bindings.driver")
        self._owner = owner
        self.launches = 0
        self.instantiate_error = 0
        self.open_graphs = 0

    def CUstream(self, handle: int) -> FakeStream:
        return self._owner.streams[handle]

    def cuStreamBeginCapture(self, stream: FakeStream, mode: int) -> tuple[int]:
        stream.captured = []
        return (0,)

    def cuStreamEndCapture(self, stream: FakeStream) -> tuple[int, Any]:
        graph, stream.captured = stream.captured, None
        return 0, graph

    def cuGraphInstantiate(self, graph: Any, flags: int) -> tuple[int, Any]:
        if self.instantiate_error:
            return self.instantiate_error, None
        self.open_graphs += 1
        return 0, graph

    def cuGraphDestroy(self, graph: Any) -> tuple[int]:
        return (0,)

    def cuGraphExecDestroy(self, executable: Any) -> tuple[int]:
        self.open_graphs -= 1
        return (0,)

    def cuGraphLaunch(self, executable: Any, stream: FakeStream) -> tuple[int]:
        self.launches += 1
        for what, work in executable:
            stream.put(what, work)
        return (0,)


def take_away_pycuda(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with an NVIDIA driver and without pycuda."""
    monkeypatch.setitem(sys.modules, "pycuda.driver", None)
    monkeypatch.setattr(cuda.ctypes, "CDLL", lambda name: None)
    cuda.open_device.cache_clear()


def invert(owner: FakeCuda, frame: int, strength: int, stylized: int, style: int | None = None) -> Callable[[], None]:
    """The stand-in for a network: the same inversion as `FakeEngine`, on simulated device memory.

    A style's first number is a share of white instead.
    """

    def work() -> None:
        before = owner.memory[frame].astype(np.float32)
        amount = owner.memory[strength].view(np.float32)[0]
        time.sleep(owner.delay_s())
        assert owner.computing.wait(10)
        painted = 255 - before
        if style is not None:
            painted += owner.memory[style].view(np.float32)[0] * (255 - painted)
        owner.memory[stylized][:] = np.rint(before + amount * (painted - before)).astype(np.uint8)

    return work


def install(monkeypatch: pytest.MonkeyPatch, owner: FakeCuda | None = None, *, graphs: bool = False) -> FakeCuda:
    """Put the simulation in pycuda's place, and graphs with it or no graphs at all."""
    owner = owner or FakeCuda()
    monkeypatch.setitem(sys.modules, "pycuda", ModuleType("pycuda"))
    monkeypatch.setitem(sys.modules, "pycuda.driver", owner)
    monkeypatch.setitem(sys.modules, "cuda.bindings.driver", FakeBindings(owner) if graphs else None)
    cuda.open_device.cache_clear()
    return owner
