"""The GPU at hand, asked of its driver: neither PyTorch nor TensorRT is needed for that."""

import ctypes
import sys
from dataclasses import dataclass

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
        cuda = ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
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
