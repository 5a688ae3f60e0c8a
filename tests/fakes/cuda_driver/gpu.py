"""The simulated driver as stand-ins of libraries see it, and as tests steer it; in a process that runs on it."""

import ctypes
import json
from collections.abc import Mapping
from typing import Any

NO_DEVICE, LAUNCH_FAILED, DRIVER_MISMATCH, UNKNOWN = 100, 719, 803, 999  # of CUresult in cuda.h
ALIVE = ("device_memory", "host_memory", "streams", "events", "graphs", "executables")
TENSORS = ("frame", "strength", "style", "stylized", "previous", "mask", "painted")  # as the kernel takes them
_AS_NEW = {
    "device_bytes": 1 << 30,
    "host_bytes": 1 << 30,
    "init_error": 0,
    "driver_version": 13000,
    "capability": 86,
    "hold_kernels": 0,
}


class SimulatedGpu:
    """See the head of simulated_driver.cpp.

    Attributes:
        name: As the driver names it.
        delay_us: How long the network takes.
    """

    name = "Simulated GPU"

    def __init__(self) -> None:
        self.delay_us = 100
        self._driver = ctypes.CDLL("libcuda.so.1")
        address = ctypes.c_uint64
        self._driver.simulated_invert.argtypes = [*[address] * 8, ctypes.c_size_t, ctypes.c_uint]
        self._driver.simulated_set.argtypes = [ctypes.c_char_p, ctypes.c_size_t]
        self._driver.cuStreamSynchronize.argtypes = [address]

    def set(self, **settings: int) -> None:
        """Change settings of the driver, by their names in small letters."""
        for name, value in settings.items():
            self._driver.simulated_set(name.upper().encode(), value)

    def leave(self, kind: str, size: int) -> None:
        """Take all memory away but so many bytes beside what is in use.

        Args:
            kind: `device_bytes` or `host_bytes`.
        """
        self.set(**{kind: self.counts()[kind] + size})

    def reset(self) -> None:
        """A GPU that is there, with all its memory, and nothing told of what it did."""
        self.set(**_AS_NEW)
        self._driver.simulated_lose(0, 0)
        self.spans()

    def has_context(self) -> bool:
        """Whether one is current in this thread."""
        context = ctypes.c_void_p()
        self._driver.cuCtxGetCurrent(ctypes.byref(context))
        return context.value is not None

    def paint(self, handle: int, addresses: Mapping[str, int], size: int) -> str | None:
        """Put the kernel into a stream; what the driver says where it refuses.

        Args:
            addresses: Of the tensors, by their names.
            size: How many bytes there are to paint.
        """
        places = [addresses.get(name, 0) for name in TENSORS]
        return self._told(self._driver.simulated_invert(handle, *places, size, self.delay_us))

    def synchronize(self, handle: int) -> str | None:
        """Wait for a stream, which no capture permits; what the driver says where it refuses."""
        return self._told(self._driver.cuStreamSynchronize(handle))

    def lose(self, error: int = LAUNCH_FAILED, *, context_too: bool = False) -> None:
        """Every call fails from now on."""
        self._driver.simulated_lose(error, context_too)

    def counts(self) -> dict[str, int]:
        """What is there, and what was done, by name."""
        found: dict[str, int] = json.loads(self._text("simulated_counts", 1000))
        return found

    def alive(self) -> dict[str, int]:
        """What is there."""
        counts = self.counts()
        return {name: counts[name] for name in ALIVE}

    def spans(self) -> list[tuple[str, int, int]]:
        """What streams did since this was last asked: copy in, compute or copy out, its start and its end in ns."""
        return [(what, start, end) for what, start, end in json.loads(self._text("simulated_spans", 1 << 20))]

    def _text(self, function: str, size: int) -> bytes:
        text = ctypes.create_string_buffer(size)
        getattr(self._driver, function)(text, ctypes.c_size_t(size))
        return text.value

    def _told(self, error: Any) -> str | None:
        if error == 0:
            return None
        name = ctypes.c_char_p()
        self._driver.cuGetErrorName(error, ctypes.byref(name))
        return (name.value or b"").decode()
