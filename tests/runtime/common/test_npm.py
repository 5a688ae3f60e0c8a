"""Archives of npm, fetched once."""

import io
from pathlib import Path
from typing import Any

import pytest

from artmirror.runtime.common import npm
from artmirror.runtime.common.errors import ArtmirrorError


def test_an_archive_is_fetched_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def answer(address: str, timeout: float) -> Any:
        asked.append(address)
        return io.BytesIO(b"archive")

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(npm.urllib.request, "urlopen", answer)
    for _ in range(2):
        assert npm.npm_archive("@some/package", "1.2.3").read_bytes() == b"archive"
    assert asked == ["https://registry.npmjs.org/@some/package/-/package-1.2.3.tgz"]


def test_without_a_connection_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def answer(address: str, timeout: float) -> Any:
        raise OSError("no route")

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(npm.urllib.request, "urlopen", answer)
    with pytest.raises(ArtmirrorError, match="no route"):
        npm.npm_archive("package", "1.0")
