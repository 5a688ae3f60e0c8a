"""NAME.style: what is written is read again, and what is damaged is told in one line."""

from pathlib import Path

import numpy as np
import pytest

from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.runtime.common.style_file import LARGEST_BYTES, StyleFile, load_style, save_style, stored

SHA = "a" * 64
CODE, CHANGES = np.linspace(-1, 1, 4, dtype=np.float32), np.array([0.5, -0.25, 2, 0], np.float32)
STYLE = StyleFile("mine", "Mine", "Me", "2026", "space", stored(CODE), {SHA: stored(CHANGES)}, b"jpeg")


def test_it_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "mine.style"
    save_style(path, STYLE)
    assert load_style(path) == STYLE
    np.testing.assert_allclose(STYLE.vector_for(SHA, "space", 8, path), [*CODE, *CHANGES], atol=1e-3)
    np.testing.assert_allclose(STYLE.vector_for("b" * 64, "space", 10, path), [*CODE, *np.zeros(6)], atol=1e-3)


@pytest.mark.parametrize(("sha", "space", "length"), [(SHA, "other", 8), (SHA, "space", 9), ("b" * 64, "space", 3)])
def test_another_network_is_told(sha: str, space: str, length: int) -> None:
    with pytest.raises(ArtmirrorError, match="made for another network"):
        STYLE.vector_for(sha, space, length, "mine.style")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"kind": "artmirror style"', '"kind": "artmirror"'),
        ('"format_version": 1', '"format_version": 2'),
        ('"code": "', '"code": "?'),
        ('"name": "mine"', '"name": 3'),
        (SHA, "x"),
        ("}", ""),
    ],
)
def test_damage_is_told(tmp_path: Path, old: str, new: str) -> None:
    path = tmp_path / "mine.style"
    save_style(path, STYLE)
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    with pytest.raises(ArtmirrorError, match=r"mine.style is no style file, or it is damaged") as caught:
        load_style(path)
    assert "\n" not in caught.value.message


@pytest.mark.parametrize("number", [np.nan, np.inf, -1e4])
def test_numbers_that_no_network_has_are_told(tmp_path: Path, number: float) -> None:
    path = tmp_path / "mine.style"
    save_style(path, StyleFile("a", "", "", "", "s", stored(np.array([0, number], np.float32))))
    with pytest.raises(ArtmirrorError, match="a number is not within"):
        load_style(path)


def test_a_large_file_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "mine.style"
    path.write_bytes(b" " * (LARGEST_BYTES + 1))
    with pytest.raises(ArtmirrorError, match="larger than 2 MB"):
        load_style(path)
    with pytest.raises(ArtmirrorError, match="cannot write"):
        save_style(tmp_path / "none" / "a.style", STYLE)
