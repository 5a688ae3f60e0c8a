"""Found as `tensorrt` by programs on a simulated machine: the stand-ins of its builder and its runtime in one."""

import sys
from types import SimpleNamespace
from typing import Any

from tests.fakes.cuda_driver.gpu import SimulatedGpu
from tests.fakes.tensorrt_builder import make_tensorrt
from tests.fakes.tensorrt_runtime import ENGINE, FakeTensorRt, _Engine


class _Library(FakeTensorRt):
    """What it builds is always the same engine, which it opens and runs too."""

    class ILogger(FakeTensorRt.ILogger):
        VERBOSE = 4

    DataType = SimpleNamespace(**vars(FakeTensorRt.DataType), HALF="HALF")

    def __init__(self) -> None:
        super().__init__(SimulatedGpu())
        self._builder = make_tensorrt(strongly_typed_flag=True, engine=ENGINE)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["_builder"], name)

    def Runtime(self, log: Any) -> Any:
        """Engines tell of their layers too."""
        layers = self._builder.Runtime(log).deserialize_cuda_engine(ENGINE)
        runtime = super().Runtime(log)
        open_engine = runtime.deserialize_cuda_engine

        def deserialize(plan: memoryview) -> _Engine | None:
            engine = open_engine(plan)
            if engine is not None:
                engine.create_engine_inspector = layers.create_engine_inspector
            return engine

        runtime.deserialize_cuda_engine = deserialize
        return runtime


sys.modules[__name__] = _Library()
