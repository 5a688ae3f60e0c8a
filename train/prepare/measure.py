"""One pass over a video: where it is cut, and the figures of every frame by which shots are judged."""

import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from scenedetect import FrameTimecode
from scenedetect.detectors import AdaptiveDetector, HashDetector

from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.runtime.common.flow import dense_flow, dis_flow, trusted
from artmirror.runtime.common.pictures import encode_picture
from artmirror.runtime.common.pixels import Pixels, Size
from artmirror.train.prepare.video import VideoReader, fitted

SMALL_SIDE = 320  # pixels; motion, cuts, light and bars are measured at this size
SHARPNESS_SIDE = 640  # blur shows only near the size that is trained on
TRUST_EVERY, SHARPNESS_EVERY, HASH_EVERY = 8, 4, 2  # frames; these change slowly or cost much
HASH_SIDE = 16  # 256 bits
CUT_WINDOW = 2  # frames to both sides that the detector compares with; it sees no cut nearer to the file's ends
BAR_LUMA = 20  # a bar's brightest pixel; black is 0, noise and ringing stay below
_VERSION = 1  # of what is measured and how; figures of another version are measured again
_ROUNDING = 20 / 12  # the Laplacian's variance on what rounding to whole numbers adds (its squares sum to 20)
_MAX_THUMBNAILS = 32  # of a shot that goes on; every other one is forgotten when there are more
_THUMBNAIL_SIDE = 192


@dataclass(frozen=True, slots=True, eq=False)
class Measurement:
    """What one pass over a video found; F frames, numbered from 0 in the order of decoding."""

    size: Size  # upright
    small: Size  # at which motion and bars were measured
    fps: float
    remarks: tuple[str, ...]
    cuts: tuple[int, ...]  # first frames of all shots but the first
    time_s: NDArray[np.float64]  # (F,) from the first frame
    motion: NDArray[np.float32]  # (F,) mean length of the flow from the frame before, pixels of the small picture
    trust: NDArray[np.float32]  # (ceil(F / TRUST_EVERY),) share of flow that is consistent; NaN at a cut
    luma: NDArray[np.float32]  # (F,) mean, 0 to 255
    contrast: NDArray[np.float32]  # (F,) standard deviation of luma
    sharpness: NDArray[np.float32]  # (ceil(F / SHARPNESS_EVERY),) variance of the Laplacian over that of luma
    bars: NDArray[np.int16]  # (F, 4) black columns and rows: left, top, right, bottom, of the small picture
    hashes: NDArray[np.uint8]  # (ceil(F / HASH_EVERY), 2, 32) perceptual hashes, packed: as it is, and mirrored
    thumbnails: tuple[bytes, ...]  # JPEG, one a shot, from near its middle

    def to_bytes(self) -> bytes:
        """All of it as an npz file."""
        header = {
            "version": _VERSION,
            "size": self.size,
            "small": self.small,
            "fps": self.fps,
            "remarks": self.remarks,
            "cuts": self.cuts,
            "thumbnails": [len(jpeg) for jpeg in self.thumbnails],
        }
        columns = {name: getattr(self, name) for name in _COLUMNS}
        columns["jpegs"] = np.frombuffer(b"".join(self.thumbnails), np.uint8)
        columns["header"] = np.frombuffer(json.dumps(header).encode(), np.uint8)
        file = io.BytesIO()
        np.savez_compressed(file, **columns)
        return file.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes) -> "Measurement":
        """Open what `to_bytes` gave; another file raises ValueError, KeyError, OSError or zipfile.BadZipFile."""
        with np.load(io.BytesIO(data), allow_pickle=False) as file:
            header: dict[str, Any] = json.loads(file["header"].tobytes())
            if header["version"] != _VERSION:
                raise ValueError(f"version {header['version']}")
            ends = np.cumsum([0, *header["thumbnails"]])
            jpegs = file["jpegs"].tobytes()
            return cls(
                size=Size(*header["size"]),
                small=Size(*header["small"]),
                fps=header["fps"],
                remarks=tuple(header["remarks"]),
                cuts=tuple(header["cuts"]),
                thumbnails=tuple(jpegs[a:b] for a, b in pairwise(ends)),
                **{name: file[name] for name in _COLUMNS},
            )


_COLUMNS = ("time_s", "motion", "trust", "luma", "contrast", "sharpness", "bars", "hashes")


def measure(path: Path, observe: Callable[[int], None] = lambda frames: None) -> Measurement:
    """Decode a video once and measure it; memory grows by about 40 bytes a frame.

    Args:
        observe: Told the number of frames so far, now and then.

    Raises:
        ArtmirrorError: the file cannot be opened, or holds no picture that can be decoded.
    """
    reader = VideoReader(path)
    cutter, thumbnails = _Cutter(), _Thumbnails()
    time_s: list[float] = []
    motion: list[float] = []
    trust: list[float] = []
    luma: list[float] = []
    contrast: list[float] = []
    sharpness: list[float] = []
    bars: list[tuple[int, int, int, int]] = []
    hashes: list[NDArray[np.uint8]] = []
    search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)  # a quarter of medium's time, 5 % off its mean
    size = shown = small_size = Size(0, 0)
    before: Pixels | None = None
    grey_before: Pixels | None = None
    for index, frame in enumerate(reader.frames()):
        small = fitted(frame, SMALL_SIDE)
        now = frame.shown
        if before is None:
            size = shown = now
            small_size = Size(small.shape[0], small.shape[1])
        resized, shown = now != shown, now  # in the middle of a file, as broadcasts do
        if small_size != small.shape[:2]:
            small = np.asarray(cv2.resize(small, small_size[::-1]), np.uint8)
        grey = np.asarray(cv2.cvtColor(small, cv2.COLOR_BGR2GRAY), np.uint8)
        cutter.add(small, forced=resized or frame.after_damage)
        thumbnails.add(index, small, cutter.cuts)
        time_s.append(frame.time_s)
        mean, deviation = cv2.meanStdDev(grey)
        luma.append(float(mean[0, 0]))
        contrast.append(float(deviation[0, 0]))
        bars.append(_bars(grey))
        if grey_before is None or before is None:
            motion.append(0.0)
        else:
            flow = search.calc(grey_before, grey, np.empty(0, np.float32))
            motion.append(float(cv2.magnitude(flow[..., 0], flow[..., 1]).mean()))
        if index % TRUST_EVERY == 0:
            believed = before is not None and trusted(*dense_flow(before[..., ::-1], small[..., ::-1], dis_flow)).mean()
            trust.append(float(believed) if index else float("nan"))
        if index % SHARPNESS_EVERY == 0:
            sharpness.append(_sharpness(fitted(frame, SHARPNESS_SIDE)))
        if index % HASH_EVERY == 0:
            hashes.append(np.stack([_hash(small), _hash(small[:, ::-1])]))
        before, grey_before = small, grey
        if index % 50 == 49:
            observe(index + 1)
    if not time_s:
        raise ArtmirrorError(f"{path} holds no picture that can be decoded; wanted a playable file")
    cuts = cutter.finish()
    observe(len(time_s))
    return Measurement(
        size=size,
        small=small_size,
        fps=reader.fps,
        remarks=tuple(reader.remarks),
        cuts=cuts,
        time_s=np.array(time_s, np.float64),
        motion=np.array(motion, np.float32),
        trust=np.array(trust, np.float32),
        luma=np.array(luma, np.float32),
        contrast=np.array(contrast, np.float32),
        sharpness=np.array(sharpness, np.float32),
        bars=np.array(bars, np.int16).reshape(-1, 4),
        hashes=np.array(hashes, np.uint8).reshape(-1, 2, HASH_SIDE**2 // 8),
        thumbnails=thumbnails.finish(cuts),
    )


class _Cutter:
    """PySceneDetect's adaptive detector, which a fast pan does not fool, fed with frames that are decoded anyway."""

    _RATE = 25.0  # only its frame numbers are of interest

    def __init__(self) -> None:
        # A least length would hide the second of two cuts, and a hidden cut would be trained on.
        self._detector = AdaptiveDetector(window_width=CUT_WINDOW, min_scene_len=1)
        self._fed = 0
        self.cuts: list[int] = []  # known `CUT_WINDOW` frames late

    def add(self, small: Pixels, forced: bool) -> None:
        if forced:
            self.cuts.append(self._fed)
        found = self._detector.process_frame(FrameTimecode(self._fed, self._RATE), small)
        self.cuts.extend(cut.frame_num for cut in found)
        self._fed += 1

    def finish(self) -> tuple[int, ...]:
        return tuple(sorted({cut for cut in self.cuts if cut > 0}))


class _Thumbnails:
    """A few pictures of every shot, thinned out while it goes on; of a shot that is over only the middle one stays."""

    def __init__(self) -> None:
        self._kept: list[tuple[int, bytes]] = []
        self._every = 4
        self._next = 0
        self._cuts_seen = 0

    def add(self, index: int, small: Pixels, cuts: list[int]) -> None:
        if len(cuts) > self._cuts_seen:  # cuts are known two frames late
            self._cuts_seen = len(cuts)
            self._thin(cuts)
            self._every, self._next = 4, index
        if index >= self._next:
            scale = _THUMBNAIL_SIDE / max(small.shape[:2])
            picture = np.asarray(cv2.resize(small, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.uint8)
            self._kept.append((index, bytes(encode_picture(picture, ".jpg"))))
            self._next = index + self._every
            start = max([0, *cuts])
            if sum(at >= start for at, _ in self._kept) > _MAX_THUMBNAILS:
                over = [item for item in self._kept if item[0] < start]
                self._kept = over + self._kept[len(over) :: 2]
                self._every *= 2

    def finish(self, cuts: tuple[int, ...]) -> tuple[bytes, ...]:
        middles = [(a + b) / 2 for a, b in pairwise([0, *cuts, self._kept[-1][0] + 1])]
        return tuple(min(self._kept, key=lambda item: abs(item[0] - middle))[1] for middle in middles)

    def _thin(self, cuts: list[int]) -> None:
        starts = sorted({0, *cuts})
        kept = []
        for a, b in pairwise(starts):
            inside = [item for item in self._kept if a <= item[0] < b]
            kept += inside[len(inside) // 2 :][:1]
        self._kept = kept + [item for item in self._kept if item[0] >= starts[-1]]


def _bars(grey: Pixels) -> tuple[int, int, int, int]:
    """Count the black columns and rows at the left, top, right and bottom; all of them in a black picture."""
    bright = grey > BAR_LUMA
    counts = []
    for axis, length in ((0, grey.shape[1]), (1, grey.shape[0])):
        lit = np.flatnonzero(bright.any(axis=axis))
        counts.append((int(lit[0]), int(length - 1 - lit[-1])) if lit.size else (length, length))
    (left, right), (top, bottom) = counts
    return left, top, right, bottom


def _sharpness(picture: Pixels) -> float:
    grey = cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY)
    variance = float(grey.var())
    rough = float(cv2.Laplacian(grey, cv2.CV_32F).var()) - _ROUNDING
    return max(0.0, rough) / variance if variance else 0.0


def _hash(small: Pixels) -> NDArray[np.uint8]:
    return np.packbits(HashDetector.hash_frame(np.ascontiguousarray(small), HASH_SIDE, 2))
