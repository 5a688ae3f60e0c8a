"""The rooms are installed as they stand, and keep their arrows."""

import ast
import re
import subprocess
import sys
import tomllib
from importlib.metadata import entry_points, version
from pathlib import Path

import pytest

from tests.places import ROOT

ROOMS = ("train", "export", "runtime", "benchmarks")
ALLOWED_IMPORTS = {
    "train": set(),
    "runtime": set(),
    "export": {"train", "runtime"},
    "benchmarks": {"train", "runtime"},  # its judges are training's: flow, mask, distances
}
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def test_every_room_is_packaged() -> None:
    folders = {path.parent.name for path in ROOT.glob("*/__init__.py") if path.parent.name != "tests"}
    assert folders == set(ROOMS)
    assert PROJECT["tool"]["setuptools"]["packages"] == [f"artmirror.{room}" for room in ROOMS]
    assert PROJECT["tool"]["setuptools"]["package-dir"] == {f"artmirror.{room}": room for room in ROOMS}
    assert PROJECT["tool"]["mypy"]["packages"] == [f"artmirror.{room}" for room in ROOMS]


def test_rooms_are_flat() -> None:
    for room in ROOMS:
        assert not [path for path in (ROOT / room).rglob("*.py") if path.parent != ROOT / room]


@pytest.mark.parametrize("room", ROOMS)
def test_imports_follow_the_arrows(room: str) -> None:
    for path in (ROOT / room).glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            for name in names:
                parts = name.split(".")
                if parts[0] == "artmirror":
                    assert parts[1] == room or parts[1] in ALLOWED_IMPORTS[room], f"{path.name} imports {name}"


@pytest.mark.parametrize("room", ["runtime", "benchmarks"])
def test_no_torch_at_show_time(room: str) -> None:
    modules = [f"artmirror.{room}.{path.stem}" for path in (ROOT / room).glob("*.py") if path.stem != "__init__"]
    code = f"import sys; sys.modules['torch'] = None; import importlib; [importlib.import_module(m) for m in {modules}]"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_commands_exist_and_help_is_quick_to_import() -> None:
    commands = {
        entry.name: entry for entry in entry_points(group="console_scripts") if entry.value.startswith("artmirror.")
    }
    assert set(commands) == {"st-data", "st-train", "st-export", "st-run", "st-bench"}
    for entry in commands.values():
        module = entry.value.partition(":")[0]
        heavy = ["torch", "openvino", "onnxruntime", "onnx", "pycuda", "tensorrt", "tensorrt_rtx", "ncnn", "pnnx"]
        code = f"import sys, {module}; print([m for m in {heavy} if m in sys.modules])"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert done.stdout.strip() == "[]", (entry.name, done.stdout)


@pytest.mark.parametrize("command", ["st-data", "st-train", "st-export", "st-run", "st-bench"])
def test_shell_completion(command: str) -> None:
    program = Path(sys.executable).with_name(command)
    variable = f"_{command.upper().replace('-', '_')}_COMPLETE"
    done = subprocess.run(
        [program], env={variable: "bash_source", "PATH": ""}, capture_output=True, text=True, check=False
    )
    assert f"complete -o nosort -F _{command.replace('-', '_')}_completion {command}" in done.stdout


def test_torch_is_pinned() -> None:
    assert "torch==2.13.0" in (ROOT / "constraints.txt").read_text().splitlines()


def test_the_version_is_the_changelogs_newest() -> None:
    newest = re.search(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert newest is not None
    assert newest[1] == PROJECT["project"]["version"] == version("artmirror")


@pytest.mark.parametrize("module", ["benchmarks.ceilings", "benchmarks.workload", "export.onnx_from_checkpoint"])
def test_back_ends_are_silenced_before_they_are_imported(module: str) -> None:
    """These import a back end before anything of the runtime."""
    code = (
        f"import os, sys, artmirror.{module}; assert {{'openvino', 'onnxruntime'}} & set(sys.modules); "
        "assert not sys.modules['openvino_telemetry']; assert os.environ['ORT_DISABLE_TELEMETRY']"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
