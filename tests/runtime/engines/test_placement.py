"""ONNX Runtime's real build for GPUs, over libraries of CUDA that compute nothing: which nodes it puts where."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import onnx
import pytest

from artmirror.export.fp16 import convert_to_fp16
from tests.fakes.cuda_libraries.build import build_libraries, fetch_onnxruntime
from tests.places import ROOT

BUNDLED = sorted([*(ROOT / "runtime" / "styles").glob("*.onnx"), *(ROOT / "runtime" / "paintings").glob("*.onnx")])


@pytest.mark.slow
def test_every_node_of_every_file_is_put_on_the_gpu(tmp_path: Path) -> None:
    """A node on the processor costs two copies and a wait in the middle of each frame, and nobody tells."""
    if not shutil.which("cc"):
        pytest.skip("the stand-ins of CUDA's libraries want a C compiler: apt install gcc")
    halves = []
    for path in BUNDLED:
        if "-int8" not in path.name and "encoder" not in path.name:
            model = onnx.load(path)
            convert_to_fp16(model)
            halves.append(tmp_path / f"{path.stem}-fp16.onnx")
            onnx.save(model, halves[-1])
    package = fetch_onnxruntime()
    libraries = tmp_path / "libraries"
    libraries.mkdir()
    build_libraries(package, libraries)
    paths = {"PYTHONPATH": os.pathsep.join(map(str, (package, ROOT))), "LD_LIBRARY_PATH": str(libraries)}
    done = subprocess.run(
        [sys.executable, "-m", "tests.fakes.cuda_libraries.placement", *map(str, (*BUNDLED, *halves))],
        env={**os.environ, **paths},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert len(found) == len(BUNDLED) + len(halves) > 50
    assert {Path(path).name: wrong for path, wrong in found.items() if wrong} == {}
