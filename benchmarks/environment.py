"""Where a measurement ran: what explains its numbers, and nothing that names the machine or its user."""

import os
import platform
import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

_LIBRARIES = (  # names on PyPI
    *("openvino", "onnxruntime", "numpy", "opencv-python", "av", "torch"),
    *("onnxruntime-gpu", "tensorrt", "tensorrt-rtx-cu13", "pycuda", "cuda-python"),
)


@dataclass(frozen=True, slots=True)
class Environment:
    """The machine and the software of a session. Holds no paths and no host name, so that it can be published."""

    artmirror: str  # version
    commit: str | None  # of the checkout that ran, with -dirty where files differ; None for an installed package
    python: str  # implementation and version
    os: str
    cpu: str  # model, or architecture where the system does not tell
    cores: int  # logical ones that this process may use
    libraries: dict[str, str]  # name -> version, of those that are installed
    time: str  # start of the session: UTC, ISO 8601
    load_average_1min: float | None  # before measuring, so without the session's own load; None where unknown


def read_environment() -> Environment:
    """Ask the system and the installed packages."""
    return Environment(
        artmirror=version("artmirror"),
        commit=read_commit(Path(__file__).resolve().parents[1]),
        python=f"{platform.python_implementation()} {platform.python_version()}",
        os=f"{platform.system()} {platform.release()} {platform.machine()}",
        cpu=_cpu_model(Path("/proc/cpuinfo")),
        cores=_usable_cores(),
        libraries={name: found for name in _LIBRARIES if (found := _installed_version(name)) is not None},
        time=datetime.now(UTC).isoformat(timespec="seconds"),
        load_average_1min=round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
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


def _cpu_model(cpuinfo: Path) -> str:
    try:
        for line in cpuinfo.read_text().splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "model name":
                return value.strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _usable_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _installed_version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
