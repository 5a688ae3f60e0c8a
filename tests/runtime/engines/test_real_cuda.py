"""Beside the stand-ins: slots and graphs on a GPU that is there, and what the real TensorRT for RTX has."""

from typing import Any

import numpy as np
import pytest

from artmirror.runtime.engines.base import FULL_STYLE, EngineInfo
from artmirror.runtime.engines.cuda import CudaEngine, DeviceSlot
from artmirror.runtime.engines.cuda_graph import CudaGraph, GraphRefused
from tests.fakes import tensorrt_runtime as fake_tensorrt
from tests.fakes.ends import SIZE
from tests.fakes.engine import make_manifest
from tests.fakes.real_gpu import need_gpu
from tests.fakes.tensorrt_runtime import FakeTensorRt


class CopyNetwork:
    """A stand-in kernel: a copy on the device. What it takes to test slots where no library accepts the card."""

    has_strength = False

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def prepare(self, places: DeviceSlot) -> None:
        self.launch(places)

    def launch(self, places: DeviceSlot) -> None:
        import pycuda.driver  # type: ignore[import-not-found, unused-ignore]

        to, source = places.stylized_buffer, places.frame_buffer
        pycuda.driver.memcpy_dtod_async(to.address, source.address, source.size_bytes, self._stream)

    def describe(self) -> EngineInfo:
        return EngineInfo("copy", "pycuda 1", "GPU", "fp32", SIZE)

    def close(self) -> None:
        pass


@pytest.mark.gpu
def test_slots_on_a_real_gpu() -> None:
    device = need_gpu()
    engine = CudaEngine(device, make_manifest(), SIZE, CopyNetwork)
    slots = engine.allocate(4)
    rng = np.random.default_rng(0)
    for _ in range(200):
        for first in (0, 2):
            pair = slots[first : first + 2]
            for slot in pair:
                slot.frame[:] = rng.integers(0, 256, slot.frame.shape, np.uint8)
                engine.submit(slot, FULL_STYLE)
            for slot in pair:
                engine.wait(slot)
                assert (slot.stylized == slot.frame).all()
    engine.close()
    slots[0].frame[:] = 1


@pytest.mark.gpu
def test_a_graph_on_a_real_gpu() -> None:
    device = need_gpu()
    with device:
        stream = device.stream()
        array = device.page_locked((1024,), np.uint8)
        buffer = device.memory(1024)
        array[:] = 9
        try:
            graph = CudaGraph(int(stream.handle), lambda: device.copy_in(array, buffer, stream))
        except GraphRefused as refusal:
            pytest.skip(str(refusal))
        assert graph.launch() is None
        stream.synchronize()
        back = device.page_locked((1024,), np.uint8)
        device.copy_out(buffer, back, stream)
        stream.synchronize()
        graph.close()
    assert (back == 9).all()


def test_tensorrt_has_what_its_stand_in_has() -> None:
    """A stand-in that had more than the library would hide calls that fail on a GPU."""
    trt = pytest.importorskip("tensorrt_rtx")
    used = {
        trt.Runtime: {*vars(fake_tensorrt._Runtime), "engine_host_code_allowed"},
        trt.ICudaEngine: {*vars(fake_tensorrt._Engine), "num_io_tensors", "create_runtime_config"},
        trt.IExecutionContext: {*vars(fake_tensorrt._Context), "is_stream_capturable"},
        trt.IRuntimeConfig: {"dynamic_shapes_kernel_specialization_strategy", "create_runtime_cache"},
        trt.IRuntimeCache: {"serialize", "deserialize"},
        trt.DataType: vars(FakeTensorRt.DataType),
        trt.TensorIOMode: vars(FakeTensorRt.TensorIOMode),
        trt.ProfilingVerbosity: vars(FakeTensorRt.ProfilingVerbosity),
        trt.DynamicShapesKernelSpecializationStrategy: {"EAGER"},
    }
    for real, names in used.items():
        assert {name for name in names if not name.startswith("_")} <= set(dir(real)), real
