"""CUDA through pycuda: one GPU with its memory, streams and copies, and errors that a user can act on.

The primary context is retained, as `pycuda.autoprimaryctx` does, so that TensorRT and ONNX Runtime share it. A context
is current for one thread at a time, so every use of a `Device` stands in a `with device:` block, which makes it current
in whichever thread runs the block and translates CUDA's errors on the way out.
"""

import ctypes
import os
import sys
import weakref
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from types import ModuleType, TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import DTypeLike, NDArray

from artmirror.runtime.common.errors import ArtmirrorError, CannotRunHere

_DRIVER_LIBRARY = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"
INSTALL_HINT = "python -m artmirror.runtime.engines.build_pycuda, then pip install 'artmirror[cuda]'"

_NON_BLOCKING = 1  # CU_STREAM_NON_BLOCKING: not held up by what libraries do on the default stream
_ENOUGH_PROCESSORS = 4  # one may spin while source, engine and sink have one each
_OUT_OF_MEMORY = ("out of memory", "outofmemory", "failed to allocate memory")
_DRIVER_TOO_OLD = (
    "driver version is insufficient",
    "unsupported toolchain",
    "unsupported display driver",
    "forward compatibility was attempted",
    "undefined symbol",
)
_LOST = (  # what CUDA says of a context that does not recover
    *("illegal memory access", "illegal address", "illegal instruction", "misaligned address", "unspecified launch"),
    *("launch failure", "launch failed", "launch timed out", "device-side assert", "ecc", "nvlink", "hardware stack"),
    *(
        "context is destroyed",
        "gpu is lost",
        "device is lost",
        "fallen off the bus",
        "unknown error",
        "cudaerrorunknown",
    ),
    *("operating system call failed", "system not yet initialized"),
)
_NO_GPU = ("no cuda-capable device", "libcuda.so", "nvcuda.dll")


class PycudaMissing(CannotRunHere):
    """There is an NVIDIA driver, and no pycuda to speak to it."""


@dataclass(frozen=True, slots=True, eq=False)
class DeviceBuffer:
    """Memory on a GPU."""

    address: int
    size_bytes: int
    allocation: Any  # pycuda frees the memory when the last reference to this goes


class Device:
    """One GPU, opened; see the module for how it is used. Get it from `open_device`.

    Attributes:
        ordinal: Its number, from 0.
        name: As the driver names it.
        compute_capability: (major, minor).
        driver: The CUDA version that the driver reaches, as in "13.0".
        waits_asleep: Threads that wait for events made from now on sleep; else they spin on a core.
        captures_graphs: Networks are captured as CUDA graphs for slots made from now on, where they can be.
        lost: A call failed in a way from which the context does not recover; nothing on it can be used any more.
    """

    def __init__(self, ordinal: int) -> None:
        """Open a GPU.

        Raises:
            ArtmirrorError: no pycuda, no driver, one that is too old, or no such GPU.
        """
        self._driver = _load_driver()
        self.ordinal = ordinal
        self.name = f"cuda:{ordinal}"
        # Spinning answers some 30 µs sooner. Where there are few cores, source, sinks and window need each of them.
        self.waits_asleep = processors() < _ENOUGH_PROCESSORS
        self.captures_graphs = True
        self.lost = False
        try:
            self._driver.init()
            version = self._driver.get_driver_version()
            count = self._driver.Device.count()
            if ordinal >= count:
                raise CannotRunHere(f"there is no GPU cuda:{ordinal}: this machine has {count}, counted from 0")
            found = self._driver.Device(ordinal)
            self.name = str(found.name())
            self.compute_capability: tuple[int, int] = tuple(found.compute_capability())
            self._context = found.retain_primary_context()
            # pycuda would detach it at the end of the process, of which the driver complains; and page-locked memory
            # under a source that hangs would be gone.
            abandon(self._context)
        except self._driver.Error as error:
            raise explain(str(error), self.name) from error
        self.driver = f"{version // 1000}.{version % 1000 // 10}"

    def __enter__(self) -> Self:
        try:
            self._context.push()
        except self._driver.Error as error:
            self.lost = True
            raise explain(str(error), self.name) from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._context.pop()
        except self._driver.Error as second:
            error = error or second
            with suppress(self._driver.Error):
                self._context.detach()  # else pycuda ends the process when it finds the context still on its stack
        if isinstance(error, self._driver.Error):
            self.lost = self.lost or "out of memory" not in str(error)
            raise explain(str(error), self.name) from error

    def page_locked(self, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
        """An array of zeros in host memory that the GPU copies from and to by itself.

        It is freed with its last reference, in whichever thread that goes.
        """
        try:
            array: NDArray[Any] = self._driver.pagelocked_empty(shape, dtype)
        except self._driver.MemoryError as error:
            size_mb = np.prod(shape) * np.dtype(dtype).itemsize / 1e6
            raise ArtmirrorError(
                f"the system does not lend {size_mb:.0f} MB of page-locked memory: close other programs, or use a "
                "smaller --size"
            ) from error
        array[...] = 0
        allocation: Any = array
        while isinstance(allocation, np.ndarray):
            allocation = allocation.base
        # By itself pycuda frees it in the thread that opened the GPU alone; elsewhere it warns, and leaks it.
        # At the end of the process nobody has to, and a source that hangs may still write into it.
        weakref.finalize(array, self._free_page_locked, allocation).atexit = False
        return array

    def _free_page_locked(self, allocation: Any) -> None:
        try:
            if not self.lost:
                with self:
                    allocation.free()
        except ArtmirrorError:
            pass  # lost just now
        if self.lost:
            abandon(allocation)

    def memory(self, size_bytes: int) -> DeviceBuffer:
        """Memory on the GPU, not initialised."""
        allocation = self._driver.mem_alloc(size_bytes)
        return DeviceBuffer(int(allocation), size_bytes, allocation)

    def stream(self) -> Any:
        """A queue of work that runs in order; `handle` is its CUDA handle, `wait_for_event(event)` holds it up."""
        return self._driver.Stream(_NON_BLOCKING)

    def event(self) -> Any:
        """A mark in a stream: `record(stream)`, `synchronize()`."""
        kinds = self._driver.event_flags
        sleeps = kinds.BLOCKING_SYNC if self.waits_asleep else 0
        return self._driver.Event(kinds.DISABLE_TIMING | sleeps)

    def copy_in(self, array: NDArray[Any], buffer: DeviceBuffer, stream: Any) -> None:
        """Begin to copy a page-locked array to the GPU; returns at once."""
        self._driver.memcpy_htod_async(buffer.address, array, stream)

    def copy_out(self, buffer: DeviceBuffer, array: NDArray[Any], stream: Any) -> None:
        """Begin to copy from the GPU into a page-locked array; returns at once."""
        self._driver.memcpy_dtoh_async(array, buffer.address, stream)


@cache
def open_device(ordinal: int) -> Device:
    """The GPU of that number, opened once and kept to the end of the process.

    Page-locked arrays may outlive the engine that made them (a source that hangs in its driver still holds one), and
    without the context their memory would be gone.

    Raises:
        ArtmirrorError: no pycuda, no driver, one that is too old, or no such GPU.
    """
    return Device(ordinal)


def gpu_names() -> list[str]:
    """The name of every GPU, by number; none where a driver or a GPU is missing.

    Raises:
        PycudaMissing: there is a driver, and no pycuda.
    """
    try:
        driver = _load_driver()
        driver.init()
        return [str(driver.Device(ordinal).name()) for ordinal in range(driver.Device.count())]
    except PycudaMissing:
        raise
    except Exception:  # pycuda's classes come with pycuda, and here every reason is the same
        return []


def abandon(thing: object) -> None:
    """Never free `thing`: on a lost GPU that only fails, noisily, and the end of the process frees all."""
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(thing))


def explain(message: str, name: str) -> ArtmirrorError:
    """One line for a failure that CUDA, or a library on it, reports.

    Args:
        message: What it says.
        name: The GPU.
    """
    lower = message.lower()
    short = " ".join(message.split())[:200]
    if any(words in lower for words in _OUT_OF_MEMORY):
        return ArtmirrorError(
            f"out of memory on {name}: use a smaller --size, or close what else runs on it (nvidia-smi shows it)"
        )
    if any(words in lower for words in _NO_GPU):
        return CannotRunHere(f"no NVIDIA GPU or driver was found ({short}): use an .onnx with --device cpu")
    if any(words in lower for words in _DRIVER_TOO_OLD):
        return CannotRunHere(
            f"the NVIDIA driver is missing or too old ({short}): install a newer one, or use an .onnx with --device cpu"
        )
    if any(words in lower for words in _LOST):
        return ArtmirrorError(
            f"the GPU {name} failed or was lost ({short}): start again; the system's log may name the reason "
            "(dmesg | grep NVRM)"
        )
    return ArtmirrorError(f"{name} refused ({short}); --device cpu does without it")


def processors() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _load_driver() -> ModuleType:
    try:
        return import_module("pycuda.driver")
    except ModuleNotFoundError:
        try:
            ctypes.CDLL(_DRIVER_LIBRARY)
        except OSError as error:  # then pycuda would not help
            raise explain(str(error), "cuda") from None
        raise PycudaMissing(f"an NVIDIA GPU needs the package pycuda: {INSTALL_HINT}") from None
    except ImportError as error:  # libcuda.so is missing, or lacks a function
        raise explain(str(error), "cuda") from error


# Of CUdevice_attribute in cuda.h, the same in every release.
_COMPUTE_CAPABILITY_MAJOR, _COMPUTE_CAPABILITY_MINOR = 75, 76


@dataclass(frozen=True, slots=True)
class Gpu:
    """The first GPU that the driver shows; CUDA_VISIBLE_DEVICES chooses among several."""

    name: str
    compute_capability: tuple[int, int]


def current_gpu() -> Gpu | None:
    """The GPU that a library would use now, or None without a driver or a device."""
    try:
        cuda = ctypes.CDLL(_DRIVER_LIBRARY)
    except OSError:
        return None
    device = ctypes.c_int()
    if cuda.cuInit(0) or cuda.cuDeviceGet(ctypes.byref(device), 0):
        return None
    name = ctypes.create_string_buffer(256)
    cuda.cuDeviceGetName(name, len(name), device)
    numbers = []
    for attribute in (_COMPUTE_CAPABILITY_MAJOR, _COMPUTE_CAPABILITY_MINOR):
        number = ctypes.c_int()
        cuda.cuDeviceGetAttribute(ctypes.byref(number), attribute, device)
        numbers.append(number.value)
    return Gpu(name.value.decode(errors="replace"), (numbers[0], numbers[1]))
