"""The pairs of a training run: from photos, from clips, or both mixed."""

import math
from pathlib import Path

import torch
from torch import Tensor

from artmirror.train.config import TrainConfig
from artmirror.train.pairs.base import Pair, PairStream
from artmirror.train.pairs.clips import ClipPairs
from artmirror.train.pairs.photos import MovedPhotos


def training_pairs(config: TrainConfig) -> PairStream:
    """Open what a configuration trains on.

    Raises:
        ArtmirrorError: there are no photos or no usable clips where it says.
    """
    photos = None if config.photos_path is None else MovedPhotos(Path(config.photos_path), config)
    clips = None if config.clips_path is None else ClipPairs(Path(config.clips_path), config)
    if photos is not None and clips is not None:
        return MixedPairs(photos, clips, config)
    one = clips if photos is None else photos
    assert one is not None  # the configuration names one of them
    return one


class MixedPairs(PairStream):
    """Photos and clips in turn, so that any run of pairs holds `config.clip_share` of clips, to one pair.

    Each kind is drawn in its own order without gaps: its epochs are those that it has alone.
    """

    def __init__(self, photos: PairStream, clips: PairStream, config: TrainConfig) -> None:
        super().__init__(config)
        self.photos = photos
        self.clips = clips

    def __getitem__(self, index: int) -> Pair:
        clips_before, clips_after = (math.floor(count * self.config.clip_share) for count in (index, index + 1))
        return self.clips[clips_before] if clips_after > clips_before else self.photos[index - clips_before]

    def calibration_photos(self, count: int = 16) -> Tensor:
        """Some photos, and frames of clips for the other half, as (count, 3, S, S) float32 RGB in [0, 1]."""
        return torch.cat(
            [self.photos.calibration_photos(count - count // 2), self.clips.calibration_photos(count // 2)]
        )
