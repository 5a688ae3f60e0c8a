"""What all commands of st-bench have in common: their help."""

import subprocess
import sys

import pytest
from click.testing import CliRunner

from artmirror.benchmarks.cli import main

EXAMPLES = {
    "speed": "st-bench starry",
    "temporal": "st-bench temporal a.onnx --against",
    "compare": "st-bench compare yesterday.json",
    "report": "st-bench report record.json",
    "predict": "st-bench predict starry",
    "capacity": "st-bench capacity starry-lite",
    "flow": "st-bench flow sintel/",
    "training": "st-bench training --painting",
    "look": "st-bench look starry any --painting",
    "gpu": "st-bench gpu starry.pt",
}


def test_help_loads_no_library() -> None:
    code = (
        "import sys; from artmirror.benchmarks.cli import main; "
        "[main([*words, '--help'], standalone_mode=False) for words in [(), *((name,) for name in main.commands)]]; "
        "assert not {'torch', 'cv2', 'av', 'openvino', 'onnxruntime'} & set(sys.modules), sorted(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", main.commands)
def test_help_ends_with_an_example_and_fits_the_terminal(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    shown = CliRunner().invoke(main, [name, "--help"]).stdout
    assert EXAMPLES[name] in shown
    assert "Used first:" in shown
    told, _, _ = shown.partition("Examples:")
    assert max(map(len, told.splitlines())) <= 80


def test_help_names_all_commands() -> None:
    shown = CliRunner().invoke(main, ["--help"]).stdout
    assert [name for name in main.commands if f"st-bench {name} " in shown] == list(main.commands)[1:]
