"""Each loss against numbers computed by hand or with NumPy."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from artmirror.train.config import LossWeights
from artmirror.train.objective.losses import (
    ContentLoss,
    FeatureTemporalLoss,
    Objective,
    StyleLoss,
    TemporalLoss,
    TotalVariationLoss,
    change_of_light,
    gram,
)
from artmirror.train.objective.vgg import CONTENT_LAYER, STYLE_LAYERS, VggFeatures


def _random(*shape: int, seed: int = 0) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).uniform(0, 1, shape).astype(np.float32))


def _layers(fill: Callable[[int], Tensor]) -> dict[str, Tensor]:
    return {layer: fill(index) for index, layer in enumerate(STYLE_LAYERS)}


def test_gram_is_the_mean_of_products_over_positions() -> None:
    activations = _random(2, 3, 4, 5)
    f = activations.numpy().astype(np.float64)
    np.testing.assert_allclose(gram(activations), np.einsum("bchw,bdhw->bcd", f, f) / 20, rtol=1e-5)


def test_gram_in_closed_form() -> None:
    # Filter 0 is 1 everywhere; filter 1 is 2 on the left half, 0 on the right.
    activations = torch.ones(1, 2, 4, 6)
    activations[:, 1, :, :3], activations[:, 1, :, 3:] = 2, 0
    torch.testing.assert_close(gram(activations), torch.tensor([[[1.0, 1.0], [1.0, 2.0]]]))


def test_gram_does_not_depend_on_size_or_arrangement() -> None:
    activations = _random(1, 3, 4, 6)
    expected = gram(activations)
    torch.testing.assert_close(gram(activations.repeat(1, 1, 2, 3)), expected)
    torch.testing.assert_close(gram(activations.flip(2, 3)), expected)


def test_gram_is_summed_in_float32_under_autocast() -> None:
    activations = _random(1, 2, 64, 64)
    with torch.autocast("cpu", torch.bfloat16):
        found = gram(activations.bfloat16())
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, gram(activations.bfloat16().float()))


def test_content_loss_is_the_mean_squared_difference() -> None:
    painted, frame = _random(2, 4, 3, 5, seed=1), _random(2, 4, 3, 5, seed=2)
    found = ContentLoss()({CONTENT_LAYER: painted}, {CONTENT_LAYER: frame})
    assert found.item() == pytest.approx(np.mean((painted.numpy() - frame.numpy()) ** 2), rel=1e-5)


def test_style_loss_of_flat_activations_in_closed_form() -> None:
    # Flat activations of value v have the Gram matrix v^2 everywhere.
    painting = _layers(lambda index: torch.full((1, 2 + index, 4, 4), 1.0))
    painted = _layers(lambda index: torch.full((3, 2 + index, 5, 6), 1.0 + index))
    expected = sum(((1 + index) ** 2 - 1) ** 2 for index in range(4))  # 0 + 9 + 64 + 225
    assert StyleLoss(painting)(painted).item() == pytest.approx(expected)


def test_style_loss_sums_the_layers_mean_squared_gram_differences() -> None:
    painting = _layers(lambda index: _random(1, 2 + index, 7, 9, seed=index))
    painted = _layers(lambda index: _random(2, 2 + index, 6, 5, seed=10 + index))
    expected = 0.0
    for layer in STYLE_LAYERS:
        p, q = painting[layer].numpy().astype(np.float64), painted[layer].numpy().astype(np.float64)
        of_painting = np.einsum("bchw,bdhw->bcd", p, p) / 63
        expected += np.mean((np.einsum("bchw,bdhw->bcd", q, q) / 30 - of_painting) ** 2)
    assert StyleLoss(painting)(painted).item() == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("axis", [2, 3])
def test_total_variation_of_a_ramp_is_its_slope(axis: int) -> None:
    ramp = torch.arange(8.0) * 0.1
    picture = (ramp[:, None] if axis == 2 else ramp[None, :]).expand(2, 3, 8, 8)
    assert TotalVariationLoss()(picture).item() == pytest.approx(0.1, rel=1e-5)


def test_total_variation_against_numpy_and_of_a_flat_picture() -> None:
    picture = _random(2, 3, 6, 9)
    values = picture.numpy()
    expected = np.abs(np.diff(values, axis=2)).mean() + np.abs(np.diff(values, axis=3)).mean()
    assert TotalVariationLoss()(picture).item() == pytest.approx(expected, rel=1e-5)
    assert TotalVariationLoss()(torch.full((1, 3, 6, 9), 0.3)).item() == 0


def test_temporal_loss_of_a_constant_offset_in_closed_form() -> None:
    second = _random(1, 3, 8, 10)
    visible = torch.ones(1, 1, 8, 10)
    visible[..., :5] = 0
    found = TemporalLoss()(second + 0.25, second, torch.zeros(1, 2, 8, 10), visible)
    assert found.item() == pytest.approx(0.25**2 / 2, rel=1e-4)  # over all pixels, hidden ones too


def test_a_change_of_light_is_allowed_where_it_is_told() -> None:
    first, second = _random(1, 3, 8, 10, seed=1), _random(1, 3, 8, 10, seed=2)
    still, visible = torch.zeros(1, 2, 8, 10), torch.ones(1, 1, 8, 10)
    lighter = change_of_light(first, first - 0.1, still)
    torch.testing.assert_close(lighter, torch.full((1, 1, 8, 10), 0.1))
    assert TemporalLoss()(second + 0.1, second, still, visible, lighter).item() < 1e-10
    red = torch.tensor([1.0, 0.0, 0.0]).view(1, 3, 1, 1).expand(1, 3, 8, 10)
    torch.testing.assert_close(change_of_light(red, 0 * red, still), torch.full((1, 1, 8, 10), 0.2126))


def test_features_move_with_the_frames_at_their_own_size() -> None:
    # Eight pixels of the frame are two of features at a quarter of the size.
    second = _random(1, 5, 12, 16)
    first = torch.roll(second, -2, 3)
    flow = torch.tensor([8.0, 0.0]).view(1, 2, 1, 1).expand(1, 2, 48, 64)
    visible = torch.zeros(1, 1, 48, 64)
    visible[..., :56] = 1
    assert FeatureTemporalLoss()(first, second, flow, visible).item() < 1e-10
    assert FeatureTemporalLoss()(first, second, flow / 4, visible).item() > 0.01
    hidden = FeatureTemporalLoss()(first + 0.5, second, flow, visible).item()
    assert hidden == pytest.approx(0.25 * 14 / 16, rel=1e-4)


def test_temporal_loss_is_zero_for_exactly_moved_frames() -> None:
    # The content of the first frame at (x, y) is in the second at (x + 2, y + 1).
    second = _random(1, 3, 12, 16)
    first = torch.roll(second, (-1, -2), (2, 3))
    flow = torch.tensor([2.0, 1.0]).view(1, 2, 1, 1).expand(1, 2, 12, 16)
    visible = torch.zeros(1, 1, 12, 16)
    visible[..., :11, :14] = 1
    assert TemporalLoss()(first, second, flow, visible).item() < 1e-10
    assert TemporalLoss()(first, second, -flow, visible).item() > 0.01
    assert TemporalLoss()(first, second, flow.flip(1), visible).item() > 0.01
    assert TemporalLoss()(second, first, flow, visible).item() > 0.01


class TestObjective:
    weights = LossWeights(content=2.0, style=3.0, total_variation=5.0, temporal=7.0)
    still = (torch.zeros(1, 2, 64, 64), torch.ones(1, 1, 64, 64))
    photos = _random(2, 3, 64, 64, seed=7)

    def test_total_is_the_weighted_sum_of_the_terms(self, random_vgg: VggFeatures) -> None:
        photos = _random(3, 3, 64, 64, seed=6)
        objective = Objective(random_vgg, _random(1, 3, 64, 80, seed=1), photos, self.weights)
        frames, first, second = (_random(2, 3, 64, 64, seed=seed) for seed in (2, 3, 4))
        flow, visible = _random(2, 2, 64, 64, seed=5), torch.ones(2, 1, 64, 64)
        terms = {name: term.item() for name, term in objective(frames, first, second, flow, visible).items()}
        assert list(terms) == ["content", "style", "total_variation", "temporal", "total"]
        expected = 2 * terms["content"] + 3 * terms["style"] + 5 * terms["total_variation"] + 7 * terms["temporal"]
        assert terms["total"] == pytest.approx(expected, rel=1e-5)
        with torch.no_grad():
            wanted, found = random_vgg(frames), random_vgg(first)
            style_loss = StyleLoss(random_vgg(_random(1, 3, 64, 80, seed=1)))
            style = style_loss(found) / style_loss(random_vgg(photos))
        assert terms["content"] == pytest.approx(ContentLoss()(found, wanted).item(), rel=1e-5)
        assert terms["style"] == pytest.approx(style.item(), rel=1e-5)
        assert terms["total_variation"] == pytest.approx(TotalVariationLoss()(first).item(), rel=1e-5)
        assert terms["temporal"] == pytest.approx(TemporalLoss()(first, second, flow, visible).item(), rel=1e-5)

    def test_the_painting_itself_has_no_style_loss(self, random_vgg: VggFeatures) -> None:
        painting = _random(1, 3, 64, 64, seed=1)
        objective = Objective(random_vgg, painting, self.photos, self.weights)
        other = _random(1, 3, 64, 64, seed=2) ** 3
        assert objective(other, painting, painting, *self.still)["style"].item() < 1e-9
        assert objective(other, other, other, *self.still)["style"].item() > 1e-3

    def test_unpainted_photos_have_a_style_loss_of_one(self, random_vgg: VggFeatures) -> None:
        objective = Objective(random_vgg, _random(1, 3, 64, 64, seed=1) ** 2, self.photos, self.weights)
        found = [objective(photo, photo, photo, *self.still)["style"].item() for photo in self.photos.split(1)]
        assert np.mean(found) == pytest.approx(1, rel=1e-4)
        assert found[0] != found[1]

    def test_the_frame_itself_has_no_content_loss(self, random_vgg: VggFeatures) -> None:
        objective = Objective(random_vgg, _random(1, 3, 64, 64, seed=1), self.photos, self.weights)
        frame, other = _random(1, 3, 64, 64, seed=2), _random(1, 3, 64, 64, seed=3)
        assert objective(frame, frame, frame, *self.still)["content"].item() == 0
        assert objective(frame, other, other, *self.still)["content"].item() > 1e-3

    def test_the_temporal_term_may_count_in_part(self, random_vgg: VggFeatures) -> None:
        objective = Objective(random_vgg, _random(1, 3, 64, 64, seed=1), self.photos, self.weights)
        frames = [_random(1, 3, 64, 64, seed=seed) for seed in (2, 3, 4)]
        whole, none = (objective(*frames, *self.still, share) for share in (1.0, 0.0))
        assert whole["temporal"] == none["temporal"]
        torch.testing.assert_close(whole["total"] - none["total"], 7 * whole["temporal"])

    def test_gradients_reach_both_painted_frames_and_no_judge(self, random_vgg: VggFeatures) -> None:
        objective = Objective(random_vgg, _random(1, 3, 64, 64, seed=1), self.photos, self.weights)
        frame = _random(1, 3, 64, 64, seed=2)
        first, second = (_random(1, 3, 64, 64, seed=seed).requires_grad_() for seed in (3, 4))
        objective(frame, first, second, *self.still)["total"].backward()
        assert first.grad is not None
        assert second.grad is not None
        torch.testing.assert_close(second.grad, 7 * 2 * (second - first).detach() / first.numel())
        assert all(parameter.grad is None for parameter in objective.parameters())
        assert not any(parameter.requires_grad for parameter in objective.parameters())
