"""Graphics cards and small boards with their public figures.

Operations are units times clock, two for each unit and cycle (a fused multiply-add); bytes are the bus width times the
memory's rate. Most units, clocks, buses and rates were checked against public specification sites; vendors' own data
sheets were not opened. Unchecked: the RTX 3050 laptop's bandwidth, Iris Xe's clock, some rates of FP16 and of 8-bit dot
products (the M1's FP16, for instance).

Matrix units (tensor cores) are left out: networks this narrow do not fill them. Clocks are the highest that are
promised; a thin laptop does not hold them. A graphics unit that shares the system's memory is given two channels.
"""

import difflib
import re
from dataclasses import dataclass

from artmirror.benchmarks.predict.passes import Precision
from artmirror.benchmarks.predict.roofline import Roofs
from artmirror.runtime.common.errors import ArtmirrorError


@dataclass(frozen=True, slots=True)
class Card:
    """What a data sheet says."""

    key: str  # on the command line
    name: str
    fp32_flop_per_s: float
    bytes_per_s: float
    fp16_rate: float | None  # of FP32's; None where FP16 is computed as FP32, or far slower
    int8_dot: bool  # four 8-bit products in one instruction
    compute_capability: str | None  # CUDA's; None for other vendors

    def roofs(self, precision: Precision) -> Roofs:
        """The roofs for a precision; what the card has no fast way for is computed in FP32 and only stored smaller."""
        rate: dict[Precision, float] = {"fp16": self.fp16_rate or 1, "int8": 4 if self.int8_dot else 1}
        return Roofs(self.fp32_flop_per_s * rate.get(precision, 1), self.bytes_per_s)


def _card(
    key: str,
    name: str,
    units: int,
    clock_mhz: float,
    bus_bits: int,
    memory_gbps: float,  # of one line of the bus
    fp16_rate: float | None,
    *,
    int8_dot: bool,
    compute_capability: str | None = None,
) -> Card:
    flop_per_s, bytes_per_s = 2 * units * clock_mhz * 1e6, bus_bits / 8 * memory_gbps * 1e9
    return Card(key, name, flop_per_s, bytes_per_s, fp16_rate, int8_dot, compute_capability)


CARDS = (
    # Its clock is the laptop's choice, 1098 to 1176 MHz; this is the lower one.
    _card("940m", "GeForce 940M", 384, 1098, 64, 1.8, None, int8_dot=False, compute_capability="5.0"),
    _card("gtx750ti", "GeForce GTX 750 Ti", 640, 1085, 128, 5.4, None, int8_dot=False, compute_capability="5.0"),
    _card("gtx1050", "GeForce GTX 1050", 640, 1455, 128, 7, None, int8_dot=True, compute_capability="6.1"),
    _card("gtx1650", "GeForce GTX 1650", 896, 1665, 128, 8, 2, int8_dot=True, compute_capability="7.5"),
    # With the 80 W that few laptops grant; 1057 MHz with 35 W.
    _card("rtx3050laptop", "GeForce RTX 3050 Laptop", 2048, 1740, 128, 12, 1, int8_dot=True, compute_capability="8.6"),
    _card("rtx3060", "GeForce RTX 3060", 3584, 1777, 192, 15, 1, int8_dot=True, compute_capability="8.6"),
    _card("rtx4090", "GeForce RTX 4090", 16384, 2520, 384, 21, 1, int8_dot=True, compute_capability="8.9"),
    _card("jetsonnano", "Jetson Nano", 128, 921.6, 64, 3.2, 2, int8_dot=False, compute_capability="5.3"),
    _card("orinnano", "Jetson Orin Nano 8GB", 1024, 625, 128, 4.267, 2, int8_dot=True, compute_capability="8.7"),
    # An execution unit of Intel's multiplies eight values at once.
    _card("uhd620", "Intel UHD Graphics 620", 24 * 8, 1000, 128, 2.133, 2, int8_dot=False),
    _card("irisxe", "Intel Iris Xe (96 units)", 96 * 8, 1300, 128, 3.2, 2, int8_dot=True),
    _card("m1", "Apple M1 (8 cores)", 1024, 1278, 128, 4.267, 1, int8_dot=False),
    _card("vega8", "Radeon Vega 8 (Ryzen 3000)", 512, 1200, 128, 2.4, 2, int8_dot=False),
    _card("steamdeck", "Steam Deck", 512, 1600, 128, 5.5, 2, int8_dot=True),
    # Four cores with two 128-bit multiply-adds each; its graphics unit's speed is not published.
    _card("raspberrypi5", "Raspberry Pi 5, processor", 4 * 8, 2400, 32, 4.267, 2, int8_dot=True),
)


def find_card(name: str) -> Card:
    """The card of a name, whatever its case, spaces and dashes.

    Raises:
        ArtmirrorError: there is none in the table; the near ones are named.
    """
    wanted = _plain(name)
    cards = {spelling: card for card in CARDS for spelling in (card.key, _plain(card.name))}
    if wanted not in cards:
        near = list(dict.fromkeys(cards[found].key for found in difflib.get_close_matches(wanted, cards, n=3)))
        hint = f"did you mean {' or '.join(near)}?" if near else f"there are: {', '.join(card.key for card in CARDS)}"
        raise ArtmirrorError(f"no card is called {name!r}; {hint} (any other: --flops and --bandwidth)")
    return cards[wanted]


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower()).removeprefix("nvidia").removeprefix("geforce")
