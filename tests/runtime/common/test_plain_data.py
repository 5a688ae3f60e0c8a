"""Plain data out of files: what is wrong with it is a ValueError, whatever it is."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.runtime.common.plain_data import (
    DEEPEST_JSON,
    Finite,
    Positive,
    Whole,
    fitted,
    parse_json,
    plain_name,
    read_up_to,
)


@dataclass(frozen=True, slots=True)
class Inner:
    count: Whole


@dataclass(frozen=True, slots=True)
class Outer:
    inner: tuple[Inner, ...]
    rate: Positive = 0.0
    shift: Finite = 0.0


def test_what_fits_is_taken_over() -> None:
    assert fitted({"inner": [{"count": 3}], "rate": 2, "other": 1}, Outer) == Outer((Inner(3),), 2.0)


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({}, "missing required field `inner`"),
        ({"inner": [{"count": "3"}]}, r"Expected `int`, got `str` - at `\$\.inner\[0\]\.count`"),
        ({"inner": [{"count": -1}]}, r"Expected `int` >= 0 - at"),
        ({"inner": [{"count": 10**4000}]}, "Expected `int`"),
        ({"inner": [{"count": True}]}, "got `bool`"),
        ({"inner": [], "rate": float("nan")}, "Expected `float`"),
        ({"inner": [], "rate": float("inf")}, "Expected `float`"),
        ({"inner": [], "shift": float("nan")}, "Expected `float`"),
        ({"inner": [], "rate": 10**400}, "out of range"),
        ([], "Expected `object`"),
        (None, "Expected `object`"),
    ],
)
def test_what_does_not_fit_is_told_with_its_place(values: Any, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        fitted(values, Outer)


@pytest.mark.parametrize("deep", [DEEPEST_JSON + 2, 1000, 300_000])
@pytest.mark.parametrize(("opens", "closes"), [("[", "]"), ('{"a":', "}"), ("[", "")])
def test_deep_json_is_refused(deep: int, opens: str, closes: str) -> None:
    with pytest.raises(ValueError, match=r"nested|Expecting"):
        parse_json(opens * deep + "1" + closes * deep)


def test_what_is_no_json_or_cannot_be_printed_is_refused() -> None:
    assert parse_json("[" * DEEPEST_JSON + "]" * DEEPEST_JSON)  # as deep as may be
    assert parse_json(rb'"\ud83d\ude00"') == "\N{GRINNING FACE}"
    for text in (b"{", b"\xff", b"", b"1" * 5000, rb'"\ud800"', rb'{"a": ["\uDFFF"]}'):
        with pytest.raises(ValueError):  # noqa: PT011  # of several makers
            parse_json(text)


def test_no_more_is_read_than_allowed(tmp_path: Path) -> None:
    path = tmp_path / "large"
    with path.open("wb") as file:
        file.truncate(1 << 40)  # sparse
    with pytest.raises(ValueError, match="larger than 0 MB"):
        read_up_to(path, 1000)
    path.write_bytes(b"x" * 1000)
    assert len(read_up_to(path, 1000)) == 1000


@pytest.mark.parametrize("name", ["", ".", "..", ".x", "a/b", "/a", "../a", "a\\b", "c:a", "a\nb", "a\0", "y" * 256])
def test_names_that_lead_elsewhere(name: str) -> None:
    with pytest.raises(ValueError, match="is not the plain name of a file"):
        plain_name(name)


def test_plain_names() -> None:
    for name in ("shard-000000.tar", "été 2.mp4", "a..b"):
        assert plain_name(name) == name


def test_an_error_is_one_line_whatever_a_file_says() -> None:
    told = ArtmirrorError("a\nb\x1b[31m\ud800\u2028" + "y" * 10_000).message
    assert told.startswith("a b?[31m??")
    assert len(told) < 2100
    told.encode()
