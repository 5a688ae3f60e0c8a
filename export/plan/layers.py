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

from artmirror.export.plan.library import Library, message_logger
from artmirror.runtime.engines.cuda_device import current_gpu

_PROGRAM = b"header {\n"
_KERNELS = (b"\nmain {", b"\nshape_main {")  # what runs on the GPU stands between; arithmetic on sizes comes after
_TENSOR = re.compile(rb'tensor=\{ .*? name="([^"]+)".*? type=(\w+) \}')
# An operation names its operands by `input` or, a generated kernel, by `input_args`, and the nodes inside by `layers`.
_OPERATION = re.compile(
    rb'\n  (\w+)=\{ name="?([^" ]+)"? (?:(?!\n  \w+=\{).)*?input(?:_args)?=\{([^}]*)\}'
    rb'(?:(?!\n  \w+=\{).)*?layers="([^"]*)"',
    re.DOTALL,
)
_QUOTED = re.compile(rb'"([^"]+)"')
_NODE = re.compile(r"\[ONNX Layer: ([^\]]+)\]")
# Of pictures and weights; operands of other types are sizes.
_TEXT_PRECISIONS = {b"half": "fp16", b"float": "fp32", b"bfloat": "bf16", b"uint8": "uint8", b"int8": "int8"}
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
_CALL = "runtime_function"  # of another program in the same plan, which has the same nodes inside
_SIZE_DECIDES = "N/A due to dynamic shapes"  # what the inspector says of a format until it knows the size
_OPERAND_TYPES = ("DataType", "Format/Datatype")  # the inspector's field in TensorRT 11, and in those before


@dataclass(frozen=True, slots=True)
class PlanLayer:
    """One kernel of a plan."""

    name: str
    operation: str  # the library's word for it
    precision: str  # of what it reads: fp32, ..., "mixed" or "" (not told); of a convolution, that of its weights
    nodes: tuple[str, ...]  # of the ONNX that are inside
    holds_weights: bool = False  # of a convolution: this layer computes it


@dataclass(frozen=True, slots=True)
class PlanLayers:
    """All layers that could be read, and from what."""

    layers: tuple[PlanLayer, ...]
    source: str  # "engine inspector" or "program text"; empty where nothing could be read

    def precisions(self, nodes: list[str]) -> dict[str, str]:
        """Of those of `nodes` that were found, the precision of the layer each of them is in.

        A convolution is judged by the layer that holds its weights. Others that prepare its input, or follow it, carry
        its name too, and say nothing of it.
        """
        wanted = set(nodes)
        pure = [layer for layer in self.layers if layer.precision not in {"", "mixed"}]
        by_name, by_weights = (
            {node: layer.precision for layer in layers for node in layer.nodes if node in wanted}
            for layers in (pure, [layer for layer in pure if layer.holds_weights])
        )
        return by_name | by_weights


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
    inspector = opened.create_engine_inspector()
    text = str(inspector.get_engine_information(trt.LayerInformationFormat.JSON))
    if _SIZE_DECIDES in text and (context := opened.create_execution_context()) is not None:
        for name in map(opened.get_tensor_name, range(opened.num_io_tensors)):
            if opened.get_tensor_mode(name) == trt.TensorIOMode.INPUT and -1 in tuple(opened.get_tensor_shape(name)):
                context.set_input_shape(name, opened.get_tensor_profile_shape(name, 0)[1])  # smallest, best, largest
        inspector.execution_context = context
        text = str(inspector.get_engine_information(trt.LayerInformationFormat.JSON))
    return text


def layers_of_inspector(text: str) -> list[PlanLayer]:
    """Layers of the JSON that an engine inspector gives for a plan built with detailed verbosity."""
    layers = []
    for layer in json.loads(text).get("Layers", []):
        if not isinstance(layer, dict):  # without detailed verbosity there are only names
            continue
        operands = [_operand_precision(operand) for operand in layer.get("Inputs", [])]
        weights = layer.get("Weights")
        kept = weights.get("Type") if isinstance(weights, dict) else None
        if kept:
            operands = [_format_precision(kept)]
        elif "conv" in layer.get("LayerType", "").lower():
            operands = operands[:1]
        nodes = tuple(_NODE.findall(layer.get("Metadata", "")))
        kind = layer.get("LayerType", "")
        layers.append(PlanLayer(layer.get("Name", ""), kind, _common(operands), nodes, bool(kept)))
    return layers


def layers_of_text(engine: bytes) -> list[PlanLayer]:
    """Layers of the compiler's program inside a plan; none where there is no such text."""
    programs = [_layers_of_program(text) for text in engine.split(_PROGRAM)[1:]]
    if not programs:
        return []
    kernels, *rest = programs
    called = {frozenset(node for layer in program for node in layer.nodes): program for program in rest}
    layers = []
    for kernel in kernels:
        program = called.pop(frozenset(kernel.nodes), None) if kernel.operation == _CALL else None
        layers += program or [kernel]
    return layers + [layer for program in called.values() for layer in program]


def _layers_of_program(text: bytes) -> list[PlanLayer]:
    types = {name: kind for name, kind in _TENSOR.findall(text) if kind in _TEXT_PRECISIONS}
    start, end = _KERNELS
    layers = []
    for operation, name, inputs, nodes in _OPERATION.findall(text.partition(start)[2].partition(end)[0]):
        operands = _QUOTED.findall(inputs)
        if operation.decode() == _CONVOLUTION:
            operands = operands[1:2]  # the weights; then come factors, which are always floats
        kinds = [_TEXT_PRECISIONS[types[operand]] for operand in operands if operand in types]
        found = tuple(dict.fromkeys(_NODE.findall(nodes.decode(errors="replace"))))
        holds_weights = operation.decode() == _CONVOLUTION
        layers.append(PlanLayer(name.decode(), operation.decode(), _common(kinds), found, holds_weights))
    return layers


def _operand_precision(operand: dict[str, Any]) -> str:
    return next((_format_precision(operand[field]) for field in _OPERAND_TYPES if field in operand), "")


def _format_precision(description: str) -> str:
    """Of "Half", "Row major linear FP16 format", "N/A due to dynamic shapes" and the like; empty where none is told."""
    lower = description.lower()
    return next((precision for word, precision in _INSPECTOR_PRECISIONS.items() if word in lower), "")


def _common(precisions: list[str]) -> str:
    kinds = set(precisions) - {""}
    return kinds.pop() if len(kinds) == 1 else "mixed" if kinds else ""
