"""Clips as training pairs: two near frames of a shot and the flow between them."""

from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.runtime.common.flow import (
    Flow,
    Mask,
    decode_flow_png,
    dense_flow,
    inside,
    resized_flow,
    trusted,
)
from artmirror.train.config import TrainConfig
from artmirror.train.pairs.base import Pair, PairStream, decode_rgb, make_pair, middle, resized, to_tensor
from artmirror.train.pairs.chunks import Chunk, read_chunks
from artmirror.train.pairs.raft import open_any_flow

MIN_TRUSTED = 0.25  # share of pixels; a pair with less says next to nothing about coherence
DRAWS = 4  # the last one is taken as it is
# Words that keep the random numbers of clips apart from those of photos and from each other.
_PAIR, _SHOTS, _CHUNKS = 2 << 32, 3 << 32, 4 << 32

Value = TypeVar("Value", bound=np.generic)


class ClipPairs(PairStream):
    """Pairs from a dataset of `st-data prepare`, with flow that is estimated on their crops or read from the dataset.

    An epoch takes every shot once, and of each shot another of its chunks until all have had their turn. So a long shot
    counts no more than a short one: neighbouring chunks show nearly the same, and what a style must learn is how
    different things look. Half of the pairs go back in time, but for stored flow, which leads forward only; all other
    draws of pair `i` are the same, wherever its flow comes from.

    Raises:
        ArtmirrorError: there is no dataset, it is damaged, no pair has the wanted gaps, or there is no estimator.
    """

    def __init__(self, folder: Path, config: TrainConfig) -> None:
        super().__init__(config)
        self._estimator = None
        if config.flow != "stored":
            weights = None if config.flow_weights_path is None else Path(config.flow_weights_path)
            self._estimator = open_any_flow(config.flow, weights)
        shots: dict[str, list[Chunk]] = {}
        for chunk in read_chunks(folder):
            if self._pairs_by_gap(chunk):
                shots.setdefault(chunk.shot, []).append(chunk)
        self.shots = list(shots.values())
        if not self.shots:
            stored = "stored flow between " if self._estimator is None else ""
            cure = "choose --flow dis" if self._estimator is None else "give a smaller --gap"
            raise ArtmirrorError(
                f"{folder} holds no {stored}frames that are {' or '.join(map(str, config.gaps))} apart; {cure}"
            )

    def __getitem__(self, index: int) -> Pair:
        seed = self.config.seed
        chunk = self.chunk_of(index)
        for draw in range(DRAWS):
            rng = np.random.default_rng((seed, _PAIR, index, draw))
            if draw:
                chunks = self.shots[rng.integers(len(self.shots))]
                chunk = chunks[rng.integers(len(chunks))]
            pair = self._pair(chunk, rng)
            if pair.visible.mean() >= MIN_TRUSTED:
                break
        return pair

    def calibration_photos(self, count: int = 16) -> Tensor:
        """First frames of some shots as (count, 3, S, S) float32 RGB in [0, 1], the same for every seed."""
        step = max(1, len(self.shots) // count)
        firsts = [chunks[0] for chunks in self.shots[::step][:count]]
        return torch.stack([to_tensor(middle(_frames(chunk, [0])[0], self.config.crop)) for chunk in firsts])

    def chunk_of(self, index: int) -> Chunk:
        """The chunk whose turn it is at an index."""
        epoch, place = divmod(index, len(self.shots))
        shot = int(np.random.default_rng((self.config.seed, _SHOTS, epoch)).permutation(len(self.shots))[place])
        chunks = self.shots[shot]
        cycle, turn = divmod(epoch, len(chunks))
        order = np.random.default_rng((self.config.seed, _CHUNKS, shot, cycle)).permutation(len(chunks))
        return chunks[int(order[turn])]

    def _pairs_by_gap(self, chunk: Chunk) -> list[list[tuple[int, int]]]:
        """The pairs of frames that a chunk has to offer, a list for each gap that it has any of."""
        count = len(chunk.frames)
        pairs = [[(start, start + gap) for start in range(count - gap)] for gap in self.config.gaps]
        if self._estimator is None:
            pairs = [[pair for pair in of_gap if pair in chunk.flows] for of_gap in pairs]
        return [of_gap for of_gap in pairs if of_gap]

    def _pair(self, chunk: Chunk, rng: np.random.Generator) -> Pair:
        side = self.config.crop
        by_gap = self._pairs_by_gap(chunk)
        of_gap = by_gap[int(rng.random() * len(by_gap))]
        start, end = of_gap[int(rng.random() * len(of_gap))]
        backwards, mirrored = rng.random(2) < 0.5
        # Scale so that the crop takes between all and two thirds of the short side, as of photos.
        short_side = round(side * rng.uniform(1.0, 1.5))
        frames = [resized(rgb, short_side) for rgb in _frames(chunk, [start, end])]
        height, width = frames[0].shape[:2]
        top, left = (int(rng.random() * (length - side + 1)) for length in (height, width))
        crop = np.s_[top : top + side, left : left + side]
        first, second = (_mirrored(frame[crop], mirrored) for frame in frames)
        if self._estimator is None:
            flow, visible = resized_flow(*_stored(chunk, start, end), (height, width))
            flow, visible = _mirrored(flow[crop], mirrored), _mirrored(visible[crop], mirrored)
            if mirrored:
                flow[..., 0] *= -1
            visible = visible & inside(flow)  # of the crop: what lies beyond it is in the dataset, but not in the pair
        else:
            if backwards:
                first, second = second, first
            flow, back = dense_flow(first, second, self._estimator)
            visible = trusted(flow, back)
        return make_pair(first, second, flow, visible, self.config.motion.noise_std, rng)


def _frames(chunk: Chunk, numbers: list[int]) -> list[NDArray[np.uint8]]:
    """Decode frames: (H, W, 3) uint8 RGB each."""
    members = chunk.read(chunk.frames[number] for number in numbers)
    return [
        decode_rgb(data, f"{chunk.shard}: {chunk.key}.{number:02}.jpg")
        for number, data in zip(numbers, members, strict=True)
    ]


def _stored(chunk: Chunk, start: int, end: int) -> tuple[Flow, Mask]:
    [data] = chunk.read([chunk.flows[start, end]])
    return decode_flow_png(data.tobytes(), f"{chunk.shard}: {chunk.key}.{start:02}-{end:02}.flow.png")


def _mirrored(pixels: NDArray[Value], mirrored: bool) -> NDArray[Value]:
    """A copy, from right to left if wanted."""
    return np.ascontiguousarray(pixels[:, ::-1] if mirrored else pixels)
