"""ONNX Runtime back end on an NVIDIA GPU, with its CUDA or its TensorRT execution provider."""

from collections import Counter
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort

from artmirror.runtime.common.cache import cache_folder
from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.runtime.engines.base import EngineInfo
from artmirror.runtime.engines.cuda import CudaEngine, DeviceSlot
from artmirror.runtime.engines.cuda_device import Device, DeviceBuffer, explain, open_device
from artmirror.runtime.engines.memory import OUTPUT
from artmirror.runtime.engines.onnxruntime import check_names
from artmirror.runtime.formats.manifest import Manifest

_CUDA, _TENSORRT = "CUDAExecutionProvider", "TensorrtExecutionProvider"
_CUDA_OPTIONS = {"use_tf32": "0"}  # what is called FP32 is FP32; the library's default is TF32
_LEAST_VERSION = (1, 25, 1)  # 1.24.4 leaves 18 nodes of a network of ours on the processor, and says nothing
_WANTED_PACKAGE = "pip install 'onnxruntime-gpu>=1.25.1'"
_INSTALL = {
    _CUDA: "it needs CUDA and cuDNN: pip install 'onnxruntime-gpu[cuda,cudnn]'",
    _TENSORRT: "it needs libnvinfer.so.10, while pip install tensorrt gives a newer one: "
    "pip install 'tensorrt-cu{cuda}>=10,<11'",
}


class OnnxRuntimeNetwork:
    """A session on our stream, with one IO binding a slot to our device buffers; see `engine_cuda.Network`."""

    def __init__(self, session: Any, manifest: Manifest, size: tuple[int, int], device: Device) -> None:
        """Use a session that was opened for this device and size."""
        self.has_strength = "strength" in [entry.name for entry in session.get_inputs()]
        self._session = session
        self._manifest = manifest
        self._size = size
        self._device = device
        self._bindings: dict[DeviceSlot, Any] = {}
        self._options = ort.RunOptions()
        # A run returns when its kernels are in the stream; the engine waits by events.
        self._options.add_run_config_entry("disable_synchronize_execution_providers", "1")

    def prepare(self, places: DeviceSlot) -> None:
        """Bind the slot's buffers, and run once, where the library chooses its kernels."""
        binding = self._session.io_binding()
        shape = [1, *self._size, 3]
        self._bind(binding.bind_input, "frame", np.uint8, shape, places.frame_buffer)
        self._bind(binding.bind_output, "stylized", np.uint8, shape, places.stylized_buffer)
        if self.has_strength:
            self._bind(binding.bind_input, "strength", np.float32, [1], places.strength_buffer)
        if places.style_buffer is not None:
            self._bind(binding.bind_input, "style", np.float32, [places.style.size], places.style_buffer)
        if places.memory is not None:
            for name, buffer in places.memory.by_name().items():
                self._bind(binding.bind_output if name == OUTPUT else binding.bind_input, name, np.uint8, shape, buffer)
        self._bindings[places] = binding
        self.launch(places)

    def launch(self, places: DeviceSlot) -> None:
        """Put one run into the stream."""
        try:
            self._session.run_with_iobinding(self._bindings[places], self._options)
        except Exception as error:  # the library has a dozen exception classes with no common base but this
            raise explain(str(error), self._device.name) from error

    def describe(self) -> EngineInfo:
        """Back end, library, device, precision and size."""
        provider = self._session.get_providers()[0]
        return EngineInfo(
            backend="onnxruntime-tensorrt" if provider == _TENSORRT else "onnxruntime",
            library=f"onnxruntime {ort.__version__}",
            device=self._device.name,
            precision=self._manifest.precision,
            size=self._size,
            note=provider,
        )

    def close(self) -> None:
        """Free the bindings and the session."""
        self._bindings.clear()
        self._session = None

    def _bind(self, bind: Any, name: str, element_type: Any, shape: list[int], buffer: DeviceBuffer) -> None:
        bind(name, "cuda", self._device.ordinal, element_type, shape, buffer.address)


def open_file(
    path: Path,
    manifest: Manifest,
    *,
    size: tuple[int, int],
    device: int,
    full_precision: bool,
    threads: int | None,
) -> CudaEngine:
    """Open an ONNX file with the CUDA provider. See `engines.open_engine`."""
    return _open(path, manifest, size, device, threads, [(_CUDA, _CUDA_OPTIONS)])


def open_file_tensorrt(
    path: Path,
    manifest: Manifest,
    *,
    size: tuple[int, int],
    device: int,
    full_precision: bool,
    threads: int | None,
) -> CudaEngine:
    """Open an ONNX file with the TensorRT provider, which builds its engine at the first start and keeps it.

    What it does not take goes to the CUDA provider.
    """
    cache = cache_folder() / "onnxruntime"
    cache.mkdir(parents=True, exist_ok=True)
    tensorrt = {
        "trt_engine_cache_enable": "True",
        "trt_engine_cache_path": str(cache),
        "trt_timing_cache_enable": "True",
        # The file carries its types. With this on, TensorRT would compute normalisations in FP16, where they overflow.
        "trt_fp16_enable": "False",
    }
    return _open(path, manifest, size, device, threads, [(_TENSORRT, tensorrt), (_CUDA, _CUDA_OPTIONS)])


def session_options(size: tuple[int, int], provider: str, threads: int | None = None) -> Any:
    """How a session for one size is opened on a GPU.

    Args:
        size: (H, W).
        provider: The first that is asked for.
        threads: Of the processor; None leaves it to the library.
    """
    options = ort.SessionOptions()
    options.log_severity_level = 3  # errors only; warnings speak to people who tune graphs
    # One size is known from here on, so that no shape is computed on the CPU in the middle of the network.
    options.add_free_dimension_override_by_name("height", size[0])
    options.add_free_dimension_override_by_name("width", size[1])
    if provider == _CUDA:
        # A part that is left to the processor makes a frame slow, in silence.
        options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
        # Of INT8 files, weights and biases are turned into floats once. Else the biases, which are int32, are turned
        # for every frame, on the processor: the provider does not take them. It has no convolution in INT8 to lose.
        options.add_session_config_entry("session.disable_quant_qdq", "1")
    if threads is not None:
        options.intra_op_num_threads = threads
    return options


def open_session(
    path: Path, size: tuple[int, int], providers: list[tuple[str, dict[str, str]]], gpu: str, threads: int | None = None
) -> Any:
    """A session for one size.

    Args:
        size: (H, W).
        providers: Names and options; the first is the one that is to run all.
        gpu: Its name, for errors.
        threads: Of the processor; None leaves it to the library.

    Raises:
        ArtmirrorError: the library cannot run the file, or would leave parts of it to the processor.
    """
    try:
        return ort.InferenceSession(str(path), session_options(size, providers[0][0], threads), providers=providers)
    except Exception as error:  # see launch
        if "memory" in str(error).lower():
            raise explain(str(error), gpu) from error
        why = str(error).splitlines()[0]
        if "fallback to CPU EP" in why:  # which tells no names
            with suppress(Exception):  # a library that does not tell them either
                why = f"it would leave to the processor {_on_processor(path, size, providers)}"
        raise ArtmirrorError(f"ONNX Runtime cannot run {path}: {why}") from error


def _on_processor(path: Path, size: tuple[int, int], providers: list[tuple[str, dict[str, str]]]) -> str:
    options = session_options(size, providers[0][0])
    options.add_session_config_entry("session.disable_cpu_ep_fallback", "0")
    options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    parts = ort.InferenceSession(str(path), options, providers=providers).get_provider_graph_assignment_info()
    nodes = [node.op_type for part in parts if part.ep_name not in dict(providers) for node in part.get_nodes()]
    return ", ".join(f"{count} {operator}" for operator, count in Counter(nodes).items())


def _open(
    path: Path,
    manifest: Manifest,
    size: tuple[int, int],
    device: int,
    threads: int | None,
    providers: list[tuple[str, dict[str, str]]],
) -> CudaEngine:
    wanted = providers[0][0]
    gpu = open_device(device)  # first: where there is none, another onnxruntime would not help
    if wanted not in ort.get_available_providers():
        raise ArtmirrorError(
            f"the installed onnxruntime has no {wanted}: pip uninstall onnxruntime, then {_WANTED_PACKAGE}; "
            "or use --device cpu"
        )
    if tuple(int(part) for part in ort.__version__.split(".")[:3] if part.isdecimal()) < _LEAST_VERSION:
        raise ArtmirrorError(
            f"onnxruntime {ort.__version__} leaves parts of the network on the processor: {_WANTED_PACKAGE}; "
            "or use --device cpu"
        )

    def open_network(stream: Any) -> OnnxRuntimeNetwork:
        place = {"device_id": str(device), "user_compute_stream": str(int(stream.handle))}
        if hasattr(ort, "preload_dlls"):
            ort.preload_dlls()  # CUDA and cuDNN, where they came as packages
        if wanted == _TENSORRT:
            with suppress(ImportError):
                import_module("tensorrt")  # loads the libnvinfer of the package, which the provider looks for in vain
        placed = [(name, {**place, **more}) for name, more in providers]
        session = open_session(path, size, placed, gpu.name, threads)
        if session.get_providers()[0] != wanted:  # it goes on without what it cannot load
            cuda = str(getattr(ort, "cuda_version", "") or "13").partition(".")[0]
            install = _INSTALL[wanted].format(cuda=cuda)
            raise ArtmirrorError(
                f"ONNX Runtime {ort.__version__} could not start its {wanted}: {install}; or use --device cpu"
            )
        try:
            check_names(session, manifest)
        except ValueError as error:
            raise ArtmirrorError(f"ONNX Runtime cannot run {path}: {error}; export it again") from None
        return OnnxRuntimeNetwork(session, manifest, size, gpu)

    return CudaEngine(gpu, manifest, size, open_network)
