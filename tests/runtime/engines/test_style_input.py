"""The input `style`: every back end takes it, for each frame its own."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.runtime.common.style_file import Vector
from artmirror.runtime.engines import onnxruntime_cuda
from artmirror.runtime.engines.base import Engine, Look, stylize
from artmirror.runtime.engines.open import open_engine
from artmirror.runtime.engines.tiled import TiledEngine
from artmirror.runtime.formats.manifest import METADATA_KEY, Manifest, StyleInput, read_manifest
from tests.fakes.onnxruntime import FakeOnnxRuntime
from tests.fakes.tensorrt_runtime import Bench
from tests.fakes.tiny_ncnn import need_vulkan
from tests.places import ROOT

SIZE = (66, 92)


SIMULATED = [pytest.param(name, marks=pytest.mark.simulated_gpu) for name in ("tensorrt", "onnxruntime-cuda")]


@pytest.fixture(params=["openvino", "onnxruntime", "ncnn-cpu", "ncnn-vulkan", *SIMULATED])
def engine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Engine]:
    name = request.param
    if name.startswith("ncnn"):
        if name == "ncnn-vulkan":
            need_vulkan()
        opened = open_engine(tiny(".ncnn.param"), size=SIZE, device=name.removeprefix("ncnn-"))
    elif name in ("openvino", "onnxruntime"):
        opened = open_engine(tiny(".onnx"), size=SIZE, backend=name)
    else:
        gpu = request.getfixturevalue("gpu")
        network = ROOT / "runtime" / "paintings" / "any-nano.onnx"  # stand-ins run none; its manifest is read
        style = read_manifest(network).style
        assert style is not None
        if name == "tensorrt":
            bench = Bench(gpu, monkeypatch, tmp_path, style=style)
            bench.trt.tensors["style"] = ("in", "float")
            opened = bench.open(SIZE)
        else:
            library = FakeOnnxRuntime(gpu)
            library.style_length = style.length
            monkeypatch.setattr(onnxruntime_cuda, "ort", library)
            opened = open_engine(network, size=SIZE, device="cuda")
    yield opened
    opened.close()


def tiny(suffix: str) -> Path:
    """A file of the tiny network for many paintings."""
    from tests.fakes.tiny_many import tiny_many  # not above: in another process nobody shall wait for torch

    return tiny_many().with_suffix(suffix)


def two_styles(style: StyleInput | None) -> tuple[Vector, Vector]:
    """One that is a code alone, and one with scales and shifts of its own."""
    assert style is not None
    rng = np.random.default_rng(1)
    vectors = np.zeros((2, style.length), np.float32)
    vectors[:, : style.code_length] = rng.uniform(-1, 1, (2, style.code_length))
    vectors[1, style.code_length :] = rng.normal(0, 0.2, style.length - style.code_length)
    return vectors[0], vectors[1]


def picture() -> np.ndarray:
    rng = np.random.default_rng(3)
    return np.kron(rng.integers(40, 200, (6, 8, 3), np.uint8), np.ones((11, 12, 1), np.uint8))[: SIZE[0], : SIZE[1]]


def painted(engine: Engine, look: Look) -> np.ndarray:
    (slot,) = engine.allocate(1)
    slot.frame[:] = picture()
    stylize(engine, slot, look)
    return slot.stylized.copy()


def test_styles_differ_and_none_is_the_mean(engine: Engine) -> None:
    first, second = two_styles(engine.manifest.style)
    pictures = [painted(engine, Look(1.0, style)) for style in (first, second)]
    assert np.abs(pictures[0].astype(int) - pictures[1]).mean() > 2
    assert (painted(engine, Look()) == painted(engine, Look(1.0, np.zeros_like(first)))).all()


def test_a_style_belongs_to_its_frame_and_is_copied(engine: Engine) -> None:
    first, second = two_styles(engine.manifest.style)
    alone = [painted(engine, Look(1.0, style)) for style in (first, second)]
    slots = engine.allocate(2)
    passed = np.empty_like(first)
    for slot, style in zip(slots, (first, second), strict=True):
        slot.frame[:] = picture()
        passed[:] = style
        engine.submit(slot, Look(1.0, passed))
        passed[:] = 0
    for slot, expected in zip(slots, alone, strict=True):
        engine.wait(slot)
        assert (slot.stylized == expected).all()


def test_strength_goes_with_a_style(engine: Engine) -> None:
    assert (painted(engine, Look(0.0, two_styles(engine.manifest.style)[0])) == picture()).all()


@pytest.mark.parametrize("changed", [False, True])
def test_tiles_paint_a_style_as_the_whole_does(changed: bool) -> None:
    path = tiny(".onnx")
    size = (390, 407)
    rng = np.random.default_rng(0)
    frame = np.kron(rng.integers(0, 255, (28, 30, 3), np.uint8), np.ones((14, 14, 1), np.uint8))[: size[0], : size[1]]
    look = Look(0.9, two_styles(read_manifest(path).style)[changed])
    results = []
    for engine in (
        open_engine(path, size=size, full_precision=True),
        TiledEngine(path, read_manifest(path), size, 320 * 320, None),
    ):
        (slot,) = engine.allocate(1)
        slot.frame[:] = frame
        stylize(engine, slot, look)
        results.append(slot.stylized.astype(int))
    assert np.abs(results[0] - results[1]).mean() < 2.5  # a random network in bf16, where the processor has that


@pytest.mark.parametrize("backend", ["openvino", "onnxruntime"])
def test_a_manifest_that_says_another_length_is_told(backend: str, tmp_path: Path) -> None:
    path = tiny(".onnx")
    manifest = read_manifest(path)
    assert manifest.style is not None
    other = tmp_path / "other.onnx"
    for style in (replace(manifest.style, length=manifest.style.length + 1), None):
        model = onnx.load(path)
        model.metadata_props[0].value = replace(manifest, style=style).to_json()
        assert model.metadata_props[0].key == METADATA_KEY
        onnx.save(model, other)
        with pytest.raises(ArtmirrorError, match=r"cannot run .*other.onnx"):
            open_engine(other, size=SIZE, backend=backend)


def test_a_code_longer_than_the_style_is_damage() -> None:
    values: dict[str, Any] = {"style": StyleInput(4, 5, "x")}
    manifest = replace(read_manifest(tiny(".onnx")), **values)
    with pytest.raises(ArtmirrorError, match="a code of 5 in a style of 4 numbers"):
        Manifest.from_json(manifest.to_json(), "x.onnx")
