"""A picture put together from squares of a painting: which squares, and what they cost."""

import pytest
import torch
from torch.nn import functional as F

from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.train.objective.vgg import VggFeatures
from artmirror.train.optimisation.descent import Iteration, PaintWeights, coarse_to_fine
from artmirror.train.optimisation.mrf import PatchLook, Squares
from artmirror.train.optimisation.semantic import ground_masks, grounds_of, semantic_look
from tests.train.optimisation.test_gatys import picture


def activations(seed: int, size: tuple[int, int] = (7, 9)) -> torch.Tensor:
    return torch.rand(1, 4, *size, generator=torch.Generator().manual_seed(seed))


class TestSquares:
    def test_a_painting_finds_itself_and_costs_nothing(self) -> None:
        painting = activations(0)
        squares = Squares(painting)
        assert squares.nearest(painting).tolist() == list(range(5 * 7))
        assert float(squares.look_again(painting)(painting)) == pytest.approx(0, abs=1e-6)

    def test_the_nearest_has_the_largest_normalised_correlation(self) -> None:
        painting, here = activations(0), activations(1, (5, 5))
        there, wanted = F.unfold(painting, 3)[0].T, F.unfold(here, 3)[0].T
        expected = [
            int(torch.stack([F.cosine_similarity(one, other, 0) for other in there]).argmax()) for one in wanted
        ]
        assert Squares(painting).nearest(here).tolist() == expected

    def test_the_energy_is_the_mean_square_of_all_squares(self) -> None:
        painting, here, later = activations(0), activations(1), activations(2)
        squares = Squares(painting, stride=2)
        found = F.unfold(painting, 3, stride=2)[0][:, squares.nearest(here)]
        for picture_now in (here, later):
            expected = (F.unfold(picture_now, 3)[0] - found).square().mean()
            torch.testing.assert_close(squares.look_again(here)(picture_now), expected)

    def test_squares_stay_on_their_ground(self) -> None:
        painting, here = activations(0, (8, 12)), activations(1, (8, 12))
        left = torch.zeros(1, 1, 8, 12)
        left[..., :6] = 1
        both = torch.cat([left, 1 - left], 1)
        squares = Squares(painting, 100 * both, 100 * both)
        columns = squares.nearest(here).view(6, 10) % 10
        assert (columns[:, :4] < 4).all()
        assert (columns[:, 6:] >= 6).all()


class TestMaps:
    def plain(self, *colours: tuple[float, float, float]) -> torch.Tensor:
        return (
            torch.tensor(colours, dtype=torch.float32)
            .T.reshape(1, 3, 1, len(colours))
            .repeat(1, 1, 20, 1)
            .repeat_interleave(10, 3)
        )

    def test_each_colour_is_a_ground(self) -> None:
        here, there = ground_masks(
            self.plain((1, 0, 0), (0, 0, 1), (1, 0, 0)), self.plain((0, 0, 1), (0.98, 0.01, 0)) + 0.005
        )
        assert here.shape == (1, 2, 20, 30)
        assert there.shape == (1, 2, 20, 20)
        assert (here.sum(1) == 1).all()
        red = int(there[0, :, 0, 15].argmax())
        assert here[0, red, 0].tolist() == [1.0] * 10 + [0.0] * 10 + [1.0] * 10

    def test_maps_that_do_not_fit(self) -> None:
        with pytest.raises(ArtmirrorError, match="draw what belongs together in the same colour"):
            ground_masks(self.plain((1, 0, 0)), self.plain((1, 0, 0)))
        with pytest.raises(ArtmirrorError, match="wanted at most 16 plain ones"):
            ground_masks(self.plain((1, 0, 0)), torch.rand(1, 3, 8, 8))

    def test_they_are_as_long_as_asked_at_every_size(self) -> None:
        mask = ground_masks(self.plain((1, 0, 0), (0, 0, 1)), self.plain((1, 0, 0), (0, 0, 1)))
        here, there = grounds_of(*mask, 3.0)((5, 6), (4, 4))
        assert here.shape == (1, 2, 5, 6)
        torch.testing.assert_close(here.sum(1), torch.full((1, 5, 6), 3.0))
        torch.testing.assert_close(there.sum(1), torch.full((1, 4, 4), 3.0))


@pytest.mark.parametrize("mapped", [False, True])
def test_the_loss_falls(random_vgg: VggFeatures, mapped: bool) -> None:
    painting, steps = picture(72, 80, 1), list[Iteration]()
    look = PatchLook(painting, random_vgg, PaintWeights())
    if mapped:
        halves = torch.zeros(1, 3, 72, 80)
        halves[..., 40:] = 1
        look = semantic_look(painting, random_vgg, PaintWeights(), (halves, halves))
    painted = coarse_to_fine(picture(64, 72, 0), look, iterations=12, observe=steps.append)
    assert steps[0].losses["style"] == pytest.approx(1, abs=1e-3)  # in units of an unpainted photo's
    assert steps[-1].losses["total"] < 0.8 * steps[0].losses["total"]
    assert painted.shape == (1, 3, 64, 72)
