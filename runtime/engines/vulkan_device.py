"""What Vulkan can run on here, asked of ncnn, which brings its own loader of the driver."""

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from types import ModuleType

from artmirror.runtime.common.errors import ArtmirrorError, CannotRunHere

NO_DRIVER = "no Vulkan driver found a device (Debian's packages: mesa-vulkan-drivers, or nvidia-vulkan-icd)"
_KINDS = ("discrete GPU", "integrated GPU", "virtual GPU", "software")  # in ncnn's order, which is also ours


@dataclass(frozen=True, slots=True)
class VulkanDevice:
    """One device of a Vulkan driver."""

    number: int  # ncnn's, from 0
    name: str
    kind: str  # one of discrete, integrated or virtual GPU, or software

    @property
    def is_software(self) -> bool:
        """Vulkan on the processor, as Mesa's llvmpipe: good for tests, slower than ncnn's own code for processors."""
        return self.kind == _KINDS[3]


@cache
def vulkan_devices() -> tuple[VulkanDevice, ...]:
    """All devices, in the driver's order; none where there is no driver.

    Raises:
        ArtmirrorError: ncnn is not installed.
    """
    ncnn = load_ncnn()
    if not hasattr(ncnn, "create_gpu_instance"):  # built without Vulkan, as for some boards
        return ()
    with _quiet_stderr():  # it tells of each device, in terms for people who write shaders
        ncnn.create_gpu_instance()
        found = [(number, ncnn.get_gpu_info(number)) for number in range(ncnn.get_gpu_count())]
    return tuple(
        VulkanDevice(number, info.device_name(), _KINDS[min(info.type(), len(_KINDS) - 1)]) for number, info in found
    )


def find_vulkan_device(wanted: str) -> VulkanDevice:
    """Choose a device.

    Args:
        wanted: Its number, a part of its name in any case, or nothing for the best.

    Raises:
        CannotRunHere: there is no device.
        ArtmirrorError: ncnn is not installed, or not exactly one device is meant.
    """
    devices = vulkan_devices()
    if not devices:
        raise CannotRunHere(f"{NO_DRIVER}; --device cpu runs ncnn on the processor")
    if not wanted:
        return min(devices, key=lambda device: _KINDS.index(device.kind))
    if wanted.isdecimal():
        chosen = [device for device in devices if device.number == int(wanted)]
    else:
        chosen = [device for device in devices if wanted.lower() in device.name.lower()]
    if len(chosen) != 1:
        there = "; ".join(f"{device.number} {device.name}" for device in devices)
        count = "no Vulkan device" if not chosen else f"{len(chosen)} Vulkan devices"
        raise ArtmirrorError(f"--device vulkan:{wanted} fits {count}; there are: {there}")
    return chosen[0]


def load_ncnn() -> ModuleType:
    """Import ncnn.

    Raises:
        ArtmirrorError: it is not installed, or cannot be loaded.
    """
    try:
        return import_module("ncnn")
    except ImportError as error:
        name = error.name or "ncnn"
        raise ArtmirrorError(
            f"the ncnn back end needs the package {name}; install it with pip install {name}"
        ) from None


@contextmanager
def _quiet_stderr() -> Iterator[None]:
    """Keep what a library writes into the process's own stderr off the terminal, unless it raises."""
    sys.stderr.flush()
    kept = os.dup(2)
    try:
        with tempfile.TemporaryFile() as away:
            os.dup2(away.fileno(), 2)
            yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
