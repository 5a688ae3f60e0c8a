"""The simulated driver as stand-ins of libraries see it, and as scenarios steer it; in a program that runs on it."""

import ctypes
import json
from typing import Any

LAUNCH_FAILED = 719  # CUDA_ERROR_LAUNCH_FAILED


class SimulatedGpu:
    """What `FakeTensorRt` needs of a GPU: the same as `FakeCuda` gives it, by calls of the driver.

    Attributes:
        delay_us: How long the network takes.
    """

    def __init__(self) -> None:
        self.delay_us = 100
        self._driver = ctypes.CDLL("libcuda.so.1")
        address = ctypes.c_uint64
        self._driver.simulated_invert.argtypes = [*[address] * 5, ctypes.c_size_t, ctypes.c_uint]
        self.memory = _AnyAddress()  # the driver itself looks at addresses

    def call(self, name: str) -> None:
        pass  # the driver itself looks at contexts

    def is_capturing(self, handle: int) -> bool:
        raise NotImplementedError("the simulated driver refuses what a capture does not hold by itself")

    def paint(self, handle: int, frame: int, strength: int, stylized: int, style: int | None) -> str | None:
        """Put the kernel into a stream, over the size of a test's frames; what the driver says where it refuses."""
        from tests.fakes.ends import SIZE

        size = SIZE[0] * SIZE[1] * 3
        error = self._driver.simulated_invert(handle, frame, strength, style or 0, stylized, size, self.delay_us)
        return None if error == 0 else _error_name(self._driver, error)

    def lose(self, error: int = LAUNCH_FAILED, *, context_too: bool = False) -> None:
        """Every call fails from now on."""
        self._driver.simulated_lose(error, context_too)

    def counts(self) -> dict[str, int]:
        text = ctypes.create_string_buffer(1000)
        self._driver.simulated_counts(text, len(text))
        found: dict[str, int] = json.loads(text.value)
        return found


class _AnyAddress:
    def __contains__(self, address: object) -> bool:
        return True


def _error_name(driver: Any, error: int) -> str:
    name = ctypes.c_char_p()
    driver.cuGetErrorName(error, ctypes.byref(name))
    return (name.value or b"").decode()
