"""starry.onnx -> starry.plan: one builder for every TensorRT that is in use.

The network is strongly typed: its precision is what the ONNX says, FP16 around FP32 normalisation as `fp16` chose it,
and no builder flag adds to it. After the build the precision of every convolution is read back from the plan.
"""

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from artmirror.export.plan.layers import read_layers
from artmirror.export.plan.library import (
    CURRENT,
    INSTALL,
    BuildProgress,
    Library,
    message_logger,
    progress_monitor,
)
from artmirror.runtime.common.cache import cache_file, read_cache, write_cache
from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.runtime.common.pixels import SMALLEST_SIDE
from artmirror.runtime.engines.cuda_device import Gpu
from artmirror.runtime.formats.manifest import Manifest, read_manifest
from artmirror.runtime.formats.plan import PlanInfo, SizeRange, sizes_taken, write_plan

_MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class BuildOptions:
    """How to build."""

    sizes: SizeRange
    targets: tuple[str, ...] = (CURRENT,)  # or names like "sm86"
    version_compatible: bool = False
    hardware_compatible: bool = False
    workspace_mib: int | None = None  # device memory that a layer may use; None for the library's own limit


@dataclass(frozen=True, slots=True)
class BuildReport:
    """What was built, and how far its precision is known."""

    manifest: Manifest
    info: PlanInfo
    convolutions: int
    read_back: int  # of them, those whose precision was read from the plan
    source: str  # of `PlanLayers`; empty where nothing was read, and only the network's own types are known


def plan_obstacle(
    library: Library | None, gpu: Gpu | None, targets: tuple[str, ...], wanted: str | None = None
) -> str | None:
    """One line that says why no plan can be built here and what to do, or None where one can.

    Args:
        library: What was found.
        wanted: The one of `LIBRARIES` that was looked for, or None for any.
    """
    if library is None:
        if wanted:
            return f"{wanted} is not installed; {INSTALL[wanted]}"
        return f"no TensorRT is installed; for a plan, {INSTALL['tensorrt']} or {INSTALL['tensorrt_rtx']}"
    if CURRENT in targets and gpu is None:
        way = (
            f"for one elsewhere add --target, which takes {', '.join(library.targets)}"
            if library.targets
            else f"for one elsewhere, {INSTALL['tensorrt_rtx']} and add --target"
        )
        return f"there is no GPU here to build a plan for; {way}"
    if CURRENT in targets and gpu is not None and library.targets:
        mine = "sm{}{}".format(*gpu.compute_capability)
        if mine not in library.targets:  # a data-centre card: TensorRT for RTX has no kernels for it
            return (
                f"{library.name} builds for {', '.join(library.targets)}, and {gpu.name} is {mine}; "
                f"{INSTALL['tensorrt']}, which builds for it"
            )
    return None


def build_plan(
    onnx_path: Path,
    plan_path: Path,
    options: BuildOptions,
    *,
    library: Library,
    gpu: Gpu | None,
    progress: BuildProgress,
    verbose: bool = False,
) -> BuildReport:
    """Build an engine, read its precision back, and write it with its manifest.

    What is verified: the network's tensors and the type of every convolution as the library parsed them, always; the
    precision of the convolutions inside the plan where `read_layers` finds them, which `BuildReport.read_back` counts.

    Args:
        gpu: The one at hand, or None; with None, `options.targets` has to name others.
        verbose: Print the library's messages.

    Raises:
        ArtmirrorError: the ONNX is not ours or damaged, sizes or targets do not fit, the library refuses, or FP16 was
            asked for and FP32 came out; then nothing is written.
    """
    obstacle = plan_obstacle(library, gpu, options.targets)
    if obstacle:
        raise ArtmirrorError(obstacle)
    manifest = read_manifest(onnx_path)
    if manifest.precision == "int8":
        raise ArtmirrorError(f"{onnx_path} is INT8 for processors; for a plan, export the checkpoint with --fp16")
    _check_sizes(options.sizes, manifest, onnx_path)
    data = onnx_path.read_bytes()
    trt = library.trt
    logger = message_logger(trt, verbose)
    builder = trt.Builder(logger)
    network = _parse(data, onnx_path, builder, logger, trt)
    convolutions = _convolutions(network, trt)
    if manifest.precision == "fp16":
        low = [name for name, kind in convolutions.items() if kind != trt.DataType.HALF]
        if low:
            raise ArtmirrorError(f"{library.name} parsed {', '.join(low)} as FP32, though {onnx_path} says FP16")
    config = _configure(builder, network, options, library)
    targets = [gpu.name if target == CURRENT and gpu else target for target in options.targets]
    timing = cache_file(
        "timing",
        graph_sha256=manifest.graph_sha256,
        library=library.name,
        library_version=library.version,
        gpu="+".join(targets),
    )
    cached = _use_timing_cache(config, timing, library)
    monitor = progress_monitor(trt, progress)
    if monitor is not None:
        config.progress_monitor = monitor
    serialised = builder.build_serialized_network(network, config)
    if serialised is None:
        reason = logger.errors[-1].splitlines()[0] if logger.errors else "it says nothing more"
        raise ArtmirrorError(f"{library.name} {library.version} did not build {plan_path.name}: {reason}")
    if cached:
        write_cache(timing, config.get_timing_cache().serialize())
    engine = bytes(serialised)
    layers = read_layers(engine, library)
    found = layers.precisions(list(convolutions))
    wrong = [name for name, precision in found.items() if precision != manifest.precision]
    if wrong:
        raise ArtmirrorError(
            f"{library.name} {library.version} built {len(wrong)} of {len(convolutions)} convolutions "
            f"({wrong[0]}, ...) in {found[wrong[0]]} where {manifest.precision} was asked for; "
            f"{plan_path} was not written"
        )
    manifest = _of_sizes(manifest, options.sizes)
    info = write_plan(plan_path, manifest, _plan_info(data, options, targets, library), engine)
    return BuildReport(manifest, info, len(convolutions), len(found), layers.source)


def _check_sizes(sizes: SizeRange, manifest: Manifest, onnx_path: Path) -> None:
    if min(sizes.smallest) < SMALLEST_SIDE:
        raise ArtmirrorError(f"the sizes are {sizes}; at least {SMALLEST_SIDE}x{SMALLEST_SIDE} is wanted")
    if not sizes.is_ordered:
        raise ArtmirrorError(f"the sizes are {sizes}; wanted the smallest first, in height and in width")
    taken = sizes_taken(manifest, None)
    if taken not in (None, sizes):
        raise ArtmirrorError(f"{onnx_path} is fixed to {taken}; a plan of it cannot be for {sizes}")


def _parse(data: bytes, onnx_path: Path, builder: Any, logger: Any, trt: Any) -> Any:
    flags = 0
    # Where the flag is gone, every network is strongly typed.
    if hasattr(trt.NetworkDefinitionCreationFlag, "STRONGLY_TYPED"):
        flags |= 1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
    network = builder.create_network(flags)
    parser = trt.OnnxParser(network, logger)
    if not parser.parse(data):
        error = parser.get_error(0)
        reason = error.desc().splitlines()[0]
        raise ArtmirrorError(
            f"{trt.__name__} {trt.__version__} cannot read {onnx_path}: {reason} (node {error.node()})"
        )
    return network


def _convolutions(network: Any, trt: Any) -> dict[str, Any]:
    """ONNX node of each convolution -> the type of its input, as the library parsed it."""
    kinds = (trt.LayerType.CONVOLUTION, trt.LayerType.DECONVOLUTION)
    layers = (network.get_layer(index) for index in range(network.num_layers))
    return {layer.name: layer.get_input(0).dtype for layer in layers if layer.type in kinds}


def _configure(builder: Any, network: Any, options: BuildOptions, library: Library) -> Any:
    trt = library.trt
    config = builder.create_builder_config()
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED  # else the inspector tells no types
    config.clear_flag(trt.BuilderFlag.TF32)  # FP32 means FP32; who wants speed exports with --fp16
    if options.workspace_mib is not None:
        config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, options.workspace_mib * _MIB)
    if options.version_compatible:
        if library.targets or not hasattr(trt.BuilderFlag, "VERSION_COMPATIBLE"):  # RTX has the flag, and no such plans
            raise ArtmirrorError(
                f"{library.name} {library.version} has no version-compatible plans; leave out --version-compatible"
            )
        config.set_flag(trt.BuilderFlag.VERSION_COMPATIBLE)
    if options.hardware_compatible:
        levels = getattr(trt, "HardwareCompatibilityLevel", None)
        if levels is not None:
            config.hardware_compatibility_level = levels.AMPERE_PLUS
        if levels is None or config.hardware_compatibility_level != levels.AMPERE_PLUS:  # RTX takes it and forgets it
            raise ArtmirrorError(
                f"{library.name} {library.version} has no hardware-compatible plans; name the GPUs with --target"
            )
    if library.targets:
        config.num_compute_capabilities = len(options.targets)
        for index, target in enumerate(options.targets):
            config.set_compute_capability(getattr(trt.ComputeCapability, target.upper()), index)
    if library.targets and hasattr(trt.BuilderFlag, "REQUIRE_USER_ALLOCATION"):
        # With a range of sizes RTX else allocates while it runs, and such a run is not captured as a CUDA graph.
        config.set_flag(trt.BuilderFlag.REQUIRE_USER_ALLOCATION)
    profile = builder.create_optimization_profile()
    for index in range(network.num_inputs):
        tensor = network.get_input(index)
        if -1 in tuple(tensor.shape):
            profile.set_shape(tensor.name, *((1, height, width, 3) for height, width in options.sizes.as_tuple()))
    config.add_optimization_profile(profile)
    return config


def _use_timing_cache(config: Any, path: Path, library: Library) -> bool:
    """Whether there is a cache to write after the build. An ahead-of-time builder times nothing on a GPU."""
    if library.targets or not hasattr(config, "create_timing_cache"):
        return False
    cache = config.create_timing_cache(read_cache(path))
    return bool(config.set_timing_cache(cache, False))


def _of_sizes(manifest: Manifest, sizes: SizeRange) -> Manifest:
    height, width = sizes.best if sizes.is_one else (None, None)
    return replace(manifest, height=height, width=width)


def _plan_info(data: bytes, options: BuildOptions, targets: list[str], library: Library) -> PlanInfo:
    low, best, high = (None if options.sizes.is_one else size for size in options.sizes.as_tuple())
    return PlanInfo(
        library=library.name,
        library_version=library.version,
        targets=targets,
        min_size=low,
        opt_size=best,
        max_size=high,
        version_compatible=options.version_compatible,
        hardware_compatible=options.hardware_compatible,
        onnx_sha256=hashlib.sha256(data).hexdigest(),
    )
