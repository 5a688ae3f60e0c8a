"""A `tensorrt` module without a network: its engine inverts pixels on the simulated GPU."""

import dataclasses
import math
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from artmirror.runtime.engines.cuda import CudaEngine
from artmirror.runtime.engines.open import open_engine
from artmirror.runtime.formats.plan import PlanInfo, write_plan
from tests.fakes.cuda_driver.gpu import SimulatedGpu
from tests.fakes.ends import SIZE
from tests.fakes.engine import make_manifest

ENGINE = b"an engine of no library"


class FakeTensorRt(ModuleType):
    """Named `tensorrt` or `tensorrt_rtx`.

    Attributes:
        deserialize_error: What is logged when a plan is opened, which then fails.
        has_host_code: Plans are version-compatible ones.
        execute_error: What is logged when a run is started, which then fails.
        refuse_capture: Runs do what no capture permits.
        capturable: What a context says of itself; None for a library that cannot be asked.
        cache: What the runtime cache was given.
        executions: How many runs were put into a stream directly, captures included.
    """

    __version__ = "10.9.0.34"
    TensorIOMode = SimpleNamespace(INPUT="in", OUTPUT="out")
    DataType = SimpleNamespace(UINT8="uint8", FLOAT="float")
    DynamicShapesKernelSpecializationStrategy = SimpleNamespace(EAGER="eager")
    ProfilingVerbosity = SimpleNamespace(NONE="none", DETAILED="detailed")

    class ILogger:
        ERROR = 1
        INTERNAL_ERROR = 0
        WARNING = 2

    def __init__(self, gpu: SimulatedGpu, name: str = "tensorrt") -> None:
        super().__init__(name)
        self.gpu = gpu
        self.deserialize_error: str | None = None
        self.execute_error: str | None = None
        self.refuse_capture = False
        self.capturable: bool | None = None
        self.contexts: list[_Context] = []
        self.has_host_code = False
        self.cache: bytes | None = None
        self.executions = 0
        self.tensors = {"frame": ("in", "uint8"), "strength": ("in", "float"), "stylized": ("out", "uint8")}

    def Runtime(self, log: Any) -> "_Runtime":
        return _Runtime(self, log)


class _Runtime:
    def __init__(self, trt: FakeTensorRt, log: Any) -> None:
        self._trt, self._log = trt, log
        self.engine_host_code_allowed = False

    def deserialize_cuda_engine(self, plan: memoryview) -> "_Engine | None":
        if self._trt.has_host_code and not self.engine_host_code_allowed:
            self._log.log(1, "Plan has host code, which is not allowed")
            return None
        if self._trt.deserialize_error or bytes(plan) != ENGINE:
            self._log.log(2, "a warning comes first")
            self._log.log(1, self._trt.deserialize_error or "magic tag does not match")
            self._log.log(1, "deserialization failed")
            return None
        return _Engine(self._trt, self._log)


class _Engine:
    def __init__(self, trt: FakeTensorRt, log: Any) -> None:
        self._trt, self._log = trt, log
        self.num_io_tensors = len(trt.tensors)
        if trt.__name__ == "tensorrt_rtx":
            self.create_runtime_config = self._create_runtime_config

    def get_tensor_name(self, index: int) -> str:
        return list(self._trt.tensors)[index]

    def get_tensor_mode(self, name: str) -> str:
        return self._trt.tensors[name][0]

    def get_tensor_dtype(self, name: str) -> str:
        return self._trt.tensors[name][1]

    def create_execution_context(self, config: Any = None) -> "_Context":
        assert self._trt.gpu.has_context()
        assert config is None or config.dynamic_shapes_kernel_specialization_strategy == "eager"
        self._trt.contexts.append(context := _Context(self._trt, self._log))
        return context

    def _create_runtime_config(self) -> Any:
        def deserialize(kept: bytes) -> bool:
            self._trt.cache = kept
            return True

        cache = SimpleNamespace(deserialize=deserialize, serialize=lambda: b"kernels")
        return SimpleNamespace(
            dynamic_shapes_kernel_specialization_strategy="lazy",
            create_runtime_cache=lambda: cache,
            set_runtime_cache=lambda given: given is cache,
        )


class _Context:
    nvtx_verbosity = "detailed"

    def __init__(self, trt: FakeTensorRt, log: Any) -> None:
        self._trt, self._log = trt, log
        self._addresses: dict[str, int] = {}
        self._size = 0  # of a frame in bytes
        if trt.capturable is not None:
            self.is_stream_capturable = lambda handle: trt.capturable

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        self._size = math.prod(shape)
        return name in ("frame", "previous", "mask") and len(shape) == 4

    def set_tensor_address(self, name: str, address: int) -> bool:
        self._addresses[name] = address
        return True

    def execute_async_v3(self, handle: int) -> bool:
        gpu = self._trt.gpu
        self._trt.executions += 1
        error = self._trt.execute_error
        if self._trt.refuse_capture:
            error = error or gpu.synchronize(handle)
        if error := error or gpu.paint(handle, self._addresses, self._size):
            self._log.log(1, error)
            return False
        return True


def write_fake_plan(path: Path, **changes: object) -> None:
    """A plan that `FakeTensorRt` opens at any size from 64 to 2000, for sm86."""
    values: dict[str, Any] = {
        "library": "tensorrt",
        "library_version": FakeTensorRt.__version__,
        "targets": ["sm86"],
        "min_size": [64, 64],
        "opt_size": [360, 640],
        "max_size": [2000, 2000],
        "precision": "fp16",
    }
    values |= changes
    own = {entry.name: values.pop(entry.name) for entry in dataclasses.fields(PlanInfo) if entry.name in values}
    write_plan(path, make_manifest(**values), PlanInfo(**own), ENGINE)


class Bench:
    """TensorRT on a simulated GPU, and an engine of it."""

    def __init__(
        self,
        gpu: SimulatedGpu,
        monkeypatch: pytest.MonkeyPatch,
        folder: Path,
        *,
        graphs: bool = False,
        library: str = "tensorrt",
        **options: Any,
    ) -> None:
        """Put the library in its place.

        Args:
            folder: For the plan and for caches.
            graphs: Whether cuda-bindings are there.
            options: What else the plan says of itself.
        """
        monkeypatch.setenv("XDG_CACHE_HOME", str(folder))
        if not graphs:
            monkeypatch.setitem(sys.modules, "cuda.bindings.driver", None)
        self.trt = FakeTensorRt(gpu, library)
        monkeypatch.setitem(sys.modules, library, self.trt)
        self.path = folder / "fake.plan"
        write_fake_plan(self.path, library=library, **options)

    def open(self, size: tuple[int, int] = SIZE) -> CudaEngine:
        engine = open_engine(self.path, size=size)
        assert isinstance(engine, CudaEngine)
        return engine
