"""Several streams on one engine: each gets its own pictures, and none waits for ever."""

import threading
import time

import numpy as np
import pytest

from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.runtime.engines.base import FULL_STYLE, Engine, Look, stylize
from artmirror.runtime.engines.shared import SharedEngine
from artmirror.runtime.frame import FrameSlot
from tests.fakes.engine import FakeEngine

SIZE = (64, 80)


class Slow(FakeEngine):
    """Notes who was painted, takes its time, and breaks where a frame is all 13."""

    def __init__(self) -> None:
        super().__init__(SIZE)
        self.order: list[int] = []
        self.inside = 0
        self.most_inside = 0

    def submit(self, slot: FrameSlot, look: Look) -> None:
        self.inside += 1
        self.most_inside = max(self.most_inside, self.inside)
        if (slot.frame == 13).all():
            self.inside -= 1
            raise ArtmirrorError("broken")
        self.order.append(int(slot.frame[0, 0, 0]))
        super().submit(slot, look)

    def wait(self, slot: FrameSlot) -> None:
        time.sleep(0.002)
        super().wait(slot)
        self.inside -= 1


def test_lanes_take_turns_and_none_gets_ahead() -> None:
    engine = Slow()
    shared = SharedEngine(engine)

    def work(lane: Engine, mark: int) -> None:
        (slot,) = lane.allocate(1)
        for _ in range(20):
            slot.frame[:] = mark
            stylize(lane, slot)

    threads = [threading.Thread(target=work, args=(shared.lane(), mark)) for mark in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert engine.most_inside == 1
    assert len(engine.order) == 80
    counts = np.bincount(engine.order[:40], minlength=4)
    assert counts.max() - counts.min() <= 4  # all began within a few frames of each other


def test_a_lane_that_fails_lets_the_others_go_on() -> None:
    shared = SharedEngine(Slow())
    bad, good = shared.lane(), shared.lane()
    (slot,) = bad.allocate(1)
    slot.frame[:] = 13
    with pytest.raises(ArtmirrorError, match="broken"):
        bad.submit(slot, FULL_STYLE)
    (other,) = good.allocate(1)
    other.frame[:] = 5
    stylize(good, other)
    assert good.max_in_flight == 1
