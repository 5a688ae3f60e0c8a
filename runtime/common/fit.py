"""Fitting a picture of any size onto a wanted size: scale until it covers, crop the centre, distort nothing."""

import cv2
import numpy as np

from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.runtime.common.pixels import SMALLEST_SIDE, Pixels

PAINTING_SIDE = 256  # pixels of the shorter side: strokes are learned at this size
LONGEST = 1.5  # of the shorter side


def check_native_size(name: str, size: tuple[int, int]) -> tuple[int, int]:
    """Return `size`, the (H, W) that a source has by itself.

    Raises:
        ArtmirrorError: a side is shorter than 64 pixels.
    """
    height, width = size
    if min(size) < SMALLEST_SIDE:
        raise ArtmirrorError(
            f"{name} is {width}x{height}, at least {SMALLEST_SIDE}x{SMALLEST_SIDE} is wanted: "
            "enlarge it with --size WIDTHxHEIGHT"
        )
    return size


def cover_size(have: tuple[int, int], want: tuple[int, int]) -> tuple[int, int]:
    """Return the smallest (H, W) in the aspect ratio of `have` that covers `want`; one of its sides is equal."""
    if have[0] * want[1] >= have[1] * want[0]:  # taller than wanted: the width decides
        return max(want[0], round(have[0] * want[1] / have[1])), want[1]
    return want[0], max(want[1], round(have[1] * want[0] / have[0]))


def centre_crop(picture: Pixels, want: tuple[int, int]) -> Pixels:
    """Return the view of `want` (H, W) pixels at the centre of `picture`."""
    top, left = (picture.shape[0] - want[0]) // 2, (picture.shape[1] - want[1]) // 2
    return picture[top : top + want[0], left : left + want[1]]


def painting_view(rgb: Pixels, short_side: int = PAINTING_SIDE) -> Pixels:
    """A painting as encoders see it: its shorter side has `short_side` pixels, of a long one the middle is taken.

    Args:
        rgb: (h, w, 3) uint8, of any order of colours.
    """
    height, width = rgb.shape[:2]
    scale = short_side / min(height, width)
    size = (max(short_side, round(width * scale)), max(short_side, round(height * scale)))
    most = int(short_side * LONGEST)
    if max(size) > 4 * most:  # a strip: cut first, so that nothing grows without bound
        side = max(1, round(most / scale))
        rgb = centre_crop(rgb, (min(height, side), min(width, side)))
        height, width = rgb.shape[:2]
        size = (max(short_side, round(width * scale)), max(short_side, round(height * scale)))
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    scaled = np.asarray(cv2.resize(rgb, size, interpolation=method), np.uint8)
    return np.ascontiguousarray(centre_crop(scaled, (min(most, size[1]), min(most, size[0]))))


def place(picture: Pixels, mirror: bool, out: Pixels) -> None:
    """Write `picture` (h, w, 3) into `out` (H, W, 3) in place: covered, centred and, on request, mirrored."""
    want: tuple[int, int] = (out.shape[0], out.shape[1])
    if picture.shape[:2] == want:
        if mirror:
            cv2.flip(picture, 1, dst=out)
        else:
            np.copyto(out, picture)
        return
    # The part that will be seen is cut out first: fewer pixels to scale.
    height, width = picture.shape[:2]
    scale = max(want[0] / height, want[1] / width)
    seen = min(height, max(1, round(want[0] / scale))), min(width, max(1, round(want[1] / scale)))
    part = centre_crop(picture, seen)
    method = cv2.INTER_AREA if seen[0] > want[0] else cv2.INTER_LINEAR
    cv2.resize(part, (want[1], want[0]), dst=out, interpolation=method)
    if mirror:
        cv2.flip(out, 1, dst=out)
