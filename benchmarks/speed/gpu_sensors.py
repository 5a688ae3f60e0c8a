"""Energy, temperature and memory of NVIDIA GPUs, as their driver tells them: NVML, by `nvidia-ml-py`."""

from collections.abc import Callable
from importlib import import_module
from typing import Any, NamedTuple


class GpuReading(NamedTuple):
    """What the GPUs say at one moment; None where one of them does not tell."""

    energy_mj: int | None  # used since the driver was loaded, all together
    hottest_c: float | None


class Gpus:
    """All GPUs that the driver shows; see `open_gpus`."""

    def __init__(self, nvml: Any) -> None:
        """Find them by `nvml`, the module `pynvml`, which is initialised."""
        self._nvml = nvml
        self._handles = [nvml.nvmlDeviceGetHandleByIndex(index) for index in range(nvml.nvmlDeviceGetCount())]

    def read(self) -> GpuReading:
        """Ask for energy and temperature."""
        nvml = self._nvml
        energies_mj = self._ask(nvml.nvmlDeviceGetTotalEnergyConsumption)
        temperatures_c = self._ask(lambda handle: nvml.nvmlDeviceGetTemperature(handle, nvml.NVML_TEMPERATURE_GPU))
        return GpuReading(
            None if energies_mj is None else sum(energies_mj),
            None if temperatures_c is None else float(max(temperatures_c)),
        )

    def used_bytes(self) -> int | None:
        """Memory in use on all of them, by whomever: nobody tells whose it is from within a container."""
        used = self._ask(lambda handle: self._nvml.nvmlDeviceGetMemoryInfo(handle).used)
        return None if used is None else sum(used)

    def _ask(self, question: Callable[[Any], int]) -> list[int] | None:
        try:
            return [int(question(handle)) for handle in self._handles]
        except self._nvml.NVMLError:  # old cards count no energy
            return None


def open_gpus() -> Gpus | None:
    """The GPUs, or None where there are none, no driver, or no `nvidia-ml-py`."""
    try:
        nvml = import_module("pynvml")
    except ImportError:
        return None
    try:
        nvml.nvmlInit()
        return Gpus(nvml) if nvml.nvmlDeviceGetCount() else None
    except nvml.NVMLError:
        return None
