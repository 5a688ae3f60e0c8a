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
_MULTIPLE = 4  # pixels; sides that some networks need
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

    @property
    def label(self) -> str:
        """The file's name."""
        return self.path.stem


@dataclass(frozen=True, slots=True)
class ArbitraryPeerSpec:
    """Somebody else's network for any painting: one file looks at the painting, the other paints with what it found."""

    predict: Path
    transform: Path

    @classmethod
    def parse(cls, text: str) -> "ArbitraryPeerSpec | None":
        """Read `PREDICT.onnx,TRANSFORM.onnx`; None where there is no comma."""
        names = text.split(",")
        return cls(Path(names[0]), Path(names[1])) if len(names) == 2 and all(names) else None

    @property
    def label(self) -> str:
        """What both names begin with."""
        return self.predict.stem.removesuffix("_predict")


class ArbitraryPeer:
    """Both files at one size, for one painting: pictures in [0, 1], NCHW or NHWC, as the files ask for."""

    def __init__(
        self, spec: ArbitraryPeerSpec, painting: NDArray[np.uint8], size: tuple[int, int], threads: int
    ) -> None:
        """Open both and look at the painting, (h, w, 3) uint8 RGB.

        It is scaled and cut to the size that the first file asks for, else to a multiple of 4.

        Raises:
            ArtmirrorError: a file is missing, or they are no such network.
        """
        self._spec, self._size, self._threads = spec, size, threads
        predict, _ = _open(spec.predict, threads)
        self._transform, self._library = _open(spec.transform, threads)
        asked = predict.get_inputs()[0]
        inputs = [entry.name for entry in self._transform.get_inputs()]
        if len(inputs) != 2:
            raise ArtmirrorError(
                f"{spec.transform} takes {', '.join(inputs)}; wanted a picture and what stands for one"
            )
        self._picture, self._code = inputs
        self._last = asked.shape[-1] == 3  # NHWC
        fixed = [side for side in (asked.shape[1:3] if self._last else asked.shape[2:]) if isinstance(side, int)]
        rgb = painting
        if fixed:
            side = min(rgb.shape[:2])
            top, left = (rgb.shape[0] - side) // 2, (rgb.shape[1] - side) // 2
            square = rgb[top : top + side, left : left + side]
            rgb = np.asarray(cv2.resize(square, (fixed[1], fixed[0]), interpolation=cv2.INTER_AREA), np.uint8)
        height, width = (side // _MULTIPLE * _MULTIPLE for side in rgb.shape[:2])
        scaled = rgb[None, :height, :width].astype(np.float32) / 255
        try:
            given = {asked.name: scaled if self._last else scaled.transpose(0, 3, 1, 2)}
            self._vector = predict.run(None, given)[0]
        except Exception as error:  # the library has a dozen exception classes with no common base but this
            raise ArtmirrorError(f"{spec.predict} failed: {str(error).splitlines()[0]}") from error

    def describe(self) -> PainterInfo:
        """All that is known of it."""
        return PainterInfo(
            label=self._spec.label,
            kind="peer",
            sha256=file_sha256(self._spec.transform),
            backend="onnxruntime",
            library=self._library,
            device="CPU",
            precision="fp32",
            threads=self._threads,
        )

    def paint(self, frame: Pixels) -> Painted:
        """Paint one frame; a border that is no multiple of 4 is repeated.

        Raises:
            ArtmirrorError: the network failed, or gave no picture.
        """
        planes = to_planes(frame, _ARBITRARY)
        height, width = (side // _MULTIPLE * _MULTIPLE for side in frame.shape[:2])
        planes = np.ascontiguousarray(planes[:, :, :height, :width])
        if self._last:
            planes = np.ascontiguousarray(planes.transpose(0, 2, 3, 1))
        started_ns = time.monotonic_ns()
        try:
            found = self._transform.run(None, {self._picture: planes, self._code: self._vector})[0]
        except Exception as error:  # see above
            raise ArtmirrorError(f"{self._spec.transform.name} failed: {str(error).splitlines()[0]}") from error
        latency_ns = time.monotonic_ns() - started_ns
        found = found.transpose(0, 3, 1, 2) if self._last else found
        if found.ndim != 4 or found.shape[:2] != (1, 3) or not np.isfinite(found).all():
            raise ArtmirrorError(f"{self._spec.transform.name} gave no picture")
        return Painted(_fitted(from_planes(found, _ARBITRARY), self._size), latency_ns)

    def forget(self) -> None:
        """Every frame is painted by itself."""

    def close(self) -> None:
        """Drop the session."""
        self._transform = None


def _open(path: Path, threads: int) -> tuple[Any, str]:
    """A session of somebody else's file, and the library with its version."""
    try:
        import onnxruntime as ort  # an extra
    except ImportError:
        raise ArtmirrorError(
            "networks of others run on ONNX Runtime; install it with pip install onnxruntime"
        ) from None

    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = threads
    try:
        with path.open("rb"):
            pass
        return ort.InferenceSession(
            str(path), options, providers=["CPUExecutionProvider"]
        ), f"onnxruntime {ort.__version__}"
    except OSError as error:
        raise ArtmirrorError(f"cannot read {path}: {error.strerror}; name an ONNX file") from None
    except Exception as error:  # the library has a dozen exception classes with no common base but this
        raise ArtmirrorError(f"ONNX Runtime cannot open {path}: {str(error).splitlines()[0]}") from error


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
        self._spec, self._size, self._threads = spec, size, threads
        self._found_size = size
        self._session, self._library = _open(spec.path, threads)
        self._sha256 = file_sha256(spec.path)
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

    def forget(self) -> None:
        """Every frame is painted by itself."""

    def close(self) -> None:
        """Drop the session."""
        self._session = None

    def _fitting(self) -> str:
        (height, width), (found_height, found_width) = self._size, self._found_size
        return f"gave {found_width}x{found_height} for {width}x{height}; cut or widened to that"


_ARBITRARY = PeerSpec(Path(), 1.0, "rgb")


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
