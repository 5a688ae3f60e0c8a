"""Two minutes of everything that goes wrong; `make soak` for hours."""

import pytest

from artmirror.benchmarks.studies.soak import soak


@pytest.mark.slow
def test_a_show_bears_two_minutes_of_trouble() -> None:
    found = soak(2, quality="nano", networks="own")
    assert found.frames > 300
    assert found.switches >= 20
    assert found.photos >= 3
    assert found.engine_failures == 0
    assert found.longest_gap_s < 4, found.lines()  # 2 s where the machine is quiet: measured, not tested
    assert found.open_files[1] - found.open_files[0] <= 6, found.lines()
    assert found.threads[1] - found.threads[0] <= 6, found.lines()
    assert found.memory_mb < 1500
    assert found.refused == 0
