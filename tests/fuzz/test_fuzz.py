"""A small sample of `python -m tests.fuzz`, in a process of its own; and that its limits are limits."""

import re
import sys

import pytest

from tests.fuzz import pool
from tests.fuzz.__main__ import NAMES
from tests.fuzz.pool import Result, Worker, run_all

EACH = 6


def test_no_file_ends_in_an_error_that_nobody_thought_of() -> None:
    results: list[Result] = []
    run_all(((name, number) for number in range(EACH) for name in NAMES), 1, results.append)
    assert len(results) == EACH * len(NAMES)
    assert [result for result in results if result.fault] == []
    assert sum(bool(result.told) for result in results) > len(results) / 2  # most were spoiled for good


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
@pytest.mark.parametrize(
    ("program", "told"),
    [
        ("import time; time.sleep(60)", r"more than is allowed: \d+ s; exit -9"),
        ("kept = bytearray(400_000_000); input(); input()", r"more than is allowed: 0\.\d GB; exit -9"),
        (
            "import os, sys; input(); print('the last', file=sys.stderr, flush=True); os.abort()",
            "crash: exit -6, the last",
        ),
        ('input(); print(\'{"fault": "x", "told": "", "seconds": 0}\', flush=True); input()', "x"),
        ('input(); print(\'{"fault": "", "told": "", "seconds": 9}\', flush=True); input()', "9 s"),
    ],
    ids=["hangs", "takes memory", "dies", "fails", "slow"],
)
def test_limits_are_limits(program: str, told: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "LONGEST_S", 1.0)
    monkeypatch.setattr(pool, "START_S", 0.0 if "sleep" in program else 60.0)
    monkeypatch.setattr(pool, "MOST_BYTES", 300_000_000)
    worker = Worker(("-c", program))
    assert re.match(told, worker.run("kind", 1).fault)
    worker.close()
