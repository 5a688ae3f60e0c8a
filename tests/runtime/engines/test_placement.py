"""ONNX Runtime's real build for GPUs, over libraries of CUDA that compute nothing: which nodes it puts where."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

from artmirror.export.fp16 import convert_to_fp16
from tests.fakes.cuda_libraries.build import build_libraries, fetch_onnxruntime
from tests.places import ROOT

BUNDLED = sorted([*(ROOT / "runtime" / "styles").glob("*.onnx"), *(ROOT / "runtime" / "paintings").glob("*.onnx")])


Look = Callable[..., str]


@pytest.fixture(scope="module")
def look(tmp_path_factory: pytest.TempPathFactory) -> Look:
    """Asks the library about files: the words of `cuda_libraries.placement`, and what it prints."""
    if not shutil.which("cc"):
        pytest.skip("the stand-ins of CUDA's libraries want a C compiler: apt install gcc")
    package, libraries = fetch_onnxruntime(), tmp_path_factory.mktemp("libraries")
    build_libraries(package, libraries)
    paths = {"PYTHONPATH": os.pathsep.join(map(str, (package, ROOT))), "LD_LIBRARY_PATH": str(libraries)}

    def run(*words: object) -> str:
        command = [sys.executable, "-m", "tests.fakes.cuda_libraries.placement", *map(str, words)]
        done = subprocess.run(command, env={**os.environ, **paths}, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


@pytest.mark.slow
def test_every_node_of_every_file_is_put_on_the_gpu(look: Look, tmp_path: Path) -> None:
    """A node on the processor costs two copies and a wait in the middle of each frame, and nobody tells."""
    halves = []
    for path in BUNDLED:
        if "-int8" not in path.name and "encoder" not in path.name:
            model = onnx.load(path)
            convert_to_fp16(model)
            halves.append(tmp_path / f"{path.stem}-fp16.onnx")
            onnx.save(model, halves[-1])
    found = json.loads(look(*BUNDLED, *halves))
    assert len(found) == len(BUNDLED) + len(halves) > 50
    assert {Path(path).name: wrong for path, wrong in found.items() if wrong} == {}


def test_what_would_be_left_to_the_processor_is_told(look: Look, tmp_path: Path) -> None:
    """The library says that there is something, and not what; CUDA has no determinants."""
    path = tmp_path / "det.onnx"
    names = ("first", "second")
    graph = helper.make_graph(
        [helper.make_node("Relu", ["x"], ["y"]), *(helper.make_node("Det", ["y"], [name]) for name in names)],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [4, 3, 3])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, [4]) for name in names],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), path)
    told = look("--refused", path)
    assert told == f"ONNX Runtime cannot run {path}: it would leave to the processor 2 Det\n"
    assert look("--refused", BUNDLED[0]) == "\n"
