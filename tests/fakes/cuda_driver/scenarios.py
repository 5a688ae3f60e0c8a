"""What is done on the simulated machine, each in a process of its own:

python -m tests.fakes.cuda_driver.scenarios NAME PLAN
"""

import gc
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import click
import numpy as np

from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.runtime.engines import cuda_device
from artmirror.runtime.engines.base import Look, stylize
from artmirror.runtime.engines.cuda import CudaEngine
from artmirror.runtime.engines.cuda_device import open_device
from artmirror.runtime.engines.cuda_graph import CudaGraph
from artmirror.runtime.engines.open import open_engine
from artmirror.runtime.pipeline import Pipeline
from tests.fakes.cuda_driver.gpu import SimulatedGpu
from tests.fakes.ends import SIZE, CollectingSink, CountingSource


def open_plan(plan: Path) -> CudaEngine:
    engine = open_engine(plan, size=SIZE)
    assert isinstance(engine, CudaEngine)
    return engine


def three_slots(plan: Path) -> None:
    """Every result belongs to its frame and its strength, with three slots taking turns and two in flight."""
    rng = np.random.default_rng(0)
    with closing(open_plan(plan)) as engine:
        click.echo(engine.describe().note)
        free = deque(engine.allocate(3))
        click.echo(engine.describe().note)
        in_flight: deque[Any] = deque()
        for _ in range(300):
            slot = free.popleft()
            slot.frame[:] = rng.integers(0, 256, slot.frame.shape, np.uint8)
            strength = float(rng.choice([0, 0.25, 1]))
            before = slot.frame.astype(np.float32)
            engine.submit(slot, Look(strength))
            in_flight.append((slot, before + strength * (255 - 2 * before)))
            if len(in_flight) == 2:
                free.append(_check(engine, *in_flight.popleft()))
        while in_flight:
            _check(engine, *in_flight.popleft())


def _check(engine: CudaEngine, slot: Any, wanted: np.ndarray) -> Any:
    engine.wait(slot)
    assert np.abs(slot.stylized - wanted).max() <= 1, "a result of another frame, or a torn one"
    return slot


def pipeline(plan: Path) -> None:
    """The runtime's own threads."""
    source, sink = CountingSource(200), CollectingSink()
    running = Pipeline(source, engine := open_plan(plan), [sink])
    with closing(engine):
        running.run()
    assert running.failure is None
    assert sink.ids == list(range(200))


def many_threads(plan: Path) -> None:
    """Opened, used, closed and let go of by four threads."""
    held: dict[str, Any] = {}

    def use() -> None:
        held["slots"] = held["engine"].allocate(2)
        stylize(held["engine"], held["slots"][0])

    for work in (
        lambda: held.update(engine=open_plan(plan)),
        use,
        lambda: held["engine"].close(),
        held.clear,
    ):
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()


def closed_while_it_waits(plan: Path) -> None:
    """Closing does not wait for a thread that hangs in the driver, and frees nothing under it."""
    engine = open_plan(plan)
    (slot,) = engine.allocate(1)
    sys.modules["tensorrt"].owner.delay_us = 700_000  # of the graphs that are captured from now on
    (slow,) = engine.allocate(1)
    thread = threading.Thread(target=stylize, args=(engine, slow))
    thread.start()
    time.sleep(0.1)
    engine.close()
    click.echo("closed" if thread.is_alive() else "closing waited")
    assert SimulatedGpu().counts()["device_memory"] > 0
    thread.join()
    del slot, slow, thread, engine
    gc.collect()


def held_to_the_end(plan: Path) -> None:
    """Nobody closes anything, and a thread still holds a slot when the process ends."""
    engine = open_plan(plan)
    slots = engine.allocate(2)
    stylize(engine, slots[0])
    threading.Thread(target=lambda held: time.sleep(100), args=(slots[1],), daemon=True).start()
    globals()["kept"] = engine, slots


def out_of_memory(plan: Path) -> None:
    engine = open_plan(plan)
    try:
        engine.allocate(30)
    except ArtmirrorError as error:
        click.echo(error.message)
    engine.close()
    with closing(open_plan(plan)) as engine:  # it goes on, with less
        stylize(engine, engine.allocate(1)[0])
        click.echo(f"lost: {open_device(0).lost}")


def lost_in_the_middle(plan: Path, *, context_too: bool = False) -> None:
    gpu = SimulatedGpu()

    def before(number: int) -> None:
        if number == 20:
            gpu.lose(context_too=context_too)

    source, sink = CountingSource(1000, before=before), CollectingSink()
    running = Pipeline(source, engine := open_plan(plan), [sink])
    with closing(engine):
        running.run()
    engine.close()
    assert running.failure is not None
    click.echo(running.failure.message)
    assert sink.ids == list(range(len(sink.ids)))


def lost_with_its_context(plan: Path) -> None:
    lost_in_the_middle(plan, context_too=True)


def failed_captures(plan: Path) -> None:
    """A capture that fails is ended: the stream goes on working."""
    device = open_device(0)
    with device:
        stream = device.stream()
        array = device.page_locked((4,), np.uint8)
        buffer = device.memory(4)

        def allocate() -> None:
            device.memory(4)

        for work in (allocate, stream.synchronize, lambda: 1 / 0):
            try:
                CudaGraph(int(stream.handle), work)
            except Exception as error:
                click.echo(type(error).__name__)
            array[:] = 7
            device.copy_in(array, buffer, stream)
            array_back = device.page_locked((4,), np.uint8)
            device.copy_out(buffer, array_back, stream)
            stream.synchronize()
            assert (array_back == 7).all()
        del stream, array, array_back, buffer


def few_processors(plan: Path) -> None:
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    with closing(open_plan(plan)) as engine:
        stylize(engine, engine.allocate(1)[0])


def many_processors(plan: Path) -> None:
    cuda_device.processors = lambda: 16
    with closing(open_plan(plan)) as engine:
        stylize(engine, engine.allocate(1)[0])


def misuses(plan: Path) -> None:
    """What the simulated driver has to notice; a driver that forgives everything would prove nothing."""
    device = open_device(0)
    with device:
        stream, event, buffer = device.stream(), device.event(), device.memory(1000)
        with suppress(Exception):
            device.copy_in(np.zeros(1000, np.uint8), buffer, stream)
        with suppress(Exception):
            device.copy_in(device.page_locked((2000,), np.uint8), buffer, stream)
        for _ in range(20):  # the stream is behind by then
            device.copy_in(array := device.page_locked((1000,), np.uint8), buffer, stream)
        del array
        stream.synchronize()
        import pycuda.driver

        with suppress(pycuda.driver.Error):
            pycuda.driver.Stream(0)
        from cuda.bindings import driver

        handle = driver.CUstream(int(stream.handle))
        driver.cuStreamEndCapture(handle)
        driver.cuGraphLaunch(driver.CUgraphExec(1), handle)
        del stream, event, buffer


SCENARIOS: dict[str, Callable[[Path], None]] = {
    scenario.__name__: scenario
    for scenario in (
        three_slots,
        pipeline,
        many_threads,
        closed_while_it_waits,
        held_to_the_end,
        out_of_memory,
        lost_in_the_middle,
        lost_with_its_context,
        failed_captures,
        few_processors,
        many_processors,
        misuses,
    )
}


if __name__ == "__main__":
    SCENARIOS[sys.argv[1]](Path(sys.argv[2]))
