"""Warping by whole and half pixels, and beyond the border."""

import pytest
import torch

from artmirror.train.objective.warp import warp


def _flow(dx: float, dy: float, height: int, width: int) -> torch.Tensor:
    return torch.tensor([dx, dy]).view(1, 2, 1, 1).expand(1, 2, height, width)


@pytest.mark.parametrize(("dx", "dy"), [(0, 0), (3, 0), (0, 2), (2, 1)])
def test_warp_by_whole_pixels_is_a_shift(dx: int, dy: int) -> None:
    image = torch.rand(2, 3, 10, 14, generator=torch.manual_seed(0))
    warped = warp(image, _flow(dx, dy, 10, 14).expand(2, 2, 10, 14))
    torch.testing.assert_close(warped[:, :, : 10 - dy, : 14 - dx], image[:, :, dy:, dx:], rtol=0, atol=1e-5)


def test_warp_by_half_a_pixel_is_the_mean_of_two() -> None:
    image = torch.rand(1, 1, 6, 8, generator=torch.manual_seed(0))
    warped = warp(image, _flow(0.5, 0, 6, 8))
    torch.testing.assert_close(warped[..., :-1], (image[..., :-1] + image[..., 1:]) / 2, rtol=0, atol=1e-5)


def test_warp_repeats_the_border() -> None:
    image = torch.rand(1, 1, 6, 8, generator=torch.manual_seed(0))
    torch.testing.assert_close(warp(image, _flow(100, 0, 6, 8)), image[..., -1:].expand(1, 1, 6, 8))
    torch.testing.assert_close(warp(image, _flow(0, -100, 6, 8)), image[..., :1, :].expand(1, 1, 6, 8))
