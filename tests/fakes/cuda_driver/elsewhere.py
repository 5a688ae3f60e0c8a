"""Tests with the mark `simulated_gpu` run in another process, on the simulated machine, and are told of as any other.

All of one module, or of one class, run in one process: as xdist shares them out. Where that process ends before them,
they have failed.
"""

import json
import os
import subprocess
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from tests.fakes.cuda_driver.machine import simulated_machine

MARK = "simulated_gpu"
_VARIABLE = "SIMULATED_CUDA_OUTCOMES"  # the file for what became of the tests; it is set in the other process alone


def send_away(items: list[pytest.Item]) -> None:
    """Put something in the place of each test with the mark that asks the other process what became of it."""
    if _VARIABLE in os.environ:
        return
    scopes: dict[str, list[str]] = {}
    for index, item in enumerate(items):
        if item.get_closest_marker(MARK) and item.parent is not None:
            scope = scopes.setdefault(item.nodeid.rpartition("::")[0], [])
            scope.append(item.nodeid)
            items[index] = _Elsewhere.from_parent(item.parent, name=item.name, scope=scope, at=item.reportinfo())


def write_down(report: pytest.TestReport) -> None:
    """In the other process: keep what became of a test."""
    if _VARIABLE in os.environ and (report.when == "call" or not report.passed):
        told = (
            report.longrepr[2]
            if isinstance(report.longrepr, tuple)
            else "\n".join([report.longreprtext, *(text for _, text in report.sections)])
        )
        with Path(os.environ[_VARIABLE]).open("a") as outcomes:
            outcomes.write(json.dumps([report.nodeid, report.outcome, told]) + "\n")


class _Failed(Exception):
    pass


class _Elsewhere(pytest.Item):
    def __init__(self, *, scope: list[str], at: Any, **options: Any) -> None:
        super().__init__(**options)
        self._scope, self._at = scope, at

    def runtest(self) -> None:
        outcomes, rest = _outcomes(tuple(self._scope))
        mine = [(outcome, told) for name, outcome, told in outcomes if name == self.nodeid]
        for outcome, told in mine or [("failed", f"its process ended before it:\n{rest}")]:
            if outcome == "skipped":
                pytest.skip(told)
            if outcome == "failed":
                raise _Failed(told)

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        return str(excinfo.value) if isinstance(excinfo.value, _Failed) else super().repr_failure(excinfo, style)

    def reportinfo(self) -> Any:
        return self._at


@cache
def _outcomes(names: tuple[str, ...]) -> tuple[list[tuple[str, str, str]], str]:
    """Run tests there: name, outcome and text of each; and what the process said."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "outcomes"
        path.touch()
        try:
            options = ["-q", "-p", "no:cacheprovider", "-p", "no:xdist", "-o", "addopts=--import-mode=importlib"]
            ended = simulated_machine(Path(folder)).run("-m", "pytest", *options, *names, timeout_s=900, outcomes=path)
            said = ended.stdout + ended.stderr
        except subprocess.TimeoutExpired:
            said = "it took too long"
        return [tuple(json.loads(line)) for line in path.read_text().splitlines()], said[-3000:]
