"""Opens what st-bench is to measure: every file with every back end that takes it, at every size."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

from artmirror.benchmarks.speed.gpu_scenarios import ComputeOnly, ComputesAlone
from artmirror.benchmarks.speed.inputs import Inputs, open_inputs, source_label
from artmirror.benchmarks.speed.rounds import Candidate
from artmirror.benchmarks.speed.scenarios import EngineOnly, KeptSlots, Scenario, WholePipeline, WithTransfers
from artmirror.benchmarks.speed.start_probe import Request
from artmirror.benchmarks.speed.starts import StartUp
from artmirror.benchmarks.speed.workload import read_workload
from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.runtime.engines.base import Engine
from artmirror.runtime.engines.open import choose_backend, open_engine

START_FRAMES = 10  # painted after the first one of a fresh process: memory stands still by then

_HOLDS = {  # by kind of device: what the engine's times and those with transfers are times of
    "cpu": (
        "from frames in the engine's own memory to results there",
        "with a copy of each frame into the engine's memory and of its result out of it: a processor has nothing else "
        "to transfer",
    ),
    "vulkan": (
        "with the copies to the GPU and back, which this back end does not tell apart",
        "with a copy of each frame into the engine's memory and of its result out of it as well",
    ),
}
_ALONE = "the GPU's work on frames that it has already"
_TO_GPU_AND_BACK = "from page-locked memory to the GPU and back, neighbouring frames overlapping"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be measured, as the command line says it."""

    paths: tuple[Path, ...]
    sizes: tuple[tuple[int, int], ...]  # (H, W)
    backends: tuple[str | None, ...]  # None goes by the file
    scenarios: tuple[str, ...]
    device: str | None
    threads: int | None
    full_precision: bool
    input_uri: str | None
    count_workload: bool  # on processors


def open_candidates(stack: ExitStack, wanted: Wanted, tell: Callable[[str], None]) -> tuple[list[Candidate], list[str]]:
    """Open all engines; `stack` closes them.

    Args:
        tell: Gets a line before each engine, since some take their time.

    Returns:
        The candidates, and what of the request cannot be measured, a line each.

    Raises:
        ArtmirrorError: a file cannot be opened at any size, or nothing is left to be measured.
    """
    ways, omissions = _ways(wanted)
    inputs = {size: open_inputs(wanted.input_uri, size) for size in wanted.sizes}
    omissions += _without(wanted, inputs[wanted.sizes[0]])
    candidates = []
    left = dict.fromkeys(ways, len(wanted.sizes))  # sizes at which a way may still be opened
    for size in wanted.sizes:
        for path, backend in ways:
            at = f" at {size[1]}x{size[0]}" if len(wanted.sizes) > 1 else ""
            tell(f"opening {path.name}{at}" + (f" with {backend}" if backend else ""))
            try:
                candidates.append(_open(stack, wanted, path, backend, size, inputs[size]))
            except ArtmirrorError as error:  # as a plan of another size; one that fails at all sizes is an error
                left[path, backend] -= 1
                if not left[path, backend]:
                    raise
                omissions.append(str(error.message))
    if not any(candidate.scenarios or candidate.starter for candidate in candidates):
        raise ArtmirrorError(f"nothing is left to be measured: {'; '.join(omissions)}")
    return candidates, omissions


def _ways(wanted: Wanted) -> tuple[list[tuple[Path, str | None]], list[str]]:
    """Each file with the back ends that take it; a file that none of them takes is an error."""
    ways: list[tuple[Path, str | None]] = []
    omissions = []
    for path in wanted.paths:
        fitting, errors = [], []
        for backend in wanted.backends:
            try:
                choose_backend(path, backend, wanted.device)
                fitting.append(backend)
            except ArtmirrorError as error:
                errors.append(error)
        if not fitting:
            raise errors[0]
        ways += [(path, backend) for backend in fitting]
        omissions += [str(error.message) for error in errors]
    return ways, omissions


def _without(wanted: Wanted, inputs: Inputs) -> Iterator[str]:
    if "pipeline" in wanted.scenarios and inputs.pipeline is None:
        yield f"pipeline: {source_label(wanted.input_uri or '')} paces itself, so it can only be live"
    if "live" in wanted.scenarios and inputs.live is None:
        label = source_label(wanted.input_uri or "")
        yield f"live: {label} has no pace of its own; name a video, a camera or synthetic:640x360@30"


def _open(
    stack: ExitStack, wanted: Wanted, path: Path, backend: str | None, size: tuple[int, int], inputs: Inputs
) -> Candidate:
    device = choose_backend(path, backend, wanted.device).device
    opened = open_engine(
        path,
        size=size,
        backend=backend,
        device=wanted.device,
        threads=wanted.threads,
        full_precision=wanted.full_precision,
    )
    kept = stack.enter_context(closing(KeptSlots(opened)))
    request = Request(
        path=str(path.absolute()),
        height=size[0],
        width=size[1],
        backend=backend,
        device=wanted.device,
        threads=wanted.threads,
        full_precision=wanted.full_precision,
        frames=START_FRAMES,
    )
    counted = wanted.count_workload and path.suffix == ".onnx" and device == "cpu"
    return Candidate(
        path.stem,
        kept,
        wanted.threads,
        tuple(_scenarios(wanted.scenarios, opened, kept, device, inputs)),
        read_workload(path, size) if counted else None,
        StartUp(request) if "startup" in wanted.scenarios else None,
    )


def _scenarios(
    names: Sequence[str], opened: Engine, kept: KeptSlots, device: str, inputs: Inputs
) -> Iterator[Scenario]:
    alone, transferred = _HOLDS.get(device, ("", ""))
    if "engine" in names:
        if isinstance(opened, ComputesAlone):
            yield ComputeOnly(kept, inputs.picture, opened, _ALONE)
        else:
            yield EngineOnly(kept, inputs.picture, alone)
    if "transfers" in names:
        if isinstance(opened, ComputesAlone):
            yield EngineOnly(kept, inputs.picture, _TO_GPU_AND_BACK, name="transfers")
        else:
            yield WithTransfers(kept, inputs.picture, transferred)
    if "pipeline" in names and inputs.pipeline is not None:
        yield WholePipeline(kept, inputs.pipeline.open_source, inputs.pipeline.label, live=False)
    if "live" in names and inputs.live is not None:
        yield WholePipeline(kept, inputs.live.open_source, inputs.live.label, live=True)
