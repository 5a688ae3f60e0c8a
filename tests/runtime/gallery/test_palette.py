"""What a hand changes while a show runs."""

import tracemalloc

import numpy as np
import pytest

from artmirror.runtime.gallery.palette import Paint, Palette


class Clock:
    def __init__(self) -> None:
        self.now_s = 10.0

    def __call__(self) -> float:
        return self.now_s


def palette(clock: Clock) -> Palette:
    paints = [Paint(name, np.full(6, value, np.float32)) for name, value in (("a", 0), ("b", 1), ("c", 3))]
    return Palette(paints, fade_s=1.0, clock_s=clock)


def shown(styles: Palette) -> float:
    style = styles.look().style
    assert style is not None
    return float(style[0])


def test_a_turn_is_a_crossfade() -> None:
    clock = Clock()
    styles = palette(clock)
    assert (shown(styles), styles.title) == (0, "a")
    styles.turn(1)
    assert styles.title == "b"
    assert shown(styles) == 0  # it begins with what was shown
    clock.now_s += 0.5
    assert shown(styles) == pytest.approx(0.5)
    clock.now_s += 0.5
    assert shown(styles) == 1
    clock.now_s += 100
    assert shown(styles) == 1


def test_a_turn_within_a_fade_goes_on_from_what_is_shown() -> None:
    clock = Clock()
    styles = palette(clock)
    styles.turn(1)
    styles.look()
    clock.now_s += 0.5
    styles.look()
    styles.turn(1)
    assert shown(styles) == pytest.approx(0.5)
    clock.now_s += 1
    assert shown(styles) == 3


def test_behind_the_last_comes_the_first() -> None:
    styles = palette(Clock())
    styles.turn(-1)
    assert styles.title == "c"
    styles.turn(1)
    assert styles.title == "a"


def test_strength_stays_between_0_and_1() -> None:
    styles = palette(Clock())
    for by, expected in ((0.1, 1.0), (-0.3, 0.7), (-0.9, 0.0), (0.2, 0.2)):
        styles.strengthen(by)
        assert styles.look().strength == pytest.approx(expected)


def test_a_network_of_one_style_has_strength_alone() -> None:
    styles = Palette([Paint("Starry")], 0.5)
    styles.turn(1)
    styles.strengthen(0.1)
    look = styles.look()
    assert (look.strength, look.style, styles.title) == (0.6, None, "Starry")


def test_looks_allocate_nothing_that_stays() -> None:
    clock = Clock()
    styles = Palette(
        [Paint(str(n), np.random.default_rng(n).random(1376, np.float32)) for n in range(5)], clock_s=clock
    )
    styles.look()
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    for frame in range(300):
        if frame % 7 == 0:
            styles.turn(1)
        clock.now_s += 1 / 30
        styles.look()
    after, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak - before < 4000  # a vector of the style alone has 5504 bytes
    assert after - before < 2000


def test_between_two_networks_the_paint_goes_off_and_comes_back() -> None:
    clock = Clock()
    styles = Palette([Paint("a", np.ones(6, np.float32)), Paint("b", None, 1)], 0.8, fade_s=1.0, clock_s=clock)
    assert (styles.look().network, styles.look().strength) == (0, 0.8)
    styles.turn(1)
    styles.look()
    told = []
    for _ in range(40):
        clock.now_s += 0.05
        look = styles.look()
        told.append((look.network, round(look.strength, 3), look.style is None))
    assert [network for network, _, _ in told] == sorted(network for network, _, _ in told)  # changes once
    change = next(place for place, (network, _, _) in enumerate(told) if network == 1)
    assert told[change - 1][1] <= 0.1
    assert told[change][1] <= 0.1  # nobody sees the change
    assert all(is_none == (network == 1) for network, _, is_none in told)
    assert told[-1][:2] == (1, 0.8)


def test_back_in_the_middle_of_a_change_of_networks() -> None:
    clock = Clock()
    paints = [Paint("a", None), Paint("b", None, 1)]
    styles = Palette(paints, fade_s=1.0, clock_s=clock)
    styles.show(paints[1])
    styles.look()
    clock.now_s += 0.25
    assert styles.look().strength == pytest.approx(0.5)
    styles.show(paints[0])
    assert styles.look().strength == pytest.approx(0.5)  # goes on from there
    clock.now_s += 1.0
    assert (styles.look().network, styles.look().strength) == (0, 1.0)
