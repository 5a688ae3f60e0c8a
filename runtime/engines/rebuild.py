"""Plans that do not fit this machine: what builds one again, from the same network and from no other."""

import shutil
import subprocess
import sys
from importlib import import_module
from pathlib import Path

from artmirror.runtime.common.errors import ArtmirrorError, CannotRunHere
from artmirror.runtime.common.files import file_sha256
from artmirror.runtime.formats.manifest import Manifest, read_manifest
from artmirror.runtime.formats.plan import read_plan_manifest


class PlanMismatch(CannotRunHere):
    """A whole plan of another TensorRT or for another GPU: built again here, it would run."""


def is_installed(library: str) -> bool:
    """Whether this TensorRT can be imported."""
    try:
        import_module(library)
    except ImportError:
        return False
    return True


def rebuild_advice(path: Path) -> str:
    """How to build the plan at `path` again for this machine, as the end of a line.

    Raises:
        ArtmirrorError: the plan's manifest cannot be read.
    """
    try:
        _check_source(path)
    except ArtmirrorError as error:
        return str(error.message)
    return f"this builds it again: {' '.join(rebuild_command(path))}"


def rebuild_command(path: Path) -> list[str]:
    """What builds the plan at `path` again for this machine: from the ONNX beside it, or from the checkpoint.

    Raises:
        ArtmirrorError: the plan's manifest cannot be read.
    """
    manifest = read_plan_manifest(path)
    source = _source(path)
    assert manifest.library is not None  # read_plan_manifest saw to it
    command = ["st-export", "--plan"]
    command += ["--trt-library", manifest.library] if is_installed(manifest.library) else []
    if source.suffix != ".onnx" and manifest.precision == "fp16":
        command += ["--fp16"]  # an ONNX has its precision already
    command += ["--version-compatible"] if manifest.version_compatible else []
    command += ["--hardware-compatible"] if manifest.hardware_compatible else []
    if manifest.height and manifest.width:
        command += ["--size", f"{manifest.width}x{manifest.height}"]
    else:
        for name, size in (("min", manifest.min_size), ("opt", manifest.opt_size), ("max", manifest.max_size)):
            assert size is not None  # a plan has all three or a height and width
            command += [f"--{name}-size", f"{size[1]}x{size[0]}"]
    return [*command, str(source)]


def rebuild_plan(path: Path) -> None:
    """Run that command; its progress and its errors are shown as they come.

    It is a program of its own, since the runtime does not import what a build needs.

    Raises:
        ArtmirrorError: st-export or what it builds from is missing, that is another network than the plan's, or the
            build failed.
    """
    command = rebuild_command(path)
    source = _check_source(path)
    if not source.is_file():
        raise ArtmirrorError(f"{path} cannot be built again without {path.with_suffix('.onnx')} or {source}")
    program = shutil.which(command[0], path=str(Path(sys.executable).parent)) or shutil.which(command[0])
    if program is None:
        raise ArtmirrorError("st-export is not installed here; pip install 'artmirror[export]'")
    done = subprocess.run([program, *command[1:]], check=False)
    if done.returncode != 0:
        raise ArtmirrorError(f"{' '.join(command)} failed; what it said stands above")


def onnx_of_plan(path: Path) -> Path | None:
    """The ONNX beside the plan at `path` if it paints the same, in whichever precision; else None.

    Raises:
        ArtmirrorError: the plan's manifest cannot be read.
    """
    onnx = path.with_suffix(".onnx")
    try:
        same = read_manifest(onnx).checkpoint_sha256 == read_plan_manifest(path).checkpoint_sha256
    except ArtmirrorError:  # it is not there, or damaged
        return None
    return onnx if same else None


def _source(path: Path) -> Path:
    onnx = path.with_suffix(".onnx")
    return onnx if onnx.is_file() else path.with_suffix(".pt")


def _check_source(path: Path) -> Path:
    """What the plan is built again from, which need not be there; if it is, it holds the plan's own network.

    Raises:
        ArtmirrorError: it is damaged, or another network, or the same in another precision.
    """
    plan, source = read_plan_manifest(path), _source(path)
    if not source.is_file():
        return source
    if source.suffix == ".onnx":
        found = read_manifest(source)
        same = _is_export_of(plan, found, source)
        what = f"it is {found.title or found.name}, {found.preset}, {found.precision}"
    else:
        same = file_sha256(source) == plan.checkpoint_sha256
        what = "its checksum is another"
    if not same:
        raise ArtmirrorError(
            f"{source} is not what {path.name} was built from ({plan.title or plan.name}, {plan.preset}, "
            f"{plan.precision}): {what}. Put the right one beside it, or build a plan of this one: "
            f"st-export --plan {source}"
        )
    return source


def _is_export_of(plan: Manifest, found: Manifest, onnx: Path) -> bool:
    """The very file, or another export of the same checkpoint in the same precision."""
    again = (found.checkpoint_sha256, found.precision) == (plan.checkpoint_sha256, plan.precision)
    return again or file_sha256(onnx) == plan.onnx_sha256
