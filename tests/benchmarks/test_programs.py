"""Programs that are started and waited for."""

import pytest

from artmirror.benchmarks.programs import run_program, run_st_run
from artmirror.runtime.common.errors import ArtmirrorError
from tests.places import STARRY

_RUN = "artmirror.runtime.cli"


def test_what_st_run_tells_is_read() -> None:
    found = run_st_run(["--engine", STARRY, "--input", "synthetic:64x64", "--max-frames", 3], 60)
    assert found["frames_out"] == 3
    assert found["fps"] > 0
    assert found["latency_ms"]["p50"] > 0


def test_a_program_that_fails_is_told_by_its_last_line() -> None:
    with pytest.raises(ArtmirrorError, match=r"^synthetic:nonsense is not understood"):
        run_st_run(["--engine", STARRY, "--input", "synthetic:nonsense"], 60)


def test_a_program_that_does_not_end_is_killed() -> None:
    with pytest.raises(ArtmirrorError, match=r"artmirror.runtime.cli was not done within 0 s"):
        run_program(_RUN, ["--engine", STARRY, "--input", "synthetic:64x64@1", "-o", "null:"], 0)
