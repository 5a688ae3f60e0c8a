"""Opens an engine file with the back end that suits it."""

from importlib import import_module
from pathlib import Path
from typing import cast

from artmirror.runtime.engine import Engine
from artmirror.runtime.errors import ArtmirrorError
from artmirror.runtime.manifest import SMALLEST_SIDE, read_manifest

# Name -> module with an `open_file`; the first is the default. Imported when used, since each is heavy.
BACKENDS = {
    "openvino": "artmirror.runtime.engine_openvino",
    "onnxruntime": "artmirror.runtime.engine_onnxruntime",
}


def open_engine(
    path: Path,
    *,
    size: tuple[int, int],
    backend: str = "openvino",
    full_precision: bool = False,
    threads: int | None = None,
) -> Engine:
    """Check the file's manifest and compile its network.

    Args:
        size: (H, W) of the frames to come.
        backend: A key of `BACKENDS`.
        full_precision: Compute in FP32 where the device would choose less by itself.
        threads: Processor threads; None lets the library choose.

    Raises:
        ArtmirrorError: no such file, not ours, damaged, of another size, or the back end cannot run it.
    """
    if path.suffix == ".plan":
        raise ArtmirrorError(
            f"{path} is a TensorRT plan, for which this version has no back end; use the .onnx it was built from"
        )
    manifest = read_manifest(path)
    if min(size) < SMALLEST_SIDE:
        raise ArtmirrorError(
            f"the frames are {size[1]}x{size[0]}; {path.name} takes at least {SMALLEST_SIDE}x{SMALLEST_SIDE}: "
            "use --size"
        )
    fixed = (manifest.height or size[0], manifest.width or size[1])
    if fixed != size:
        raise ArtmirrorError(
            f"the frames are {size[1]}x{size[0]}; {path.name} is fixed to {fixed[1]}x{fixed[0]}: "
            f"use --size {fixed[1]}x{fixed[0]}"
        )
    try:
        module = import_module(BACKENDS[backend])
    except ImportError as error:
        raise ArtmirrorError(
            f"the {backend} back end needs the package {error.name}; install it with pip install {error.name}"
        ) from None
    return cast(Engine, module.open_file(path, manifest, size=size, full_precision=full_precision, threads=threads))
