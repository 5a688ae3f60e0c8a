"""A module like `tensorrt`, which cannot be had where the tests run: it records what the builder is told."""

import json
from enum import IntEnum
from types import SimpleNamespace
from typing import Any


class Logger:
    ERROR, VERBOSE = "error", "verbose"


class ProgressMonitor:
    pass


class TimingCache:
    def __init__(self, data: bytes) -> None:
        self.data = data

    def serialize(self) -> bytes:
        return self.data + b"+"


class Config:
    def __init__(self) -> None:
        self.flags: set[str] = {"TF32"}
        self.hardware_compatibility_level = "NONE"
        self.limits: dict[str, int] = {}
        self.cache: TimingCache | None = None
        self.profiles: list[dict[str, tuple[tuple[int, ...], ...]]] = []

    def set_flag(self, flag: str) -> None:
        self.flags.add(flag)

    def clear_flag(self, flag: str) -> None:
        self.flags.discard(flag)

    def set_memory_pool_limit(self, pool: str, size: int) -> None:
        self.limits[pool] = size

    def create_timing_cache(self, data: bytes) -> TimingCache:
        return TimingCache(data)

    def set_timing_cache(self, cache: TimingCache, ignore_mismatch: bool) -> bool:
        self.cache = cache
        return True

    def get_timing_cache(self) -> TimingCache | None:
        return self.cache

    def add_optimization_profile(self, profile: Any) -> None:
        self.profiles.append(profile.shapes)


class Profile:
    def __init__(self) -> None:
        self.shapes: dict[str, tuple[tuple[int, ...], ...]] = {}

    def set_shape(self, name: str, *shapes: tuple[int, ...]) -> None:
        self.shapes[name] = shapes


class Inspector:
    """Of an engine with one layer, whose format it does not know before it is given a context with a size."""

    def __init__(self, layer: dict[str, Any], built_as: str, *, size_decides: bool) -> None:
        self._layer, self._built_as, self._size_decides = layer, built_as, size_decides
        self.execution_context: Any = None

    def get_engine_information(self, form: str) -> str:
        context = self.execution_context
        known = not self._size_decides or (context and context.shapes == {"frame": (1, 360, 640, 3)})
        operand = {"Name": "x", "Format/Datatype": self._built_as if known else "N/A due to dynamic shapes"}
        return json.dumps({"Layers": [{**self._layer, "Inputs": [operand]}]})


class Context:
    def __init__(self) -> None:
        self.shapes: dict[str, tuple[int, ...]] = {}

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        self.shapes[name] = shape
        return True


def make_tensorrt(
    *,
    strongly_typed_flag: bool,
    built_as: str = "Half",
    parsed_as: str = "HALF",
    size_decides: bool = False,
    engine: bytes = b"an engine",
) -> Any:
    """A module of a version with or without the flag, which parses and builds its one convolution as it is told.

    Args:
        size_decides: The inspector tells formats only for a size.
        engine: What is built.
    """
    calls = SimpleNamespace(network_flags=None, config=None)
    inputs = {"frame": (1, -1, -1, 3), "strength": (1,)}
    network = SimpleNamespace(
        num_layers=1,
        get_layer=lambda _: SimpleNamespace(
            name="node_conv2d", type="CONVOLUTION", get_input=lambda _: SimpleNamespace(dtype=parsed_as)
        ),
        num_inputs=len(inputs),
        get_input=lambda index: SimpleNamespace(name=list(inputs)[index], shape=list(inputs.values())[index]),
    )

    class Builder:
        def __init__(self, logger: object) -> None:
            pass

        def create_network(self, flags: int) -> Any:
            calls.network_flags = flags
            return network

        def create_builder_config(self) -> Config:
            calls.config = Config()
            return calls.config

        def create_optimization_profile(self) -> Profile:
            return Profile()

        def build_serialized_network(self, network: object, config: Config) -> bytes:
            return engine

    layer = {"Name": "conv", "LayerType": "CaskConvolution", "Metadata": "[ONNX Layer: node_conv2d]"}
    opened = SimpleNamespace(
        create_engine_inspector=lambda: Inspector(layer, built_as, size_decides=size_decides),
        create_execution_context=Context,
        get_tensor_profile_shape=lambda name, index: calls.config.profiles[index][name],
        num_io_tensors=len(inputs),
        get_tensor_name=list(inputs).__getitem__,
        get_tensor_mode=lambda name: "in",
        get_tensor_shape=inputs.__getitem__,
    )
    flags = IntEnum("Flags", {"STRONGLY_TYPED": 4} if strongly_typed_flag else {"SOMETHING": 0})
    return SimpleNamespace(
        __name__="tensorrt",
        __version__="10.9.0",
        calls=calls,
        Builder=Builder,
        OnnxParser=lambda network, logger: SimpleNamespace(parse=lambda data: True),
        Runtime=lambda logger: SimpleNamespace(deserialize_cuda_engine=lambda data: opened),
        ILogger=Logger,
        IProgressMonitor=ProgressMonitor,
        NetworkDefinitionCreationFlag=flags,
        TensorIOMode=SimpleNamespace(INPUT="in", OUTPUT="out"),
        LayerType=SimpleNamespace(CONVOLUTION="CONVOLUTION", DECONVOLUTION="DECONVOLUTION"),
        DataType=SimpleNamespace(HALF="HALF", FLOAT="FLOAT"),
        BuilderFlag=SimpleNamespace(TF32="TF32", VERSION_COMPATIBLE="VERSION_COMPATIBLE"),
        HardwareCompatibilityLevel=SimpleNamespace(AMPERE_PLUS="AMPERE_PLUS"),
        ProfilingVerbosity=SimpleNamespace(DETAILED="DETAILED"),
        MemoryPoolType=SimpleNamespace(WORKSPACE="WORKSPACE"),
        LayerInformationFormat=SimpleNamespace(JSON="JSON"),
    )
