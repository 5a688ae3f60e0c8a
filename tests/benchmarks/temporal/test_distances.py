"""Style and content distance: training's losses, on pictures whose distance is known."""

import sys
from collections.abc import Callable
from pathlib import Path

import click
import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from artmirror.benchmarks.temporal.distances import Judge
from artmirror.train.objective.vgg import CONTENT_LAYER, STYLE_LAYERS, VggFeatures
from tests.fakes.moving_pictures import Picture, write_picture

SIDE = 64


def blots(seed: int, side: int = SIDE) -> Picture:
    knots = np.random.default_rng(seed).integers(0, 256, (9, 9, 3), np.uint8)
    return cv2.resize(knots, (side, side), interpolation=cv2.INTER_CUBIC)


def rgb(picture: Picture) -> Tensor:
    """Return (1, 3, H, W) float32 RGB in [0, 1]."""
    return torch.from_numpy(picture[..., ::-1].transpose(2, 0, 1).copy())[None].float() / 255


@pytest.fixture(scope="module")
def features() -> VggFeatures:
    torch.manual_seed(7)
    found = VggFeatures("caffe")
    for layer in found.layers:
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight)
    found.normalise(rgb(blots(5)))
    return found


@pytest.fixture(scope="module")
def vgg_file(features: VggFeatures, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("vgg") / "random.safetensors"
    save_file(features.layers.state_dict(), path)
    return path


@pytest.fixture
def painting(tmp_path: Path) -> Path:
    return write_picture(tmp_path / "painting.png", blots(1))


def test_the_painting_has_no_style_distance_and_a_frame_no_content_distance(vgg_file: Path, painting: Path) -> None:
    judge = Judge(vgg_file, painting, SIDE, [])
    of_painting, of_frame = judge.look(blots(1)), judge.look(blots(2))
    found = judge.distances(of_painting, of_painting)
    assert found.style == pytest.approx(0, abs=1e-9)
    assert found.content == 0
    other = judge.distances(of_frame, of_painting)
    assert min(other.style, other.content) > 1e-3
    assert sum(other.layers) == pytest.approx(other.style)
    assert len(other.layers) == 4


def test_distances_follow_from_the_activations(features: VggFeatures, vgg_file: Path, painting: Path) -> None:
    """Gram matrices by position and squared differences, as Huang et al. 2017 have them in eq. 2 and 3."""
    judge = Judge(vgg_file, painting, SIDE, [])
    painted, frame, wanted = (features(rgb(blots(seed))) for seed in (2, 3, 1))
    found = judge.distances(judge.look(blots(2)), judge.look(blots(3)))
    style = 0.0
    for layer in STYLE_LAYERS:
        of_painted, of_painting = (values[layer][0].flatten(1).double() for values in (painted, wanted))
        positions = of_painted.shape[1]
        difference = of_painted @ of_painted.T / positions - of_painting @ of_painting.T / positions
        style += float((difference**2).mean())
    assert found.style == pytest.approx(style, rel=1e-4)
    content = float(((painted[CONTENT_LAYER] - frame[CONTENT_LAYER]) ** 2).mean())
    assert found.content == pytest.approx(content, rel=1e-5)


def test_the_painting_is_scaled_by_its_short_side(vgg_file: Path, painting: Path) -> None:
    large = Judge(vgg_file, painting, 2 * SIDE, [])
    enlarged = cv2.resize(blots(1), (2 * SIDE, 2 * SIDE), interpolation=cv2.INTER_CUBIC)
    same, original = large.look(enlarged), large.look(blots(1))
    assert large.distances(same, same).style < 0.1 * large.distances(original, original).style


def test_torchvisions_weights_are_normalised_on_the_photos(
    features: VggFeatures, painting: Path, tmp_path: Path
) -> None:
    raw = tmp_path / "raw.pth"
    state = {
        f"features.{key}": value * (3 if key.endswith("weight") else 1)
        for key, value in features.layers.state_dict().items()
    }
    torch.save(state, raw)
    photos = [blots(seed) for seed in range(3)]
    judge = Judge(raw, painting, SIDE, photos)
    assert judge.normalised_on == 3
    activations = torch.cat([judge.look(photo)["relu2_2"] for photo in photos])
    assert float(activations.mean()) == pytest.approx(1, rel=1e-3)
    with pytest.raises(click.ClickException, match="has to be normalised on photos"):
        Judge(raw, painting, SIDE, [])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda vgg, painting: Judge(Path("none.safetensors"), painting, SIDE, []), "do not exist"),
        (lambda vgg, painting: Judge(vgg, Path("none.png"), SIDE, []), "cannot read the picture none.png"),
    ],
)
def test_errors(make: Callable[[Path, Path], Judge], message: str, vgg_file: Path, painting: Path) -> None:
    with pytest.raises(click.ClickException, match=message):
        make(vgg_file, painting)


def test_without_torch_it_says_what_to_install(vgg_file: Path, painting: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(click.ClickException, match=r"need the package torch.*pip install 'artmirror\[train\]'"):
        Judge(vgg_file, painting, SIDE, [])
