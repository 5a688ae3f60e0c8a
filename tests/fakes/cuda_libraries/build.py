"""ONNX Runtime's build for GPUs, and libraries of CUDA without a GPU: enough to open a session and see what goes where.

    python -m tests.fakes.cuda_libraries.build

Every function that ONNX Runtime asks for is there. A few answer as `answers.c` says; the rest say that all is well, and
do nothing. So nothing can be computed on them.
"""

import re
import sys
from pathlib import Path

from tests.fakes.kept import keep, told

_ONNXRUNTIME = "1.31.1"
_ANSWERS = Path(__file__).with_name("answers.c")


def fetch_onnxruntime(version: str = _ONNXRUNTIME) -> Path:
    """The folder with onnxruntime-gpu, which cannot be installed beside onnxruntime."""

    def make(folder: Path) -> None:
        package = f"onnxruntime-gpu=={version}"
        told(sys.executable, "-m", "pip", "install", "--no-deps", "--target", folder, package)

    return keep(f"onnxruntime-gpu-{version}-{sys.implementation.cache_tag}", make)


def build_libraries(package: Path, folder: Path) -> None:
    """Make what the onnxruntime in `package` wants of CUDA."""
    asking = package / "onnxruntime" / "capi" / "libonnxruntime_providers_cuda.so"
    needed = re.findall(r"\(NEEDED\).*\[(lib(?:cu|nv)\S+)\]", told("readelf", "--dynamic", asking))
    table = told("nm", "--dynamic", "--format=posix", "--undefined-only", asking)
    wanted = [line.split()[0].partition("@") for line in table.splitlines()]  # name, @, library
    answered = set(re.findall(r"^ANSWER .*?(\w+)\(", _ANSWERS.read_text(), re.MULTILINE))
    for library in needed:
        of_driver = library.startswith("libcuda.")  # its names carry no version
        names = [
            name
            for name, _, version in wanted
            if version == library or (of_driver and not version and re.match("cu[A-Z]", name))
        ]
        lines = [
            '#include "answers.c"',
            *(f"int {name}(void) {{ return 0; }}" for name in names if name not in answered),
        ]
        (folder / "library.c").write_text("\n".join([*lines, ""]))
        (folder / "library.map").write_text(f"{'' if of_driver else library} {{ global: *; }};\n")
        options = ["-shared", "-fPIC", "-w", f"-Wl,-soname,{library},--version-script={folder / 'library.map'}"]
        told("cc", *options, "-I", _ANSWERS.parent, "-o", folder / library, folder / "library.c")


if __name__ == "__main__":
    fetch_onnxruntime()
