"""What the system tells of the machine: processor, clocks, limits, memory, GPUs. Linux' files are read from `root`.

Other systems tell nothing here, and that is what the values say: None.
"""

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from statistics import median

# What decides how fast a network can be computed, of the hundred flags that a processor has.
_FEATURES = (
    *("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "avx_vnni", "amx_bf16", "amx_int8"),
    *("asimd", "asimdhp", "asimddp", "bf16", "i8mm", "sve"),
)
_GPU_FIELDS = (
    "name",
    "driver_version",
    "memory.total",
    "clocks.sm",
    "clocks.max.sm",
)  # of nvidia-smi, as `Gpu` has them


@dataclass(frozen=True, slots=True)
class Processor:
    """What Linux says of the processor."""

    model: str | None
    features: tuple[str, ...]  # of `_FEATURES`, those that it has
    virtual: bool | None  # whether it belongs to a virtual machine
    clock_mhz: float | None  # median over the cores, at this moment
    clock_max_mhz: float | None
    governor: str | None  # who sets the clock


@dataclass(frozen=True, slots=True)
class Gpu:
    """A GPU with NVIDIA's driver."""

    name: str
    driver: str
    memory: str
    clock: str = ""  # of its multiprocessors, at this moment
    clock_max: str = ""


def read_processor(root: Path) -> Processor:
    """Read /proc/cpuinfo and cpufreq."""
    entries = [line.partition(":") for line in _text(root / "proc/cpuinfo").splitlines()]
    values: dict[str, list[str]] = {}
    for key, _, value in entries:
        values.setdefault(key.strip(), []).append(value.strip())
    flags = set(" ".join(values.get("flags", []) + values.get("Features", [])).split())  # x86, ARM
    clocks = [float(value) for value in values.get("cpu MHz", [])]
    cpufreq = root / "sys/devices/system/cpu/cpu0/cpufreq"
    highest_khz = _text(cpufreq / "cpuinfo_max_freq")
    return Processor(
        model=next(iter(values.get("model name", [])), None),
        features=tuple(name for name in _FEATURES if name in flags),
        virtual="hypervisor" in flags if "flags" in values else None,
        clock_mhz=round(median(clocks)) if clocks else None,
        clock_max_mhz=int(highest_khz) / 1000 if highest_khz else None,
        governor=_text(cpufreq / "scaling_governor") or None,
    )


def read_memory_bytes(root: Path) -> int | None:
    """The machine's memory."""
    for line in _text(root / "proc/meminfo").splitlines():
        key, _, value = line.partition(":")
        if key == "MemTotal":
            return int(value.split()[0]) * 1024
    return None


def read_core_limit(root: Path) -> float | None:
    """How many cores' time a container may use, by its cgroup (version 2); None where there is no limit."""
    quota, _, period = _text(root / "sys/fs/cgroup/cpu.max").partition(" ")
    return int(quota) / int(period) if quota.isdecimal() and period.isdecimal() else None


def read_gpus(program: str = "nvidia-smi") -> tuple[Gpu, ...]:
    """The GPUs that NVIDIA's driver knows; none where there is no driver."""
    found = shutil.which(program)
    if found is None:
        return ()
    command = [found, f"--query-gpu={','.join(_GPU_FIELDS)}", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):  # the program without the driver
        return ()
    rows = [[cell.strip() for cell in line.split(",")] for line in done.stdout.splitlines()]
    return tuple(Gpu(*row) for row in rows if len(row) == len(_GPU_FIELDS))


def _text(path: Path) -> str:
    """A file's text, empty where there is no such file or nobody may read it."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""
