"""Several streams on one engine: each gets its own pictures, and none waits for ever."""

import threading
import time

import pytest

from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.runtime.engines.base import FULL_STYLE, Engine, Look, stylize
from artmirror.runtime.engines.shared import SharedEngine
from artmirror.runtime.frame import FrameSlot
from tests.fakes.engine import FakeEngine
from tests.fakes.show_parts import wait_until

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


def paint(lane: Engine, mark: int, frames: int) -> None:
    (slot,) = lane.allocate(1)
    for _ in range(frames):
        slot.frame[:] = mark
        stylize(lane, slot)


def test_lanes_take_turns() -> None:
    engine = Slow()
    shared = SharedEngine(engine)
    threads = [threading.Thread(target=paint, args=(shared.lane(), mark, 20)) for mark in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert engine.most_inside == 1
    assert sorted(engine.order) == sorted([*range(4)] * 20)


def test_who_waits_longest_is_next() -> None:
    engine = Slow()
    shared = SharedEngine(engine)
    lanes = [shared.lane() for _ in range(4)]
    slots = [lane.allocate(1)[0] for lane in lanes]
    for mark, slot in enumerate(slots):
        slot.frame[:] = mark
    lanes[0].submit(slots[0], FULL_STYLE)  # has the turn while the others come one after the other
    threads = []
    for place in (2, 3, 1):
        threads.append(threading.Thread(target=stylize, args=(lanes[place], slots[place])))
        threads[-1].start()
        wait_until(lambda: len(shared._turns._queue) == 1 + len(threads))
    lanes[0].wait(slots[0])
    for thread in threads:
        thread.join(60)
    assert engine.order == [0, 2, 3, 1]


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
