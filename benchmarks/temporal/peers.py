"""Other people's networks beside ours: float NCHW ONNX files, run by ONNX Runtime on the CPU."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import cv2
import numpy as np
from numpy.typing import NDArray

from artmirror.benchmarks.records.temporal import PainterInfo
from artmirror.benchmarks.temporal.painters import Painted
from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.runtime.common.files import file_sha256
from artmirror.runtime.common.pixels import Pixels

ChannelOrder = Literal["rgb", "bgr"]
RANGES = {"1": 1.0, "255": 255.0}  # as declared -> the value of white


@dataclass(frozen=True, slots=True)
class PeerSpec:
    """A file, and what it does not say of itself."""

    path: Path
    white: float  # 1 or 255, in and out
    order: ChannelOrder

    @classmethod
    def parse(cls, text: str, white: str | None, order: str) -> "PeerSpec":
        """Read `FILE`, `FILE@1` or `FILE@255`.

        Args:
            white: The range of files that declare none by themselves.

        Raises:
            ArtmirrorError: nobody declares the range.
        """
        name, at, own = text.rpartition("@")
        if not at or own not in RANGES:
            name, own = text, white or ""
        if own not in RANGES:
            raise ArtmirrorError(
                f"{text}: is white 1 or 255 to it? It does not say: --against {text}@255, or --against-range for all"
            )
        assert order in get_args(ChannelOrder)
        return cls(Path(name), RANGES[own], order)  # type: ignore[arg-type]  # checked above


class Peer:
    """A foreign network at one size.

    What it gives is clipped to its range and rounded to 8 bits, as any picture that is shown. Only the network is
    timed, not the conversion to floats and back, which our files do inside.
    """

    def __init__(self, spec: PeerSpec, size: tuple[int, int], threads: int) -> None:
        """Open the file for frames of `size` (H, W).

        Raises:
            ArtmirrorError: there is no such file, ONNX Runtime cannot run it, or it is not float NCHW of this size.
        """
        try:
            import onnxruntime as ort  # an extra
        except ImportError:
            raise ArtmirrorError(
                "networks of others run on ONNX Runtime; install it with pip install onnxruntime"
            ) from None

        self._spec, self._size, self._threads = spec, size, threads
        self._library = f"onnxruntime {ort.__version__}"
        self._found_size = size
        options = ort.SessionOptions()
        options.log_severity_level = 3
        options.intra_op_num_threads = threads
        try:
            self._sha256 = file_sha256(spec.path)
            self._session: Any = ort.InferenceSession(str(spec.path), options, providers=["CPUExecutionProvider"])
        except OSError as error:
            raise ArtmirrorError(f"cannot read {spec.path}: {error.strerror}; name an ONNX file") from None
        except Exception as error:  # the library has a dozen exception classes with no common base but this
            raise ArtmirrorError(f"ONNX Runtime cannot open {spec.path}: {str(error).splitlines()[0]}") from error
        self._input = _check_input(spec.path, self._session.get_inputs(), size)

    def describe(self) -> PainterInfo:
        """All that is known of it; a note where its pictures had to be fitted."""
        return PainterInfo(
            label=self._spec.path.stem,
            kind="peer",
            style=None,
            preset=None,
            sha256=self._sha256,
            backend="onnxruntime",
            library=self._library,
            device="CPU",
            precision="fp32",
            threads=self._threads,
            note="" if self._found_size == self._size else self._fitting(),
        )

    def paint(self, frame: Pixels) -> Painted:
        """Paint one frame; where the network gives another size, cut at the right and bottom or repeat the edges.

        Raises:
            ArtmirrorError: the network failed, or gave no picture.
        """
        planes = to_planes(frame, self._spec)
        started_ns = time.monotonic_ns()
        try:
            found = self._session.run(None, {self._input: planes})[0]
        except Exception as error:  # see above
            raise ArtmirrorError(
                f"{self._spec.path.name} failed on {frame.shape[1]}x{frame.shape[0]}: "
                f"{str(error).splitlines()[0]}; another --size may suit it"
            ) from error
        latency_ns = time.monotonic_ns() - started_ns
        if found.ndim != 4 or found.shape[:2] != (1, 3):
            raise ArtmirrorError(f"{self._spec.path.name} gave {list(found.shape)}; wanted [1, 3, H, W]")
        if not np.isfinite(found).all():
            raise ArtmirrorError(
                f"{self._spec.path.name} gave values that are no numbers; is its range declared right?"
            )
        self._found_size = found.shape[2], found.shape[3]
        return Painted(_fitted(from_planes(found, self._spec), self._size), latency_ns)

    def close(self) -> None:
        """Drop the session."""
        self._session = None

    def _fitting(self) -> str:
        (height, width), (found_height, found_width) = self._size, self._found_size
        return f"gave {found_width}x{found_height} for {width}x{height}; cut or widened to that"


def to_planes(frame: Pixels, spec: PeerSpec) -> NDArray[np.float32]:  # (H, W, 3) uint8 BGR
    """Return (1, 3, H, W) float32 in the network's own range and order."""
    picture = frame[..., ::-1] if spec.order == "rgb" else frame
    scaled = picture.astype(np.float32) * np.float32(spec.white / 255)
    return np.ascontiguousarray(scaled.transpose(2, 0, 1)[None])


def from_planes(planes: NDArray[np.float32], spec: PeerSpec) -> Pixels:  # (1, 3, H, W)
    """Return (H, W, 3) uint8 BGR: clipped, rounded."""
    values = planes[0].transpose(1, 2, 0) * np.float32(255 / spec.white)
    picture = np.rint(values.clip(0, 255)).astype(np.uint8)
    return np.ascontiguousarray(picture[..., ::-1] if spec.order == "rgb" else picture)


def _fitted(picture: Pixels, size: tuple[int, int]) -> Pixels:
    picture = picture[: size[0], : size[1]]
    tall, wide = size[0] - picture.shape[0], size[1] - picture.shape[1]
    if not tall and not wide:
        return picture
    top, left = tall // 2, wide // 2  # a network without padding loses as much on every side
    return np.asarray(cv2.copyMakeBorder(picture, top, tall - top, left, wide - left, cv2.BORDER_REPLICATE), np.uint8)


def _check_input(path: Path, inputs: list[Any], size: tuple[int, int]) -> str:
    if len(inputs) != 1 or inputs[0].type != "tensor(float)" or len(inputs[0].shape) != 4:
        told = ", ".join(f"{entry.name} {entry.type} {entry.shape}" for entry in inputs)
        raise ArtmirrorError(f"{path} takes {told}; wanted one float tensor [1, 3, H, W]")
    shape = inputs[0].shape
    wanted = (1, 3, *size)
    if any(isinstance(have, int) and have != want for have, want in zip(shape, wanted, strict=True)):
        raise ArtmirrorError(f"{path} takes {shape}, the frames are {list(wanted)}: use its size with --size")
    return str(inputs[0].name)
