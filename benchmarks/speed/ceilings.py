"""The machine's own roofs, measured: how fast it copies, and how fast it multiplies matrices.

Both with libraries that do it as well as anybody: NumPy's copy in as many threads as the engine has, and a product of
square matrices by OpenVINO, in every precision that it computes on this processor.
"""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import numpy as np
import openvino as ov

from artmirror.benchmarks.records.environment import usable_cores
from artmirror.benchmarks.records.speed import Ceilings
from artmirror.runtime.engines.openvino import shared_core

COPY_BYTES = 256 << 20  # far more than caches hold; written once more to its copy
MATRIX_SIDE = 2048
_TRIES = 3  # of each round, of which the best counts: a roof is what the machine can do


def measure_ceilings(threads: int | None, rounds: int, should_stop: Callable[[], bool] = lambda: False) -> Ceilings:
    """Measure all roofs `rounds` times.

    Args:
        threads: As the engine's; None lets OpenVINO choose for the products, and takes all usable cores for the copy.
        should_stop: Asked between rounds; then fewer values come back, at least one of each.
    """
    core = shared_core()
    products = {"fp32": _compile_product(core, "f32", threads)}
    if "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        with suppress(RuntimeError):  # the processor has it, and ONEDNN_MAX_CPU_ISA forbids it
            products["bf16"] = _compile_product(core, "bf16", threads)
    copied: list[float] = []
    multiplied: dict[str, list[float]] = {name: [] for name in products}
    left = np.random.default_rng(0).standard_normal((MATRIX_SIDE, MATRIX_SIDE), np.float32)
    copy_threads = threads or usable_cores()
    source, target = np.ones(COPY_BYTES, np.uint8), np.zeros(COPY_BYTES, np.uint8)
    parts = list(zip(np.array_split(source, copy_threads), np.array_split(target, copy_threads), strict=True))
    with ThreadPoolExecutor(copy_threads) as pool:
        for _ in range(rounds):
            copied.append(
                2 * COPY_BYTES / _best_s(lambda: list(pool.map(lambda part: np.copyto(part[1], part[0]), parts)))
            )
            for name, request in products.items():
                multiplied[name].append(2 * MATRIX_SIDE**3 / _best_s(lambda: request.infer([left])))  # noqa: B023
            if should_stop():
                break
    return Ceilings(
        threads=threads,
        copy_bytes_per_s=tuple(copied),
        product_flop_per_s={name: tuple(values) for name, values in multiplied.items()},
    )


def _compile_product(core: Any, precision: str, threads: int | None) -> Any:
    """A request that multiplies its input with a constant matrix, as a network does with its weights."""
    opset = ov.opset13
    left = opset.parameter([MATRIX_SIDE, MATRIX_SIDE], np.float32)
    weights = np.random.default_rng(1).standard_normal((MATRIX_SIDE, MATRIX_SIDE), np.float32)
    model = ov.Model([opset.matmul(left, opset.constant(weights), False, False)], [left])
    properties: dict[str, Any] = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": precision}
    if threads is not None:
        properties["INFERENCE_NUM_THREADS"] = threads
    request = core.compile_model(model, "CPU", properties).create_infer_request()
    request.infer([np.zeros((MATRIX_SIDE, MATRIX_SIDE), np.float32)])  # warm
    return request


def _best_s(work: Callable[[], object]) -> float:
    times_ns = []
    for _ in range(_TRIES):
        started_ns = time.monotonic_ns()
        work()
        times_ns.append(time.monotonic_ns() - started_ns)
    return min(times_ns) / 1e9
