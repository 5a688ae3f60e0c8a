"""Which kind of file an engine is, by its name; and what any of them says of itself."""

from dataclasses import replace
from enum import Enum
from pathlib import Path

from artmirror.runtime.formats.manifest import Manifest, read_manifest
from artmirror.runtime.formats.ncnn import BIN_SUFFIX, PARAM_SUFFIX, read_ncnn_manifest
from artmirror.runtime.formats.plan import PlanInfo, read_plan_manifest


class EngineKind(Enum):
    """The kinds, with the endings of their names."""

    ONNX = (".onnx",)
    PLAN = (".plan",)  # TensorRT
    NCNN = (PARAM_SUFFIX, BIN_SUFFIX)  # two files; either names the pair
    STROKES = ("strokes:",)  # no file: brush strokes, without a network
    FRAMES = ("frames:",)  # with a folder behind it: pictures that were painted before, one for each frame


# What stands in the place of a file's manifest.
STROKES_MANIFEST = Manifest(
    name="strokes",
    title="Brush strokes",
    artist="",
    year="",
    preset="strokes",
    network={},
    precision="fp32",
    height=None,
    width=None,
    checkpoint_sha256="",
    steps=0,
    graph_sha256="",
)
FRAMES_MANIFEST = replace(STROKES_MANIFEST, name="frames", title="Painted frames", preset="frames")


def kind_of(path: Path) -> EngineKind:
    """The kind that a name stands for; one that stands for none is read as ONNX, which then says what is wrong."""
    if str(path) in EngineKind.STROKES.value:
        return EngineKind.STROKES
    if str(path).startswith(EngineKind.FRAMES.value):
        return EngineKind.FRAMES
    for kind in (EngineKind.PLAN, EngineKind.NCNN):
        if path.name.endswith(kind.value):
            return kind
    return EngineKind.ONNX


def suffix_of(path: Path) -> str:
    """The ending of a name, `.ncnn.param` in one piece."""
    known = (suffix for kind in EngineKind for suffix in kind.value if path.name.endswith(suffix))
    return next(known, path.suffix)


def read_any_manifest(path: Path) -> tuple[Manifest, PlanInfo | None]:
    """What a file says of itself, and what a plan says besides.

    Raises:
        ArtmirrorError: the file is missing, damaged, or was not written by st-export.
    """
    kind = kind_of(path)
    if kind is EngineKind.PLAN:
        return read_plan_manifest(path)
    if kind is EngineKind.STROKES:
        return STROKES_MANIFEST, None
    if kind is EngineKind.FRAMES:
        return FRAMES_MANIFEST, None
    return (read_ncnn_manifest if kind is EngineKind.NCNN else read_manifest)(path), None
