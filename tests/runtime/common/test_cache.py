"""The cache folder: where it is, and that nothing depends on it."""

from pathlib import Path

import pytest

from artmirror.runtime.common.cache import cache_file, cache_folder, read_cache, write_cache

KEYS = {"graph_sha256": "a" * 64, "library": "tensorrt_rtx", "library_version": "1.7.1.116", "gpu": "NVIDIA H200 / 2"}


def test_it_is_the_users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "artmirror"
    for chosen in ("", "relative"):  # the specification says: a relative path is to be ignored
        monkeypatch.setenv("XDG_CACHE_HOME", chosen)
        monkeypatch.setenv("HOME", str(tmp_path))
        assert cache_folder() == tmp_path / ".cache" / "artmirror"


def test_every_key_is_in_the_name() -> None:
    path = cache_file("timing", **KEYS)
    assert path.parent == cache_folder()
    assert path.name == "aaaaaaaaaaaaaaaa-tensorrt_rtx-1.7.1.116-NVIDIA_H200_2.timing"
    others = {cache_file("timing", **{**KEYS, key: "b"}) for key in KEYS}
    assert len(others | {path, cache_file("runtime", **KEYS)}) == len(KEYS) + 2


def test_what_was_kept_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "x.timing"
    assert read_cache(path) == b""
    assert write_cache(path, b"123")
    assert read_cache(path) == b"123"
    assert [entry.name for entry in path.parent.iterdir()] == ["x.timing"]


def test_a_folder_that_cannot_be_written_harms_nobody(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert not write_cache(tmp_path / "file" / "x.timing", b"123")
