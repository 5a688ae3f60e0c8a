"""Several engines as one."""

import numpy as np

from artmirror.runtime.engines.base import Look, stylize
from artmirror.runtime.engines.open import open_engine
from artmirror.runtime.engines.switching import SwitchingEngine
from artmirror.runtime.gallery.bundled import find_style
from tests.fakes.engine import FakeEngine

SIZE = (64, 96)


def test_each_look_says_which_network_paints() -> None:
    starry, wave = (open_engine(find_style(name), size=SIZE) for name in ("starry-nano", "wave-nano"))
    alone = []
    frame = np.random.default_rng(0).integers(0, 256, (*SIZE, 3), np.uint8)
    for engine in (starry, wave):
        slot = engine.allocate(1)[0]
        slot.frame[:] = frame
        stylize(engine, slot)
        alone.append(slot.stylized.copy())
    assert not (alone[0] == alone[1]).all()
    both = SwitchingEngine([starry, wave])
    first, second = both.allocate(2)
    first.frame[:] = second.frame[:] = frame
    both.submit(first, Look(network=1))  # two networks in flight at once
    both.submit(second, Look(network=0))
    both.wait(first)
    both.wait(second)
    assert (first.stylized == alone[1]).all()
    assert (second.stylized == alone[0]).all()
    assert (first.frame == frame).all()
    both.close()


def test_what_is_followed_is_the_network_that_paints_next() -> None:
    engines = [FakeEngine(SIZE), FakeEngine(SIZE)]
    both = SwitchingEngine(engines)
    first, second = both.allocate(2)
    stylize(both, first, Look(network=0))
    both.submit(first, Look(network=0))
    second.frame[:] = 9
    both.follow(second, Look(network=1))
    followed = engines[1].followed
    assert followed is not None
    assert (followed.frame == 9).all()
    assert engines[0].followed is None
    both.wait(first)
    both.submit(second, Look(network=1))
    both.wait(second)
    assert [engine.resets for engine in engines] == [0, 1]


def test_a_network_that_comes_back_has_forgotten_and_all_are_closed() -> None:
    engines = [FakeEngine(SIZE), FakeEngine(SIZE)]
    both = SwitchingEngine(engines)
    slot = both.allocate(1)[0]
    for network in (0, 1, 1, 0):
        stylize(both, slot, Look(network=network))
    assert [engine.resets for engine in engines] == [1, 1]
    both.close()
    assert all(engine.closed for engine in engines)
