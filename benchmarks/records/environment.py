"""Where a measurement ran: what explains its numbers, and nothing that names the machine or its user."""

import os
import platform
import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from artmirror.benchmarks.records.machine import Gpu, read_core_limit, read_gpus, read_memory_bytes, read_processor
from artmirror.runtime.common.plain_data import Positive, Whole

_LIBRARIES = (  # names on PyPI
    *("openvino", "onnxruntime", "ncnn", "numpy", "opencv-python", "av", "torch"),
    *("onnxruntime-gpu", "tensorrt", "tensorrt-rtx-cu13", "pycuda", "cuda-python", "nvidia-ml-py"),
)


@dataclass(frozen=True, slots=True)
class Environment:
    """The machine and the software of a session. Holds no paths and no host name, so that it can be published.

    From `cpu_features` on, None and nothing say that nobody told.
    """

    artmirror: str  # version
    commit: str | None  # of the checkout that ran, with -dirty where files differ; None for an installed package
    python: str  # implementation and version
    os: str
    cpu: str  # model, or architecture where the system does not tell
    cores: Whole  # logical ones that this process may use
    libraries: dict[str, str]  # name -> version, of those that are installed
    time: str  # start of the session: UTC, ISO 8601
    load_average_1min: Positive | None  # before measuring, so without the session's own load; None where unknown
    cpu_features: tuple[str, ...] = ()  # instruction sets that networks profit from
    virtual: bool | None = None  # a virtual machine, whose cores are lent
    core_limit: Positive | None = None  # cores' time that the container may use
    clock_mhz: Positive | None = None  # median over the cores, before measuring
    clock_max_mhz: Positive | None = None
    governor: str | None = None  # who sets the clock
    memory_bytes: Whole | None = None
    gpus: tuple[Gpu, ...] = ()


def read_environment() -> Environment:
    """Ask the system and the installed packages."""
    root = Path("/")
    processor = read_processor(root)
    return Environment(
        artmirror=version("artmirror"),
        commit=read_commit(Path(__file__).resolve().parents[2]),
        python=f"{platform.python_implementation()} {platform.python_version()}",
        # The version alone: what a provider appends names its machines.
        os=f"{platform.system()} {platform.release().partition('-')[0]} {platform.machine()}",
        cpu=processor.model or platform.processor() or platform.machine(),
        cores=usable_cores(),
        libraries={name: found for name in _LIBRARIES if (found := _installed_version(name)) is not None},
        time=datetime.now(UTC).isoformat(timespec="seconds"),
        load_average_1min=round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        cpu_features=processor.features,
        virtual=processor.virtual,
        core_limit=read_core_limit(root),
        clock_mhz=processor.clock_mhz,
        clock_max_mhz=processor.clock_max_mhz,
        governor=processor.governor,
        memory_bytes=read_memory_bytes(root),
        gpus=read_gpus(),
    )


def read_commit(folder: Path) -> str | None:
    """The commit of the git checkout whose root is `folder`, with `-dirty` where files differ; else None."""
    if not (folder / ".git").exists():  # installed, perhaps below somebody else's checkout
        return None
    command = ["git", "-C", str(folder), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):  # no git, no commit yet, a broken checkout
        return None
    return done.stdout.strip()


def usable_cores() -> int:
    """Logical cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _installed_version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
