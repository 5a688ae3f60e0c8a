"""A machine with a simulated GPU: programs run there as on a real one, with the real pycuda and cuda-bindings."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.fakes.cuda_driver.build import build_driver, build_packages, has_compiler
from tests.fakes.cuda_driver.gpu import ALIVE
from tests.places import ROOT

LIBRARIES = Path(__file__).with_name("libraries")  # a stand-in for tensorrt


@dataclass(frozen=True, slots=True)
class Ended:
    """How a program ended.

    Attributes:
        counts: By name, what was on the GPU at the end, and what was done there.
    """

    exit_code: int
    stdout: str
    stderr: str
    counts: dict[str, int]

    @property
    def leaks(self) -> dict[str, int]:
        """What was never freed."""
        return {name: self.counts[name] for name in ALIVE if self.counts[name]}


class SimulatedMachine:
    """Args:
    folder: For its caches and reports.
    """

    def __init__(self, folder: Path) -> None:
        packages = build_packages()
        self._folder = folder
        self._variables = {
            "PYTHONPATH": os.pathsep.join(map(str, (LIBRARIES, packages, ROOT))),
            "LD_LIBRARY_PATH": str(build_driver(packages)),
            "XDG_CACHE_HOME": str(folder / "cache"),
        }

    def run(self, *words: object, timeout_s: float = 120, **settings: object) -> Ended:
        """Run a Python program in the folder of the checkout.

        Args:
            words: As behind `python`.
            timeout_s: It is killed by then.
            settings: Variables of the simulated driver without their common beginning, in small letters.
        """
        report = self._folder / "report.json"
        report.unlink(missing_ok=True)
        chosen = {f"SIMULATED_CUDA_{name.upper()}": str(value) for name, value in settings.items()}
        done = subprocess.run(
            [sys.executable, *map(str, words)],
            env={**os.environ, **self._variables, **chosen, "SIMULATED_CUDA_REPORT": str(report)},
            capture_output=True,
            text=True,
            timeout=timeout_s,
            cwd=ROOT,
            check=False,
        )
        counts = json.loads(report.read_text()) if report.exists() else {}  # none where it crashed, or never began
        return Ended(done.returncode, done.stdout, done.stderr, counts)


def simulated_machine(folder: Path) -> SimulatedMachine:
    """A machine that keeps its files in a folder, or skip the test."""
    if not has_compiler():
        pytest.skip("pycuda and the simulated driver want a C and C++ compiler: apt install g++")
    return SimulatedMachine(folder)
