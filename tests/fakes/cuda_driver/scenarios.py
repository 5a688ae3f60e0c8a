"""What is done on the simulated machine in a process of its own, since its end or its misuses count:

python -m tests.fakes.cuda_driver.scenarios NAME PLAN
"""

import sys
import threading
import time
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

import click
import numpy as np

from artmirror.runtime.engines.base import stylize
from artmirror.runtime.engines.cuda import CudaEngine
from artmirror.runtime.engines.cuda_device import open_device
from artmirror.runtime.engines.open import open_engine
from artmirror.runtime.pipeline import Pipeline
from tests.fakes.cuda_driver.gpu import SimulatedGpu
from tests.fakes.ends import SIZE, CollectingSink, CountingSource


def open_plan(plan: Path) -> CudaEngine:
    engine = open_engine(plan, size=SIZE)
    assert isinstance(engine, CudaEngine)
    return engine


def pipeline(plan: Path) -> None:
    """The runtime's own threads, and an end as it should be."""
    source, sink = CountingSource(200), CollectingSink()
    running = Pipeline(source, engine := open_plan(plan), [sink])
    with closing(engine):
        running.run()
    assert running.failure is None
    assert sink.ids == list(range(200))


def held_to_the_end(plan: Path) -> None:
    """Nobody closes anything, and a thread still holds a slot when the process ends."""
    engine = open_plan(plan)
    slots = engine.allocate(2)
    stylize(engine, slots[0])
    threading.Thread(target=lambda held: time.sleep(100), args=(slots[1],), daemon=True).start()
    globals()["kept"] = engine, slots


def lost_with_its_context(plan: Path) -> None:
    """The context cannot even be taken off a thread, of which pycuda would end the process."""
    gpu = SimulatedGpu()

    def before(number: int) -> None:
        if number == 20:
            gpu.lose(context_too=True)

    source, sink = CountingSource(1000, before=before), CollectingSink()
    running = Pipeline(source, engine := open_plan(plan), [sink])
    with closing(engine):
        running.run()
    engine.close()
    assert running.failure is not None
    assert engine.device.lost
    click.echo(running.failure.message)
    assert sink.ids == list(range(len(sink.ids)))


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
    scenario.__name__: scenario for scenario in (pipeline, held_to_the_end, lost_with_its_context, misuses)
}


if __name__ == "__main__":
    SCENARIOS[sys.argv[1]](Path(sys.argv[2]))
