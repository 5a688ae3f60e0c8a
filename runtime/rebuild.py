"""Plans that do not fit this machine: the command that builds one again, and running it."""

import shutil
import subprocess
import sys
from pathlib import Path

from artmirror.runtime.errors import ArtmirrorError, CannotRunHere
from artmirror.runtime.plan_file import read_plan_manifest


class PlanMismatch(CannotRunHere):
    """A whole plan of another TensorRT or for another GPU: built again here, it would run."""


def rebuild_command(path: Path) -> list[str]:
    """What builds the plan at `path` again for this machine: from the ONNX beside it, or from the checkpoint.

    Raises:
        ArtmirrorError: the plan's manifest cannot be read.
    """
    manifest = read_plan_manifest(path)
    command = ["st-export", "--plan"]
    onnx = path.with_suffix(".onnx")
    if not onnx.is_file() and manifest.precision == "fp16":
        command += ["--fp16"]  # an ONNX has its precision already
    command += ["--version-compatible"] if manifest.version_compatible else []
    command += ["--hardware-compatible"] if manifest.hardware_compatible else []
    if manifest.height and manifest.width:
        command += ["--size", f"{manifest.width}x{manifest.height}"]
    else:
        for name, size in (("min", manifest.min_size), ("opt", manifest.opt_size), ("max", manifest.max_size)):
            assert size is not None  # a plan has all three or a height and width
            command += [f"--{name}-size", f"{size[1]}x{size[0]}"]
    return [*command, str(onnx if onnx.is_file() else path.with_suffix(".pt"))]


def rebuild_plan(path: Path) -> None:
    """Run that command; its progress and its errors are shown as they come.

    It is a program of its own, since the runtime does not import what a build needs.

    Raises:
        ArtmirrorError: st-export or what it builds from is missing, or the build failed.
    """
    command = rebuild_command(path)
    if not Path(command[-1]).is_file():
        raise ArtmirrorError(f"{path} cannot be built again without {path.with_suffix('.onnx')} or {command[-1]}")
    program = shutil.which(command[0], path=str(Path(sys.executable).parent)) or shutil.which(command[0])
    if program is None:
        raise ArtmirrorError("st-export is not installed here; pip install 'artmirror[export]'")
    done = subprocess.run([program, *command[1:]], check=False)
    if done.returncode != 0:
        raise ArtmirrorError(f"{' '.join(command)} failed; what it said stands above")
