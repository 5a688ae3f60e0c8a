"""Values on the command line that click does not know: sizes, cameras, bytes, rates, percentages."""

import re
from math import inf
from pathlib import Path
from typing import Any

import click

_UNIT_BYTES = {
    "b": 1,
    **{f"{letter}{ending}": 1000**power for power, letter in enumerate("kmgt", 1) for ending in ("", "b")},
    **{f"{letter}ib": 1024**power for power, letter in enumerate("kmgt", 1)},
}


_PREFIXES = {"": 1.0, "m": 1e6, "g": 1e9, "t": 1e12}


def weighted(text: str) -> tuple[str, float | None]:
    """NAME:0.7 -> NAME and 0.7; a text without a number behind a colon has no weight.

    Raises:
        ValueError: the weight is not above 0; the message says what is wanted.
    """
    name, colon, number = text.rpartition(":")
    try:
        weight = float(number) if colon and name else None
    except ValueError:
        weight = None
    if weight is None:
        return text, None
    if not 0 < weight < inf:
        raise ValueError(f"got the weight {number} of {name}; wanted a number above 0, as in {name}:0.7")
    return name, weight


class SizeType(click.ParamType[tuple[int, int]]):
    """WIDTHxHEIGHT on the command line, (H, W) in Python."""

    name = "size"

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        return "WIDTHxHEIGHT"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        if isinstance(value, tuple):
            return value
        width, _, height = str(value).lower().partition("x")
        if not (width.isdecimal() and height.isdecimal()) or min(int(width), int(height)) < 64:
            self.fail(f"got {value!r}; wanted WIDTHxHEIGHT with both at least 64, as in 640x360", param, ctx)
        return int(height), int(width)


class CameraType(click.ParamType[int]):
    """A camera's number, or its device: 0, /dev/video0, /dev/v4l/by-id/..."""

    name = "camera"

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        return "N"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        device = str(Path(value).resolve()) if str(value).startswith("/") else str(value)
        number = re.fullmatch(r"(?:/dev/video)?(\d{1,4})", device, re.ASCII)
        if number is None:
            self.fail(
                f"got {value!r}; wanted a camera's number such as 0, or its device such as /dev/video0", param, ctx
            )
        return int(number[1])


class BytesType(click.ParamType[int]):
    """A number of bytes with its unit: 500MB, 1.5 GiB, 64k; a rate may end in /s."""

    name = "size"

    def __init__(self, per_second: bool = False) -> None:
        self._per_second = per_second

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        told = str(value).strip().lower()
        if self._per_second:
            told = told.removesuffix("/s")
        match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([a-z]*)", told, re.ASCII)
        unit = _UNIT_BYTES.get(match[2] or "b") if match else None
        if match is None or unit is None or float(match[1]) * unit < 1:
            example = "5MB/s" if self._per_second else "500MB, 1.5GiB"
            self.fail(
                f"got {value!r}; wanted a number above 0 with B, kB, MB, GB, KiB, ..., as in {example}", param, ctx
            )
        return int(float(match[1]) * unit)


class RateType(click.ParamType[float]):
    """0.84T or 14.4G on the command line, a number a second in Python."""

    name = "rate"

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        return "NUMBER[M|G|T]"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if isinstance(value, float):
            return value
        found = re.fullmatch(r"(\d+\.?\d*|\.\d+)([mgt]?)", str(value).strip().lower())
        if found is None or float(found[1]) == 0:
            self.fail(f"got {value!r}; wanted a number above 0 with M, G or T, as in 14.4G", param, ctx)
        return float(found[1]) * _PREFIXES[found[2]]


class PercentType(click.ParamType[float]):
    """5% on the command line, 0.05 in Python."""

    name = "percent"

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        return "PERCENT"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if isinstance(value, float):
            return value
        try:
            found = float(str(value).strip().removesuffix("%"))
        except ValueError:
            found = -1
        if not 0 <= found < float("inf"):
            self.fail(f"got {value!r}; wanted a percentage, as in 5%", param, ctx)
        return found / 100
