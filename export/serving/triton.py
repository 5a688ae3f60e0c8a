"""A model repository for NVIDIA Triton: NAME/config.pbtxt and NAME/1/model.onnx, for ONNX Runtime's back end.

The configuration is the text form of Triton's protobuf `inference.ModelConfig`. There is no batch: a frame is a
request, and several instances of the model take several at once.
"""

import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.runtime.common.files import cannot_write, write_whole
from artmirror.runtime.formats.manifest import Manifest, read_manifest

_SIZES = ((360, 640), (720, 1280))  # (H, W) that are warmed up: kernels are chosen for each size
_STRENGTH = "strength"


@dataclass(frozen=True, slots=True)
class Written:
    """What was written for one style."""

    name: str  # of the model, as clients ask for it
    folder: Path


def write_model_repository(
    networks: Sequence[Path], repository: Path, *, instances: int = 1, sizes: Sequence[tuple[int, int]] = _SIZES
) -> list[Written]:
    """Add models to a repository; those of the same names are replaced, others stay.

    Args:
        networks: ONNX files of st-export.
        instances: Of each model on each GPU, or on the processor where there is none.
        sizes: (H, W) of frames that each instance paints once before it takes requests.

    Raises:
        ArtmirrorError: a file is none of ours, or the folder cannot be written.
    """
    found = []
    for path in networks:
        manifest = read_manifest(path)
        name = re.sub(r"[^A-Za-z0-9_.-]", "_", path.stem)
        folder = repository / name
        try:
            (folder / "1").mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, folder / "1" / "model.onnx.part")
            (folder / "1" / "model.onnx.part").replace(folder / "1" / "model.onnx")
            write_whole(folder / "config.pbtxt", config_text(name, manifest, instances, sizes).encode())
        except OSError as error:
            raise cannot_write(folder, error) from None
        found.append(Written(name, folder))
    if len({one.name for one in found}) < len(found):
        raise ArtmirrorError("two of the files have the same name: rename one of them")
    return found


def config_text(name: str, manifest: Manifest, instances: int, sizes: Sequence[tuple[int, int]]) -> str:
    """A model's configuration; heights and widths are free, as they are in the file."""
    small = [(_STRENGTH, 1)] + ([("style", manifest.style.length)] if manifest.style is not None else [])
    inputs = ['{ name: "frame" data_type: TYPE_UINT8 dims: [ 1, -1, -1, 3 ] }']
    inputs += [f'{{ name: "{key}" data_type: TYPE_FP32 dims: [ {length} ] }}' for key, length in small]
    lines = [
        f"# {manifest.title or manifest.name}: one BGR picture in, one out. Written by st-export --triton.",
        f'name: "{name}"',
        'backend: "onnxruntime"',
        "max_batch_size: 0",
        f"input [ {', '.join(inputs)} ]",
        'output [ { name: "stylized" data_type: TYPE_UINT8 dims: [ 1, -1, -1, 3 ] } ]',
        f"instance_group [ {{ count: {instances} kind: KIND_AUTO }} ]",
    ]
    for height, width in sizes:
        rows = [
            f'{{ key: "frame" value: {{ data_type: TYPE_UINT8 dims: [ 1, {height}, {width}, 3 ] random_data: true }} }}'
        ]
        rows += [
            f'{{ key: "{key}" value: {{ data_type: TYPE_FP32 dims: [ {length} ] zero_data: true }} }}'
            for key, length in small
        ]
        lines.append(f'model_warmup [ {{ name: "{width}x{height}" inputs [ {", ".join(rows)} ] }} ]')
    # Normalisation is FP32 in the file; TF32 would lower it in silence.
    lines.append('parameters { key: "cuda.use_tf32" value: { string_value: "0" } }')
    return "\n".join(lines) + "\n"
