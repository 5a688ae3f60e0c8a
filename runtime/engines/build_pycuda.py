"""Installs pycuda without the CUDA toolkit:

    python -m artmirror.runtime.engines.build_pycuda

pycuda comes as source alone, and wants CUDA's headers. Those are on PyPI too. So a driver, pip and a C++ compiler are
enough. It takes some three minutes.
"""

import subprocess
import sys
import tarfile
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

import click

from artmirror.runtime.common.errors import ArtmirrorError

_HEADERS = ("nvidia-cuda-runtime>=13", "nvidia-cuda-crt>=13", "nvidia-cuda-profiler-api>=13")


@click.command()
@click.option("--version", help="Of pycuda.  [default: the newest]")
@click.option("--target", type=click.Path(path_type=Path), help="A folder to install into, in place of this Python.")
def main(version: str | None, target: Path | None) -> None:
    """Compile pycuda with the headers of PyPI, and install it into this Python."""
    try:
        build(version, target)
    except ArtmirrorError as error:
        raise click.ClickException(str(error)) from None
    click.echo("pycuda is installed")


def build(version: str | None = None, target: Path | None = None) -> None:
    """Download, set up, compile and install.

    Args:
        version: Of pycuda; None for the newest.
        target: Where the headers and pycuda go; None for this Python.

    Raises:
        ArtmirrorError: pip, the compiler or the headers are missing, or the build failed.
    """
    where = () if target is None else ("--target", str(target))
    _pip("install", *where, *_HEADERS)
    with TemporaryDirectory() as folder:
        work = Path(folder)
        name = "pycuda" if version is None else f"pycuda=={version}"
        _pip("download", "--no-deps", "--no-binary", "pycuda", "-d", folder, name)
        (archive,) = work.glob("pycuda-*.tar.gz")
        with tarfile.open(archive) as source:
            source.extractall(work, filter="data")
        (tree,) = (path for path in work.glob("pycuda-*") if path.is_dir())
        library = work / "lib"
        library.mkdir()
        # What it is linked with: the driver's own library takes its place at run time. A linker that is told to leave
        # out what is not needed (Ubuntu's is) leaves out an empty one, and then pycuda does not load the driver.
        (work / "driver.c").write_text("void cuInit(void) {}\n")
        _run("cc", "-shared", "-Wl,-soname,libcuda.so.1", "-o", str(library / "libcuda.so"), str(work / "driver.c"))
        include = str(headers(target))
        (tree / "siteconf.py").write_text(
            f"CUDA_INC_DIR = [{include!r}]\nCUDADRV_LIB_DIR = [{str(library)!r}]\nCUDA_ENABLE_CURAND = False\n"
        )
        _pip("install", "--no-deps", *(where or ("--force-reinstall",)), str(tree))


def headers(target: Path | None = None) -> Path:
    """Where pip put CUDA's headers.

    Args:
        target: The folder that it was told to put them into; None for this Python.

    Raises:
        ArtmirrorError: nowhere.
    """
    if target is not None:
        places = [target / "nvidia"]
    else:
        spec = find_spec("nvidia")
        places = [] if spec is None else [Path(place) for place in spec.submodule_search_locations or ()]
    for place in places:
        for header in sorted(place.glob("*/include/cuda.h"), reverse=True):
            return header.parent
    raise ArtmirrorError(f"pip installed no cuda.h; wanted it from {', '.join(_HEADERS)}")


def _pip(*words: str) -> None:
    _run(sys.executable, "-m", "pip", *words)


def _run(*command: str) -> None:
    try:
        subprocess.run(command, check=True)
    except FileNotFoundError:
        raise ArtmirrorError(f"there is no {command[0]}; install a C and C++ compiler") from None
    except subprocess.CalledProcessError as error:
        raise ArtmirrorError(f"{' '.join(command)} ended with {error.returncode}; its last lines say why") from None


if __name__ == "__main__":
    main()
