"""Builds what programs run on without a GPU: the real pycuda and cuda-bindings, and the simulated `libcuda.so.1`.

    python -m tests.fakes.cuda_driver.build

All is built once and kept in the user's cache folder. pycuda takes some two minutes, so `make` begins it in the
background, while everything else is checked; whoever needs it waits for it.
"""

import hashlib
import shutil
import sys
from pathlib import Path

from artmirror.runtime.engines import build_pycuda
from tests.fakes.kept import keep, told

SOURCE = Path(__file__).with_name("simulated_driver.cpp")
_PYCUDA, _BINDINGS = "2026.1", "13.5.0"
_NAME = f"simulated-cuda-{_PYCUDA}-{_BINDINGS}-{sys.implementation.cache_tag}"


def build_packages() -> Path:
    """The folder with pycuda, cuda-bindings and CUDA's headers."""

    def make(folder: Path) -> None:
        options = ["--version", _PYCUDA, "--target", folder]
        told(sys.executable, "-m", build_pycuda.__name__, *options, CFLAGS="-O0 -g0")  # nobody measures here
        told(sys.executable, "-m", "pip", "install", "--target", folder, f"cuda-bindings=={_BINDINGS}")

    return keep(_NAME, make)


def build_driver(packages: Path) -> Path:
    """The folder with `libcuda.so.1`, for the pycuda in `packages`."""

    def make(folder: Path) -> None:
        driver, rest = folder / "driver.o", folder / "rest.o"
        compiler = ["g++", "-std=c++17", "-O1", "-Wall", "-Wextra", "-Werror", "-fPIC", "-fvisibility=hidden"]
        told(*compiler, "-I", build_pycuda.headers(packages), "-c", SOURCE, "-o", driver)
        (pycuda,) = (packages / "pycuda").glob("_driver*.so")
        source = folder / "rest.c"
        source.write_text(_not_simulated(_symbols(pycuda, "U") - _symbols(driver, "T")))
        told("cc", "-fPIC", "-c", source, "-o", rest)
        library = folder / "libcuda.so.1"
        told("g++", "-shared", "-pthread", "-Wl,-soname,libcuda.so.1", driver, rest, "-o", library)

    sources = SOURCE.read_bytes() + Path(__file__).read_bytes()
    return keep(f"{_NAME}-{hashlib.sha256(sources).hexdigest()[:16]}", make)


def has_compiler() -> bool:
    return all(shutil.which(name) for name in ("cc", "g++", "nm"))


def _symbols(path: Path, kind: str) -> set[str]:
    """The driver's functions that a file defines (T) or wants (U)."""
    table = "--dynamic" if path.suffix == ".so" else "--extern-only"
    lines = told("nm", "--format=posix", table, path).splitlines()
    return {name for name, found, *_ in (line.split() for line in lines) if found == kind and name.startswith("cu")}


def _not_simulated(names: set[str]) -> str:
    """What pycuda is linked with, and artmirror does not call."""
    lines = [
        "#include <stdio.h>",
        "static int refuse(const char *name) {",
        '  fprintf(stderr, "simulated CUDA: %s is not simulated\\n", name);',
        "  return 801;  /* not supported */",
        "}",
        *(f'int {name}(void) {{ return refuse("{name}"); }}' for name in sorted(names)),
    ]
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    build_driver(build_packages())
