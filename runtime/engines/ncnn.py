"""ncnn back end: Vulkan on any GPU of the last ten years, and processors without a library of their own.

ncnn has no uint8 pictures at its ends, so this module turns the frame into float RGB, adds the grain and blends. For
each frame ncnn makes an extractor and a Mat for the result, from pools that it keeps; all else is made once.
"""

from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import ncnn
import numpy as np
from numpy.typing import NDArray

from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.runtime.common.pixels import Pixels
from artmirror.runtime.engines.base import EngineInfo, Look, SmallInputs
from artmirror.runtime.engines.memory import Memory
from artmirror.runtime.engines.vulkan_device import VulkanDevice, vulkan_devices
from artmirror.runtime.formats.manifest import Manifest
from artmirror.runtime.formats.ncnn import GRAIN, IN, OUT, STYLE, memory_blobs, ncnn_pair, read_ncnn_manifest
from artmirror.runtime.frame import FrameSlot


class NcnnEngine:
    """One worker thread runs the network; ncnn lets go of Python's lock while it does."""

    max_in_flight = 2  # the second waits in the worker's queue
    has_strength = True

    def __init__(self, manifest: Manifest, net: Any, size: tuple[int, int], device: VulkanDevice | None) -> None:
        self.manifest = manifest
        self._net = net
        self._size = size
        self._device = device
        # The Mat is ncnn's own, not a view of an array: its planes are aligned, as Vulkan's upload takes for granted.
        self._input = ncnn.Mat(size[1], size[0], 3)
        self._rgb: NDArray[np.float32] = np.array(self._input, copy=False)  # (3, H, W) float32 RGB in [0, 1]
        self._blend = np.zeros((*size, 3), np.float32)  # (H, W, 3) float32 BGR in [0, 255]
        self._camera = np.zeros((*size, 3), np.float32)  # the camera picture's share of it
        self._grain = self._repeat_grain()
        self._memory = Memory(size) if manifest.has_memory else None
        # Of a network with a memory, as the frame's: the earlier picture, and its trust.
        self._recalled = [ncnn.Mat(size[1], size[0], 3) for _ in range(2 if manifest.has_memory else 0)]
        self._last: Future[None] | None = None  # whose picture the next frame remembers
        self._small: dict[FrameSlot, SmallInputs] = {}
        self._running: dict[FrameSlot, Future[None]] = {}
        self._worker = ThreadPoolExecutor(1, "ncnn")

    def allocate(self, count: int) -> list[FrameSlot]:
        shape = (*self._size, 3)
        slots = [FrameSlot(np.zeros(shape, np.uint8), np.zeros(shape, np.uint8)) for _ in range(count)]
        self._small |= {slot: SmallInputs(True, self.manifest.style_length) for slot in slots}
        return slots

    def follow(self, slot: FrameSlot, look: Look) -> bool:
        if self._memory is None or self._device is None:
            return False
        self._memory.follow(slot.frame, look)
        return True

    def submit(self, slot: FrameSlot, look: Look) -> None:
        try:
            small = self._small[slot]
            small.set(look)
            if self._memory is not None:
                self._memory.follow(slot.frame, look)
                if self._last is not None:
                    self._last.result()
                self._memory.bring()
            self._running[slot] = self._last = self._worker.submit(self._paint, slot, small)
        except RuntimeError:
            raise ArtmirrorError("the ncnn engine was closed") from None

    def wait(self, slot: FrameSlot) -> None:
        self._running.pop(slot).result()

    def reset(self) -> None:
        if self._memory is not None:
            self._memory.forget()

    def describe(self) -> EngineInfo:
        option = self._net.opt
        note = ""
        if self._device is not None and self._device.is_software:
            note = "Vulkan in software"
        return EngineInfo(
            backend="ncnn",
            library=f"ncnn {ncnn.__version__}",
            device="CPU" if self._device is None else f"{self._device.name}, Vulkan device {self._device.number}",
            precision="fp16" if option.use_fp16_storage else "fp32",
            size=self._size,
            note=note,
        )

    def close(self) -> None:
        self._worker.shutdown()
        self._net = None

    def _paint(self, slot: FrameSlot, small: SmallInputs) -> None:
        strength = float(small.by_name["strength"][0])
        _to_planes(slot.frame, self._rgb)
        if self._grain is not None:
            np.add(self._rgb, self._grain, out=self._rgb)
        extractor = self._net.create_extractor()
        if extractor.input(IN, self._input):
            raise ArtmirrorError("ncnn did not take the frame; export the file again with st-export --ncnn")
        if "style" in small.by_name and extractor.input(STYLE, ncnn.Mat(small.by_name["style"])):
            raise ArtmirrorError("ncnn did not take the style; export the file again with st-export --ncnn")
        if self._memory is not None:
            for name, mat, picture in zip(
                memory_blobs(self.manifest), self._recalled, self._memory.by_name().values(), strict=True
            ):
                _to_planes(picture[0], np.array(mat, copy=False))
                if extractor.input(name, mat):
                    raise ArtmirrorError("ncnn did not take the memory; export the file again with st-export --ncnn")
        code, result = extractor.extract(OUT)
        if code:
            raise ArtmirrorError(
                f"ncnn failed while stylizing (code {code}), as where the device has too little memory: use --size"
            )
        painted: NDArray[np.float32] = np.array(result, copy=False)  # (3, H, W) float32 RGB in [0, 1], about
        bgr = painted[::-1].transpose(1, 2, 0)
        if self._memory is not None:
            np.multiply(bgr, 255, out=self._blend)
            _to_bytes(self._blend, self._memory.painted[0])
            if strength == 1:
                np.copyto(slot.stylized, self._memory.painted[0])
                return
        np.multiply(bgr, 255 * strength, out=self._blend)
        if strength < 1:
            np.multiply(slot.frame, 1 - strength, out=self._camera, dtype=np.float32)
            np.add(self._blend, self._camera, out=self._blend)
        _to_bytes(self._blend, slot.stylized)

    def _repeat_grain(self) -> NDArray[np.float32] | None:
        """The tile repeated over the frame, (H, W) float32, or None where the network has none."""
        if GRAIN not in self._net.output_names():
            return None
        code, result = self._net.create_extractor().extract(GRAIN)
        if code:
            raise ArtmirrorError("ncnn cannot read the grain; export the file again with st-export --ncnn")
        tile: NDArray[np.float32] = np.array(result)[0]
        height, width = self._size
        repeats = (-(-height // tile.shape[0]), -(-width // tile.shape[1]))
        return np.ascontiguousarray(np.tile(tile, repeats)[:height, :width])


def _to_planes(picture: Pixels, planes: NDArray[np.float32]) -> None:
    """(H, W, 3) uint8 BGR into (3, H, W) float32 RGB in [0, 1]."""
    np.multiply(picture.transpose(2, 0, 1)[::-1], 1 / 255, out=planes, dtype=np.float32)


def _to_bytes(values: NDArray[np.float32], picture: Pixels) -> None:
    """(H, W, 3) float32 in [0, 255], about, which is rounded in place, into uint8."""
    np.rint(values, out=values)
    np.clip(values, 0, 255, out=values)
    np.copyto(picture, values, casting="unsafe")


def open_file(
    path: Path, manifest: Manifest, *, size: tuple[int, int], device: int, full_precision: bool, threads: int | None
) -> NcnnEngine:
    """Open ncnn's two files on the processor, in FP32. See `engines.open_engine`."""
    return _open(path, manifest, size, None, False, threads)


def open_file_vulkan(
    path: Path, manifest: Manifest, *, size: tuple[int, int], device: int, full_precision: bool, threads: int | None
) -> NcnnEngine:
    """Open ncnn's two files on a Vulkan device, with FP16 where it has that. See `engines.open_engine`."""
    return _open(path, manifest, size, vulkan_devices()[device], not full_precision, threads)


def _open(
    path: Path, manifest: Manifest, size: tuple[int, int], device: VulkanDevice | None, fp16: bool, threads: int | None
) -> NcnnEngine:
    read_ncnn_manifest(path, size)  # ncnn takes for granted that a graph is right
    net = ncnn.Net()
    option = net.opt
    # ncnn itself takes these back on a device without them, which is read from them again in `describe`.
    option.use_fp16_packed = option.use_fp16_storage = option.use_fp16_arithmetic = fp16
    if threads is not None:
        option.num_threads = threads
    if device is not None:
        option.use_vulkan_compute = True
        # llvmpipe leaves a loop after 65536 rounds. ncnn's sums by subgroups make more from 512x512 on, the others not.
        option.use_subgroup_ops = not device.is_software
        net.set_vulkan_device(device.number)
    param_path, bin_path = ncnn_pair(path)
    if net.load_param(str(param_path)) or net.load_model(str(bin_path)):
        raise ArtmirrorError(f"ncnn {ncnn.__version__} cannot load {param_path}; export it again with st-export --ncnn")
    return NcnnEngine(manifest, net, size, device)
