"""What of an ONNX no library gets to see."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.runtime.engines.open import open_engine
from artmirror.runtime.formats.manifest import Manifest, read_manifest
from artmirror.runtime.formats.onnx import LARGEST_ONNX_BYTES, parse_onnx_metadata
from artmirror.runtime.gallery.bundled import bundled_styles, find_style
from tests.fakes.engine import make_manifest

STARRY = find_style("starry-nano").read_bytes()


def write_changed(path: Path, change: Callable[[onnx.ModelProto], object]) -> Path:
    """A changed network whose checksum is right again, as somebody would write it who means harm."""
    model = onnx.load_from_string(STARRY)
    change(model)
    manifest = Manifest.from_json(model.metadata_props[0].value, "x")
    sha256 = hashlib.sha256(model.graph.SerializeToString()).hexdigest()
    model.metadata_props[0].value = make_manifest(name=manifest.name, graph_sha256=sha256).to_json()
    path.write_bytes(model.SerializeToString())
    return path


def _tensor(model: onnx.ModelProto) -> onnx.TensorProto:
    return model.graph.initializer[0]


def _node(model: onnx.ModelProto, operation: str) -> onnx.NodeProto:
    return next(node for node in model.graph.node if node.op_type == operation)


def _attribute(model: onnx.ModelProto, operation: str, name: str) -> onnx.AttributeProto:
    return next(entry for entry in _node(model, operation).attribute if entry.name == name)


def _set_opset(model: onnx.ModelProto) -> None:
    model.opset_import[0].version = 1 << 40


def _set_ir(model: onnx.ModelProto) -> None:
    model.ir_version = 1 << 40


def _set_dims(*dims: int) -> Callable[[onnx.ModelProto], None]:
    def change(model: onnx.ModelProto) -> None:
        del _tensor(model).dims[:]
        _tensor(model).dims.extend(dims)

    return change


def _external(model: onnx.ModelProto) -> None:
    tensor = _tensor(model)
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="/etc/passwd")


def _loop(model: onnx.ModelProto) -> None:
    body = helper.make_graph([], "body", [], [])
    model.graph.node.append(helper.make_node("Loop", ["", ""], ["x"], body=body))


def _unknown(model: onnx.ModelProto) -> None:
    _node(model, "Round").op_type = "ConstantOfShape"


def _one_input(model: onnx.ModelProto) -> None:
    del _node(model, "Conv").input[1:]


def _no_name(model: onnx.ModelProto) -> None:
    _node(model, "Conv").input[1] = ""


def _circle(model: onnx.ModelProto) -> None:
    _node(model, "Conv").input[0] = model.graph.node[-1].output[0]


def _no_stride(model: onnx.ModelProto) -> None:
    _attribute(model, "Conv", "strides").ints[0] = 0


def _large_kernel(model: onnx.ModelProto) -> None:
    _attribute(model, "Conv", "kernel_shape").ints[0] = 1 << 40


def _division(model: onnx.ModelProto) -> None:
    name = _node(model, "Mod").input[1]
    tensor = next(entry for entry in model.graph.initializer if entry.name == name)
    tensor.raw_data = bytes(len(tensor.raw_data))


def _constant_of(model: onnx.ModelProto, operation: str, place: int) -> onnx.TensorProto:
    name = _node(model, operation).input[place]
    return next(entry for entry in model.graph.initializer if entry.name == name)


def _large_range(model: onnx.ModelProto) -> None:
    _constant_of(model, "Range", 2).raw_data = np.int64(-(1 << 40)).tobytes()


def _large_pad(model: onnx.ModelProto) -> None:
    tensor = _constant_of(model, "Pad", 1)
    tensor.raw_data = np.full(len(tensor.raw_data) // 8, 1 << 30, np.int64).tobytes()


def _function(model: onnx.ModelProto) -> None:
    model.functions.add(name="f")


def _other_domain(model: onnx.ModelProto) -> None:
    _node(model, "Conv").domain = "com.example"


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (_set_opset, "its opset is 1099511627776, at most 64 is wanted"),
        (_set_ir, "its version of its format is 1099511627776, at most 64"),
        (_set_dims(1 << 31, 1 << 31), r"a tensor has the sides \[2147483648, 2147483648\]"),
        (_set_dims(-1, -1), "a tensor has the sides"),
        (_set_dims(*[1] * 100), "at most 8 with"),
        (_set_dims(4), "a tensor of 4 elements has"),
        (_external, "the content of a tensor is in another file"),
        (_loop, "a node of it holds a graph|holds the operation 'Loop'"),
        (_unknown, "holds the operation 'ConstantOfShape', which st-export never writes"),
        (_one_input, "a Conv in it has 1 inputs, 2 to 3 are wanted"),
        (_no_name, "a Conv in it has 3 inputs"),
        (_circle, "a Conv in it takes what is not there"),
        (_no_stride, "strides of a node is 0, 1 to 65536 is wanted"),
        (_large_kernel, "kernel_shape of a node is 1099511627776"),
        (_division, "a Mod in it divides by 0"),
        (_large_range, r"a Range in it is given -1\.\d+e\+12, at most 65536"),
        (_large_pad, r"a Pad in it is given 1\.\d+e\+09, at most 65536"),
        (_function, "it holds functions or a training graph"),
        (_other_domain, "none of ONNX's own"),
    ],
)
def test_what_no_library_gets_to_see(tmp_path: Path, change: Callable[[onnx.ModelProto], object], told: str) -> None:
    path = write_changed(tmp_path / "x.onnx", change)
    with pytest.raises(ArtmirrorError, match=told) as caught:
        open_engine(path, size=(64, 64))
    assert "x.onnx was not written by st-export, or is damaged" in caught.value.message


def test_a_change_that_does_no_harm_is_opened(tmp_path: Path) -> None:
    path = write_changed(tmp_path / "x.onnx", lambda model: None)
    open_engine(path, size=(64, 64)).close()


def test_the_bundled_networks_are_within_the_limits() -> None:
    for path in bundled_styles().values():
        assert parse_onnx_metadata(memoryview(path.read_bytes()))[1]


def test_an_output_of_another_size_is_told(tmp_path: Path) -> None:
    def small(model: onnx.ModelProto) -> None:
        model.graph.output[0].name = _node(model, "Cast").output[0]

    path = write_changed(tmp_path / "x.onnx", small)
    for backend, told in (("openvino", "it takes and gives"), ("onnxruntime", "")):
        with pytest.raises(ArtmirrorError, match=f"cannot run .*{told}"):
            open_engine(path, size=(64, 64), backend=backend)


def test_a_large_file_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "large.onnx"
    with path.open("wb") as file:
        file.truncate(LARGEST_ONNX_BYTES + 1)
    with pytest.raises(ArtmirrorError, match=r"large\.onnx is no ONNX file of st-export: it is larger than 512 MB"):
        read_manifest(path)


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"title": 5}, r"Expected `str`, got `int` - at `\$.title`"),
        ({"height": -3}, r"Expected `int` >= 1 - at `\$.height`"),
        ({"network": []}, "Expected `object`, got `array`"),
        ({"precision": "fp8"}, "Invalid enum value 'fp8'"),
        ({"steps": 1e99}, "Expected `int`"),
    ],
)
def test_a_wrong_type_in_the_manifest_is_told(values: dict[str, object], told: str) -> None:
    with pytest.raises(ArtmirrorError, match=f"x has a damaged manifest .*{told}"):
        Manifest.from_values({**vars_of(make_manifest()), **values}, "x")


def vars_of(manifest: Manifest) -> dict[str, object]:
    return {name: getattr(manifest, name) for name in Manifest.__dataclass_fields__}


def test_a_deep_manifest_is_told() -> None:
    deep = make_manifest().to_json().replace('"network": {}', '"network": ' + '{"a":' * 100_000 + "1" + "}" * 100_000)
    with pytest.raises(ArtmirrorError, match=r"x has a damaged manifest \(.*(nested|longer)"):
        Manifest.from_json(deep, "x")
