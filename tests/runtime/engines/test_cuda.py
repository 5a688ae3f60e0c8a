"""GPU back ends on a simulated GPU: order, overlap, memory, failures and teardown; and slots on a real one."""

import gc
import itertools
import sys
import threading
import time
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from artmirror.runtime.common.errors import ArtmirrorError, CannotRunHere
from artmirror.runtime.engines import cuda_device as cuda
from artmirror.runtime.engines import onnxruntime_cuda as engine_onnxruntime_cuda
from artmirror.runtime.engines.base import FULL_STYLE, EngineInfo, Look, stylize
from artmirror.runtime.engines.cuda import CudaEngine, DeviceSlot
from artmirror.runtime.engines.cuda_device import current_gpu, open_device
from artmirror.runtime.engines.cuda_graph import CudaGraph, GraphRefused
from artmirror.runtime.engines.open import open_engine
from artmirror.runtime.engines.rebuild import PlanMismatch
from artmirror.runtime.gallery.bundled import find_style
from artmirror.runtime.pipeline import Pipeline
from tests.fakes import cuda as fake_cuda
from tests.fakes import tensorrt_runtime as fake_tensorrt
from tests.fakes.cuda import FakeCuda
from tests.fakes.ends import SIZE, CollectingSink, CountingSource
from tests.fakes.engine import make_manifest
from tests.fakes.onnxruntime import FakeOnnxRuntime
from tests.fakes.real_gpu import build_real_plan, need_gpu
from tests.fakes.tensorrt_runtime import Bench, FakeTensorRt, write_fake_plan


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Bench:
    return Bench(monkeypatch, tmp_path)


def run(engine: CudaEngine, frames: int, **changes: Any) -> tuple[Pipeline, CollectingSink, CountingSource]:
    source, sink = CountingSource(frames, **changes), CollectingSink()
    pipeline = Pipeline(source, engine, [sink])
    with closing(engine):
        pipeline.run()
    return pipeline, sink, source


def test_frames_keep_their_order_on_every_stream(bench: Bench) -> None:
    pipeline, sink, _ = run(bench.open(), 40)
    assert pipeline.failure is None
    assert sink.ids == list(range(40))
    for what in ("copy in", "compute", "copy out"):
        spans = [(start, end) for _, kind, start, end in bench.cuda.spans if kind == what]
        assert spans == sorted(spans)
        assert all(end <= start for (_, end), (start, _) in itertools.pairwise(spans)), what


def test_the_next_frame_is_copied_while_one_is_computed(bench: Bench) -> None:
    engine = bench.open()
    first, second = engine.allocate(2)
    first.frame[:], second.frame[:] = 1, 2
    bench.cuda.spans.clear()
    bench.cuda.computing.clear()
    engine.submit(first, Look(0.0))
    engine.submit(second, Look(0.0))  # returns, though the first is still there

    def kinds() -> list[str]:
        return [what for _, what, _, _ in bench.cuda.spans]

    deadline_s = time.monotonic() + 10
    while kinds().count("copy in") < 4 and time.monotonic() < deadline_s:  # two frames and two strengths
        time.sleep(0.001)
    assert kinds() == ["copy in"] * 4
    bench.cuda.computing.set()
    engine.wait(first)
    engine.wait(second)
    assert (first.stylized == 1).all()
    assert (second.stylized == 2).all()


def test_nothing_is_allocated_per_frame(bench: Bench) -> None:
    engine = bench.open()
    slots = engine.allocate(2)
    stylize(engine, slots[0])
    before = (set(bench.cuda.memory), set(bench.cuda.page_locked), len(bench.cuda.streams))
    for _ in range(10):
        for slot in slots:
            engine.submit(slot, FULL_STYLE)
        for slot in slots:
            engine.wait(slot)
    assert (set(bench.cuda.memory), set(bench.cuda.page_locked), len(bench.cuda.streams)) == before


def test_strength_travels_only_when_it_changes(bench: Bench) -> None:
    engine = bench.open()
    slot = engine.allocate(1)[0]
    bench.cuda.spans.clear()
    for strength in (1.0, 1.0, 0.25, 0.25, 1.0):
        slot.frame[:] = 200
        stylize(engine, slot, Look(strength))
        assert (slot.stylized == round(200 + strength * (255 - 400))).all()
    assert sum(what == "copy in" for _, what, _, _ in bench.cuda.spans) == 5 + 3


def test_graphs_are_captured_once_a_slot_and_replayed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    bench = Bench(monkeypatch, tmp_path, graphs=True)
    engine = bench.open()
    slots = engine.allocate(2)
    assert engine.describe().note == "CUDA graph"
    executions = bench.trt.executions
    for _ in range(3):
        for slot in slots:
            stylize(engine, slot)
    bindings = sys.modules["cuda.bindings.driver"]
    assert isinstance(bindings, fake_cuda.FakeBindings)
    assert bindings.launches == 6
    assert bench.trt.executions == executions  # all through the graphs
    engine.close()
    assert bindings.open_graphs == 0


def test_a_capture_that_fails_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the stream goes on capturing, and nothing that comes after runs."""
    owner = fake_cuda.install(monkeypatch, graphs=True)
    with open_device(0) as device:
        stream = device.stream()

    def fail() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        CudaGraph(int(stream.handle), fail)
    assert owner.streams[int(stream.handle)].captured is None


def test_without_graphs_it_says_so_and_runs(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = bench.open()
    slot = engine.allocate(1)[0]
    assert engine.describe().note == "no CUDA graph: the package cuda-python is not installed"
    stylize(engine, slot)
    monkeypatch.setitem(sys.modules, "cuda.bindings.driver", fake_cuda.FakeBindings(bench.cuda))
    bench.trt.refuse_capture = True
    engine = bench.open()
    slot = engine.allocate(1)[0]
    assert engine.describe().note.startswith("no CUDA graph: ")
    assert "capturing" in engine.describe().note
    slot.frame[:] = 7
    stylize(engine, slot)
    assert (slot.stylized == 248).all()


def test_kernels_of_rtx_are_kept_for_the_next_start(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    bench = Bench(monkeypatch, tmp_path, library="tensorrt_rtx")
    bench.open().allocate(1)
    assert bench.trt.cache is None
    bench.open().allocate(1)
    assert bench.trt.cache == b"kernels"


def test_close_frees_the_device(bench: Bench) -> None:
    engine = bench.open()
    slots = engine.allocate(3)
    engine.submit(slots[0], FULL_STYLE)
    engine.close()
    assert not bench.cuda.memory
    assert len(bench.cuda.page_locked) >= 6  # still held here
    with pytest.raises(ArtmirrorError, match="closed"):
        engine.submit(slots[1], FULL_STYLE)
    del engine, slots
    assert not bench.cuda.page_locked


def test_no_context_is_left_current(bench: Bench) -> None:
    engine = bench.open()
    stylize(engine, engine.allocate(1)[0])
    engine.close()
    assert bench.cuda.current.stack == []


def test_close_while_another_thread_hangs_in_the_driver(bench: Bench) -> None:
    engine = bench.open()
    slot = engine.allocate(1)[0]
    gate = threading.Event()
    bench.cuda.delay_s = lambda: 0.0 * gate.wait(10)
    hung = threading.Thread(target=stylize, args=(engine, slot))
    hung.start()
    time.sleep(0.05)
    before_s = time.monotonic()
    engine.close()
    assert time.monotonic() - before_s < 1
    assert bench.cuda.memory, "freed under a thread that uses it"
    gate.set()
    hung.join(10)
    assert not bench.cuda.memory


@pytest.mark.parametrize("graphs", [False, True])
def test_a_device_that_disappears_ends_the_run_in_one_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, graphs: bool
) -> None:
    bench = Bench(monkeypatch, tmp_path, graphs=graphs)
    engine = bench.open()

    def before(number: int) -> None:
        if number == 20:
            bench.cuda.broken = "unspecified launch failure"

    pipeline, sink, source = run(engine, 1000, before=before)
    assert pipeline.failure is not None
    message = str(pipeline.failure.message)
    assert "Simulated GPU failed or was lost" in message
    assert "unspecified launch failure" in message
    assert "\n" not in message
    assert source.closed
    assert sink.ended == "discarded"
    assert sink.ids == list(range(len(sink.ids)))
    engine.close()  # nothing is freed on a lost device, and nothing raised
    engine.close()
    assert bench.cuda.memory


def test_the_context_outlives_whoever_retained_it(bench: Bench) -> None:
    """pycuda detaches a context that is freed, of which the driver complains at the end of each process."""
    device = cuda.Device(0)
    left = bench.cuda.contexts[-1]
    del device
    gc.collect()
    assert left() is not None


def test_a_context_that_cannot_be_popped_is_detached_and_told(bench: Bench) -> None:
    """pycuda ends the process with status 134 where it finds it on its stack."""
    device = cuda.Device(0)
    context = bench.cuda.contexts[-1]()
    assert context is not None
    bench.cuda.pop_error = "unspecified launch failure"
    with pytest.raises(ArtmirrorError, match="failed or was lost"), device:
        pass
    assert device.lost
    assert context.detached == 1
    assert bench.cuda.current.stack == []


def test_streams_are_freed_with_their_context(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Also where the engine is opened, run and closed by three threads, and somebody still holds it."""
    bench = Bench(monkeypatch, tmp_path)
    engine = bench.open()
    stylize(engine, engine.allocate(1)[0])
    closer = threading.Thread(target=engine.close)
    closer.start()
    closer.join()
    gc.collect()
    assert bench.cuda.freed_without_context == []
    del engine
    gc.collect()
    assert bench.cuda.freed_without_context == []


def test_a_device_that_disappears_before_close(bench: Bench) -> None:
    engine = bench.open()
    stylize(engine, engine.allocate(1)[0])
    bench.cuda.broken = "unknown error"
    engine.close()


def test_out_of_memory_is_one_line_and_all_is_freed(bench: Bench) -> None:
    bench.cuda.memory_limit = 100_000
    engine = bench.open()
    with pytest.raises(ArtmirrorError, match=r"out of memory on Simulated GPU.*smaller --size"):
        Pipeline(CountingSource(3), engine, [CollectingSink()])
    engine.close()
    assert not bench.cuda.memory
    bench.cuda.memory_limit, bench.cuda.host_limit = 1 << 30, 100_000
    with pytest.raises(ArtmirrorError, match="page-locked memory"):
        bench.open().allocate(9)


def test_code_in_a_plan_runs_only_where_the_manifest_tells_of_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    bench = Bench(monkeypatch, tmp_path, version_compatible=True)
    bench.trt.has_host_code = True
    stylize(engine := bench.open(), engine.allocate(1)[0])
    engine.close()
    write_fake_plan(bench.path)
    with pytest.raises(PlanMismatch, match="has host code"):
        bench.open()


def test_out_of_memory_in_the_library(bench: Bench) -> None:
    bench.trt.deserialize_error = "Requested size was 12 bytes: OutOfMemory [executionContext.cpp]"
    with pytest.raises(ArtmirrorError, match="out of memory on Simulated GPU"):
        bench.open()
    bench.trt.deserialize_error = None
    engine = bench.open()
    bench.trt.execute_error = "Error Code 1: Cuda Runtime (out of memory)"
    with pytest.raises(ArtmirrorError, match="out of memory on Simulated GPU"):
        engine.allocate(1)


def test_tensors_of_another_contract(bench: Bench) -> None:
    bench.trt.tensors = {"frame": ("in", "float"), "stylized": ("out", "uint8")}
    with pytest.raises(ArtmirrorError, match="the plan has the tensors frame, stylized"):
        bench.open()


def test_no_driver_and_old_drivers(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    for message, words in [
        ("no CUDA-capable device is detected", "no NVIDIA GPU or driver"),
        ("CUDA driver version is insufficient for CUDA runtime version", "driver is missing or too old"),
        ("system has unsupported display driver / cuda driver combination", "driver is missing or too old"),
    ]:
        bench.cuda.init_error = message
        with pytest.raises(ArtmirrorError, match=words):
            bench.open()
    bench.cuda.init_error = None
    bench.trt.deserialize_error = "cudaError 35: CUDA driver version is insufficient for CUDA runtime version"
    with pytest.raises(ArtmirrorError, match="driver is missing or too old"):
        bench.open()
    with pytest.raises(ArtmirrorError, match=r"no GPU cuda:3: this machine has 1"):
        open_engine(bench.path, size=SIZE, device="cuda:3")
    fake_cuda.take_away_pycuda(monkeypatch)
    with pytest.raises(ArtmirrorError, match=r"pip install 'artmirror\[cuda\]'"):
        bench.open()


def test_without_a_driver_nothing_is_to_be_installed(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pycuda.driver", None)
    monkeypatch.setattr(cuda, "_DRIVER_LIBRARY", "libcuda.so.no-such")
    open_device.cache_clear()
    for open_it in (bench.open, lambda: open_engine(find_style("starry"), size=SIZE, device="cuda")):
        with pytest.raises(
            CannotRunHere, match=r"no NVIDIA GPU or driver was found \(libcuda\.so\.no-such: "
        ) as caught:
            open_it()
        assert "pip install" not in caught.value.message


class TestRealLibrary:
    """`tensorrt_rtx` itself on a simulated GPU: it gets as far as looking for a driver."""

    @pytest.fixture
    def plan(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
        pytest.importorskip("tensorrt_rtx")
        if current_gpu() is not None:
            pytest.skip("there is a GPU")
        fake_cuda.install(monkeypatch)
        return tmp_path / "real.plan"

    def test_it_has_what_the_simulation_has(self) -> None:
        """A stand-in that had more than the library would hide calls that fail on a GPU."""
        trt = pytest.importorskip("tensorrt_rtx")
        used = {
            trt.Runtime: {*vars(fake_tensorrt._Runtime), "engine_host_code_allowed"},
            trt.ICudaEngine: {*vars(fake_tensorrt._Engine), "num_io_tensors", "create_runtime_config"},
            trt.IExecutionContext: vars(fake_tensorrt._Context),
            trt.IRuntimeConfig: {"dynamic_shapes_kernel_specialization_strategy", "create_runtime_cache"},
            trt.IRuntimeCache: {"serialize", "deserialize"},
            trt.DataType: vars(FakeTensorRt.DataType),
            trt.TensorIOMode: vars(FakeTensorRt.TensorIOMode),
            trt.DynamicShapesKernelSpecializationStrategy: {"EAGER"},
        }
        for real, names in used.items():
            assert {name for name in names if not name.startswith("_")} <= set(dir(real)), real

    def test_without_a_driver_it_is_one_line(self, plan: Path) -> None:
        build_real_plan(find_style("starry"), plan, "sm86")
        with pytest.raises(CannotRunHere, match=r"driver is missing or too old.*driver version is insufficient"):
            open_engine(plan, size=SIZE)

    def test_bytes_that_are_no_engine_are_refused_with_its_words(self, plan: Path) -> None:
        version = sys.modules["tensorrt_rtx"].__version__
        write_fake_plan(plan, library="tensorrt_rtx", library_version=version)
        with pytest.raises(PlanMismatch, match=f"tensorrt_rtx {version} refuses the plan, the plan cannot be opened: "):
            open_engine(plan, size=SIZE)


class TestOnnxRuntime:
    @pytest.fixture
    def ort(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> FakeOnnxRuntime:
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
        ort = FakeOnnxRuntime(fake_cuda.install(monkeypatch))
        monkeypatch.setattr(engine_onnxruntime_cuda, "ort", ort)
        return ort

    def open(self, backend: str = "onnxruntime") -> Any:
        return open_engine(find_style("starry"), size=SIZE, backend=backend, device="cuda")

    def test_it_never_goes_on_without_its_provider(self, ort: FakeOnnxRuntime) -> None:
        ort.started = ["CPUExecutionProvider"]
        with pytest.raises(ArtmirrorError, match="could not start its CUDAExecutionProvider"):
            self.open()
        ort.providers = ["CPUExecutionProvider"]
        with pytest.raises(ArtmirrorError, match=r"has no CUDAExecutionProvider.*onnxruntime-gpu"):
            self.open()
        with pytest.raises(ArtmirrorError, match=r"has no TensorrtExecutionProvider.*onnxruntime-gpu"):
            self.open("onnxruntime-tensorrt")

    def test_fp32_is_fp32_and_nothing_is_left_to_the_processor(self, ort: FakeOnnxRuntime) -> None:
        self.open().close()
        self.open("onnxruntime-tensorrt").close()
        (entries, alone), (others, both) = ort.sessions
        assert entries["session.disable_cpu_ep_fallback"] == "1"
        assert entries["session.disable_quant_qdq"] == "1"
        assert others == {}  # shapes stay there, and TensorRT has convolutions in INT8
        assert alone["CUDAExecutionProvider"]["use_tf32"] == both["CUDAExecutionProvider"]["use_tf32"] == "0"
        assert both["TensorrtExecutionProvider"]["trt_fp16_enable"] == "False"

    def test_a_version_that_leaves_nodes_on_the_processor_is_refused(self, ort: FakeOnnxRuntime) -> None:
        ort.__version__ = "1.24.4"  # type: ignore[misc]
        with pytest.raises(ArtmirrorError, match=r"onnxruntime 1.24.4 leaves parts .*onnxruntime-gpu>=1.25.1"):
            self.open()

    def test_the_library_that_is_missing_is_named(self, ort: FakeOnnxRuntime) -> None:
        ort.started = ["CUDAExecutionProvider", "CPUExecutionProvider"]
        with pytest.raises(ArtmirrorError, match=r"libnvinfer.so.10.*tensorrt-cu12>=10,<11"):
            self.open("onnxruntime-tensorrt")
        ort.run_error = "CUDNN_STATUS_NOT_SUPPORTED"
        engine = self.open("onnxruntime")
        with pytest.raises(ArtmirrorError, match="Simulated GPU refused") as caught:
            engine.allocate(1)
        assert "lost" not in caught.value.message

    def test_the_pipeline_runs_and_a_failure_is_one_line(self, ort: FakeOnnxRuntime) -> None:
        pipeline, sink, _ = run(self.open(), 12)
        assert sink.ids == list(range(12))
        engine = self.open()

        def before(number: int) -> None:
            if number == 5:
                ort.run_error = "Non-zero status code\nCUDA failure 2: out of memory"

        pipeline, sink, _ = run(engine, 500, before=before)
        assert pipeline.failure is not None
        assert "out of memory on Simulated GPU" in pipeline.failure.message
        assert sink.ended == "discarded"

    def test_the_installed_one_has_no_cuda(self, monkeypatch: pytest.MonkeyPatch) -> None:
        fake_cuda.install(monkeypatch)
        if "CUDAExecutionProvider" in engine_onnxruntime_cuda.ort.get_available_providers():
            pytest.skip("it has")
        with pytest.raises(ArtmirrorError, match="onnxruntime-gpu"):
            self.open()


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
        assert graph.launch()
        stream.synchronize()
        back = device.page_locked((1024,), np.uint8)
        device.copy_out(buffer, back, stream)
        stream.synchronize()
        graph.close()
    assert (back == 9).all()


def test_the_simulation_notices_misuse(monkeypatch: pytest.MonkeyPatch) -> None:
    """A simulation that forgives everything would prove nothing."""
    owner: FakeCuda = fake_cuda.install(monkeypatch)
    device = open_device(0)
    with pytest.raises(owner.LogicError, match="invalid device context"):
        device.stream()
    with device:
        stream, buffer = device.stream(), device.memory(4)
        with pytest.raises(AssertionError, match="not page-locked"):
            device.copy_in(np.zeros(4, np.uint8), buffer, stream)
    places = SimpleNamespace(frame_buffer=buffer)
    assert owner.memory[places.frame_buffer.address].size == 4
