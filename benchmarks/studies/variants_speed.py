"""Times networks in every library that runs them on a processor, all in turn, so that a busy minute hits all alike."""

from collections.abc import Sequence
from contextlib import ExitStack, closing
from pathlib import Path

from artmirror.benchmarks.records.environment import read_environment
from artmirror.benchmarks.records.speed import Session
from artmirror.benchmarks.speed.ceilings import measure_ceilings
from artmirror.benchmarks.speed.rounds import Candidate, measure
from artmirror.benchmarks.speed.scenarios import EngineOnly, KeptSlots
from artmirror.benchmarks.speed.workload import read_workload
from artmirror.runtime.common.pixels import Pixels
from artmirror.runtime.engines.open import open_engine
from artmirror.runtime.formats.ncnn import ncnn_pair


def measure_variants(
    files: Sequence[Path],
    picture: Pixels,
    threads: int,
    *,
    rounds: int,
    frames: int,
) -> Session:
    """Time OpenVINO as it chooses and in FP32, ONNX Runtime, and ncnn where NAME.ncnn.param lies beside NAME.onnx.

    The engines alone, as `st-bench` measures them; the record is one of its own.

    Args:
        files: The .onnx files.
        picture: (H, W, 3) uint8 BGR; its size is the frames'.
        rounds, frames: As of `st-bench`.

    Raises:
        ArtmirrorError: a file cannot be opened, or a library failed.
    """
    environment = read_environment()
    size = (picture.shape[0], picture.shape[1])
    candidates = []
    with ExitStack() as stack:
        for file in files:
            ways = [(file, "openvino", False), (file, "openvino", True), (file, "onnxruntime", False)]
            param, _ = ncnn_pair(file.with_suffix(""))
            if param.exists():
                ways.append((param, "ncnn", False))
            workload = read_workload(file, size)
            for path, backend, full_precision in ways:
                opened = open_engine(
                    path, size=size, backend=backend, device="cpu", full_precision=full_precision, threads=threads
                )
                engine = stack.enter_context(closing(KeptSlots(opened)))
                candidates.append(Candidate(file.stem, engine, threads, (EngineOnly(engine, picture),), workload))
        records = measure(candidates, rounds=rounds, frames=frames)
    return Session(environment=environment, records=records, ceilings=measure_ceilings(threads, rounds))
