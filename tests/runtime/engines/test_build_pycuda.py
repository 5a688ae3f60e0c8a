"""pycuda without the toolkit: what is asked of pip and of the compiler. The build itself takes minutes."""

import subprocess
import tarfile
from pathlib import Path

import pytest
from click.testing import CliRunner

from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.runtime.engines import build_pycuda


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A place where pip put CUDA's headers."""
    header = tmp_path / "nvidia" / "cu13" / "include" / "cuda.h"
    header.parent.mkdir(parents=True)
    header.touch()
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def test_it_is_compiled_against_the_headers_of_pip(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commands: list[str] = []
    settings: list[str] = []

    def run(command: tuple[str, ...], check: bool) -> None:
        commands.append(" ".join(command))
        if "download" in command:
            folder = Path(command[command.index("-d") + 1])
            (folder / "made" / "pycuda-2026.1").mkdir(parents=True)
            with tarfile.open(folder / "pycuda-2026.1.tar.gz", "w:gz") as archive:
                archive.add(folder / "made" / "pycuda-2026.1", "pycuda-2026.1")
        if command[-1].endswith("pycuda-2026.1"):
            settings.append((Path(command[-1]) / "siteconf.py").read_text())

    monkeypatch.setattr(subprocess, "run", run)
    told = CliRunner().invoke(build_pycuda.main, ["--version", "2026.1"])
    assert told.exit_code == 0, told.output
    words = ["nvidia-cuda-runtime", "pycuda==2026.1", "libcuda.so", "--force-reinstall"]
    assert [word for word, command in zip(words, commands, strict=True) if word in command] == words
    assert f"CUDA_INC_DIR = ['{site / 'nvidia' / 'cu13' / 'include'}']" in settings[0]
    assert "CUDA_ENABLE_CURAND = False" in settings[0]


def test_what_is_missing_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(build_pycuda, "find_spec", lambda name: None)
    with pytest.raises(ArtmirrorError, match=r"pip installed no cuda\.h"):
        build_pycuda.headers()
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ArtmirrorError, match="install a C and C"):
        build_pycuda._run("cc")
    told = CliRunner().invoke(build_pycuda.main, [], env={"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(tmp_path)})
    assert told.exit_code == 1
    assert "ended with 1" in told.output
