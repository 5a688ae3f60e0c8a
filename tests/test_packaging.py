"""The rooms are installed as they stand, and keep their arrows."""

import ast
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
from importlib.metadata import entry_points, version
from pathlib import Path

import pytest

from tests.places import ROOT

ROOMS = ("train", "export", "runtime", "benchmarks")
COMMANDS = ("st-data", "st-train", "st-paint", "st-export", "st-run", "st-show", "st-batch", "st-bench")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def test_every_wing_is_packaged() -> None:
    """Setuptools cannot find them by itself below renamed folders."""
    inits = [path.parent.relative_to(ROOT) for room in ROOMS for path in (ROOT / room).rglob("__init__.py")]
    folders = {"artmirror." + ".".join(folder.parts) for folder in inits}
    assert len(PROJECT["tool"]["setuptools"]["packages"]) == len(folders)
    assert set(PROJECT["tool"]["setuptools"]["packages"]) == folders
    assert PROJECT["tool"]["setuptools"]["package-dir"] == {f"artmirror.{room}": room for room in ROOMS}
    assert PROJECT["tool"]["mypy"]["packages"] == [f"artmirror.{room}" for room in ROOMS]


def test_rooms_have_wings_and_no_third_level() -> None:
    for room in ROOMS:
        for path in (ROOT / room).rglob("*.py"):
            assert len(path.relative_to(ROOT).parts) <= 3, path
            assert (path.parent / "__init__.py").exists(), path
            assert path.stem != "utils"


@pytest.mark.parametrize("wing", sorted(path.parent for room in ROOMS for path in (ROOT / room).glob("*/__init__.py")))
def test_every_wing_says_what_belongs_there_and_how_to_add_one_more(wing: Path) -> None:
    told = ast.get_docstring(ast.parse((wing / "__init__.py").read_text())) or ""
    assert told.partition("\n")[0].endswith(".") or told.partition("\n\n")[0].endswith(".")
    assert re.search(r"\bOne more\b", told)
    for name in re.findall(r"`([\w/]+\.\w+)`", told):  # the files that it names are there
        assert (wing / name).exists() or (ROOT / name).exists() or name.endswith((".onnx", ".jpg")), name


def test_a_wheel_in_an_empty_environment_has_every_command(tmp_path: Path) -> None:
    """Built and installed without the network; the libraries come from this environment, the package does not."""
    tree = tmp_path / "tree"
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split(
        "\n"
    )
    for name in filter(None, tracked):
        if name.startswith((*ROOMS, "pyproject", "README", "LICENSE")) and (ROOT / name).is_file():
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, tree / name)
    pip = [sys.executable, "-m", "pip", "-q"]
    build = ["wheel", "--no-deps", "--no-build-isolation", "--no-index", "-w", str(tmp_path), str(tree)]
    subprocess.run([*pip, *build], check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "empty")], check=True)
    python = tmp_path / "empty" / "bin" / "python"
    subprocess.run([*pip, "--python", str(python), "install", "--no-deps", "--no-index", str(wheel)], check=True)
    # A folder on PYTHONPATH does not run its .pth files, so the editable install there stays out of the way.
    libraries = {"PYTHONPATH": sysconfig.get_path("purelib"), "PATH": os.environ["PATH"]}
    for command in COMMANDS:
        done = subprocess.run(
            [python.with_name(command), "--version"], env=libraries, capture_output=True, text=True, check=False
        )
        assert done.stdout == f"{command}, version {version('artmirror')}\n", done.stderr
    where = (
        "import artmirror.runtime as r, artmirror.runtime.gallery.bundled as b; print(r.__file__, b.bundled_styles())"
    )
    found = subprocess.run([python, "-c", where], env=libraries, capture_output=True, text=True, check=True).stdout
    assert found.startswith(str(tmp_path))
    assert "starry" in found


@pytest.mark.parametrize("room", ["runtime", "benchmarks"])
def test_no_torch_at_show_time(room: str) -> None:
    names = [path.relative_to(ROOT).with_suffix("").parts for path in (ROOT / room).rglob("*.py")]
    # `benchmarks/gpu/pytorch.py` runs in a process of its own.
    modules = ["artmirror." + ".".join(name) for name in names if name[-1] not in ("__init__", "pytorch")]
    code = f"import sys; sys.modules['torch'] = None; import importlib; [importlib.import_module(m) for m in {modules}]"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_commands_exist_and_help_is_quick_to_import() -> None:
    commands = {
        entry.name: entry for entry in entry_points(group="console_scripts") if entry.value.startswith("artmirror.")
    }
    assert set(commands) == set(COMMANDS)
    for entry in commands.values():
        module = entry.value.partition(":")[0]
        heavy = ["torch", "openvino", "onnxruntime", "onnx", "pycuda", "tensorrt", "tensorrt_rtx", "ncnn", "pnnx"]
        code = f"import sys, {module}; print([m for m in {heavy} if m in sys.modules])"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert done.stdout.strip() == "[]", (entry.name, done.stdout)


@pytest.mark.parametrize("command", COMMANDS)
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


@pytest.mark.parametrize("module", ["benchmarks.speed.ceilings", "benchmarks.speed.workload", "export.to_onnx"])
def test_back_ends_are_silenced_before_they_are_imported(module: str) -> None:
    """These import a back end before anything of the runtime."""
    code = (
        f"import os, sys, artmirror.{module}; assert {{'openvino', 'onnxruntime'}} & set(sys.modules); "
        "assert not sys.modules['openvino_telemetry']; assert os.environ['ORT_DISABLE_TELEMETRY']"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
