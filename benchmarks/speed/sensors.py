"""Power and temperature of the processor, where Linux tells (powercap, hwmon, thermal zones), and of NVIDIA GPUs.

Read between runs only: each reading takes some file accesses.
"""

import re
import time
from dataclasses import dataclass
from pathlib import Path

from artmirror.benchmarks.records.speed import Sensed
from artmirror.benchmarks.speed.gpu_sensors import GpuReading, Gpus

_CHIPS = {"coretemp", "k10temp", "zenpower", "cpu_thermal", "soc_thermal"}  # hwmon's names of processors
_ZONES = re.compile(r"x86_pkg_temp|.*cpu.*|.*soc.*", re.IGNORECASE)  # thermal zones' names of them


@dataclass(frozen=True, slots=True)
class Reading:
    """What the sensors say at one moment."""

    time_ns: int
    energy_uj: tuple[int, ...]  # counter of each package
    hottest_c: float | None
    gpu: GpuReading


class Sensors:
    """The sensors that can be read here, which may be none at all."""

    def __init__(self, root: Path = Path("/"), gpus: Gpus | None = None) -> None:
        """Find the processor's below `root`, and take those of `gpus`."""
        self._gpus = gpus
        packages = sorted((root / "sys/class/powercap").glob("*:*"))
        self._packages = [
            zone
            for zone in packages
            if _text(zone / "name").startswith("package") and _number(zone / "energy_uj") is not None
        ]
        self._ranges_uj = [_number(zone / "max_energy_range_uj") or 0 for zone in self._packages]
        chips = (root / "sys/class/hwmon").glob("*")
        self._temperatures = [
            path for chip in chips if _text(chip / "name") in _CHIPS for path in sorted(chip.glob("temp*_input"))
        ] or [
            zone / "temp"
            for zone in sorted((root / "sys/class/thermal").glob("thermal_zone*"))
            if _ZONES.fullmatch(_text(zone / "type"))
        ]

    def read(self) -> Reading:
        """Ask all of them."""
        energy_uj = [_number(zone / "energy_uj") for zone in self._packages]
        found = [value for path in self._temperatures if (value := _number(path)) is not None]
        return Reading(
            time.monotonic_ns(),
            tuple(value for value in energy_uj if value is not None),
            max(found) / 1000 if found else None,
            GpuReading(None, None) if self._gpus is None else self._gpus.read(),
        )

    def between(self, before: Reading, after: Reading) -> Sensed:
        """What happened between two readings. A counter that went round is put right, once."""
        energy_j = None
        if self._packages and len(before.energy_uj) == len(after.energy_uj) == len(self._packages):
            steps = (
                new - old if new >= old else new - old + span
                for old, new, span in zip(before.energy_uj, after.energy_uj, self._ranges_uj, strict=True)
            )
            energy_j = sum(steps) / 1e6
        gpu_energy_j = None
        if before.gpu.energy_mj is not None and after.gpu.energy_mj is not None:
            gpu_energy_j = (after.gpu.energy_mj - before.gpu.energy_mj) / 1e3
        return Sensed(after.time_ns - before.time_ns, energy_j, after.hottest_c, gpu_energy_j, after.gpu.hottest_c)


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:  # not there, or for root alone as the energy counters of most kernels
        return ""


def _number(path: Path) -> int | None:
    text = _text(path)
    return int(text) if text.lstrip("-").isdecimal() else None
