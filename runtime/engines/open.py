"""Opens an engine file with the back end that suits it, and says why that one."""

import logging
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, cast

from artmirror.runtime.common.errors import ArtmirrorError, CannotRunHere
from artmirror.runtime.common.pixels import SMALLEST_SIDE
from artmirror.runtime.engines.base import Engine
from artmirror.runtime.engines.rebuild import PlanMismatch, onnx_of_plan, rebuild_advice, rebuild_plan
from artmirror.runtime.engines.vulkan_device import NO_DRIVER, find_vulkan_device, vulkan_devices
from artmirror.runtime.formats.kind import EngineKind, kind_of, read_any_manifest
from artmirror.runtime.formats.plan import SizeRange, sizes_taken

if TYPE_CHECKING:  # imports OpenVINO
    from artmirror.runtime.engines.tiled import TiledEngine


@dataclass(frozen=True, slots=True)
class Choice:
    """Which back end on which device, and why."""

    backend: str
    device: str  # cpu, cuda or vulkan
    ordinal: int  # of the GPU
    reason: str


# (name, kind of device) -> module and its function that opens a file. Imported when used, since each is heavy.
_OPENERS = {
    ("openvino", "cpu"): ("artmirror.runtime.engines.openvino", "open_file"),
    ("onnxruntime", "cpu"): ("artmirror.runtime.engines.onnxruntime", "open_file"),
    ("onnxruntime", "cuda"): ("artmirror.runtime.engines.onnxruntime_cuda", "open_file"),
    ("onnxruntime-tensorrt", "cuda"): ("artmirror.runtime.engines.onnxruntime_cuda", "open_file_tensorrt"),
    ("tensorrt", "cuda"): ("artmirror.runtime.engines.tensorrt", "open_file"),
    ("ncnn", "vulkan"): ("artmirror.runtime.engines.ncnn", "open_file_vulkan"),
    ("ncnn", "cpu"): ("artmirror.runtime.engines.ncnn", "open_file"),
    ("strokes", "cpu"): ("artmirror.runtime.engines.strokes", "open_file"),
    ("frames", "cpu"): ("artmirror.runtime.engines.frames", "open_file"),
}
_WITHOUT_NETWORK = {
    EngineKind.STROKES: Choice("strokes", "cpu", 0, "brush strokes, without a network"),
    EngineKind.FRAMES: Choice("frames", "cpu", 0, "frames that were painted before"),
}
_NO_BACKENDS = tuple(choice.backend for choice in _WITHOUT_NETWORK.values())
BACKENDS = tuple(dict.fromkeys(name for name, _ in _OPENERS if name not in _NO_BACKENDS))

BYTES_PER_PIXEL = 320  # that the largest network takes at work, measured

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Opened:
    """An engine that was opened for a show."""

    engine: Engine
    path: Path  # its file, which may be another one than was asked for
    reason: str  # why this back end
    tiled: "TiledEngine | None" = None  # the engine, where it paints in tiles


def open_engine(
    path: Path,
    *,
    size: tuple[int, int],
    backend: str | None = None,
    device: str | None = None,
    full_precision: bool = False,
    threads: int | None = None,
) -> Engine:
    """Check the file's manifest and make its network ready.

    Args:
        size: (H, W) of the frames to come.
        backend: One of `BACKENDS`; None goes by the file and the device.
        device: `cpu`, `cuda`, `cuda:N`, `vulkan`, `vulkan:N` or `vulkan:NAME`, a part of the device's name; None goes
            by the file and the back end.
        full_precision: Compute in FP32 where the device would choose less by itself.
        threads: Processor threads; None lets the library choose.

    Raises:
        CannotRunHere: the file needs another GPU, driver or library.
        ArtmirrorError: no such file, not ours, damaged, of another size, or the back end cannot run it.
    """
    return _open(path, size, choose_backend(path, backend, device), full_precision, threads)


def open_for_show(
    path: Path,
    *,
    size: tuple[int, int],
    backend: str | None = None,
    device: str | None = None,
    threads: int | None = None,
    rebuild: bool = False,
    memory: int | None = None,
) -> Opened:
    """As `open_engine`, with a way out where a plan does not fit this machine.

    A plan of another TensorRT or GPU is built again if `rebuild` says so. Else the ONNX of the same name beside a plan
    is used on the CPU, with a warning, if it is the same network, and unless back end or device were asked for.

    Args:
        memory: Bytes that a network on the processor may take; larger frames are painted in tiles. None for no limit.

    Raises:
        ArtmirrorError: as `open_engine`, with the command that builds the plan again.
    """
    choice = choose_backend(path, backend, device)
    need = size[0] * size[1] * BYTES_PER_PIXEL
    if memory is not None and choice.device == "cpu" and choice.backend not in _NO_BACKENDS and need > memory:
        return _open_tiled(path, size, choice, threads, memory)
    try:
        return Opened(_open(path, size, choice, False, threads), path, choice.reason)
    except CannotRunHere as error:
        message = str(error.message)
        if isinstance(error, PlanMismatch):
            if rebuild:
                _log.warning("%s; it is built again", message)
                rebuild_plan(path)
                return Opened(_open(path, size, choice, False, threads), path, choice.reason)
            message += f"; {rebuild_advice(path)}"
        onnx = onnx_of_plan(path) if choice.backend == "tensorrt" and backend is None and device is None else None
        if onnx is not None:
            _log.warning("%s. Going on slower, with %s on the CPU.", message, onnx.name)
            engine = _open(onnx, size, choose_backend(onnx, None, "cpu"), False, threads)
            return Opened(engine, onnx, f"{path.name} cannot run here")
        raise ArtmirrorError(message) from error


def _open_tiled(path: Path, size: tuple[int, int], choice: Choice, threads: int | None, memory: int) -> Opened:
    told = f"{size[1]}x{size[0]} takes about {size[0] * size[1] * BYTES_PER_PIXEL / 1e9:.1f} GB at once"
    if choice.backend != "openvino":
        raise ArtmirrorError(
            f"{told}, and {memory / 1e9:.1f} GB may be taken: take the .onnx with --backend openvino, which paints in "
            "tiles, or --size, or a larger --memory"
        )
    manifest, info = read_any_manifest(path)
    _check_size(path, sizes_taken(manifest, info), size)
    if manifest.has_memory:
        raise ArtmirrorError(f"{told}, and {path.name} has a memory, which does not go in tiles: use --steady off")
    from artmirror.runtime.engines.tiled import TiledEngine

    engine = TiledEngine(path, manifest, size, memory // BYTES_PER_PIXEL, threads)
    return Opened(engine, path, f"{told}, more than {memory / 1e9:.1f} GB", engine)


def choose_backend(path: Path, backend: str | None, device: str | None) -> Choice:
    """Go by what was asked for, then by the file.

    Raises:
        ArtmirrorError: what was asked for does not go together.
    """
    kind, which = _parse_device(device)
    alone = _WITHOUT_NETWORK.get(kind_of(path))
    if alone is not None:
        if backend is not None or kind not in (None, "cpu"):
            raise ArtmirrorError(
                f"{alone.backend}: is painted on the processor, without a network: leave out --backend, --device"
            )
        return alone
    if kind_of(path) is EngineKind.NCNN or backend == "ncnn" or kind == "vulkan":
        return _choose_ncnn(path, backend, device, kind, which)
    is_plan = kind_of(path) is EngineKind.PLAN
    if is_plan and (backend not in (None, "tensorrt") or kind == "cpu"):
        asked = f"--backend {backend}" if backend not in (None, "tensorrt") else "--device cpu"
        raise ArtmirrorError(f"{path} is a TensorRT plan, not for {asked}; use the .onnx it was built from")
    if backend == "tensorrt" and not is_plan:
        raise ArtmirrorError(
            f"{path} is no plan, which the tensorrt back end wants: build one with st-export, or take "
            "--backend onnxruntime-tensorrt"
        )
    if is_plan:
        chosen, reason = "tensorrt", f"{path.name} is a TensorRT plan"
    elif backend is not None:
        chosen, reason = backend, f"--backend {backend}"
    elif kind == "cuda":
        chosen, reason = "onnxruntime", f"--device {device} and {path.name} is no TensorRT plan"
    else:
        chosen, reason = "openvino", "the fastest for an .onnx on a processor"
    kinds = [possible for name, possible in _OPENERS if name == chosen]
    if kind is None:
        kind = kinds[0]
    if kind not in kinds:
        raise ArtmirrorError(
            f"the {chosen} back end runs on {' or '.join(kinds)}, not on {device}: leave out --device or --backend"
        )
    return Choice(chosen, kind, int(which or 0), reason)


def _choose_ncnn(path: Path, backend: str | None, device: str | None, kind: str | None, which: str) -> Choice:
    if backend not in (None, "ncnn"):
        what = f"{path.name} is ncnn's" if kind_of(path) is EngineKind.NCNN else f"--device {device} is for ncnn"
        raise ArtmirrorError(f"{what}, not for --backend {backend}: leave out --backend")
    if kind_of(path) is not EngineKind.NCNN:
        asked = "--backend ncnn" if backend else f"--device {device}"
        raise ArtmirrorError(
            f"{path} is no .ncnn.param, which {asked} wants: export the checkpoint with st-export --ncnn"
        )
    if kind == "vulkan":
        return Choice("ncnn", "vulkan", find_vulkan_device(which).number, f"--device {device}")
    if kind == "cpu":
        return Choice("ncnn", "cpu", 0, f"--device {device}")
    if kind is not None:
        raise ArtmirrorError(f"the ncnn back end runs on vulkan or cpu, not on {device}: --device vulkan takes any GPU")
    if not vulkan_devices():
        return Choice("ncnn", "cpu", 0, f"on the processor, since {NO_DRIVER}")
    best = find_vulkan_device("")
    if best.is_software:
        return Choice("ncnn", "cpu", 0, f"on the processor, since Vulkan is there in software only ({best.name})")
    return Choice("ncnn", "vulkan", best.number, f"{path.name} runs on Vulkan")


def _open(path: Path, size: tuple[int, int], choice: Choice, full_precision: bool, threads: int | None) -> Engine:
    manifest, info = read_any_manifest(path)
    _check_size(path, sizes_taken(manifest, info), size)
    module_name, function = _OPENERS[choice.backend, choice.device]
    try:
        module = import_module(module_name)
    except ImportError as error:
        name = "onnxruntime-gpu" if (error.name, choice.device) == ("onnxruntime", "cuda") else error.name
        raise ArtmirrorError(
            f"the {choice.backend} back end needs the package {name}; install it with pip install {name}"
        ) from None
    engine = getattr(module, function)(
        path, manifest, size=size, device=choice.ordinal, full_precision=full_precision, threads=threads
    )
    return cast(Engine, engine)


def _check_size(path: Path, taken: SizeRange | None, size: tuple[int, int]) -> None:
    frames = f"the frames are {size[1]}x{size[0]}; {path.name}"
    if min(size) < SMALLEST_SIDE:
        raise ArtmirrorError(f"{frames} takes at least {SMALLEST_SIDE}x{SMALLEST_SIDE}: use --size")
    if taken is None or size in taken:
        return
    if taken.is_one:
        raise ArtmirrorError(f"{frames} is fixed to {taken}: use --size {taken}")
    least, most = (f"{width}x{height}" for height, width in (taken.smallest, taken.largest))
    raise ArtmirrorError(f"{frames} takes {least} to {most}: use --size")


def _parse_device(device: str | None) -> tuple[str | None, str]:
    """The kind, and which of them: nothing, a number or, with Vulkan, a part of the name."""
    if device is None:
        return None, ""
    kind, colon, which = device.partition(":")
    fits = {"cpu": False, "cuda": which.isdecimal(), "vulkan": bool(which)}
    if kind not in fits or (colon and not fits[kind]):
        raise ArtmirrorError(f"got --device {device}; wanted cpu, cuda, cuda:N, vulkan, vulkan:N or vulkan:NAME")
    return kind, which
