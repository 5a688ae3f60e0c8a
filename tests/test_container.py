"""The container for a GPU, which is built nowhere here: what it names is there."""

import importlib.util
import json
import re
import tomllib

from tests.places import ROOT

FOLDER = ROOT / ".devcontainer"
DOCKERFILE = (FOLDER / "Dockerfile").read_text()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
EXTRAS = PROJECT["project"]["optional-dependencies"]


def test_files_that_it_names_are_there() -> None:
    named = re.findall(r"[\w./-]+\.(?:txt|pt|toml)\b", DOCKERFILE)
    assert {"constraints.txt", "train/styles/starry.pt"} <= set(named)
    for name in named:
        assert (ROOT / name).is_file(), name
    (copied,) = re.findall(r"^COPY (\S+) (\S+)$", DOCKERFILE, re.MULTILINE)
    assert copied == (".", ".")  # so what .dockerignore leaves is all there
    ignored = [line for line in (ROOT / ".dockerignore").read_text().split() if "*" not in line]
    tracked = ("benchmarks", "export", "runtime", "train", "docs", "pyproject.toml", "README.md", "constraints.txt")
    assert not set(ignored) & set(tracked)


def test_extras_and_modules_that_it_names_are_there() -> None:
    extras = [extra for found in re.findall(r"'\.\[([^\]]+)\]'", DOCKERFILE) for extra in found.split(",")]
    assert set(extras) == {"cuda", "export", "onnxruntime-gpu", "show"} <= set(EXTRAS)
    modules = re.findall(r"python -m (artmirror\S+)", DOCKERFILE)
    assert modules == ["artmirror.runtime.engines.build_pycuda"]
    assert all(importlib.util.find_spec(module) for module in modules)
    (command,) = re.findall(r"^CMD (.*)$", DOCKERFILE, re.MULTILINE)
    assert json.loads(command)[0] in PROJECT["project"]["scripts"]


def test_onnxruntime_for_gpus_is_the_one_that_stays() -> None:
    """Both packages are files of one folder: the last one lies there, and uninstalling one spoils the other."""
    assert any("onnxruntime" in words for words in EXTRAS["export"])
    after = DOCKERFILE.partition("pip uninstall -y onnxruntime ")[2]
    (asked,) = EXTRAS["onnxruntime-gpu"]
    assert f"--force-reinstall '{asked}'" in after


def test_tensorrt_is_for_the_cuda_of_the_base() -> None:
    (cuda,) = re.findall(r"^ARG CUDA=(\d+)\.", DOCKERFILE, re.MULTILINE)
    assert f'"tensorrt-cu{cuda}==${{TENSORRT}}.*"' in DOCKERFILE
    assert "nvidia/cuda:${CUDA}-cudnn-runtime-" in DOCKERFILE


def test_the_devcontainer_is_built_from_it() -> None:
    settings = json.loads((FOLDER / "devcontainer.json").read_text())
    assert (FOLDER / settings["build"]["dockerfile"]).is_file()
    assert (FOLDER / settings["build"]["context"]).resolve() == ROOT
    assert f"WORKDIR {settings['workspaceFolder']}\n" in DOCKERFILE
    assert f"target={settings['workspaceFolder']}," in settings["workspaceMount"]
    assert "-e ." in settings["postCreateCommand"]  # else it runs a copy of the code as it was
