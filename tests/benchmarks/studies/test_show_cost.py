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
    words = ["--turns", "2", "--seconds", "1", "--rate", "200", "--case", CASE, "-o", str(record)]
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 0, done.output
    fps = json.loads(record.read_text())["fps"][CASE]
    assert all(len(fps[name]) == 2 and min(fps[name]) > 0 for name in ("show", "run"))
    assert f"| {CASE} | {sum(fps['show']) / 2:.1f} | {sum(fps['run']) / 2:.1f} |" in done.output
