"""The settings for a streaming server: they can be read, and the command in them is one that st-run understands."""

import re
import shlex

import yaml

from artmirror.runtime.cli import main as st_run
from tests.places import ROOT

SETTINGS = yaml.safe_load((ROOT / "export" / "serving" / "mediamtx.yml").read_text())


def test_a_painted_twin_is_started_by_a_command_that_is_understood() -> None:
    (name,) = [name for name, path in SETTINGS["paths"].items() if "runOnDemand" in path]
    twin = SETTINGS["paths"][name]
    found = re.match(name.removeprefix("~"), "hall-painted")
    assert found is not None
    filled = {"$RTSP_PORT": "8554", "$G1": found[1], "$MTX_PATH": found[0]}
    command = twin["runOnDemand"]
    for variable, value in filled.items():
        command = command.replace(variable, value)
    assert "$" not in command
    program, *words = shlex.split(command)
    assert program == "st-run"
    options = st_run.make_context(program, words).params
    assert options["input_uris"] == ("rtsp://127.0.0.1:8554/hall",)
    assert options["output_uris"] == ("rtsp://127.0.0.1:8554/hall-painted",)


def test_it_listens_to_this_machine_alone() -> None:
    assert all(SETTINGS[f"{kind}Address"].startswith("127.0.0.1:") for kind in ("rtsp", "hls", "webrtc"))


def test_cameras_and_twins_do_not_meet() -> None:
    camera = next(name for name, path in SETTINGS["paths"].items() if "runOnDemand" not in path)
    assert re.match(camera.removeprefix("~"), "hall")
    assert not re.match(camera.removeprefix("~"), "hall-painted")
