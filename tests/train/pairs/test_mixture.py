"""Photos and clips, each alone and mixed."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.train.checkpoint import StyleInfo, load_checkpoint
from artmirror.train.config import TrainConfig
from artmirror.train.loop import RunOptions, train
from artmirror.train.pairs.base import Pair, PairStream
from artmirror.train.pairs.clips import ClipPairs
from artmirror.train.pairs.mixture import MixedPairs, training_pairs
from artmirror.train.pairs.photos import MovedPhotos
from tests.fakes.clip_dataset import panned_shot, write_dataset

MakeConfig = Callable[..., TrainConfig]


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("clips") / "dataset", [panned_shot(6, seed) for seed in range(3)])


class Numbered(PairStream):
    """Pairs that say who they are."""

    def __init__(self, config: TrainConfig, kind: int) -> None:
        super().__init__(config)
        self.kind = kind

    def __getitem__(self, index: int) -> Pair:
        return Pair(*(torch.tensor([self.kind, index]) for _ in range(4)))

    def calibration_photos(self, count: int = 16) -> Tensor:
        return torch.full((count, 1), self.kind)


@pytest.mark.parametrize("share", [0.0, 0.25, 1 / 3, 0.5, 0.9, 1.0])
def test_every_stretch_holds_the_share_and_each_kind_comes_in_its_own_order(
    make_config: MakeConfig, share: float
) -> None:
    config = make_config(clip_share=share, steps=40, pairs=3)
    mixed = MixedPairs(Numbered(config, 0), Numbered(config, 1), config)
    assert len(mixed) == 120
    told = [mixed[index].first.tolist() for index in range(len(mixed))]
    for length in (3, 10, 120):
        for start in range(len(told) - length + 1):
            clips = sum(kind for kind, _ in told[start : start + length])
            assert abs(clips - share * length) < 1.001
    for kind in (0, 1):
        indices = [index for found, index in told if found == kind]
        assert indices == list(range(len(indices)))


def test_calibration_takes_half_of_each(make_config: MakeConfig) -> None:
    config = make_config()
    mixed = MixedPairs(Numbered(config, 0), Numbered(config, 1), config)
    assert mixed.calibration_photos(4).flatten().tolist() == [0, 0, 1, 1]
    assert mixed.calibration_photos(5).flatten().tolist() == [0, 0, 0, 1, 1]


def test_the_configuration_says_what_is_trained_on(make_config: MakeConfig, dataset: Path) -> None:
    assert isinstance(training_pairs(make_config()), MovedPhotos)
    assert isinstance(training_pairs(make_config(photos_path=None, clips_path=str(dataset))), ClipPairs)
    mixed = training_pairs(make_config(clips_path=str(dataset)))
    assert isinstance(mixed, MixedPairs)
    assert isinstance(mixed.photos, MovedPhotos)
    assert isinstance(mixed.clips, ClipPairs)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"photos_path": None}, "nothing to train on; name a folder of photos with --photos or a dataset"),
        ({"clip_share": 1.5}, "share of clips 1.5; wanted 0 to 1"),
        ({"gaps": ()}, r"gaps \(\); wanted at least one"),
        ({"gaps": (1, 0)}, r"gaps \(1, 0\); wanted at least one, each of one frame or more"),
        ({"flow": "lucas"}, "flow is 'lucas'; wanted one of dis, farneback, raft, stored"),
    ],
)
def test_a_configuration_without_sense_is_told(make_config: MakeConfig, changes: dict[str, object], told: str) -> None:
    with pytest.raises(ArtmirrorError, match=told):
        make_config(**changes)


def test_the_configuration_survives_plain_data(make_config: MakeConfig) -> None:
    config = make_config(clips_path="clips", gaps=(1, 5), flow="stored", clip_share=0.25)
    plain = config.to_dict()
    assert TrainConfig.from_dict({**plain, "gaps": list(plain["gaps"])}) == config
    portable = make_config(clips_path="/a/clips", flow_weights_path="/b/raft.pth").to_portable_dict()
    assert (portable["clips_path"], portable["flow_weights_path"]) == ("clips", "raft.pth")


@pytest.mark.parametrize("photos_too", [False, True])
def test_clips_train(make_config: MakeConfig, dataset: Path, tmp_path: Path, photos_too: bool) -> None:
    config = make_config(clips_path=str(dataset), steps=1)
    if not photos_too:
        config = make_config(clips_path=str(dataset), photos_path=None, steps=1)
    output = tmp_path / "run.pt"
    train(config, StyleInfo("run"), RunOptions(output, workers=0, preview_every=0))
    assert load_checkpoint(output).losses["temporal"] > 0
