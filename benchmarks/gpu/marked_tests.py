"""The project's own tests with the mark `gpu`, run by pytest in a process of its own.

That process writes down what becomes of each test as soon as it is known: also a test that hangs, or that ends the
process, is told by its name.
"""

import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import click

from artmirror.benchmarks.records.gpu import GpuTests

_RUNNING = "running"


def run_marked_tests(checkout: Path, limit_s: float) -> GpuTests:
    """Run them, if they are there.

    Args:
        checkout: The folder with `tests`.
        limit_s: They are cut off by then.
    """
    # Only files that have such tests: to import all others takes longer than these tests.
    files = [path for path in sorted((checkout / "tests").rglob("test_*.py")) if "mark.gpu" in path.read_text()]
    if not files:
        return GpuTests(reason="tests are in a checkout of the source, and this is none")
    if find_spec("pytest") is None:
        return GpuTests(reason="pytest is not installed: pip install pytest")
    begun_s = time.monotonic()
    code, outcomes, said = _run_pytest(checkout, files, limit_s)
    names: dict[str, list[str]] = {}
    for name, (outcome, _) in outcomes.items():
        names.setdefault(outcome, []).append(name)
    running, failed = names.get(_RUNNING, []), names.get("failed", [])
    reason = None
    if code not in (0, 1):
        reason = f"cut off after {limit_s:.0f} s" if code is None else f"pytest ended with exit code {code}"
        reason += f", in {running[-1]}" if running else ""
    if code is not None:
        failed += running  # it ended the process
    if code != 0:
        click.echo(said, err=True)
    return GpuTests(
        passed=len(names.get("passed", ())),
        failed=tuple(failed),
        skipped=dict(Counter(why for outcome, why in outcomes.values() if outcome == "skipped")),
        duration_s=time.monotonic() - begun_s,
        reason=reason,
    )


def _run_pytest(
    checkout: Path, files: Sequence[Path], limit_s: float
) -> tuple[int | None, dict[str, tuple[str, str]], str]:
    """Its exit code, or None where it was cut off; each test's outcome, and why it was skipped; all that it said."""
    options = ["-m", "gpu", "-q", "--tb=short", "--continue-on-collection-errors", "-p", "no:cacheprovider"]
    with tempfile.TemporaryDirectory(prefix="artmirror-gpu-") as folder:
        path = Path(folder) / "outcomes"
        path.touch()
        command: list[str | Path] = [sys.executable, "-m", __name__, path, *options, *files]
        with (Path(folder) / "said").open("w+", errors="replace") as said:
            try:
                # No pipe: whatever a test started and left behind could hold it open.
                code = subprocess.run(
                    command, cwd=checkout, stdout=said, stderr=subprocess.STDOUT, timeout=limit_s, check=False
                ).returncode
            except subprocess.TimeoutExpired:
                code = None
            said.seek(0)
            lines = map(json.loads, path.read_text().splitlines())
            return code, {name: (outcome, why) for name, outcome, why in lines}, said.read()


class _Outcomes:
    """A plugin of pytest: each test's name, what became of it and why it was skipped, a line of JSON each."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self._write(nodeid, _RUNNING)

    def pytest_runtest_logreport(self, report: Any) -> None:
        if report.when == "call" or not report.passed:
            self._report(report)

    def pytest_collectreport(self, report: Any) -> None:
        if not report.passed:  # a file that cannot be imported, or that skips all it has
            self._report(report)

    def _report(self, report: Any) -> None:
        why = report.longrepr[2] if isinstance(report.longrepr, tuple) else ""
        self._write(report.nodeid, report.outcome, why.removeprefix("Skipped: "))

    def _write(self, name: str, outcome: str, why: str = "") -> None:
        with self._path.open("a") as file:
            file.write(json.dumps([name, outcome, why]) + "\n")


def main() -> None:
    """Run pytest with what stands behind the name of the file for the outcomes."""
    import pytest

    sys.exit(pytest.main(sys.argv[2:], plugins=[_Outcomes(Path(sys.argv[1]))]))


if __name__ == "__main__":
    main()
