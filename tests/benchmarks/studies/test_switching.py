"""The study of switching counts changes and drops."""

import json

from click.testing import CliRunner

from artmirror.benchmarks.studies.switching import main
from artmirror.runtime.gallery.bundled import find_style
from tests.fakes.tiny_many import tiny_many


def test_it_changes_the_style_and_tells_what_frames_took() -> None:
    network = tiny_many().with_suffix(".onnx")
    words = [str(network), "--switches", "4", "--every", "3", "--source", "synthetic:96x64@20"]
    told = CliRunner().invoke(main, words)
    assert told.exit_code == 0, told.output
    found = json.loads(told.stdout)
    assert found["frames"] == 42
    painted = found["frames"] - found["dropped"]  # none is dropped, but where the machine stalls
    assert found["switches"] == max(0, painted // 3 - 10)  # every third one, after thirty
    assert found["slowest_ms"] >= found["median_ms"] > 0


def test_a_network_of_one_painting_is_refused() -> None:
    told = CliRunner().invoke(main, [str(find_style("starry-nano"))])
    assert told.exit_code == 1
    assert "wanted a network for many" in told.stderr
