"""The list of runs is understood by st-train, and the table says what was measured."""

from pathlib import Path

import pytest

from artmirror.benchmarks.studies.coherence import RECIPE, RUNS, markdown
from artmirror.benchmarks.studies.training_runs import Recipe, Run
from artmirror.train.cli import main as st_train
from tests.fakes.benchmark_records import make_painter, make_temporal

RECIPE_HERE = Recipe(RECIPE, Path("/a/painting.jpg"), Path("/a/photos"), Path("/a/vgg.safetensors"), Path("/a/clips"))


@pytest.mark.parametrize("run", RUNS, ids=lambda run: run.name)
def test_runs_are_understood_by_the_command(run: Run) -> None:
    name, *arguments = RECIPE_HERE.command(run, Path("/a/out.pt"))
    assert name == "st-train"
    options = st_train.make_context(name, arguments).params  # raises a usage error for what it does not know
    assert options["steps"] == (2000 if run.name == "steps-2000" else 700)
    assert (options["photos_path"] is not None) == ("photos" in run.data)
    assert (options["clips_path"] is not None) == ("clips" in run.data)


def test_names_are_unique_and_one_run_is_without_temporal_loss() -> None:
    assert len({run.name for run in RUNS}) == len(RUNS)
    (off,) = [run for run in RUNS if run.name == "off"]
    assert (
        st_train.make_context("st-train", RECIPE_HERE.command(off, Path("/a/o.pt"))[1:]).params["temporal_weight"] == 0
    )


def test_table_compares_with_the_run_without_temporal_loss() -> None:
    session = make_temporal(make_painter("input", 0.01, 9), make_painter("off", 0.08, 1.5), make_painter("on", 0.02, 2))
    runs = (Run("off", "none", "--temporal-weight 0"), Run("on", "the default", data="photos clips"))
    lines = markdown(runs, session).splitlines()
    assert "shot" in lines[0]
    assert lines[4] == "| input | the floor |  | 0.0100 | 0.12 | 0.0200 | 0.12 | 9.500 | 4.75 | 5.00 |"
    assert lines[5] == "| off | none | `--temporal-weight 0` | 0.0800 | 1.00 | 0.1600 | 1.00 | 2.000 | 1.00 | 5.00 |"
    assert lines[6] == "| on | the default | `photos clips` | 0.0200 | 0.25 | 0.0400 | 0.25 | 2.500 | 1.25 | 5.00 |"
