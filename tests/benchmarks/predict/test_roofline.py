"""Predictions in closed form, the cards, and fits that have to find what made their data."""

from dataclasses import replace

import numpy as np
import pytest

from artmirror.benchmarks.predict.cards import CARDS, find_card
from artmirror.benchmarks.predict.fit import Measured, fit_efficiencies, median_error
from artmirror.benchmarks.predict.passes import RULES, Pass, passes_of
from artmirror.benchmarks.predict.roofline import CARD, PROCESSOR, PROFILED, Efficiencies, Roofs, frame_s, pass_times
from artmirror.benchmarks.speed.workload import read_layers
from artmirror.runtime.common.errors import ArtmirrorError
from tests.places import STARRY

HALVES = Efficiencies(0.5, 0.5, 0.1, 1e-6, 8, "test")
ROOFS = Roofs(flop_per_s=1e12, bytes_per_s=1e10)


def convolution(flop: int, bytes_moved: int) -> Pass:
    return Pass("a", "convolution", (1, 8, 10, 10), flop, bytes_moved)


class TestPassTimes:
    def test_compute_bound(self) -> None:
        """1 GFLOP at half of 1 TFLOP/s is 2 ms; 5 MB at half of 10 GB/s only 1 ms."""
        (time,) = pass_times([convolution(10**9, 5_000_000)], ROOFS, HALVES)
        assert time.bound == "arithmetic"
        assert time.total_s == pytest.approx(2e-3 + 1e-6)

    def test_bandwidth_bound(self) -> None:
        (time,) = pass_times([convolution(10**9, 20_000_000)], ROOFS, HALVES)
        assert time.bound == "memory"
        assert time.total_s == pytest.approx(4e-3 + 1e-6)

    @pytest.mark.parametrize(("channels", "computed"), [(3, 8), (8, 8), (9, 16), (24, 24)])
    def test_output_channels_fill_whole_vectors(self, channels: int, computed: int) -> None:
        one = replace(convolution(10**9, 0), shape=(1, channels, 10, 10))
        (time,) = pass_times([one], ROOFS, HALVES)
        assert time.arithmetic_s == pytest.approx(2e-3 * computed / channels)

    def test_conversions_have_their_own_share(self) -> None:
        (time,) = pass_times([replace(convolution(0, 10_000_000), kind="conversion", launches=3)], ROOFS, HALVES)
        assert time.total_s == pytest.approx(1e-2 + 3e-6)

    def test_a_faster_memory_is_never_slower(self) -> None:
        passes = [convolution(10**8 * (index + 1), 10**7 * (5 - index)) for index in range(5)]
        times = [frame_s(passes, Roofs(1e12, bandwidth), CARD) for bandwidth in (1e9, 1e10, 1e11, 1e12, 1e13)]
        assert times == sorted(times, reverse=True)
        assert times[0] > 5 * times[1]  # bandwidth-bound
        assert times[-2] == pytest.approx(times[-1])  # the arithmetic is left

    def test_a_frame_is_the_sum(self) -> None:
        passes = [convolution(10**9, 0), convolution(0, 20_000_000)]
        assert frame_s(passes, ROOFS, HALVES) == pytest.approx(6e-3 + 2e-6)


def test_the_shipped_shares_tell_the_shipped_network() -> None:
    """What they were fitted to: 18.9 ms in bf16 and 35.6 ms in fp32, under the roofs of the same machine."""
    layers = read_layers(STARRY, (360, 640))
    for precision, flop_per_s, measured_ms in (("bf16", 780e9, 18.9), ("fp32", 390e9, 35.6)):
        passes = passes_of(layers, RULES["compiled"], precision)
        assert 1e3 * frame_s(passes, Roofs(flop_per_s, 40e9), PROCESSOR) == pytest.approx(measured_ms, rel=0.05)


class TestCards:
    def test_figures_of_the_940m(self) -> None:
        card = find_card("940m")
        assert card.fp32_flop_per_s == pytest.approx(0.84e12, rel=0.01)
        assert card.bytes_per_s == pytest.approx(14.4e9)
        for precision in ("fp32", "fp16", "int8"):  # no fast FP16, no 8-bit dot product
            assert card.roofs(precision).flop_per_s == card.fp32_flop_per_s

    def test_a_card_with_more(self) -> None:
        card = find_card("gtx1650")
        assert card.roofs("fp16").flop_per_s == 2 * card.fp32_flop_per_s
        assert card.roofs("int8").flop_per_s == 4 * card.fp32_flop_per_s
        assert card.roofs("bf16").flop_per_s == card.fp32_flop_per_s

    def test_figures_are_those_that_the_vendors_print(self) -> None:
        printed = {"gtx1650": (2.98, 128), "rtx3060": (12.74, 360), "rtx4090": (82.6, 1008), "m1": (2.6, 68.3)}
        for key, (tflops, gigabytes) in printed.items():
            card = find_card(key)
            assert (card.fp32_flop_per_s / 1e12, card.bytes_per_s / 1e9) == pytest.approx((tflops, gigabytes), rel=0.01)

    @pytest.mark.parametrize("name", ["GeForce GTX 1650", "gtx-1650", "NVIDIA GeForce GTX 1650", "GTX1650"])
    def test_any_spelling(self, name: str) -> None:
        assert find_card(name).key == "gtx1650"

    def test_keys_are_unique_and_can_be_typed(self) -> None:
        assert len({card.key for card in CARDS}) == len(CARDS) >= 12
        assert all(find_card(card.key) is card and find_card(card.name) is card for card in CARDS)

    def test_an_unknown_card_names_the_near_ones(self) -> None:
        with pytest.raises(ArtmirrorError, match=r"no card is called 'gtx 1060'; did you mean .*gtx1050") as caught:
            find_card("gtx 1060")
        assert "--bandwidth" in caught.value.message
        with pytest.raises(ArtmirrorError, match="there are: 940m, gtx750ti"):
            find_card("quantum")


class TestFit:
    """Frames of random networks whose times follow known shares."""

    TRUE = Efficiencies(0.6, 1.1, 0.12, 8e-6, 16, "made up")
    # Kind, operations and bytes; each takes about a millisecond.
    KINDS = (
        ("convolution", 600_000_000, 1_000),
        ("normalisation", 0, 11_000_000),
        ("conversion", 0, 1_200_000),
    )

    @pytest.fixture
    def measured(self) -> list[Measured]:
        random = np.random.default_rng(0)
        found = []
        for index in range(8):
            largest = random.integers(1, 10, 3)  # so that each network has its own mixture
            passes = tuple(
                Pass(kind, kind, (1, 16, 1, 1), int(size) * flop, int(size) * bytes_moved)
                for size, (kind, flop, bytes_moved) in zip(largest, self.KINDS, strict=True)
            )
            found.append(Measured(f"net {index}", passes, ROOFS, frame_s(passes, ROOFS, self.TRUE)))
        return found

    def test_finds_what_made_the_times(self, measured: list[Measured]) -> None:
        """Nearly: it is held a little by where it starts, which is off by a third and more."""
        fitted = fit_efficiencies(measured, PROFILED, "here")
        found = fitted.efficiencies
        assert found.source == "here"
        assert found.convolution == pytest.approx(0.6, rel=0.12)
        assert found.memory == pytest.approx(1.1, rel=0.12)
        assert found.conversion == pytest.approx(0.12, rel=0.12)
        assert median_error(fitted.errors(measured)) < 0.02
        assert median_error(fitted.left_out_errors(measured)) < 0.03

    def test_what_is_left_out_does_not_tell_of_itself(self, measured: list[Measured]) -> None:
        """One network that nothing explains is told worse by the others than by a fit that knows it."""
        measured[3] = replace(measured[3], frame_s=2 * measured[3].frame_s)
        fitted = fit_efficiencies(measured, PROFILED, "here")
        own, left_out = fitted.errors(measured)[3], fitted.left_out_errors(measured)[3]
        assert left_out == pytest.approx(-0.5, abs=0.02)
        assert left_out < own < 0

    def test_what_the_networks_do_not_tell_stays(self, measured: list[Measured]) -> None:
        only = []
        for one in measured:
            passes = tuple(entry for entry in one.passes if entry.kind == "convolution")
            only.append(replace(one, passes=passes, frame_s=frame_s(passes, ROOFS, self.TRUE)))
        assert fit_efficiencies(only, PROFILED, "").efficiencies.conversion == pytest.approx(PROFILED.conversion)

    def test_too_few_networks(self, measured: list[Measured]) -> None:
        with pytest.raises(ArtmirrorError, match="got 3 measured networks; a fit wants at least 4"):
            fit_efficiencies(measured[:3], PROFILED, "")
