"""TensorRT back end: plans of `tensorrt` 10 and 11 and of `tensorrt_rtx`, through the API that all of them share."""

from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from artmirror.runtime.common.cache import cache_file, read_cache, write_cache
from artmirror.runtime.common.errors import ArtmirrorError, CannotRunHere
from artmirror.runtime.engines.base import EngineInfo
from artmirror.runtime.engines.cuda import CudaEngine, DeviceSlot
from artmirror.runtime.engines.cuda_device import Device, explain, open_device
from artmirror.runtime.engines.cuda_graph import CudaGraph, GraphRefused
from artmirror.runtime.engines.memory import INPUTS, OUTPUT
from artmirror.runtime.engines.rebuild import PlanMismatch, is_installed
from artmirror.runtime.formats.manifest import Manifest
from artmirror.runtime.formats.plan import PlanInfo, read_plan

CAPTURED = "CUDA graph"  # what an engine notes of itself that runs as one
_AMPERE = (8, 0)  # compute capability from which on hardware-compatible plans run
_PACKAGES = {"tensorrt": "tensorrt", "tensorrt_rtx": "tensorrt-rtx-cu13"}  # module -> name on PyPI


class TensorRtNetwork:
    """A deserialised plan with one execution context for one size; see `engine_cuda.Network`."""

    def __init__(
        self,
        trt: ModuleType,
        plan: memoryview,
        manifest: Manifest,
        info: PlanInfo,
        size: tuple[int, int],
        device: Device,
        stream: Any,
    ) -> None:
        """Deserialise, check the tensors, and set the size.

        Args:
            trt: The library, `tensorrt` or `tensorrt_rtx`.
            plan: The engine's bytes.
            size: (H, W).
            stream: What all runs are put into.

        Raises:
            PlanMismatch: the library refuses the plan.
            ArtmirrorError: out of memory, a driver that is too old, or tensors that are not of our contract.
        """
        self._trt = trt
        self._manifest = manifest
        self._size = size
        self._device = device
        self._stream = stream
        self._log = _make_log(trt)
        self._runtime = trt.Runtime(self._log)
        if info.version_compatible:  # it carries the part of its library that runs it
            self._runtime.engine_host_code_allowed = True
        self._engine = self._runtime.deserialize_cuda_engine(plan)
        if self._engine is None:
            self._fail("the plan cannot be opened")
        names = [self._engine.get_tensor_name(index) for index in range(self._engine.num_io_tensors)]
        self.has_strength = "strength" in names
        self._check_tensors(names)
        self._runtime_cache: Any = None
        self._cache_path = cache_file(
            "runtime",
            graph_sha256=manifest.graph_sha256,
            library=trt.__name__,
            library_version=trt.__version__,
            gpu=device.name,
        )
        self._context = self._make_context()
        if self._context is None:
            self._fail("no execution context")
        # Once, and never per frame: with a range of sizes this chooses the kernels.
        if hasattr(self._context, "nvtx_verbosity"):  # plans with details for st-export inspect would cost time
            self._context.nvtx_verbosity = trt.ProfilingVerbosity.NONE
        for name in ("frame", *(INPUTS if manifest.has_memory else ())):
            if not self._context.set_input_shape(name, (1, *size, 3)):
                self._fail(f"it does not take {size[1]}x{size[0]}")
        self._graphs: dict[DeviceSlot, CudaGraph] = {}
        self._no_graph: str | None = None  # why there is none

    def prepare(self, places: DeviceSlot) -> None:
        """Run once, where the library finishes its kernels; then capture that run as a CUDA graph, if it is to be."""
        self._execute(places)
        self._stream.synchronize()
        if self._runtime_cache is not None:
            write_cache(self._cache_path, bytes(self._runtime_cache.serialize()))
            self._runtime_cache = None  # the context holds it; it is saved once
        if not self._device.captures_graphs:
            return
        ask = getattr(self._context, "is_stream_capturable", None)
        if self._no_graph is None and ask is not None and not ask(int(self._stream.handle)):
            self._no_graph = "the library does not let this plan be captured; build it again with st-export"
        if self._no_graph is None:
            try:
                self._graphs[places] = CudaGraph(int(self._stream.handle), lambda: self._execute(places))
            except GraphRefused as refusal:
                self._no_graph = str(refusal)

    def launch(self, places: DeviceSlot) -> None:
        """Put one run into the stream."""
        graph = self._graphs.get(places)
        if graph is None:
            self._execute(places)
        elif (refused := graph.launch()) is not None:
            raise explain(f"a CUDA graph could not be launched: {refused}", self._device.name)

    def describe(self) -> EngineInfo:
        """Back end, library, device, precision and size, and whether CUDA graphs are used."""
        graph = CAPTURED if self._graphs else f"no CUDA graph: {self._no_graph}" if self._no_graph else ""
        return EngineInfo(
            backend="tensorrt",
            library=f"{self._trt.__name__} {self._trt.__version__}",
            device=self._device.name,
            precision=self._manifest.precision,
            size=self._size,
            note=graph,
        )

    def close(self) -> None:
        """Free graphs, context, engine and runtime, in this order."""
        for graph in self._graphs.values():
            graph.close()
        self._graphs.clear()
        self._context = self._runtime_cache = None
        self._engine = None
        self._runtime = None
        self._stream = None  # freed by whoever closes, with the context: in another thread pycuda leaks it

    def _execute(self, places: DeviceSlot) -> None:
        context = self._context
        context.set_tensor_address("frame", places.frame_buffer.address)
        context.set_tensor_address("stylized", places.stylized_buffer.address)
        if self.has_strength:
            context.set_tensor_address("strength", places.strength_buffer.address)
        if places.style_buffer is not None:
            context.set_tensor_address("style", places.style_buffer.address)
        if places.memory is not None:
            for name, buffer in places.memory.by_name().items():
                context.set_tensor_address(name, buffer.address)
        if not context.execute_async_v3(int(self._stream.handle)):
            raise explain(self._log.take_error(), self._device.name)

    def _make_context(self) -> Any:
        """An execution context; with TensorRT-RTX, its kernels compiled for our size and kept for the next start."""
        if not hasattr(self._engine, "create_runtime_config"):
            return self._engine.create_execution_context()
        config = self._engine.create_runtime_config()
        if hasattr(config, "dynamic_shapes_kernel_specialization_strategy"):
            strategy = self._trt.DynamicShapesKernelSpecializationStrategy.EAGER
            config.dynamic_shapes_kernel_specialization_strategy = strategy
        if hasattr(config, "create_runtime_cache"):
            self._runtime_cache = config.create_runtime_cache()
            if kept := read_cache(self._cache_path):
                self._runtime_cache.deserialize(kept)  # checked by the library, which ignores what does not fit
            config.set_runtime_cache(self._runtime_cache)
        return self._engine.create_execution_context(config)

    def _check_tensors(self, names: list[str]) -> None:
        trt = self._trt
        wanted = {
            "frame": (trt.TensorIOMode.INPUT, trt.DataType.UINT8),
            "stylized": (trt.TensorIOMode.OUTPUT, trt.DataType.UINT8),
        }
        if self.has_strength:
            wanted["strength"] = (trt.TensorIOMode.INPUT, trt.DataType.FLOAT)
        if self._manifest.style_length:
            wanted["style"] = (trt.TensorIOMode.INPUT, trt.DataType.FLOAT)
        if self._manifest.has_memory:
            wanted |= dict.fromkeys(INPUTS, wanted["frame"]) | {OUTPUT: wanted["stylized"]}
        found = {name: (self._engine.get_tensor_mode(name), self._engine.get_tensor_dtype(name)) for name in names}
        if found != wanted:
            raise ArtmirrorError(
                f"the plan has the tensors {', '.join(names)}; frame and stylized in uint8, strength in "
                "float32 and, where its manifest says so, style in float32 and previous, mask and painted in uint8 are "
                "wanted: build it again with st-export"
            )

    def _fail(self, what: str) -> None:
        """Tell the library's own reason, and whether building again helps."""
        reason = self._log.take_error()
        lower = reason.lower()
        if "driver version" in lower or "out of memory" in lower or "outofmemory" in lower:
            raise explain(reason, self._device.name)
        raise PlanMismatch(f"{self._trt.__name__} {self._trt.__version__} refuses the plan, {what}: {reason[:200]}")


def open_file(
    path: Path,
    manifest: Manifest,
    *,
    size: tuple[int, int],
    device: int,
    full_precision: bool,
    threads: int | None,
) -> CudaEngine:
    """Open a plan on a GPU. See `engines.open_engine`; precision is the plan's own, threads do not matter.

    A version-compatible plan holds program code, which is run: open those of people you trust.

    Raises:
        PlanMismatch: built by another version of the library, or for another GPU.
        ArtmirrorError: damaged, no GPU, driver too old, out of memory, or a package is missing.
    """
    _, info, plan = read_plan(path)
    trt = _load_library(path, info)
    _check_version(path, info, trt.__version__)
    gpu = open_device(device)
    _check_gpu(path, info, gpu)
    return CudaEngine(gpu, manifest, size, lambda stream: TensorRtNetwork(trt, plan, manifest, info, size, gpu, stream))


def _load_library(path: Path, info: PlanInfo) -> ModuleType:
    try:
        return import_module(info.library)
    except ImportError:
        package = f"{_PACKAGES[info.library]}=={info.library_version}"
        message = f"{path} was built by {info.library}, which is not installed: pip install {package}"
        others = [name for name in _PACKAGES if name != info.library and is_installed(name)]
        if others:
            raise PlanMismatch(f"{message}, or build it for {others[0]}") from None
        raise CannotRunHere(message) from None


def _check_version(path: Path, info: PlanInfo, installed: str) -> None:
    built = _numbers(info.library_version)
    here = _numbers(installed)
    later = info.version_compatible and here >= built  # across major versions too, the library permitting
    if built != here and not later:
        raise PlanMismatch(
            f"{path} was built by {info.library} {info.library_version}, and {installed} is installed here"
        )


def _check_gpu(path: Path, info: PlanInfo, gpu: Device) -> None:
    here = gpu.compute_capability
    targets = [_capability(target) for target in info.targets]
    fits = here in targets or gpu.name in info.targets or (info.hardware_compatible and here >= _AMPERE)
    if info.targets and not fits:
        raise PlanMismatch(
            f"{path} was built for {', '.join(info.targets)}, and the GPU here is {gpu.name} (sm{here[0]}{here[1]})"
        )


def _capability(target: str) -> tuple[int, int] | None:
    digits = target.removeprefix("sm")
    return (int(digits[:-1]), int(digits[-1])) if len(digits) > 1 and digits.isdecimal() else None


def _numbers(version: str) -> tuple[int, ...]:
    """Major, minor and patch; what comes after them does not change a plan's format."""
    return tuple(int(part) for part in version.split(".")[:3] if part.isdecimal())


def _make_log(trt: ModuleType) -> Any:
    """A logger that prints nothing and remembers the first error, which is the cause of those after it."""

    class Log(trt.ILogger):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self._first = ""

        def log(self, severity: Any, message: str) -> None:
            if severity in (trt.ILogger.ERROR, trt.ILogger.INTERNAL_ERROR) and not self._first:
                self._first = message

        def take_error(self) -> str:
            found, self._first = self._first, ""
            return found or "no reason given"

    return Log()
