"""A frame on its way from source to sink, in memory that was allocated before the loop."""

from dataclasses import dataclass
from fractions import Fraction

from artmirror.runtime.common.pixels import Pixels


@dataclass(slots=True, eq=False)
class FrameSlot:
    """A place for one frame and its stylized picture, borrowed from a pool and given back.

    Exactly one party owns a slot at a time: the source while it writes `frame`, the engine from submit to wait, a
    sink during its `write`. Nobody keeps a reference to the arrays after handing the slot on. Slots are compared and
    hashed by identity.
    """

    frame: Pixels  # (H, W, 3) uint8 BGR in [0, 255], C-contiguous
    stylized: Pixels  # (H, W, 3) uint8 BGR in [0, 255], C-contiguous
    id: int = -1  # 0, 1, 2, ... in the order of capture; gaps are dropped frames
    captured_ns: int = 0  # time.monotonic_ns() when the source had the picture
    media_time_s: Fraction | None = None  # presentation time within a file; None for a live source
    duration_s: Fraction | None = None  # how long it is shown, where the file says so
    label: str = ""  # the file's name where each picture is a file of its own, else empty
    submitted_ns: int = 0  # time.monotonic_ns() at submit
    stylized_ns: int = 0  # time.monotonic_ns() when the result was there
