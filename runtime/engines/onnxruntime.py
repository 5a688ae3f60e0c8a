"""ONNX Runtime back end, on the CPU."""

from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort

from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.runtime.engines.base import EngineInfo, Look
from artmirror.runtime.formats.manifest import Manifest
from artmirror.runtime.frame import FrameSlot


class OnnxRuntimeEngine:
    """One IO binding a slot, bound once to the slot's memory; one worker thread runs them in order."""

    max_in_flight = 2  # the second waits in the worker's queue

    def __init__(self, manifest: Manifest, session: Any, size: tuple[int, int]) -> None:
        self.manifest = manifest
        self.has_strength = len(session.get_inputs()) > 1
        self._session = session
        self._size = size
        self._bindings: dict[FrameSlot, tuple[Any, np.ndarray[Any, np.dtype[np.float32]]]] = {}
        self._running: dict[FrameSlot, Future[None]] = {}
        self._worker = ThreadPoolExecutor(1, "onnxruntime")

    def allocate(self, count: int) -> list[FrameSlot]:
        slots = []
        for _ in range(count):
            slot = FrameSlot(np.zeros((*self._size, 3), np.uint8), np.zeros((*self._size, 3), np.uint8))
            strength = np.ones(1, np.float32)
            binding = self._session.io_binding()
            _bind(binding.bind_input, "frame", slot.frame[None])
            _bind(binding.bind_output, "stylized", slot.stylized[None])
            if self.has_strength:
                _bind(binding.bind_input, "strength", strength)
            self._bindings[slot] = (binding, strength)
            slots.append(slot)
        return slots

    def submit(self, slot: FrameSlot, look: Look) -> None:
        binding, bound_strength = self._bindings[slot]
        bound_strength[0] = look.strength
        self._running[slot] = self._worker.submit(self._session.run_with_iobinding, binding)

    def wait(self, slot: FrameSlot) -> None:
        try:
            self._running.pop(slot).result()
        except Exception as error:  # the library has a dozen exception classes with no common base but this
            raise ArtmirrorError(f"ONNX Runtime failed while stylizing: {_first_line(error)}") from error

    def reset(self) -> None:
        pass  # every frame is painted by itself

    def describe(self) -> EngineInfo:
        return EngineInfo(
            backend="onnxruntime",
            library=f"onnxruntime {ort.__version__}",
            device="CPU",
            precision=self.manifest.precision,
            size=self._size,
        )

    def close(self) -> None:
        self._worker.shutdown()
        self._bindings.clear()
        self._session = None


def open_file(
    path: Path, manifest: Manifest, *, size: tuple[int, int], device: int, full_precision: bool, threads: int | None
) -> OnnxRuntimeEngine:
    """Open an ONNX file. See `engines.open_engine`; precision is always the file's own."""
    options = ort.SessionOptions()
    options.log_severity_level = 3  # errors only; warnings speak to people who tune graphs
    if threads is not None:
        options.intra_op_num_threads = threads
    try:
        session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        names = [entry.name for entry in (*session.get_inputs(), *session.get_outputs())]
        if sorted(names) not in (["frame", "stylized"], ["frame", "strength", "stylized"]):
            raise ValueError(f"it takes and gives {', '.join(names)}; wanted frame, strength and stylized")
    except Exception as error:  # see wait
        raise ArtmirrorError(f"ONNX Runtime cannot run {path}: {_first_line(error)}") from error
    return OnnxRuntimeEngine(manifest, session, size)


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def _bind(bind: Any, name: str, array: np.ndarray[Any, Any]) -> None:
    bind(name, "cpu", 0, array.dtype.type, list(array.shape), array.ctypes.data)
