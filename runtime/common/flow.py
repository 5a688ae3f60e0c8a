"""Dense optical flow: estimators behind one interface, which pixels of it to trust, warping, errors, files. No torch.

Convention, everywhere in the project: a flow from frame A to frame B holds (dx, dy) in pixels at every pixel of A; what
A shows at (x, y), B shows at (x + dx, y + dy). Warping B by that flow brings it onto A.
"""

import struct
from pathlib import Path
from typing import Protocol, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from artmirror.runtime.common.errors import ArtmirrorError

Rgb = NDArray[np.uint8]  # (H, W, 3) RGB
Flow = NDArray[np.float32]  # (H, W, 2) pixels
Mask = NDArray[np.bool_]  # (H, W)
Pixel = TypeVar("Pixel", np.uint8, np.float32, np.float64)

MIN_SIDE = 16  # pixels; DIS has no coarse grid for less
FLO_MAGIC = 202021.25
UNKNOWN_PX = 1e9  # Middlebury: larger components mean that the flow is not known
KITTI_ZERO, KITTI_STEPS_PER_PX = 1 << 15, 64


class FlowEstimator(Protocol):
    """Anything that finds the motion between two frames of one size."""

    def __call__(self, first: Rgb, second: Rgb) -> Flow: ...


def open_flow(name: str) -> FlowEstimator:
    """Return the estimator of a name: `dis` or `farneback`. (`train.pairs.raft.open_any_flow` knows `raft` too.)

    Raises:
        ArtmirrorError: the name is unknown.
    """
    if name == "dis":
        return dis_flow
    if name == "farneback":
        return farneback_flow
    raise ArtmirrorError(f"there is no flow named {name!r}; wanted dis or farneback")


def dis_flow(first: Rgb, second: Rgb) -> Flow:
    """Dense inverse search (Kroeger et al. 2016), OpenCV's medium preset.

    The preset was chosen by measurement. With a grid at full size the error was a third less on clean frames, but a
    third more on JPEG of quality 40, whose blocks look like things that stand still, and it took four times as long.
    """
    # A new object each time: it takes no time, and holds nothing that a later frame could depend on.
    search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    return np.asarray(search.calc(_grey(first), _grey(second), np.empty(0, np.float32)), np.float32)


def farneback_flow(first: Rgb, second: Rgb) -> Flow:
    """Polynomial expansion (Farneback 2003), with the parameters of OpenCV's tutorial."""
    flow = cv2.calcOpticalFlowFarneback(
        _grey(first),
        _grey(second),
        np.empty(0, np.float32),
        pyr_scale=0.5,
        levels=3,
        winsize=15,
        iterations=3,
        poly_n=5,
        poly_sigma=1.2,
        flags=0,
    )
    return np.asarray(flow, np.float32)


def dense_flow(first: Rgb, second: Rgb, estimator: FlowEstimator) -> tuple[Flow, Flow]:
    """Estimate the flow from the first frame to the second, and back.

    Raises:
        ArtmirrorError: the frames differ in size or are smaller than 16 pixels a side.
    """
    if first.shape != second.shape or min(first.shape[:2]) < MIN_SIDE:
        raise ArtmirrorError(
            f"frames of {_size(first)} and {_size(second)}; wanted one size of at least {MIN_SIDE}x{MIN_SIDE}"
        )
    return estimator(first, second), estimator(second, first)


def inside(flow: Flow) -> Mask:
    """Where the flow's end lies within the other frame."""
    height, width = flow.shape[:2]
    x, y = _ends(flow)
    within: Mask = (x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)
    return within


def trusted(forward: Flow, backward: Flow) -> Mask:
    """Where the forward flow can be believed, by the consistency of both (Ruder et al. 2016, section 3.1).

    With w the forward flow and v the backward flow sampled at x + w, a pixel is left out where it is
        disoccluded,        |w + v|^2 > 0.01 (|w|^2 + |v|^2) + 0.5,
        a motion boundary,  |grad w_x|^2 + |grad w_y|^2 > 0.01 |w|^2 + 0.002,
    or where w leaves the frame. Gradients are central differences.
    """
    back = warp_image(backward, forward)
    forward_squared, back_squared = _squared(forward), _squared(back)
    consistent = _squared(forward + back) <= 0.01 * (forward_squared + back_squared) + 0.5
    along_y, along_x = np.gradient(forward, axis=0), np.gradient(forward, axis=1)
    smooth = _squared(along_y) + _squared(along_x) <= 0.01 * forward_squared + 0.002
    mask: Mask = consistent & smooth & inside(forward)  # in this form, what is not a number is not trusted either
    return mask


def warp_image(image: NDArray[Pixel], flow: Flow) -> NDArray[Pixel]:
    """Sample an image bilinearly where `flow` points, out(x) = image(x + flow(x)); beyond the border, its value.

    Args:
        image: (H, W) or (H, W, C) with at most 4 channels.
        flow: (H, W, 2), pixels.
    """
    x, y = _ends(flow)
    return np.asarray(cv2.remap(image, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE), image.dtype)


def resized_flow(flow: Flow, valid: Mask, size: tuple[int, int]) -> tuple[Flow, Mask]:
    """Return the flow of the same frames at another size (height, width), and where it is made of valid flow alone."""
    height, width = flow.shape[:2]
    shrunk = size[0] < height
    method = cv2.INTER_AREA if shrunk else cv2.INTER_LINEAR
    stretch = np.array([size[1] / width, size[0] / height], np.float32)
    scaled = np.asarray(cv2.resize(flow, size[::-1], interpolation=method), np.float32) * stretch
    share = cv2.resize(valid.astype(np.float32), size[::-1], interpolation=method)
    return scaled, np.asarray(share > 0.999, np.bool_)


def endpoint_error(flow: Flow, truth: Flow) -> NDArray[np.float32]:
    """Distance between where two flows end: (H, W) pixels."""
    return np.sqrt(_squared(flow - truth))


def warp_error(first: Rgb, second: Rgb, flow: Flow, mask: Mask) -> float:
    """Root mean square of first - warp(second) over a mask, pictures in [0, 1]; NaN where it is empty."""
    if not mask.any():
        return float("nan")
    warped = warp_image(second.astype(np.float32), flow)
    return float(np.sqrt(np.square((first - warped)[mask] / 255).mean()))


def read_flow(path: Path) -> tuple[Flow, Mask]:
    """Read a Middlebury `.flo` or a KITTI 16-bit `.png`: the flow, 0 where it is not valid, and where it is.

    Raises:
        ArtmirrorError: the file is missing, damaged or of another kind.
    """
    if path.suffix not in (".flo", ".png"):
        raise ArtmirrorError(f"{path} is no flow; wanted a .flo (Middlebury) or .png (KITTI)")
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ArtmirrorError(f"cannot read {path}: {error.strerror}; name a file of flow") from None
    return _decode_flo(data, path) if path.suffix == ".flo" else decode_flow_png(data, str(path))


def write_flow(path: Path, flow: Flow, valid: Mask | None = None) -> None:
    """Write a Middlebury `.flo` (exact) or a KITTI 16-bit `.png` (to 1/128 pixel), whole where `valid` is None.

    Raises:
        ArtmirrorError: another suffix, motion that a KITTI file cannot hold, or the file cannot be written.
    """
    if path.suffix not in (".flo", ".png"):
        raise ArtmirrorError(
            f"cannot write flow to {path}; wanted a name that ends in .flo (Middlebury) or .png (KITTI)"
        )
    if valid is None:
        valid = np.ones(flow.shape[:2], bool)
    try:
        path.write_bytes(_encode_flo(flow, valid) if path.suffix == ".flo" else encode_flow_png(flow, valid))
    except OSError as error:
        raise ArtmirrorError(f"cannot write {path}: {error.strerror}; free some space or name another place") from None


def encode_flow_png(flow: Flow, valid: Mask) -> bytes:
    """Return KITTI's 16-bit PNG: u and v in steps of 1/64 pixel around 2^15, and 1 where they are valid.

    Raises:
        ArtmirrorError: a valid motion of 512 pixels or more.
    """
    steps = np.rint(flow * KITTI_STEPS_PER_PX) + KITTI_ZERO
    if not ((steps[valid] >= 0) & (steps[valid] < 1 << 16)).all():
        raise ArtmirrorError("motion of 512 pixels or more does not fit a KITTI file; write a .flo")
    red_green_blue = np.zeros((*valid.shape, 3), np.uint16)
    red_green_blue[valid, :2] = steps[valid]
    red_green_blue[..., 2] = valid
    return cv2.imencode(".png", red_green_blue[..., ::-1])[1].tobytes()


def decode_flow_png(data: bytes, name: str) -> tuple[Flow, Mask]:
    """Open what `encode_flow_png` gave; `name` is for the error.

    Raises:
        ArtmirrorError: the data are damaged or another picture.
    """
    try:
        blue_green_red = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED) if data else None
    except cv2.error:
        blue_green_red = None
    if blue_green_red is None or blue_green_red.dtype != np.uint16 or blue_green_red.shape[2:] != (3,):
        raise ArtmirrorError(f"{name} is damaged or no flow; wanted a PNG of three channels with 16 bits (KITTI)")
    valid: Mask = blue_green_red[..., 0] > 0
    flow = (blue_green_red[..., :0:-1].astype(np.float32) - KITTI_ZERO) / KITTI_STEPS_PER_PX
    return np.where(valid[..., None], flow, np.float32(0)), valid


def _encode_flo(flow: Flow, valid: Mask) -> bytes:
    height, width = valid.shape
    unknown = np.float32(10 * UNKNOWN_PX)
    return (
        struct.pack("<fii", FLO_MAGIC, width, height)
        + np.where(valid[..., None], flow, unknown).astype("<f4").tobytes()
    )


def _decode_flo(data: bytes, path: Path) -> tuple[Flow, Mask]:
    magic, width, height = struct.unpack_from("<fii", data) if len(data) >= 12 else (0.0, 0, 0)
    if magic != FLO_MAGIC:
        raise ArtmirrorError(
            f"{path} is no Middlebury flow: it begins with {data[:4]!r}; wanted the number {FLO_MAGIC}"
        )
    if min(width, height) < 1 or len(data) != 12 + 8 * width * height:
        raise ArtmirrorError(
            f"{path} is damaged: {len(data)} bytes for {width}x{height} pixels; wanted {12 + 8 * width * height}"
        )
    flow = np.frombuffer(data, "<f4", offset=12).reshape(height, width, 2).astype(np.float32)
    valid: Mask = (np.abs(flow[..., 0]) < UNKNOWN_PX) & (np.abs(flow[..., 1]) < UNKNOWN_PX)
    return np.where(valid[..., None], flow, np.float32(0)), valid


def _ends(flow: Flow) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    height, width = flow.shape[:2]
    x = np.arange(width, dtype=np.float32)[None, :] + flow[..., 0]
    y = np.arange(height, dtype=np.float32)[:, None] + flow[..., 1]
    return x, y


def _squared(vectors: NDArray[np.float32]) -> NDArray[np.float32]:  # (..., 2)
    return np.asarray(np.square(vectors).sum(axis=-1), np.float32)


def _grey(rgb: Rgb) -> NDArray[np.uint8]:
    return np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), np.uint8)


def _size(rgb: Rgb) -> str:
    return f"{rgb.shape[1]}x{rgb.shape[0]}"
