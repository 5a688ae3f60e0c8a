"""GPU back ends with the real pycuda and cuda-bindings on a simulated driver: order, memory, failures and teardown."""

import gc
import itertools
import os
import sys
import threading
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from artmirror.runtime.common.errors import ArtmirrorError, CannotRunHere
from artmirror.runtime.engines import cuda_device as cuda
from artmirror.runtime.engines import onnxruntime_cuda as engine_onnxruntime_cuda
from artmirror.runtime.engines.base import FULL_STYLE, Look, stylize
from artmirror.runtime.engines.cuda import CudaEngine
from artmirror.runtime.engines.cuda_device import Device, open_device
from artmirror.runtime.engines.cuda_graph import CudaGraph
from artmirror.runtime.engines.open import open_engine
from artmirror.runtime.engines.rebuild import PlanMismatch
from artmirror.runtime.frame import FrameSlot
from artmirror.runtime.gallery.bundled import find_style
from artmirror.runtime.pipeline import Pipeline
from tests.fakes.cuda_driver.gpu import DRIVER_MISMATCH, NO_DEVICE, UNKNOWN, SimulatedGpu
from tests.fakes.ends import SIZE, CollectingSink, CountingSource
from tests.fakes.onnxruntime import FakeOnnxRuntime
from tests.fakes.real_gpu import build_real_plan
from tests.fakes.tensorrt_runtime import Bench, write_fake_plan

pytestmark = pytest.mark.simulated_gpu


@pytest.fixture
def bench(gpu: SimulatedGpu, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Bench:
    return Bench(gpu, monkeypatch, tmp_path)


@pytest.fixture
def bench_with_graphs(gpu: SimulatedGpu, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Bench:
    return Bench(gpu, monkeypatch, tmp_path, graphs=True)


def run(engine: CudaEngine, frames: int, **changes: Any) -> tuple[Pipeline, CollectingSink, CountingSource]:
    source, sink = CountingSource(frames, **changes), CollectingSink()
    pipeline = Pipeline(source, engine, [sink])
    with closing(engine):
        pipeline.run()
    return pipeline, sink, source


def waits_of(gpu: SimulatedGpu) -> tuple[int, int]:
    """How often threads waited for an event, spinning and asleep."""
    counts = gpu.counts()
    return counts["spinning_waits"], counts["sleeping_waits"]


def test_frames_keep_their_order_on_every_stream(bench: Bench, gpu: SimulatedGpu) -> None:
    pipeline, sink, _ = run(bench.open(), 40)
    assert pipeline.failure is None
    assert sink.ids == list(range(40))
    all_spans = gpu.spans()
    for what in ("copy in", "compute", "copy out"):
        spans = [(start, end) for kind, start, end in all_spans if kind == what]
        assert len(spans) >= 40
        assert spans == sorted(spans)
        assert all(end <= start for (_, end), (start, _) in itertools.pairwise(spans)), what


def test_the_next_frame_is_copied_while_one_is_computed(bench: Bench, gpu: SimulatedGpu) -> None:
    engine = bench.open()
    first, second = engine.allocate(2)
    first.frame[:], second.frame[:] = 1, 2
    gpu.spans()
    gpu.set(hold_kernels=1)
    engine.submit(first, Look(0.0))
    engine.submit(second, Look(0.0))  # returns, though the first is still there
    kinds: list[str] = []
    deadline_s = time.monotonic() + 10
    while kinds.count("copy in") < 4 and time.monotonic() < deadline_s:  # two frames and two strengths
        time.sleep(0.001)
        kinds += [what for what, _, _ in gpu.spans()]
    assert kinds == ["copy in"] * 4
    gpu.set(hold_kernels=0)
    engine.wait(first)
    engine.wait(second)
    assert (first.stylized == 1).all()
    assert (second.stylized == 2).all()
    engine.close()


def test_every_result_belongs_to_its_frame(bench_with_graphs: Bench, gpu: SimulatedGpu) -> None:
    """And to its strength, with three slots taking turns and two in flight."""
    rng = np.random.default_rng(0)
    launches = gpu.counts()["graph_launches"]
    with closing(bench_with_graphs.open()) as engine:
        free = deque(engine.allocate(3))
        assert engine.describe().note == "CUDA graph"
        in_flight: deque[tuple[FrameSlot, Any]] = deque()
        for number in range(302):
            if number < 300:
                slot = free.popleft()
                slot.frame[:] = rng.integers(0, 256, slot.frame.shape, np.uint8)
                strength = float(rng.choice([0, 0.25, 1]))
                before = slot.frame.astype(np.float32)
                engine.submit(slot, Look(strength))
                in_flight.append((slot, before + strength * (255 - 2 * before)))
            if len(in_flight) == 2 or number >= 300:
                slot, wanted = in_flight.popleft()
                engine.wait(slot)
                assert np.abs(slot.stylized - wanted).max() <= 1, "a result of another frame, or a torn one"
                free.append(slot)
                if not in_flight:
                    break
    assert gpu.counts()["graph_launches"] == launches + 300


def test_nothing_is_allocated_per_frame(bench: Bench, gpu: SimulatedGpu) -> None:
    with closing(bench.open()) as engine:
        slots = engine.allocate(2)
        stylize(engine, slots[0])
        before = gpu.alive(), gpu.counts()["made"]
        for _ in range(10):
            for slot in slots:
                engine.submit(slot, FULL_STYLE)
            for slot in slots:
                engine.wait(slot)
        assert (gpu.alive(), gpu.counts()["made"]) == before


def test_strength_travels_only_when_it_changes(bench: Bench, gpu: SimulatedGpu) -> None:
    with closing(bench.open()) as engine:
        slot = engine.allocate(1)[0]
        gpu.spans()
        for strength in (1.0, 1.0, 0.25, 0.25, 1.0):
            slot.frame[:] = 200
            stylize(engine, slot, Look(strength))
            assert (slot.stylized == round(200 + strength * (255 - 400))).all()
    assert sum(what == "copy in" for what, _, _ in gpu.spans()) == 5 + 3


def test_graphs_are_captured_once_a_slot_and_replayed(bench_with_graphs: Bench, gpu: SimulatedGpu) -> None:
    engine = bench_with_graphs.open()
    slots = engine.allocate(2)
    assert engine.describe().note == "CUDA graph"
    executions, launches = bench_with_graphs.trt.executions, gpu.counts()["graph_launches"]
    for _ in range(3):
        for slot in slots:
            stylize(engine, slot)
    assert gpu.counts()["graph_launches"] == launches + 6
    assert bench_with_graphs.trt.executions == executions  # all through the graphs
    assert gpu.alive()["executables"] == 2
    engine.close()
    assert gpu.alive()["executables"] == 0


def test_graphs_can_be_left_out(bench_with_graphs: Bench, gpu: SimulatedGpu) -> None:
    """To measure what they are worth."""
    launches = gpu.counts()["graph_launches"]
    with closing(bench_with_graphs.open()) as engine:
        engine.device.captures_graphs = False
        (slot,) = engine.allocate(1)
        assert engine.describe().note == ""
        slot.frame[:] = 7
        stylize(engine, slot)
        assert (slot.stylized == 248).all()
        engine.device.captures_graphs = True
        engine.allocate(1)
        assert engine.describe().note == "CUDA graph"
    assert gpu.counts()["graph_launches"] == launches


def test_a_capture_that_fails_is_ended(gpu: SimulatedGpu) -> None:
    """Else the stream goes on capturing, and nothing that comes after runs."""
    with open_device(0) as device:
        stream, buffer = device.stream(), device.memory(4)
        array, back = device.page_locked((4,), np.uint8), device.page_locked((4,), np.uint8)
        failures = []
        for number, work in enumerate((lambda: device.memory(4), stream.synchronize, lambda: 1 / 0)):
            with pytest.raises(Exception) as caught:  # noqa: PT011
                CudaGraph(int(stream.handle), work)
            failures.append(type(caught.value).__name__)
            del caught
            array[:] = 7 + number
            device.copy_in(array, buffer, stream)
            device.copy_out(buffer, back, stream)
            stream.synchronize()
            assert (back == 7 + number).all()
        assert failures == ["LogicError", "LogicError", "ZeroDivisionError"]
        del stream, buffer, work


def test_without_graphs_it_says_so_and_runs(bench: Bench) -> None:
    with closing(bench.open()) as engine:
        slot = engine.allocate(1)[0]
        assert engine.describe().note == "no CUDA graph: the package cuda-python is not installed"
        stylize(engine, slot)


def test_a_plan_that_refuses_capture_runs_without(bench_with_graphs: Bench, gpu: SimulatedGpu) -> None:
    bench_with_graphs.trt.refuse_capture = True
    with closing(bench_with_graphs.open()) as engine:
        slot = engine.allocate(1)[0]
        assert engine.describe().note.startswith("no CUDA graph: ")
        assert "capturing" in engine.describe().note
        slot.frame[:] = 7
        stylize(engine, slot)
        assert (slot.stylized == 248).all()


@pytest.mark.parametrize("capturable", [False, True])
def test_a_plan_is_asked_before_it_is_captured(bench_with_graphs: Bench, capturable: bool) -> None:
    """RTX fails while it captures a plan that takes memory by itself, and may leave the stream unusable."""
    bench_with_graphs.trt.capturable = capturable
    with closing(bench_with_graphs.open()) as engine:
        slot = engine.allocate(1)[0]
        assert bench_with_graphs.trt.executions == 1 + capturable  # the second is captured
        note = engine.describe().note
        assert note == "CUDA graph" if capturable else note.startswith("no CUDA graph: the library does not let this")
        stylize(engine, slot)


def test_plans_with_details_do_not_mark_each_layer(bench: Bench) -> None:
    """Without a graph, the names of layers for a profiler would cost time in every frame."""
    bench.open().close()
    (context,) = bench.trt.contexts
    assert context.nvtx_verbosity == bench.trt.ProfilingVerbosity.NONE


def test_kernels_of_rtx_are_kept_for_the_next_start(
    gpu: SimulatedGpu, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    bench = Bench(gpu, monkeypatch, tmp_path, library="tensorrt_rtx")
    for kept in (None, b"kernels"):
        with closing(bench.open()) as engine:
            engine.allocate(1)
        assert bench.trt.cache == kept


def test_close_frees_the_device(bench: Bench, gpu: SimulatedGpu) -> None:
    before = gpu.alive()
    engine = bench.open()
    slots = engine.allocate(3)
    engine.submit(slots[0], FULL_STYLE)
    engine.close()
    assert {**gpu.alive(), "host_memory": 0} == {**before, "host_memory": 0}
    assert gpu.alive()["host_memory"] >= before["host_memory"] + 6  # still held here
    with pytest.raises(ArtmirrorError, match="closed"):
        engine.submit(slots[1], FULL_STYLE)
    del engine, slots
    gc.collect()
    assert gpu.alive() == before


def test_no_context_is_left_current(bench: Bench, gpu: SimulatedGpu) -> None:
    engine = bench.open()
    stylize(engine, engine.allocate(1)[0])
    engine.close()
    assert not gpu.has_context()
    with open_device(0):
        assert gpu.has_context()


def test_close_while_another_thread_hangs_in_the_driver(bench: Bench, gpu: SimulatedGpu) -> None:
    before = gpu.alive()["device_memory"]
    engine = bench.open()
    slot = engine.allocate(1)[0]
    gpu.set(hold_kernels=1)
    waits = waits_of(gpu)
    hung = threading.Thread(target=stylize, args=(engine, slot))
    hung.start()
    deadline_s = time.monotonic() + 10
    while waits_of(gpu) == waits and time.monotonic() < deadline_s:
        time.sleep(0.001)
    closer = threading.Thread(target=engine.close)
    closer.start()
    closer.join(10)
    assert not closer.is_alive(), "closing waits for the one that hangs"
    assert gpu.alive()["device_memory"] > before, "freed under a thread that uses it"
    gpu.set(hold_kernels=0)
    hung.join(10)
    assert gpu.alive()["device_memory"] == before


@pytest.mark.parametrize("graphs", [False, True])
def test_a_device_that_disappears_ends_the_run_in_one_line(
    gpu: SimulatedGpu, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, graphs: bool
) -> None:
    bench = Bench(gpu, monkeypatch, tmp_path, graphs=graphs)
    engine = bench.open()

    def before(number: int) -> None:
        if number == 20:
            gpu.lose()

    pipeline, sink, source = run(engine, 1000, before=before)
    assert pipeline.failure is not None
    message = str(pipeline.failure.message)
    assert message.startswith("the GPU Simulated GPU failed or was lost (")
    assert "unspecified launch failure" in message
    assert "\n" not in message
    assert source.closed
    assert sink.ended == "discarded"
    assert sink.ids == list(range(len(sink.ids)))
    there = gpu.alive()["device_memory"]
    engine.close()  # nothing is freed on a lost device, and nothing raised
    engine.close()
    assert gpu.alive()["device_memory"] == there > 0


def test_a_graph_tells_that_the_device_disappeared(bench_with_graphs: Bench, gpu: SimulatedGpu) -> None:
    with closing(bench_with_graphs.open()) as engine:
        (slot,) = engine.allocate(1)
        gpu.lose()
        with pytest.raises(ArtmirrorError, match=r"failed or was lost \(a CUDA graph .*: unspecified launch failure\)"):
            engine.compute(slot, 1)


def test_a_device_that_disappears_before_close(bench: Bench, gpu: SimulatedGpu) -> None:
    engine = bench.open()
    stylize(engine, engine.allocate(1)[0])
    gpu.lose(UNKNOWN)
    engine.close()


def test_what_a_failure_held_is_freed_with_the_run(bench: Bench, gpu: SimulatedGpu) -> None:
    """The error is kept for the last line; the frames of its traceback hold slots, streams and events."""
    before = gpu.alive()

    def fail(number: int) -> None:
        if number == 5:
            bench.trt.execute_error = "an error that the GPU outlives"

    engine = bench.open()
    pipeline = Pipeline(CountingSource(100, before=fail), engine, [CollectingSink()])
    pipeline.run()
    engine.close()
    failure = pipeline.failure
    del pipeline, engine
    gc.collect()
    assert failure is not None
    assert gpu.alive() == before


def test_the_context_outlives_whoever_retained_it(gpu: SimulatedGpu) -> None:
    """pycuda detaches a context that is freed, of which the driver complains at the end of each process."""
    before = gpu.counts()
    device = Device(0)
    del device
    gc.collect()
    assert gpu.counts() == {**before, "contexts": before["contexts"] + 1}  # and no misuse


@pytest.mark.parametrize("graphs", [False, True])
def test_streams_are_freed_with_their_context(
    gpu: SimulatedGpu, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, graphs: bool
) -> None:
    """Also where the engine is opened, run and closed by three threads, and somebody still holds it.

    All of them live to the end, since pycuda knows a thread by a number that the next one gets.
    """
    bench = Bench(gpu, monkeypatch, tmp_path, graphs=graphs)
    before = gpu.alive()
    held: dict[str, Any] = {}

    def use() -> None:
        held["slots"] = held["engine"].allocate(2)
        stylize(held["engine"], held["slots"][0])

    with ThreadPoolExecutor(1) as first, ThreadPoolExecutor(1) as second, ThreadPoolExecutor(1) as third:
        first.submit(lambda: held.update(engine=bench.open())).result()
        second.submit(use).result()
        third.submit(lambda: held["engine"].close()).result()
        assert {**gpu.alive(), "host_memory": 0} == {**before, "host_memory": 0}
        third.submit(held.clear).result()
        assert gpu.alive() == before


@pytest.mark.parametrize("processors", [1, 16])
def test_a_waiting_thread_sleeps_where_there_are_few_processors(
    bench: Bench, gpu: SimulatedGpu, monkeypatch: pytest.MonkeyPatch, processors: int
) -> None:
    """A thread that spins takes one of them from the camera and from the window."""
    allowed = os.sched_getaffinity(0)
    if processors == 1:
        os.sched_setaffinity(0, {min(allowed)})
    else:
        monkeypatch.setattr(cuda, "processors", lambda: processors)
    before = waits_of(gpu)
    try:
        with closing(bench.open()) as engine:
            stylize(engine, engine.allocate(1)[0])
    finally:
        os.sched_setaffinity(0, allowed)
    waits = [now - then for now, then in zip(waits_of(gpu), before, strict=True)]
    assert waits == ([0, 1] if processors == 1 else [1, 0])


def test_out_of_memory_is_one_line_and_all_is_freed(bench: Bench, gpu: SimulatedGpu) -> None:
    before = gpu.alive()["device_memory"]
    gpu.leave("device_bytes", 100_000)
    engine = bench.open()
    with pytest.raises(ArtmirrorError, match=r"out of memory on Simulated GPU.*smaller --size"):
        Pipeline(CountingSource(3), engine, [CollectingSink()])
    engine.close()
    assert gpu.alive()["device_memory"] == before
    gpu.set(device_bytes=1 << 30)
    gpu.leave("host_bytes", 100_000)
    engine = bench.open()
    with pytest.raises(ArtmirrorError, match="page-locked memory"):
        engine.allocate(9)
    engine.close()
    gc.collect()  # what the error held
    with closing(bench.open()) as engine:  # it goes on, with less
        stylize(engine, engine.allocate(1)[0])
    assert not open_device(0).lost


def test_code_in_a_plan_runs_only_where_the_manifest_tells_of_it(
    gpu: SimulatedGpu, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    bench = Bench(gpu, monkeypatch, tmp_path, version_compatible=True)
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
    with closing(bench.open()) as engine:
        bench.trt.execute_error = "Error Code 1: Cuda Runtime (out of memory)"
        with pytest.raises(ArtmirrorError, match="out of memory on Simulated GPU"):
            engine.allocate(1)


def test_tensors_of_another_contract(bench: Bench) -> None:
    bench.trt.tensors = {"frame": ("in", "float"), "stylized": ("out", "uint8")}
    with pytest.raises(ArtmirrorError, match="the plan has the tensors frame, stylized"):
        bench.open()


def test_no_driver_and_old_drivers(bench: Bench, gpu: SimulatedGpu, monkeypatch: pytest.MonkeyPatch) -> None:
    for error, words in [
        (NO_DEVICE, "no NVIDIA GPU or driver"),
        (DRIVER_MISMATCH, "driver is missing or too old"),
    ]:
        gpu.set(init_error=error)
        with pytest.raises(ArtmirrorError, match=words):
            bench.open()
    gpu.set(init_error=0)
    bench.trt.deserialize_error = "cudaError 35: CUDA driver version is insufficient for CUDA runtime version"
    with pytest.raises(ArtmirrorError, match="driver is missing or too old"):
        bench.open()
    with pytest.raises(ArtmirrorError, match=r"no GPU cuda:3: this machine has 1"):
        open_engine(bench.path, size=SIZE, device="cuda:3")
    monkeypatch.setitem(sys.modules, "pycuda.driver", None)
    open_device.cache_clear()
    with pytest.raises(ArtmirrorError, match=r"pip install 'artmirror\[cuda\]'"):
        bench.open()


def test_without_a_driver_nothing_is_to_be_installed(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pycuda.driver", None)
    monkeypatch.setattr(cuda, "_DRIVER_LIBRARY", "libcuda.so.no-such")
    for open_it in (bench.open, lambda: open_engine(find_style("starry"), size=SIZE, device="cuda")):
        with pytest.raises(
            CannotRunHere, match=r"no NVIDIA GPU or driver was found \(libcuda\.so\.no-such: "
        ) as caught:
            open_it()
        assert "pip install" not in caught.value.message


def test_nothing_is_made_without_a_context(gpu: SimulatedGpu) -> None:
    import pycuda.driver  # type: ignore[import-not-found, unused-ignore]

    with pytest.raises(pycuda.driver.Error, match="invalid device context"):
        open_device(0).stream()


# ---- TensorRT for RTX itself: it gets as far as looking for a driver that is new enough


def test_a_driver_that_is_too_old_for_rtx_is_one_line(gpu: SimulatedGpu, tmp_path: Path) -> None:
    pytest.importorskip("tensorrt_rtx")
    gpu.set(driver_version=11000)
    build_real_plan(find_style("starry"), tmp_path / "real.plan", "sm86")
    with pytest.raises(CannotRunHere, match=r"driver is missing or too old.*driver version is insufficient"):
        open_engine(tmp_path / "real.plan", size=SIZE)


def test_bytes_that_are_no_engine_are_refused_with_the_words_of_rtx(gpu: SimulatedGpu, tmp_path: Path) -> None:
    version = pytest.importorskip("tensorrt_rtx").__version__
    write_fake_plan(tmp_path / "real.plan", library="tensorrt_rtx", library_version=version)
    with pytest.raises(PlanMismatch, match=f"tensorrt_rtx {version} refuses the plan, the plan cannot be opened: "):
        open_engine(tmp_path / "real.plan", size=SIZE)


# ---- ONNX Runtime


@pytest.fixture
def ort(gpu: SimulatedGpu, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> FakeOnnxRuntime:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    ort = FakeOnnxRuntime(gpu)
    monkeypatch.setattr(engine_onnxruntime_cuda, "ort", ort)
    return ort


def open_onnx(backend: str = "onnxruntime") -> Any:
    return open_engine(find_style("starry"), size=SIZE, backend=backend, device="cuda")


def test_it_never_goes_on_without_its_provider(ort: FakeOnnxRuntime) -> None:
    ort.started = ["CPUExecutionProvider"]
    with pytest.raises(ArtmirrorError, match="could not start its CUDAExecutionProvider"):
        open_onnx()
    ort.providers = ["CPUExecutionProvider"]
    with pytest.raises(ArtmirrorError, match=r"has no CUDAExecutionProvider.*onnxruntime-gpu"):
        open_onnx()
    with pytest.raises(ArtmirrorError, match=r"has no TensorrtExecutionProvider.*onnxruntime-gpu"):
        open_onnx("onnxruntime-tensorrt")


def test_fp32_is_fp32_and_nothing_is_left_to_the_processor(ort: FakeOnnxRuntime) -> None:
    open_onnx().close()
    open_onnx("onnxruntime-tensorrt").close()
    (entries, alone), (others, both) = ort.sessions
    assert entries["session.disable_cpu_ep_fallback"] == "1"
    assert entries["session.disable_quant_qdq"] == "1"
    assert others == {}  # shapes stay there, and TensorRT has convolutions in INT8
    assert alone["CUDAExecutionProvider"]["use_tf32"] == both["CUDAExecutionProvider"]["use_tf32"] == "0"
    assert both["TensorrtExecutionProvider"]["trt_fp16_enable"] == "False"


def test_a_version_that_leaves_nodes_on_the_processor_is_refused(ort: FakeOnnxRuntime) -> None:
    ort.__version__ = "1.24.4"  # type: ignore[misc]
    with pytest.raises(ArtmirrorError, match=r"onnxruntime 1.24.4 leaves parts .*onnxruntime-gpu>=1.25.1"):
        open_onnx()


def test_the_library_that_is_missing_is_named(ort: FakeOnnxRuntime) -> None:
    ort.started = ["CUDAExecutionProvider", "CPUExecutionProvider"]
    with pytest.raises(ArtmirrorError, match=r"libnvinfer.so.10.*tensorrt-cu13>=10,<11"):
        open_onnx("onnxruntime-tensorrt")
    ort.run_error = "CUDNN_STATUS_NOT_SUPPORTED"
    engine = open_onnx("onnxruntime")
    with pytest.raises(ArtmirrorError, match="Simulated GPU refused") as caught:
        engine.allocate(1)
    assert "lost" not in caught.value.message


def test_tensorrt_as_a_package_is_found(ort: FakeOnnxRuntime, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Its libraries lie where no loader looks; whoever imports the package loads them."""
    (tmp_path / "tensorrt.py").write_text("")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "tensorrt", raising=False)
    open_onnx().close()
    assert "tensorrt" not in sys.modules
    open_onnx("onnxruntime-tensorrt").close()
    assert sys.modules["tensorrt"].__file__ == str(tmp_path / "tensorrt.py")
    monkeypatch.delitem(sys.modules, "tensorrt")


def test_the_pipeline_runs_and_a_failure_is_one_line(ort: FakeOnnxRuntime) -> None:
    pipeline, sink, _ = run(open_onnx(), 12)
    assert sink.ids == list(range(12))
    engine = open_onnx()

    def before(number: int) -> None:
        if number == 5:
            ort.run_error = "Non-zero status code\nCUDA failure 2: out of memory"

    pipeline, sink, _ = run(engine, 500, before=before)
    assert pipeline.failure is not None
    assert "out of memory on Simulated GPU" in pipeline.failure.message
    assert sink.ended == "discarded"


def test_the_installed_one_has_no_cuda(gpu: SimulatedGpu) -> None:
    if "CUDAExecutionProvider" in engine_onnxruntime_cuda.ort.get_available_providers():
        pytest.skip("it has")
    with pytest.raises(ArtmirrorError, match="onnxruntime-gpu"):
        open_onnx()
