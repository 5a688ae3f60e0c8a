"""What a show costs beside `st-run`: both are real processes; the figures are of this machine, and are not judged."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from artmirror.benchmarks.studies.show_cost import main

CASE = "with a page that looks"


@pytest.mark.slow
def test_a_show_is_measured_beside_a_run(tmp_path: Path) -> None:
    record = tmp_path / "cost.json"
    words = ["--rounds", "1", "--seconds", "1", "--rate", "200", "--case", CASE, "-o", str(record)]
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 0, done.output
    fps = json.loads(record.read_text())["fps"]
    assert list(fps) == ["st-run", CASE]
    assert all(values[0] > 0 for values in fps.values())
    assert f"| {CASE} | {fps[CASE][0]:.1f} | {fps[CASE][0] / fps['st-run'][0]:.2f} |" in done.output
