"""How slots pass between threads: a pool of free ones, and a handover with one of two policies."""

import threading
from collections import deque
from collections.abc import Iterable
from enum import Enum

from artmirror.runtime.frame import FrameSlot


class Policy(Enum):
    """What happens to a frame that nobody has taken when the next one comes."""

    LIVE = "live"  # the newest frame wins; the older one is dropped and counted
    EVERY = "every"  # nothing is dropped; the giver waits, since free slots run out


class SlotPool:
    """The free slots. All there will ever be are made before the loop."""

    def __init__(self, slots: Iterable[FrameSlot]) -> None:
        self._free = deque(slots)
        self._changed = threading.Condition()
        self._closed = False

    def borrow(self) -> FrameSlot | None:
        """Wait for a free slot; None once the pool is closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._free or self._closed)
            return None if self._closed else self._free.popleft()

    def give_back(self, slot: FrameSlot) -> None:
        """Return a slot that nobody uses any more."""
        with self._changed:
            self._free.append(slot)
            self._changed.notify()

    def close(self) -> None:
        """Wake whoever waits; nothing is lent any more."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()


class Handover:
    """Passes frames from one thread to the next, in order, under a policy.

    With `Policy.LIVE` at most one frame waits. With `Policy.EVERY` the pool bounds how many can.
    """

    def __init__(self, policy: Policy, pool: SlotPool) -> None:
        self._policy = policy
        self._pool = pool
        self._waiting: deque[FrameSlot] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self.dropped = 0
        self.deepest = 0  # the largest number of frames that ever waited

    def put(self, slot: FrameSlot) -> None:
        """Hand a frame on. Never blocks."""
        with self._changed:
            if self._closed:
                self._drop(slot)
                return
            if self._policy is Policy.LIVE and self._waiting:
                self._drop(self._waiting.popleft())
            self._waiting.append(slot)
            self.deepest = max(self.deepest, len(self._waiting))
            self._changed.notify()

    def take(self, timeout_s: float | None = None) -> FrameSlot | None:
        """Take the next frame; None after `timeout_s` without one, or at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closed, timeout_s)
            return self._waiting.popleft() if self._waiting else None

    @property
    def ended(self) -> bool:
        """Closed, and every frame taken."""
        with self._changed:
            return self._closed and not self._waiting

    def close(self, *, drop_waiting: bool = False) -> None:
        """No more frames will come; those that wait can still be taken, unless they are dropped."""
        with self._changed:
            self._closed = True
            while drop_waiting and self._waiting:
                self._drop(self._waiting.popleft())
            self._changed.notify_all()

    def _drop(self, slot: FrameSlot) -> None:
        self.dropped += 1
        self._pool.give_back(slot)
