"""A texture of any size, without a seam."""

import pytest
import torch

from artmirror.train.objective.vgg import VggFeatures
from artmirror.train.optimisation.descent import Iteration
from artmirror.train.optimisation.texture import GRID, TextureNetwork, learn_texture, make_texture, noise_of
from tests.train.optimisation.test_gatys import picture


@torch.no_grad()
def test_it_meets_its_own_other_side() -> None:
    torch.manual_seed(0)
    network = TextureNetwork().eval()
    noise = noise_of(64, 96, torch.Generator().manual_seed(1))
    shift = (GRID * 2, GRID * 3)
    turned = [part.roll((shift[0] * part.shape[2] // 64, shift[1] * part.shape[3] // 96), (2, 3)) for part in noise]
    torch.testing.assert_close(network(turned), network(noise).roll(shift, (2, 3)), atol=1e-5, rtol=0)


def test_it_learns_a_painting_and_makes_more_of_it(random_vgg: VggFeatures) -> None:
    steps: list[Iteration] = []
    network = learn_texture(picture(80, 96, 1), random_vgg, side=64, iterations=25, observe=steps.append)
    assert steps[-1].losses["style"] < 0.5 * steps[0].losses["style"]
    made = make_texture(network, 128, 96, seed=3)
    assert made.shape == (1, 3, 128, 96)
    assert 0 <= made.min() <= made.max() <= 1
    assert not torch.equal(made, make_texture(network, 128, 96, seed=4))
    assert torch.equal(made, make_texture(network, 128, 96, seed=3))


@pytest.mark.parametrize("seed", [0, 7])
def test_the_same_seed_learns_the_same(random_vgg: VggFeatures, seed: int) -> None:
    one, other = (
        learn_texture(picture(64, 64, 1), random_vgg, side=64, iterations=2, seed=seed).head.weight for _ in range(2)
    )
    assert torch.equal(one, other)
