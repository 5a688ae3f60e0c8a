"""The pool and the two policies."""

import threading

import numpy as np

from artmirror.runtime.exchange import Handover, Policy, SlotPool
from artmirror.runtime.frame import FrameSlot


def make_slots(count: int) -> list[FrameSlot]:
    pixels = np.zeros((1, 1, 3), np.uint8)
    return [FrameSlot(pixels, pixels, id=number) for number in range(count)]


def test_live_keeps_the_newest_and_counts_the_others() -> None:
    slots = make_slots(4)
    pool = SlotPool([])
    handover = Handover(Policy.LIVE, pool)
    for slot in slots:
        handover.put(slot)
    assert handover.take(0) is slots[3]
    assert handover.take(0) is None
    assert handover.dropped == 3
    assert handover.deepest == 1
    assert [pool.borrow() for _ in range(3)] == slots[:3]


def test_every_keeps_all_in_order() -> None:
    slots = make_slots(4)
    handover = Handover(Policy.EVERY, SlotPool([]))
    for slot in slots:
        handover.put(slot)
    handover.close()
    assert not handover.ended
    assert [handover.take(0) for _ in range(4)] == slots
    assert handover.ended
    assert handover.dropped == 0
    assert handover.deepest == 4


def test_after_close_a_frame_is_dropped_and_its_slot_is_free() -> None:
    (slot,) = make_slots(1)
    pool = SlotPool([])
    handover = Handover(Policy.EVERY, pool)
    handover.close()
    handover.put(slot)
    assert handover.dropped == 1
    assert pool.borrow() is slot


def test_close_can_drop_what_waits() -> None:
    slots = make_slots(2)
    pool = SlotPool([])
    handover = Handover(Policy.EVERY, pool)
    for slot in slots:
        handover.put(slot)
    handover.close(drop_waiting=True)
    assert handover.ended
    assert handover.dropped == 2
    assert [pool.borrow(), pool.borrow()] == slots


def test_a_waiting_borrower_wakes_up_when_a_slot_comes_back() -> None:
    (slot,) = make_slots(1)
    pool = SlotPool([])
    got: list[FrameSlot | None] = []
    thread = threading.Thread(target=lambda: got.append(pool.borrow()))
    thread.start()
    pool.give_back(slot)
    thread.join(5)
    assert got == [slot]


def test_a_waiting_borrower_wakes_up_at_the_end() -> None:
    pool = SlotPool([])
    got: list[FrameSlot | None] = []
    thread = threading.Thread(target=lambda: got.append(pool.borrow()))
    thread.start()
    pool.close()
    thread.join(5)
    assert got == [None]
