"""What a builder made of a network, read back from the plan: its layers, the nodes inside them, their precision.

With a GPU the library deserialises the plan, and its engine inspector tells the layers. Without one no library
deserialises anything. There the program inside a plan of `tensorrt_rtx` is read instead: the compiler stores it as
text, every convolution with its operands and every operand with its type. That text is no documented format, so a plan
in which it is not found has no layers here, and a caller has to say that nothing was read back.
"""

import json
import re
from dataclasses import dataclass
from typing import Any

from artmirror.export.gpu import current_gpu
from artmirror.export.tensorrt_library import Library, message_logger

_PROGRAM = b"header {\n"
_TENSOR = re.compile(rb'tensor=\{ .*? name="([^"]+)".*? type=(\w+) \}')
# An operation names its operands by `input` or, a generated kernel, by `input_args`, and the nodes inside by `layers`.
_OPERATION = re.compile(
    rb'\n  (\w+)=\{ name="?([^" ]+)"? (?:(?!\n  \w+=\{).)*?input(?:_args)?=\{([^}]*)\}'
    rb'(?:(?!\n  \w+=\{).)*?layers="([^"]*)"',
    re.DOTALL,
)
_QUOTED = re.compile(rb'"([^"]+)"')
_NODE = re.compile(r"\[ONNX Layer: ([^\]]+)\]")
_TEXT_PRECISIONS = {"half": "fp16", "float": "fp32", "bfloat": "bf16", "uint8": "uint8", "int8": "int8"}
# The first that occurs counts: "float" is in "bfloat16" too.
_INSPECTOR_PRECISIONS = {
    "bf16": "bf16",
    "bfloat": "bf16",
    "fp16": "fp16",
    "half": "fp16",
    "fp32": "fp32",
    "float": "fp32",
}
_CONVOLUTION = "corrltn"  # the compiler's word: a correlation


@dataclass(frozen=True, slots=True)
class PlanLayer:
    """One kernel of a plan."""

    name: str
    operation: str  # the library's word for it
    precision: str  # of what it reads: fp32, fp16, ... or "mixed"; of a convolution, that of its weights
    nodes: tuple[str, ...]  # of the ONNX that are inside


@dataclass(frozen=True, slots=True)
class PlanLayers:
    """All layers that could be read, and from what."""

    layers: tuple[PlanLayer, ...]
    source: str  # "engine inspector" or "program text"; empty where nothing could be read

    def precisions(self, nodes: list[str]) -> dict[str, str]:
        """Of those of `nodes` that were found, the precision of the layer each of them is in.

        Kernels of mixed precision that prepare a node's input carry its name too, and say nothing of it.
        """
        wanted = set(nodes)
        pure = [layer for layer in self.layers if layer.precision not in {"", "mixed"}]
        return {node: layer.precision for layer in pure for node in layer.nodes if node in wanted}


def read_layers(engine: memoryview | bytes, library: Library | None) -> PlanLayers:
    """Read a plan's layers in the best way that there is here.

    Args:
        engine: What the builder serialised.
        library: The one that built it, or None where it is not installed.
    """
    if library is not None and current_gpu() is not None:
        text = _inspect(engine, library.trt)
        if text:
            return PlanLayers(tuple(layers_of_inspector(text)), "engine inspector")
    layers = layers_of_text(bytes(engine))
    return PlanLayers(tuple(layers), "program text" if layers else "")


def _inspect(engine: memoryview | bytes, trt: Any) -> str:
    runtime = trt.Runtime(message_logger(trt, verbose=False))
    if hasattr(runtime, "engine_host_code_allowed"):
        runtime.engine_host_code_allowed = True  # of version-compatible plans; this one is our own
    opened = runtime.deserialize_cuda_engine(bytes(engine))
    if opened is None:  # it is for another GPU
        return ""
    return str(opened.create_engine_inspector().get_engine_information(trt.LayerInformationFormat.JSON))


def layers_of_inspector(text: str) -> list[PlanLayer]:
    """Layers of the JSON that an engine inspector gives for a plan built with detailed verbosity."""
    layers = []
    for layer in json.loads(text).get("Layers", []):
        if not isinstance(layer, dict):  # without detailed verbosity there are only names
            continue
        operands = [_format_precision(operand.get("Format/Datatype", "")) for operand in layer.get("Inputs", [])]
        weights = layer.get("Weights")
        if isinstance(weights, dict) and weights.get("Type"):
            operands = [_format_precision(weights["Type"])]
        elif "conv" in layer.get("LayerType", "").lower():
            operands = operands[:1]
        nodes = tuple(_NODE.findall(layer.get("Metadata", "")))
        layers.append(PlanLayer(layer.get("Name", ""), layer.get("LayerType", ""), _common(operands), nodes))
    return layers


def layers_of_text(engine: bytes) -> list[PlanLayer]:
    """Layers of the compiler's program inside a plan, one program after the other; none where there is no such text."""
    layers = []
    for program in engine.split(_PROGRAM)[1:]:
        types = {name: kind.decode() for name, kind in _TENSOR.findall(program)}
        for operation, name, inputs, nodes in _OPERATION.findall(program):
            operands = _QUOTED.findall(inputs)
            if operation.decode() == _CONVOLUTION:
                operands = operands[1:2]  # the weights; then come factors, which are always floats
            kinds = [_TEXT_PRECISIONS.get(types[operand], types[operand]) for operand in operands if operand in types]
            found = tuple(dict.fromkeys(_NODE.findall(nodes.decode(errors="replace"))))
            layers.append(PlanLayer(name.decode(), operation.decode(), _common(kinds), found))
    return layers


def _format_precision(description: str) -> str:
    """Of "Half", "Row major linear FP16 format", "Channel major FP32 format ..." and the like."""
    for word, precision in _INSPECTOR_PRECISIONS.items():
        if word in description.lower():
            return precision
    return description.lower()


def _common(precisions: list[str]) -> str:
    kinds = set(precisions) - {""}
    return kinds.pop() if len(kinds) == 1 else "mixed" if kinds else ""
