"""For tests on a real GPU, which skip where there is none."""

from pathlib import Path

import pytest

from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.runtime.engines.cuda_device import Device, open_device


def need_gpu() -> Device:
    """The first GPU, or skip the test."""
    try:
        return open_device(0)
    except ArtmirrorError as error:
        pytest.skip(str(error.message))


def build_real_plan(onnx: Path, plan: Path, target: str = "current") -> Path:
    """A plan for sizes from 64x64 to 512x512 by the library that is installed, or skip the test."""
    from artmirror.export.plan.build import BuildOptions, build_plan
    from artmirror.export.plan.library import find_library
    from artmirror.runtime.engines.cuda_device import current_gpu
    from artmirror.runtime.formats.plan import SizeRange

    class Silent:
        def start(self, phase: str, parent: str | None, steps: int) -> None: ...
        def advance(self, phase: str, step: int) -> bool:
            return True

        def finish(self, phase: str) -> None: ...

    library = find_library(targets=(target,))
    if library is None:
        pytest.skip("no TensorRT is installed")
    options = BuildOptions(SizeRange((64, 64), (128, 128), (512, 512)), targets=(target,))
    build_plan(onnx, plan, options, library=library, gpu=current_gpu(), progress=Silent())
    return plan
