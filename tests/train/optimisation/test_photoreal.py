"""A photo that takes on another's light: the matting Laplacian is Levin's, and the photo stays one."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from artmirror.train.objective.vgg import VggFeatures
from artmirror.train.optimisation.descent import Iteration, PaintWeights, coarse_to_fine
from artmirror.train.optimisation.photoreal import MattingLaplacian, PhotoLook
from tests.train.optimisation.test_gatys import picture

EVEN = 1e-3


def levin(photo: NDArray[np.float64]) -> NDArray[np.float64]:
    """Levin et al. 2008, eq. 12, as a matrix of pixels by pixels; `photo` is (H, W, 3)."""
    height, width, _ = photo.shape
    number = np.arange(height * width).reshape(height, width)
    matrix = np.zeros((height * width, height * width))
    for y in range(height - 2):
        for x in range(width - 2):
            chosen = number[y : y + 3, x : x + 3].ravel()
            colours = photo[y : y + 3, x : x + 3].reshape(9, 3)
            away = colours - colours.mean(0)
            inverse = np.linalg.inv(away.T @ away / 9 + EVEN / 9 * np.eye(3))
            matrix[np.ix_(chosen, chosen)] += np.eye(9) - (1 + away @ inverse @ away.T) / 9
    return matrix


def test_the_laplacian_is_levins() -> None:
    generator = torch.Generator().manual_seed(0)
    photo, values = torch.rand(1, 3, 6, 7, generator=generator), torch.rand(1, 2, 6, 7, generator=generator)
    matrix = levin(photo[0].permute(1, 2, 0).double().numpy())
    applied = MattingLaplacian(photo, EVEN)(values)
    expected = (matrix @ values[0].double().reshape(2, -1).numpy().T).T.reshape(1, 2, 6, 7)
    np.testing.assert_allclose(applied.numpy(), expected, atol=1e-10)
    energy, gradient = MattingLaplacian(photo, EVEN).energy(values)
    assert float(energy) == pytest.approx(float((values.double().numpy() * expected).sum()))
    np.testing.assert_allclose(gradient.numpy(), 2 * expected, atol=1e-10)


def test_colours_that_change_alike_cost_nothing_and_new_edges_do() -> None:
    photo = picture(24, 32, 0)
    laplacian = MattingLaplacian(photo)
    warmer = 0.5 * photo + 0.2 * photo[:, [2, 0, 1]] + 0.1
    drawn = photo.clone()
    drawn[..., ::4] = 0
    assert abs(float(laplacian.energy(warmer)[0])) < 1e-3
    assert float(laplacian.energy(drawn)[0]) > 1


@pytest.mark.parametrize("grounds", [1, 2])
def test_it_takes_on_the_other_and_keeps_its_edges(random_vgg: VggFeatures, grounds: int) -> None:
    photo, other = picture(64, 72, 0), 0.6 * picture(80, 64, 5)
    masks = None
    if grounds == 2:
        here, there = torch.zeros(1, 2, 64, 72), torch.zeros(1, 2, 80, 64)
        for mask in (here, there):
            mask[:, 0, :32] = 1
            mask[:, 1, 32:] = 1
        masks = here, there
    energies = []
    for realism in (0.0, 3e4):
        steps: list[Iteration] = []
        look = PhotoLook(other, random_vgg, PaintWeights(), masks=masks, realism=realism)
        coarse_to_fine(photo, look, iterations=15, observe=steps.append)
        assert steps[0].losses["style"] == pytest.approx(1, abs=1e-3)
        assert steps[-1].losses["style"] < 0.9
        energies.append(steps[-1].losses["realism"])
    assert energies[1] < 0.2 * energies[0]
