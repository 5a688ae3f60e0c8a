"""Reading a plan's layers: the inspector's JSON in the forms it comes in, and text that is not there."""

import json

import pytest

from artmirror.export.plan_layers import PlanLayer, PlanLayers, layers_of_inspector, layers_of_text, read_layers


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
    ],
)
def test_the_inspectors_words(description: str, precision: str) -> None:
    layer = described(Inputs=[{"Format/Datatype": description}], Metadata="[ONNX Layer: n1]\x1f[ONNX Layer: n2]")
    assert layer == PlanLayer("a", "conv", precision, ("n1", "n2"))


def test_the_weights_decide() -> None:
    layer = described(Inputs=[{"Format/Datatype": "Float"}], Weights={"Type": "Half", "Count": 3})
    assert layer.precision == "fp16"
    assert described(Inputs=[{"Format/Datatype": "Half"}, {"Format/Datatype": "Float"}]).precision == "fp16"
    mixed = described(LayerType="kgen", Inputs=[{"Format/Datatype": "Half"}, {"Format/Datatype": "Float"}])
    assert mixed.precision == "mixed"


def test_layers_that_are_only_names_say_nothing() -> None:
    assert layers_of_inspector(json.dumps({"Layers": ["conv + relu"]})) == []


def test_mixed_kernels_do_not_speak_for_their_nodes() -> None:
    layers = (PlanLayer("a", "conv", "fp16", ("n",)), PlanLayer("b", "kgen", "mixed", ("n", "m")))
    assert PlanLayers(layers, "").precisions(["n", "m"]) == {"n": "fp16"}


@pytest.mark.parametrize("engine", [b"", b"\x00\xff" * 500, b"header {\n", b"header {\n  corrltn={ name="])
def test_a_plan_without_the_text_has_no_layers(engine: bytes) -> None:
    assert layers_of_text(engine) == []
    found = read_layers(memoryview(engine), None)
    assert (found.layers, found.source) == ((), "")
