"""OpenVINO back end: the default, and the fastest on a CPU."""

from functools import cache
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov

from artmirror.runtime.common.cache import cache_folder
from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.runtime.engines.base import EngineInfo, Look, SmallInputs
from artmirror.runtime.engines.memory import OUTPUT, Memory
from artmirror.runtime.formats.manifest import Manifest
from artmirror.runtime.frame import FrameSlot

LARGEST_CHANNELS = 1024  # of anything that has the frame's height and width
LARGEST_CONSTANT = 1 << 24  # elements

_DEVICE = "CPU"


class OpenVinoEngine:
    """One request a slot, its tensors bound once to the slot's memory; nothing is copied or allocated per frame."""

    max_in_flight = 2  # the second waits in OpenVINO's queue, so that no core idles between frames

    def __init__(self, manifest: Manifest, compiled: Any, size: tuple[int, int]) -> None:
        self.manifest = manifest
        self.has_strength = "strength" in input_names(compiled)
        self._compiled = compiled
        self._size = size
        self._requests: dict[FrameSlot, tuple[Any, SmallInputs]] = {}
        self._memory = Memory(size) if manifest.has_memory else None
        self._running: Any = None  # the request whose picture the next one remembers

    def allocate(self, count: int) -> list[FrameSlot]:
        slots = []
        for _ in range(count):
            slot = FrameSlot(np.zeros((*self._size, 3), np.uint8), np.zeros((*self._size, 3), np.uint8))
            small = SmallInputs(self.has_strength, self.manifest.style_length)
            request = self._compiled.create_infer_request()
            request.set_tensor("frame", ov.Tensor(slot.frame[None], shared_memory=True))
            request.set_tensor("stylized", ov.Tensor(slot.stylized[None], shared_memory=True))
            for name, numbers in small.by_name.items():
                request.set_tensor(name, ov.Tensor(numbers, shared_memory=True))
            if self._memory is not None:
                for name, picture in (*self._memory.by_name().items(), (OUTPUT, self._memory.painted)):
                    request.set_tensor(name, ov.Tensor(picture, shared_memory=True))
            self._requests[slot] = (request, small)
            slots.append(slot)
        return slots

    def follow(self, slot: FrameSlot, look: Look) -> bool:
        return False  # beside a network on two cores it gained 3 % of the frames, and each came 12 ms later

    def submit(self, slot: FrameSlot, look: Look) -> None:
        request, small = self._requests[slot]
        small.set(look)
        if self._memory is not None:
            self._memory.follow(slot.frame, look)
            if self._running is not None:
                _finish(self._running)
            self._memory.bring()
            self._running = request
        request.start_async()

    def wait(self, slot: FrameSlot) -> None:
        _finish(self._requests[slot][0])

    def reset(self) -> None:
        if self._memory is not None:
            self._memory.forget()

    def describe(self) -> EngineInfo:
        return device_info(self._compiled, self.manifest, self._size)

    def close(self) -> None:
        self._requests.clear()
        self._running = None
        self._compiled = None


def _finish(request: Any) -> None:
    try:
        request.wait()
    except RuntimeError as error:
        raise ArtmirrorError(f"OpenVINO failed while stylizing: {first_line(error)}") from error


def device_info(compiled: Any, manifest: Manifest, size: tuple[int, int], note: str = "") -> EngineInfo:
    """What a compiled network says of itself."""
    hint = compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name()
    precision = {"f32": "fp32", "f16": "fp16"}.get(hint, hint)
    if manifest.precision == "int8":  # the file says which nodes are; the rest is computed as the hint says
        precision = "int8" if precision == "fp32" else f"int8+{precision}"
    return EngineInfo(
        backend="openvino",
        library=f"openvino {ov.__version__.split('-')[0]}",
        device=str(shared_core().get_property(_DEVICE, "FULL_DEVICE_NAME")).strip(),
        precision=precision,
        size=size,
        note=note,
    )


@cache
def shared_core() -> ov.Core:
    """The process's one Core. Several that are not freed last first leave signals a stack that is gone (2026.4)."""
    return ov.Core()


def open_file(
    path: Path, manifest: Manifest, *, size: tuple[int, int], device: int, full_precision: bool, threads: int | None
) -> OpenVinoEngine:
    """Compile an ONNX file for one size. See `engines.open_engine`."""
    core = shared_core()
    # Compiled networks are kept, so that the next start is quick.
    properties: dict[str, Any] = {"PERFORMANCE_HINT": "LATENCY", "CACHE_DIR": str(cache_folder() / "openvino")}
    if full_precision:
        properties["INFERENCE_PRECISION_HINT"] = "f32"
    if threads is not None:
        properties["INFERENCE_NUM_THREADS"] = threads
        properties["ENABLE_CPU_PINNING"] = False  # two processes of one thread each would be put on the same core
    model = read_network(path, manifest, size)
    try:
        try:
            compiled = core.compile_model(model, _DEVICE, properties)
        except RuntimeError:  # bf16 that the processor promises and oneDNN may not use, as with ONEDNN_MAX_CPU_ISA
            compiled = core.compile_model(model, _DEVICE, {**properties, "INFERENCE_PRECISION_HINT": "f32"})
    except RuntimeError as error:
        raise _cannot_run(path, error) from error
    return OpenVinoEngine(manifest, compiled, size)


def compile_encoder(path: Path) -> Any:
    """A function from (1, h, w, 3) uint8 BGR to a painting's code; see `engines.encoder`."""
    try:
        properties = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
        compiled = shared_core().compile_model(shared_core().read_model(path), _DEVICE, properties)
    except Exception as error:  # a damaged graph may raise nearly anything, also a message that is not UTF-8
        raise _cannot_run(path, error) from error
    request = compiled.create_infer_request()
    return lambda picture: request.infer({"picture": picture})["code"]


def read_network(path: Path, manifest: Manifest, size: tuple[int, int]) -> Any:
    """An ONNX file as OpenVINO's model, for frames of `size` (H, W).

    Raises:
        ArtmirrorError: it is damaged, or no network that paints.
    """
    try:
        model = shared_core().read_model(path)
        memory = {"previous": [1, *size, 3], "mask": [1, *size, 3]} if manifest.has_memory else {}
        model.reshape({"frame": [1, *size, 3], **memory})
        _check_shapes(model, size, manifest)
    except Exception as error:  # a damaged graph may raise nearly anything, also a message that is not UTF-8
        raise _cannot_run(path, error) from error
    return model


def _cannot_run(path: Path, error: Exception) -> ArtmirrorError:
    return ArtmirrorError(f"OpenVINO cannot run {path}: {first_line(error)}; try --backend onnxruntime")


def input_names(model: Any) -> set[str]:
    """The names of what a network takes."""
    return {name for port in model.inputs for name in port.names}


def _check_shapes(model: Any, size: tuple[int, int], manifest: Manifest) -> None:
    """See that the graph takes and gives what an engine is asked for, and how much memory it is going to take.

    Raises:
        ValueError: something in it has another shape, or is larger than in any network that paints.
    """
    frame = [1, *size, 3]
    found = {name: list(port.shape) for port in (*model.inputs, *model.outputs) for name in port.names}
    wanted = {"frame": frame, "stylized": frame}
    wanted |= {"style": [manifest.style_length]} if manifest.style_length else {}
    wanted |= {"previous": frame, "mask": frame, OUTPUT: frame} if manifest.has_memory else {}
    wanted |= {"strength": [1]} if "strength" in found else {}
    if found != wanted or len(model.inputs) + len(model.outputs) != len(wanted):
        raise ValueError(f"it takes and gives {found}, wanted {wanted}")
    most = LARGEST_CHANNELS * size[0] * size[1] + LARGEST_CONSTANT
    for node in model.get_ordered_ops():
        for port in node.outputs():
            shape = port.partial_shape
            if shape.is_static and prod(list(shape.to_shape())) > most:
                raise ValueError(f"{node.friendly_name} is of shape {shape}, at most {most} elements are wanted")


def first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
