"""Temporal error, the one definition that every report uses. Pure functions.

    e_stab = sqrt( mean over pairs of  mean over all pixels and channels of  M (O_t - W(O_t+s))^2 )

O are painted frames in [0, 1], W brings the later frame onto the earlier one by the flow between them, M is 1 where
that flow can be trusted (ReCoNet's stability error, Gao et al. 2018, in the form of Huang et al. 2017, eq. 5). The mean
is over all pixels, those that M hides included; the one root is taken at the end: squared errors pool, roots do not.
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from artmirror.runtime.common.flow import inside, warp_image
from artmirror.runtime.common.pixels import Pixels

STILL = 6  # of 255

Flow = NDArray[
    np.float32
]  # (H, W, 2) pixels: the content at (x, y) of the earlier frame is at (x, y) + flow in the later
Mask = NDArray[np.bool_]  # (H, W)


def squared_error(earlier: Pixels, later: Pixels, flow: Flow, visible: Mask) -> float:
    """One pair's part of e_stab: mean over all pixels and channels of M (O_t - W(O_t+s))^2.

    Args:
        earlier: (H, W, 3) uint8.
        later: (H, W, 3) uint8.
        flow: From the earlier to the later frame.
        visible: M.

    Returns:
        In [0, 1], for pictures in [0, 1].
    """
    return float(np.square(_difference(earlier, later, flow, visible), dtype=np.float64).mean())


def instability(earlier: Pixels, later: Pixels, flow: Flow, visible: Mask) -> NDArray[np.float32]:
    """Where the error of a pair is: the root of the mean over channels of M (O_t - W(O_t+s))^2.

    Args:
        As `squared_error`, which is the mean over all pixels of this one's square.

    Returns:
        (H, W) in [0, 1].
    """
    squares = np.square(_difference(earlier, later, flow, visible))
    roots: NDArray[np.float32] = np.sqrt(squares.mean(axis=2)).astype(np.float32)
    return roots


def still_places(earlier: Pixels, later: Pixels) -> Mask:
    """Where the input stands still from one frame to the other: no channel changes by 6 of 255 or more, as noise."""
    still: Mask = (np.abs(earlier.astype(np.int16) - later) < STILL).all(axis=2)
    return still


def change_at(earlier: Pixels, later: Pixels, places: Mask) -> float:
    """Mean change of a painted picture, of 255, where the input stands still; 0 where it stands still nowhere."""
    if not places.any():
        return 0.0
    return float(np.abs(earlier.astype(np.int16) - later)[places].mean())


def edge_energy(picture: Pixels, visible: Mask) -> float:
    """How much a frame varies from pixel to pixel: mean over all pixels and channels of M (dO/dx^2 + dO/dy^2).

    Whatever brings a frame back by a wrong fraction of a pixel leaves an error that grows with the root of this.

    Args:
        picture: (H, W, 3) uint8.

    Returns:
        In [0, 2], for pictures in [0, 1].
    """
    shades = picture.astype(np.float32) / 255
    across, down = np.diff(shades, axis=1)[:-1], np.diff(shades, axis=0)[:, :-1]
    return float((visible[:-1, :-1, None] * (across**2 + down**2)).mean(dtype=np.float64))


def e_stab(squared_errors: Sequence[float]) -> float:
    """Pool pairs: the root of the mean of their squared errors.

    Raises:
        ValueError: there is no pair, and so no error: 0 would say that nothing flickers.
    """
    if not squared_errors:
        raise ValueError("no pair of frames")
    return math.sqrt(math.fsum(squared_errors) / len(squared_errors))


def visible_by_truth(flow: Flow, valid: Mask, occluded: Mask | None) -> Mask:
    """M for a flow that is given: known, inside the later frame, and not covered there by something else.

    Args:
        valid: Where the flow is known.
        occluded: Where the later frame hides what the earlier shows; None where nobody says.
    """
    visible: Mask = valid & inside(flow)
    return visible if occluded is None else visible & ~occluded


def _difference(earlier: Pixels, later: Pixels, flow: Flow, visible: Mask) -> NDArray[np.floating]:
    warped = warp_image(later.astype(np.float32) / 255, flow)
    return visible[..., None] * (earlier.astype(np.float32) / 255 - warped)  # (H, W, 3)
