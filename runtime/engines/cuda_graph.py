"""CUDA graphs, through the optional package `cuda.bindings`, since pycuda has none.

A graph replays a whole network with one call, where the library otherwise launches a hundred kernels one by one.
"""

from collections.abc import Callable
from importlib import import_module
from types import ModuleType
from typing import Any

from artmirror.runtime.common.errors import ArtmirrorError


class GraphRefused(Exception):
    """The work cannot be captured; run it without a graph."""


class CudaGraph:
    """Work on one stream, captured once, with the addresses it was captured with."""

    def __init__(self, stream_handle: int, work: Callable[[], None]) -> None:
        """Capture what `work` puts into the stream, which does not run meanwhile.

        Raises:
            GraphRefused: `cuda.bindings` is missing, or the work does what a graph cannot hold.
        """
        self._driver = _load_bindings()
        self._stream = self._driver.CUstream(stream_handle)
        mode = self._driver.CUstreamCaptureMode.CU_STREAM_CAPTURE_MODE_THREAD_LOCAL
        self._check(self._driver.cuStreamBeginCapture(self._stream, mode))
        try:
            work()
        except BaseException as error:
            ended, graph = self._driver.cuStreamEndCapture(self._stream)  # in any case: else it goes on capturing
            if int(ended) == 0:
                self._driver.cuGraphDestroy(graph)
            if isinstance(error, ArtmirrorError):  # what a library says when it is not to be captured
                raise GraphRefused(str(error.message)) from error
            raise
        graph = self._check(self._driver.cuStreamEndCapture(self._stream))
        try:
            self._executable = self._check(self._driver.cuGraphInstantiate(graph, 0))
        finally:
            self._driver.cuGraphDestroy(graph)

    def launch(self) -> str | None:
        """Run it once in the stream; returns at once. What the driver says, if it refuses."""
        (error,) = self._driver.cuGraphLaunch(self._executable, self._stream)
        if int(error) == 0:
            return None
        text = self._driver.cuGetErrorString(error)[1]
        return str(error) if text is None else str(text, "utf-8", "replace")

    def close(self) -> None:
        """Free it."""
        self._driver.cuGraphExecDestroy(self._executable)

    def _check(self, results: tuple[Any, ...]) -> Any:
        if int(results[0]) != 0:
            raise GraphRefused(f"CUDA graph capture failed: {results[0]!s}")
        return results[1] if len(results) > 1 else None


def _load_bindings() -> ModuleType:
    try:
        return import_module("cuda.bindings.driver")
    except ImportError:
        raise GraphRefused("the package cuda-python is not installed") from None
