"""Streams a device carries."""

import pytest
from click.testing import CliRunner

from artmirror.benchmarks.cli import main
from artmirror.benchmarks.predict.capacity import capacity, network_bits_per_s

SIZE = (360, 640)


def test_by_hand() -> None:
    # 300 FPS, of which 80 % are 240: 8 streams of 30. 1,000 streams want 125 of them, at 2 an hour 250.
    found = capacity("x", 300, streams=1000, stream_fps=30, size=SIZE, price_per_hour=2)
    assert (found.streams, found.devices, found.cost_per_hour, found.bound_by) == (8, 125, 250, "painting")


def test_the_bus_binds_where_the_card_is_fast() -> None:
    # A stream is 640 x 360 x 3 x 30 = 20.7 MB/s each way; half of 10 GB/s carries 241.
    found = capacity("x", 1e6, streams=1000, stream_fps=30, size=SIZE)
    assert (found.streams, found.devices, found.bound_by) == (241, 5, "transfers")
    assert capacity("x", 1e6, streams=1, stream_fps=30, size=SIZE, over_bus=False).bound_by == "painting"


def test_one_that_is_too_slow_carries_none() -> None:
    assert capacity("x", 20, streams=1, stream_fps=30, size=SIZE, price_per_hour=1).devices == 0


def test_the_network() -> None:
    assert network_bits_per_s(1000, 3) == 3e9


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (
            ["--streams", "1000", "--gpu", "gtx1650", "--price", "0.5"],
            ["gtx1650", "predicted, not measured", "3.00 Gbit/s"],
        ),
        (["--streams", "2", "--measured-fps", "75"], ["measured", "0.01 Gbit/s"]),
        (["starry-nano"], ["940m"]),
    ],
)
def test_the_command(arguments: list[str], told: list[str]) -> None:
    done = CliRunner().invoke(main, ["capacity", *arguments])
    assert done.exit_code == 0, done.output
    for words in told:
        assert words in " ".join(done.output.split())
