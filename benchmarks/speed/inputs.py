"""What pipelines are measured on: the same input as fast as it is taken, and at its own pace."""

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.runtime.common.pixels import Pixels
from artmirror.runtime.frame import FrameSlot
from artmirror.runtime.sources.base import Source
from artmirror.runtime.sources.open import open_source

LIVE_RATE = 30  # frames per second of a test picture, where nobody asked for another

OpenSource = Callable[[int | None], Source]  # number of frames after which it ends, None for no end


@dataclass(frozen=True, slots=True)
class Input:
    """One way to read an input at one size."""

    label: str  # for the record
    open_source: OpenSource


@dataclass(frozen=True, slots=True)
class Inputs:
    """An input at one size."""

    picture: Pixels  # (H, W, 3) uint8 BGR, its first frame
    pipeline: Input | None  # every frame, as fast as it is taken; None where it paces itself
    live: Input | None  # at its own pace; None where it has none


def open_inputs(uri: str | None, size: tuple[int, int]) -> Inputs:
    """Look at an input, before an engine is compiled, so that a wrong one shows at once.

    Args:
        uri: As `open_source` takes it; None for the test picture.
        size: (H, W) to scale and crop to.

    Raises:
        ArtmirrorError: there is no such input, or it has no frame.
    """
    every_uri, live_uri = _every_and_live(uri or f"synthetic:{size[1]}x{size[0]}")
    slot = FrameSlot(np.zeros((*size, 3), np.uint8), np.zeros((*size, 3), np.uint8))
    with closing(open_source(every_uri, size=size)) as source:
        if not source.read(slot):
            raise ArtmirrorError(f"{uri} gave no frame; name another --input")
        paces_itself = source.live
    can_be_live = paces_itself
    if not paces_itself:  # a camera is not opened twice
        with closing(open_source(live_uri, size=size, live=True)) as source:
            can_be_live = source.live

    def open_every(frames: int | None) -> Source:
        return open_source(every_uri, size=size, max_frames=frames)

    def open_live(frames: int | None) -> Source:
        return open_source(live_uri, size=size, live=True, max_frames=frames)

    return Inputs(
        slot.frame,
        None if paces_itself else Input(source_label(every_uri), open_every),
        Input(source_label(live_uri), open_live) if can_be_live else None,
    )


def source_label(uri: str) -> str:
    """A source's name for a record that may be published: no folders, no hosts, no passwords."""
    scheme, separator, _ = uri.partition("://")
    if separator:
        return f"{scheme}://"
    return uri if uri.startswith("synthetic:") or uri.isdecimal() else Path(uri).name


def _every_and_live(uri: str) -> tuple[str, str]:
    """The test picture is either, as it is asked for; anything else is what it is."""
    if not uri.startswith("synthetic:"):
        return uri, uri
    picture, _, rate = uri.partition("@")
    return picture, f"{picture}@{rate or LIVE_RATE}"
