"""Plans that do not fit this machine: what builds one again, from the same network and from no other."""

import shutil
import subprocess
import sys
from importlib import import_module
from pathlib import Path

from artmirror.runtime.common.errors import ArtmirrorError, CannotRunHere
from artmirror.runtime.common.files import file_sha256
from artmirror.runtime.formats.manifest import read_manifest
from artmirror.runtime.formats.plan import read_plan_manifest, sizes_taken


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
    manifest, info = read_plan_manifest(path)
    source = _source(path)
    command = ["st-export", "--plan"]
    command += ["--trt-library", info.library] if is_installed(info.library) else []
    if source.suffix != ".onnx" and manifest.precision == "fp16":
        command += ["--fp16"]  # an ONNX has its precision already
    command += ["--version-compatible"] if info.version_compatible else []
    command += ["--hardware-compatible"] if info.hardware_compatible else []
    sizes = sizes_taken(manifest, info)
    assert sizes is not None  # a plan says them
    options = {"--size": sizes.best}
    if not sizes.is_one:
        options = {"--min-size": sizes.smallest, "--opt-size": sizes.best, "--max-size": sizes.largest}
    for option, (height, width) in options.items():
        command += [option, f"{width}x{height}"]
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
        same = read_manifest(onnx).checkpoint_sha256 == read_plan_manifest(path)[0].checkpoint_sha256
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
    plan, info = read_plan_manifest(path)
    source = _source(path)
    if not source.is_file():
        return source
    if source.suffix == ".onnx":
        found = read_manifest(source)
        # The very file, or another export of the same checkpoint in the same precision.
        again = (found.checkpoint_sha256, found.precision) == (plan.checkpoint_sha256, plan.precision)
        same = again or file_sha256(source) == info.onnx_sha256
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
