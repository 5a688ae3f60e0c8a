"""Reading a plan's layers: the inspector's JSON in the forms it comes in, and text that is not there."""

import json

import pytest

from artmirror.export.plan.layers import PlanLayer, PlanLayers, layers_of_inspector, layers_of_text, read_layers


def described(**layer: object) -> PlanLayer:
    (found,) = layers_of_inspector(json.dumps({"Layers": [{"Name": "a", "LayerType": "conv", **layer}]}))
    return found


@pytest.mark.parametrize(
    ("description", "precision"),
    [
        ("Half", "fp16"),
        ("Row major linear FP16 format", "fp16"),
        ("Channel major FP16 format where channel % 8 == 0", "fp16"),
        ("Float", "fp32"),
        ("Row major linear FP32", "fp32"),
        ("BFloat16", "bf16"),
        ("N/A due to dynamic shapes", ""),
    ],
)
def test_the_inspectors_words(description: str, precision: str) -> None:
    layer = described(Inputs=[{"Format/Datatype": description}], Metadata="[ONNX Layer: n1]\x1f[ONNX Layer: n2]")
    assert layer == PlanLayer("a", "conv", precision, ("n1", "n2"))


def test_the_words_of_tensorrt_11() -> None:
    operand = {"DataType": "Half", "Format": "Channel major format where channel % 8 == 0"}
    assert described(Inputs=[operand]).precision == "fp16"
    assert described(Inputs=[{"Format": "something else"}]).precision == ""


def test_a_layer_of_untold_precision_says_nothing_of_its_nodes() -> None:
    assert PlanLayers((PlanLayer("a", "conv", "", ("n",)),), "").precisions(["n"]) == {}


def test_the_weights_decide() -> None:
    layer = described(Inputs=[{"Format/Datatype": "Float"}], Weights={"Type": "Half", "Count": 3})
    assert (layer.precision, layer.holds_weights) == ("fp16", True)
    bare = described(Inputs=[{"Format/Datatype": "Half"}, {"Format/Datatype": "Float"}])
    assert (bare.precision, bare.holds_weights) == ("fp16", False)
    mixed = described(LayerType="kgen", Inputs=[{"Format/Datatype": "Half"}, {"Format/Datatype": "Float"}])
    assert mixed.precision == "mixed"


def test_layers_that_are_only_names_say_nothing() -> None:
    assert layers_of_inspector(json.dumps({"Layers": ["conv + relu"]})) == []


def test_mixed_kernels_do_not_speak_for_their_nodes() -> None:
    layers = (PlanLayer("a", "conv", "fp16", ("n",)), PlanLayer("b", "kgen", "mixed", ("n", "m")))
    assert PlanLayers(layers, "").precisions(["n", "m"]) == {"n": "fp16"}


def test_a_later_layer_that_names_a_convolution_does_not_judge_it() -> None:
    layers = (
        PlanLayer("a", "conv", "fp16", ("n",), holds_weights=True),
        PlanLayer("b", "kgen", "fp32", ("n", "m")),
    )
    assert PlanLayers(layers, "").precisions(["n", "m"]) == {"n": "fp16", "m": "fp32"}


@pytest.mark.parametrize("engine", [b"", b"\x00\xff" * 500, b"header {\n", b"header {\n  corrltn={ name="])
def test_a_plan_without_the_text_has_no_layers(engine: bytes) -> None:
    assert layers_of_text(engine) == []
    found = read_layers(memoryview(engine), None)
    assert (found.layers, found.source) == ((), "")


PROGRAM = b"""header {
  inputs={ "frame.1" }
}
descriptors {
  tensor={ dims={ 1 4 } name="x.1" offset=0 type=half }
  tensor={ dims={ 4 } name="weights" offset=0 type=half }
  tensor={ dims={ 4 } name="factor" offset=0 type=float }
  tensor={ dims={ } name="height" offset=0 type=int64 }
}
main {
 label bb1:
  corrltn={ name="node_conv2d" output={"y.1" } input={"x.1" "weights" "factor" } layers="[ONNX Layer: node_conv2d]" }
  function={ name=kernel_0 input_args={ "x.1" "height" } layers="[ONNX Layer: node_pad] [ONNX Layer: node_relu]" }
  runtime_function={ name=call_0 input_args={ "factor" } layers="[ONNX Layer: node_norm] [ONNX Layer: node_cast]" }
  function={ name=kernel_1 input_args={ "x.1" "factor" } layers="[ONNX Layer: node_add]" }
}
shape_main {
 label bb2:
  mul={ name="half_height" output={"h" } input={"height" } layers="[ONNX Layer: node_size]" }
}
\x00\x01header {
descriptors {
  tensor={ dims={ 4 } name="factor" offset=0 type=float }
  tensor={ dims={ 4 } name="z" offset=0 type=float }
}
main {
  inorm={ name="norm" output={"z" } input={"factor" } layers="[ONNX Layer: node_norm]" }
  cast={ name="cast" output={"w" } input={"z" } layers="[ONNX Layer: node_cast]" }
}
"""


def test_layers_are_kernels_and_not_the_arithmetic_on_sizes() -> None:
    assert layers_of_text(PROGRAM) == [
        PlanLayer("node_conv2d", "corrltn", "fp16", ("node_conv2d",), holds_weights=True),
        PlanLayer("kernel_0", "function", "fp16", ("node_pad", "node_relu")),
        PlanLayer("norm", "inorm", "fp32", ("node_norm",)),
        PlanLayer("cast", "cast", "fp32", ("node_cast",)),
        PlanLayer("kernel_1", "function", "mixed", ("node_add",)),
    ]
