"""How well one network paints paintings that it has never seen, beside the networks of others.

    python -m artmirror.benchmarks.studies.many_paintings any.pt --paintings paintings/ --vgg vgg19.safetensors \
        --sequence webcam/one.mp4 --sequence webcam/two.mp4 --peer predict.onnx,transform.onnx -o table.md

A peer is two ONNX files: painting -> code, and frame with code -> painted frame, float RGB in [0, 1], NCHW or NHWC.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import cv2
import numpy as np
from numpy.typing import NDArray

from artmirror.benchmarks.arguments import TABLE, check_output, write_report
from artmirror.benchmarks.grid import Grid, markdown_grid
from artmirror.benchmarks.temporal.metric import e_stab, squared_error
from artmirror.benchmarks.temporal.sequences import FrameSequence, open_sequences
from artmirror.runtime.common.command import Command, common_options
from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.runtime.common.flow import dense_flow, open_flow, trusted
from artmirror.runtime.common.pictures import save_picture
from artmirror.runtime.common.pixels import Pixels

if TYPE_CHECKING:
    from torch import Tensor

    from artmirror.train.pairs.paintings import Painting

_FIRST, _FRAMES = 30, 4  # a camera has settled after a second
_STILL = 6  # of 255: the input moved less
_ERODED = np.ones((9, 9), np.uint8)
_MULTIPLE = 4  # what networks that halve the picture twice can take

PaintFrame = Callable[["Tensor"], "Tensor"]  # (1, 3, H, W) float32 RGB in [0, 1], in and out
LookAt = Callable[[NDArray[np.uint8]], PaintFrame]  # (h, w, 3) uint8 RGB


@dataclass(frozen=True, slots=True)
class Row:
    """One network: means over all paintings and clips."""

    name: str
    style: float  # sum over the layers, in units of what the unpainted frame scores
    layered: float  # the same layer by layer, each in its own unit: their mean
    content: float
    e_stab: float  # DIS flow, or given flow where the sequence has it
    flicker: float  # of 255, where the input stands still


@click.command(cls=Command)
@click.argument("checkpoint", type=click.Path(path_type=Path))
@click.option("--paintings", type=click.Path(path_type=Path), required=True, metavar="FOLDER")
@click.option("--count", type=click.IntRange(1), default=10, help="So many of those that training keeps apart.")
@click.option("--vgg", type=click.Path(path_type=Path), required=True, metavar="FILE")
@click.option("--sequence", "sequences", multiple=True, required=True, metavar="PATH")
@click.option("--peer", "peers", multiple=True, metavar="PREDICT.onnx,TRANSFORM.onnx")
@click.option("--sheet", type=click.Path(path_type=Path), metavar="FILE.jpg", help="Show them side by side.")
@click.option("-o", "--output", type=click.Path(path_type=Path), metavar="FILE.md", help="Write the table as Markdown.")
@common_options("many_paintings")
def main(
    checkpoint: Path,
    paintings: Path,
    count: int,
    vgg: Path,
    sequences: tuple[str, ...],
    peers: tuple[str, ...],
    sheet: Path | None,
    output: Path | None,
    debug: bool,
) -> None:
    """Let CHECKPOINT and others paint clips in the style of paintings that training kept apart."""
    from artmirror.train.objective.vgg import load_vgg
    from artmirror.train.pairs.paintings import find_paintings, is_held_out

    check_output("--output", output, TABLE)
    apart = [painting for painting in find_paintings(paintings) if is_held_out(painting)]
    if not apart:
        raise ArtmirrorError(f"{paintings} holds no painting that training keeps apart; a larger folder is wanted")
    chosen = [apart[int(place)] for place in np.random.default_rng(0).permutation(len(apart))[:count]]
    features = load_vgg(vgg, None)
    networks = {"input": lambda painting: lambda frame: frame, checkpoint.stem: _ours(checkpoint, features)}
    networks |= {Path(peer.split(",")[0]).stem.removesuffix("_predict"): open_peer(peer) for peer in peers}
    clips = [clip for name in sequences for clip in open_sequences(name, None, _FIRST + _FRAMES)]
    rows, picture = measure(networks, chosen, clips, features)
    page = markdown(rows, len(chosen), [clip.name for clip in clips])
    if sheet is not None:
        save_picture(picture, sheet)
    if output is None:
        click.echo(page)
    else:
        write_report(output, page)


def measure(
    networks: dict[str, LookAt], paintings: Sequence["Painting"], clips: Sequence[FrameSequence], features: Any
) -> tuple[list[Row], Pixels]:
    """Return a row for each network, and a sheet: painting, then the first clip by each network.

    Raises:
        ArtmirrorError: a painting or a clip cannot be read, or a clip has fewer than two frames.
    """
    import torch

    from artmirror.train.objective.targets import look, matrices
    from artmirror.train.objective.vgg import CONTENT_LAYER
    from artmirror.train.pairs.base import to_tensor
    from artmirror.train.pairs.paintings import view_of

    shots = [_Shot(clip) for clip in clips]
    found: dict[str, list[tuple[float, float, float, float]]] = {name: [] for name in networks}
    squares: dict[str, list[float]] = {name: [] for name in networks}
    lines = []
    with torch.inference_mode():
        plain = [features(_to_frame(shot.frames[0])) for shot in shots]
        for painting in paintings:
            rgb = view_of(painting, 0)
            wanted = matrices(look(features, to_tensor(rgb)[None]).grams[None])
            cells = [rgb[..., ::-1]]
            for name, look_at in networks.items():
                paint = look_at(rgb)
                for shot, unpainted in zip(shots, plain, strict=True):
                    painted = [_to_pixels(paint(_to_frame(frame))) for frame in shot.frames]
                    seen = features(_to_frame(painted[0]))
                    style, layered = _style(seen, unpainted, wanted)
                    content = float((seen[CONTENT_LAYER] - unpainted[CONTENT_LAYER]).square().mean())
                    found[name].append((style, layered, content, shot.flicker(painted)))
                    squares[name] += shot.squared_errors(painted)
                    if shot is shots[0] and name != "input":
                        cells.append(painted[0])
            lines.append(_line(cells))
    rows = []
    for name, values in found.items():
        style, layered, content, flicker = (float(mean) for mean in np.mean(values, 0))
        rows.append(Row(name, style, layered, content, e_stab(squares[name]), flicker))
    return rows, np.concatenate(lines)


def markdown(rows: Sequence[Row], paintings: int, clips: Sequence[str]) -> str:
    """A row for each network."""
    header = ("network", "style", "by layer", "content", "e_stab", "flicker at rest")
    cells = [
        (
            row.name,
            f"{row.style:.3f}",
            f"{row.layered:.3f}",
            f"{row.content:.2f}",
            f"{row.e_stab:.4f}",
            f"{row.flicker:.2f}",
        )
        for row in rows
    ]
    table = markdown_grid(Grid("Networks", header, tuple(cells), texts=1))
    return "\n".join([f"{paintings} paintings by artists never trained on; {', '.join(clips)}.", "", *table, ""])


def open_peer(files: str) -> LookAt:
    """Open somebody else's network: `PREDICT.onnx,TRANSFORM.onnx`.

    A painting is scaled and cut to the size that the first file asks for, else to a multiple of 4.

    Raises:
        ArtmirrorError: a file is missing, or is no such network.
    """
    import onnxruntime as ort
    import torch

    names = files.split(",")
    if len(names) != 2:
        raise ArtmirrorError(f"--peer {files}: two files with a comma between them are wanted, PREDICT,TRANSFORM")
    try:
        predict, transform = (ort.InferenceSession(name, providers=["CPUExecutionProvider"]) for name in names)
    except Exception as error:  # the library has a dozen exception classes with no common base but this
        raise ArtmirrorError(f"ONNX Runtime cannot open {files}: {str(error).splitlines()[0]}") from None
    asked = predict.get_inputs()[0]
    picture, code = transform.get_inputs()
    last = asked.shape[-1] == 3  # NHWC
    fixed = [side for side in (asked.shape[1:3] if last else asked.shape[2:]) if isinstance(side, int)]

    def look_at(rgb: NDArray[np.uint8]) -> PaintFrame:
        if fixed:
            side = min(rgb.shape[:2])
            top, left = (rgb.shape[0] - side) // 2, (rgb.shape[1] - side) // 2
            square = rgb[top : top + side, left : left + side]
            rgb = np.asarray(cv2.resize(square, (fixed[1], fixed[0]), interpolation=cv2.INTER_AREA), np.uint8)
        height, width = (side // _MULTIPLE * _MULTIPLE for side in rgb.shape[:2])
        scaled = rgb[None, :height, :width].astype(np.float32) / 255  # (1, h, w, 3)
        vector = predict.run(None, {asked.name: scaled if last else scaled.transpose(0, 3, 1, 2)})[0]

        def paint(frame: "Tensor") -> "Tensor":
            planes = frame.numpy()
            given = {picture.name: planes.transpose(0, 2, 3, 1) if last else planes, code.name: vector}
            painted = transform.run(None, given)[0]
            return torch.from_numpy(np.ascontiguousarray(painted.transpose(0, 3, 1, 2) if last else painted))

        return paint

    return look_at


class _Shot:
    """Frames of a clip, and where they move and where they stand still."""

    def __init__(self, clip: FrameSequence) -> None:
        frames = list(islice(clip.frames(), _FIRST + _FRAMES))[-_FRAMES:]
        if len(frames) < 2:
            raise ArtmirrorError(f"{clip.name} has {len(frames)} frames; at least 2 are wanted")
        height, width = (side // _MULTIPLE * _MULTIPLE for side in frames[0].pixels.shape[:2])
        self.frames = [np.ascontiguousarray(frame.pixels[:height, :width]) for frame in frames]
        self._flows, self._still = [], []
        estimate = open_flow("dis")
        for frame, first, second in zip(frames, self.frames, self.frames[1:], strict=False):
            if frame.truth is not None:
                self._flows.append((frame.truth.flow[:height, :width], frame.truth.visible[:height, :width]))
            else:
                there, back = dense_flow(_rgb(first), _rgb(second), estimate)
                self._flows.append((there, trusted(there, back)))
            still = np.abs(first.astype(np.int16) - second).max(2) < _STILL
            self._still.append(cv2.erode(still.astype(np.uint8), _ERODED).astype(bool))

    def flicker(self, painted: Sequence[Pixels]) -> float:
        """Mean change from frame to frame where the input stands still, of 255; 0 where all of it moves."""
        changes = [
            np.abs(first.astype(np.int16) - second)[still].mean()
            for first, second, still in zip(painted, painted[1:], self._still, strict=False)
            if still.any()
        ]
        return float(np.mean(changes)) if changes else 0.0

    def squared_errors(self, painted: Sequence[Pixels]) -> list[float]:
        """For e_stab, step 1."""
        return [
            squared_error(first, second, *flow)
            for first, second, flow in zip(painted, painted[1:], self._flows, strict=False)
        ]


def _ours(checkpoint: Path, features: Any) -> LookAt:
    from artmirror.train.many import load_many
    from artmirror.train.objective.targets import look
    from artmirror.train.pairs.base import to_tensor

    model = load_many(checkpoint)

    def look_at(rgb: NDArray[np.uint8]) -> PaintFrame:
        code = model.encoder(look(features, to_tensor(rgb)[None]).statistics[None])
        affines = model.network.affines(code)
        return lambda frame: model.network(frame, affines)

    return look_at


def _style(
    seen: dict[str, "Tensor"], unpainted: dict[str, "Tensor"], wanted: dict[str, "Tensor"]
) -> tuple[float, float]:
    """The painted frame's distance from the painting in units of the unpainted one's: of all layers, and by layer."""
    from artmirror.train.objective.losses import gram
    from artmirror.train.objective.vgg import STYLE_LAYERS

    def distances(activations: dict[str, "Tensor"]) -> NDArray[np.float64]:
        return np.array([float((gram(activations[layer]) - wanted[layer]).square().mean()) for layer in STYLE_LAYERS])

    found, unit = distances(seen), distances(unpainted)
    return float(found.sum() / unit.sum()), float((found / unit).mean())


def _to_frame(pixels: Pixels) -> "Tensor":
    import torch

    return torch.from_numpy(_rgb(pixels).transpose(2, 0, 1)[None].astype(np.float32)) / 255


def _to_pixels(painted: "Tensor") -> Pixels:  # (1, 3, H, W) float32 RGB
    rounded = (painted[0].clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy()
    return np.ascontiguousarray(rounded[..., ::-1])


def _rgb(pixels: Pixels) -> Pixels:
    return np.ascontiguousarray(pixels[..., ::-1])


def _line(pictures: Sequence[NDArray[np.uint8]], height: int = 180, width: int = 320) -> Pixels:
    """Pictures side by side, each cut to one shape."""
    cells = []
    for picture in pictures:
        scale = max(height / picture.shape[0], width / picture.shape[1])
        large = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        top, left = (large.shape[0] - height) // 2, (large.shape[1] - width) // 2
        cells.append(large[top : top + height, left : left + width])
    return np.concatenate(cells, 1)


if __name__ == "__main__":
    main()
