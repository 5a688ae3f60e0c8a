"""LPIPS with random weights, against the same network built of torch's modules."""

import sys
from collections.abc import Callable
from pathlib import Path

import click
import numpy as np
import pytest
import torch
from torch import nn

from artmirror.benchmarks.temporal.lpips import PerceptualDistance
from tests.fakes.moving_pictures import SIZE, constant_flow, shifted, texture

CHANNELS = (64, 192, 384, 256, 256)
EVERYWHERE = np.ones(SIZE, bool)


def make_alexnet() -> nn.Sequential:
    """Return AlexNet's feature layers (Krizhevsky 2014, as torchvision has them) with random weights."""
    torch.manual_seed(3)
    layers = nn.Sequential(
        *(nn.Conv2d(3, 64, 11, 4, 2), nn.ReLU(), nn.MaxPool2d(3, 2)),
        *(nn.Conv2d(64, 192, 5, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2)),
        *(nn.Conv2d(192, 384, 3, padding=1), nn.ReLU(), nn.Conv2d(384, 256, 3, padding=1), nn.ReLU()),
        *(nn.Conv2d(256, 256, 3, padding=1), nn.ReLU()),
    )
    for layer in layers:
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight)
            nn.init.normal_(layer.bias, 0, 0.1)
    return layers.eval()


@pytest.fixture(scope="module")
def lpips_files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("lpips")
    alexnet, linear = folder / "alexnet.pth", folder / "alex.pth"
    torch.save({f"features.{key}": value for key, value in make_alexnet().state_dict().items()}, alexnet)
    torch.save(
        {f"lin{index}.model.1.weight": torch.rand(1, width, 1, 1) for index, width in enumerate(CHANNELS)}, linear
    )
    return alexnet, linear


def test_it_is_the_papers_formula(lpips_files: tuple[Path, Path]) -> None:
    """Eq. 1: unit channels, squared differences weighed by channel, mean over places, sum over layers.

    The authors' package gave the same to seven digits, with these layers for torchvision's and its own linear weights.
    """
    network, heads = make_alexnet(), torch.load(lpips_files[1], weights_only=True)
    first, second = (np.random.default_rng(seed).random((*SIZE, 3), np.float32) for seed in (0, 1))
    tensors = [
        torch.from_numpy(picture[..., ::-1].copy()).permute(2, 0, 1)[None] * 2 - 1 for picture in (first, second)
    ]
    shift, scale = (
        torch.tensor(values).view(1, 3, 1, 1) for values in ((-0.030, -0.088, -0.188), (0.458, 0.448, 0.450))
    )
    expected = 0.0
    with torch.no_grad():
        x, y = ((tensor - shift) / scale for tensor in tensors)
        layers = iter(range(len(CHANNELS)))
        for layer in network:
            x, y = layer(x), layer(y)
            if isinstance(layer, nn.ReLU):
                difference = x / x.norm(dim=1, keepdim=True) - y / y.norm(dim=1, keepdim=True)
                expected += float((difference**2 * heads[f"lin{next(layers)}.model.1.weight"]).sum(1).mean())
    found = PerceptualDistance(*lpips_files).distance(first, second)
    assert found == pytest.approx(expected, rel=1e-4)
    assert found > 0.01


def test_neighbours_are_compared_after_warping_and_inside_the_mask(lpips_files: tuple[Path, Path]) -> None:
    distance = PerceptualDistance(*lpips_files)
    first, second = shifted(2, 3)
    inside = EVERYWHERE.copy()
    inside[:, :3] = False
    assert distance.of_pair(first, second, constant_flow(-3), inside) == 0
    assert distance.of_pair(first, second, constant_flow(0), EVERYWHERE) > 0.001
    assert distance.of_pair(first, texture(seed=9), constant_flow(0), ~EVERYWHERE) == 0


@pytest.mark.parametrize(
    ("choose", "message"),
    [
        (
            lambda alexnet, linear: (alexnet.with_name("none.pth"), linear),
            r"cannot read .*none\.pth.*; wanted torchvision",
        ),
        (lambda alexnet, linear: (linear, alexnet), r"alex\.pth does not hold 0\.weight of shape 64x3x11x11"),
        (lambda alexnet, linear: (alexnet, alexnet), r"does not hold lin0\.model\.1\.weight of shape 1x64x1x1"),
        (lambda alexnet, linear: (Path(__file__), linear), r"test_lpips\.py holds no weights"),
    ],
)
def test_other_files_are_refused_in_one_line(
    choose: Callable[[Path, Path], tuple[Path, Path]], message: str, lpips_files: tuple[Path, Path]
) -> None:
    with pytest.raises(click.ClickException, match=message) as caught:
        PerceptualDistance(*choose(*lpips_files))
    assert "\n" not in caught.value.message


def test_without_torch_it_says_what_to_install(lpips_files: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(click.ClickException, match=r"LPIPS needs the package torch.*pip install 'artmirror\[train\]'"):
        PerceptualDistance(*lpips_files)
