"""What the GPU back end uses of `onnxruntime`, without a network: it inverts pixels on the simulated GPU."""

import math
from types import SimpleNamespace
from typing import Any

from tests.fakes.cuda_driver.gpu import SimulatedGpu


class FakeOnnxRuntime:
    """Stands in for the module.

    Attributes:
        providers: That this build has.
        started: That come up when they are asked for; the others are left out, as the library does.
    """

    __version__ = "1.25.1"
    cuda_version = "13.0"

    class RunOptions:
        def __init__(self) -> None:
            self.entries: dict[str, str] = {}

        def add_run_config_entry(self, key: str, value: str) -> None:
            self.entries[key] = value

    class SessionOptions:
        log_severity_level = 2
        intra_op_num_threads = 0

        def __init__(self) -> None:
            self.dimensions: dict[str, int] = {}
            self.entries: dict[str, str] = {}

        def add_free_dimension_override_by_name(self, name: str, value: int) -> None:
            self.dimensions[name] = value

        def add_session_config_entry(self, key: str, value: str) -> None:
            self.entries[key] = value

    def __init__(self, gpu: SimulatedGpu) -> None:
        self.sessions: list[tuple[dict[str, str], dict[str, dict[str, str]]]] = []  # entries, options of providers
        self.gpu = gpu
        self.providers = ["TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"]
        self.started = list(self.providers)
        self.run_error: str | None = None
        self.style_length = 0
        self.has_memory = False

    def get_available_providers(self) -> list[str]:
        return self.providers

    def InferenceSession(self, path: str, options: Any, providers: list[tuple[str, dict[str, str]]]) -> "_Session":
        assert set(options.dimensions) == {"height", "width"}
        self.sessions.append((options.entries, dict(providers)))
        return _Session(self, providers)


_PICTURE: list[int | str] = [1, "height", "width", 3]


def _tensor(name: str, shape: list[int | str]) -> Any:
    return SimpleNamespace(name=name, shape=shape)


class _Session:
    def __init__(self, ort: FakeOnnxRuntime, providers: list[tuple[str, dict[str, str]]]) -> None:
        self._ort = ort
        self._names = [name for name, _ in providers if name in ort.started] + ["CPUExecutionProvider"]
        self._stream_handle = int(providers[0][1]["user_compute_stream"])

    def get_inputs(self) -> list[Any]:
        style = [_tensor("style", [self._ort.style_length])] if self._ort.style_length else []
        memory = [_tensor(name, _PICTURE) for name in ("previous", "mask") if self._ort.has_memory]
        return [_tensor("frame", _PICTURE), _tensor("strength", [1]), *style, *memory]

    def get_outputs(self) -> list[Any]:
        return [_tensor(name, _PICTURE) for name in ("stylized", *(["painted"] if self._ort.has_memory else []))]

    def get_providers(self) -> list[str]:
        return self._names

    def io_binding(self) -> Any:
        bound: dict[str, int] = {}
        sizes: dict[str, int] = {}

        def bind(name: str, kind: str, ordinal: int, element_type: Any, shape: list[int], address: int) -> None:
            assert (kind, ordinal) == ("cuda", 0)
            bound[name], sizes[name] = address, math.prod(shape)

        return SimpleNamespace(bound=bound, sizes=sizes, bind_input=bind, bind_output=bind)

    def run_with_iobinding(self, binding: Any, options: Any) -> None:
        assert options.entries["disable_synchronize_execution_providers"] == "1"
        gpu = self._ort.gpu
        if error := self._ort.run_error or gpu.paint(self._stream_handle, binding.bound, binding.sizes["frame"]):
            raise RuntimeError(error)
