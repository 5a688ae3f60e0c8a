"""A little dataset of clips in the format of `st-data prepare`, with motion that is known, for tests."""

import hashlib
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from webdataset import ShardWriter

from artmirror.runtime.common.flow import encode_flow_png, inside

WIDTH, HEIGHT = 160, 120
DX, DY = -3, -2  # pixels from a frame to the next
CHUNK = 6  # frames


def texture(height: int, width: int, seed: int) -> NDArray[np.uint8]:
    """Return an RGB picture with detail at several scales, as flow needs it."""
    rng = np.random.default_rng(seed)
    picture = np.full((height, width, 3), 128, np.float32)
    for cells in (4, 10, 25, 60):
        knots = rng.uniform(-30, 30, (cells, cells, 3)).astype(np.float32)
        picture += cv2.resize(knots, (width, height), interpolation=cv2.INTER_CUBIC)
    return picture.clip(0, 255).astype(np.uint8)


def panned_shot(frames: int, seed: int) -> list[NDArray[np.uint8]]:
    """A camera that pans over a texture: every point moves by (DX, DY) from frame to frame."""
    ground = texture(HEIGHT - DY * frames, WIDTH - DX * frames, seed)
    return [ground[-DY * i : -DY * i + HEIGHT, -DX * i : -DX * i + WIDTH] for i in range(frames)]


def noise_shot(frames: int, seed: int) -> list[NDArray[np.uint8]]:
    """Frames that have nothing to do with each other."""
    return [texture(HEIGHT, WIDTH, seed * 1000 + i) for i in range(frames)]


def panned_flow(gap: int) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """The exact flow of `panned_shot`, and where it stays within the frame."""
    flow = np.full((HEIGHT, WIDTH, 2), (DX * gap, DY * gap), np.float32)
    return flow, inside(flow)


def write_dataset(folder: Path, shots: list[list[NDArray[np.uint8]]], stored_gaps: tuple[int, ...] = ()) -> Path:
    """Write shots as shards of two chunks each, with the flow of `panned_shot` if wanted."""
    folder.mkdir()
    samples: list[dict[str, Any]] = []
    for shot, frames in enumerate(shots):
        for chunk, start in enumerate(range(0, len(frames), CHUNK)):
            some = frames[start : start + CHUNK]
            sample: dict[str, Any] = {"__key__": f"shot{shot:06d}-{chunk:03d}", "json": {"shot": shot}}
            for i, frame in enumerate(some):
                bgr = np.ascontiguousarray(frame[..., ::-1])
                sample[f"{i:02}.jpg"] = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes()
                for gap in stored_gaps:
                    if i + gap < len(some):
                        sample[f"{i:02}-{i + gap:02}.flow.png"] = encode_flow_png(*panned_flow(gap))
            samples.append(sample)
    with ShardWriter(f"{folder}/shard-%06d.tar", maxcount=2, verbose=0) as writer:
        for sample in samples:
            writer.write(sample)
    shards = [
        {
            "file": path.name,
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
            "chunks": min(2, len(samples) - 2 * i),
        }
        for i, path in enumerate(sorted(folder.glob("*.tar")))
    ]
    description = {"format_version": 1, "width": WIDTH, "height": HEIGHT, "frames_per_chunk": CHUNK, "shards": shards}
    (folder / "dataset.json").write_text(json.dumps(description))
    return folder
