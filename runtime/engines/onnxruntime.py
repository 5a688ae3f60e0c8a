"""ONNX Runtime back end, on the CPU."""

from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort

from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.runtime.engines.base import EngineInfo, Look, SmallInputs
from artmirror.runtime.engines.memory import INPUTS, OUTPUT, Memory
from artmirror.runtime.formats.manifest import Manifest
from artmirror.runtime.frame import FrameSlot


class OnnxRuntimeEngine:
    """One IO binding a slot, bound once to the slot's memory; one worker thread runs them in order."""

    max_in_flight = 2  # the second waits in the worker's queue

    def __init__(self, manifest: Manifest, session: Any, size: tuple[int, int]) -> None:
        self.manifest = manifest
        self.has_strength = "strength" in [entry.name for entry in session.get_inputs()]
        self._session = session
        self._size = size
        self._bindings: dict[FrameSlot, tuple[Any, SmallInputs]] = {}
        self._running: dict[FrameSlot, Future[None]] = {}
        self._worker = ThreadPoolExecutor(1, "onnxruntime")
        self._memory = Memory(size) if manifest.has_memory else None
        self._last: Future[None] | None = None  # whose picture the next frame remembers

    def allocate(self, count: int) -> list[FrameSlot]:
        slots = []
        for _ in range(count):
            slot = FrameSlot(np.zeros((*self._size, 3), np.uint8), np.zeros((*self._size, 3), np.uint8))
            small = SmallInputs(self.has_strength, self.manifest.style_length)
            binding = self._session.io_binding()
            _bind(binding.bind_input, "frame", slot.frame[None])
            _bind(binding.bind_output, "stylized", slot.stylized[None])
            for name, numbers in small.by_name.items():
                _bind(binding.bind_input, name, numbers)
            if self._memory is not None:
                for name, picture in self._memory.by_name().items():
                    _bind(binding.bind_input, name, picture)
                _bind(binding.bind_output, OUTPUT, self._memory.painted)
            self._bindings[slot] = (binding, small)
            slots.append(slot)
        return slots

    def follow(self, slot: FrameSlot, look: Look) -> bool:
        return False  # beside a network on two cores it gained 3 % of the frames, and each came 12 ms later

    def submit(self, slot: FrameSlot, look: Look) -> None:
        binding, small = self._bindings[slot]
        small.set(look)
        if self._memory is not None:
            self._memory.follow(slot.frame, look)
            if self._last is not None:
                _finish(self._last)
            self._memory.bring()
        self._running[slot] = self._last = self._worker.submit(self._session.run_with_iobinding, binding)

    def wait(self, slot: FrameSlot) -> None:
        _finish(self._running.pop(slot))

    def reset(self) -> None:
        if self._memory is not None:
            self._memory.forget()

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


def _finish(run: Future[None]) -> None:
    try:
        run.result()
    except Exception as error:  # the library has a dozen exception classes with no common base but this
        raise ArtmirrorError(f"ONNX Runtime failed while stylizing: {_first_line(error)}") from error


def open_file(
    path: Path, manifest: Manifest, *, size: tuple[int, int], device: int, full_precision: bool, threads: int | None
) -> OnnxRuntimeEngine:
    """Open an ONNX file. See `engines.open_engine`; precision is always the file's own."""
    session = _session(path, threads)
    try:
        check_names(session, manifest)
    except ValueError as error:
        raise ArtmirrorError(f"ONNX Runtime cannot run {path}: {error}") from None
    return OnnxRuntimeEngine(manifest, session, size)


def compile_encoder(path: Path) -> Any:
    """A function from (1, h, w, 3) uint8 BGR to a painting's code; see `engines.encoder`."""
    session = _session(path, None)
    return lambda picture: session.run(["code"], {"picture": picture})[0]


def _session(path: Path, threads: int | None) -> Any:
    options = ort.SessionOptions()
    options.log_severity_level = 3  # errors only; warnings speak to people who tune graphs
    if threads is not None:
        options.intra_op_num_threads = threads
    try:
        return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # see _finish
        raise ArtmirrorError(f"ONNX Runtime cannot run {path}: {_first_line(error)}") from error


def check_names(session: Any, manifest: Manifest) -> None:
    """See that a session takes and gives what an engine is asked for.

    Raises:
        ValueError: it has other tensors.
    """
    found = {entry.name: entry.shape for entry in (*session.get_inputs(), *session.get_outputs())}
    length = manifest.style_length
    wanted = {"frame", "stylized"} | ({"style"} if length else set())
    wanted |= {*INPUTS, OUTPUT} if manifest.has_memory else set()
    if found.keys() - {"strength"} != wanted or (length and found["style"] != [length]):
        more = f"; style has {length} numbers" if length else ""
        raise ValueError(f"it takes and gives {', '.join(found)}; wanted strength, {', '.join(sorted(wanted))}{more}")


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def _bind(bind: Any, name: str, array: np.ndarray[Any, Any]) -> None:
    bind(name, "cpu", 0, array.dtype.type, list(array.shape), array.ctypes.data)
