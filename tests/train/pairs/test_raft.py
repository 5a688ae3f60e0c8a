"""RAFT: what is told without it, and, where torchvision is at hand, the plumbing with random weights."""

import importlib
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.runtime.common.flow import dense_flow
from artmirror.train.pairs.raft import open_any_flow


@pytest.fixture
def models() -> Any:
    try:
        return importlib.import_module("torchvision.models.optical_flow")
    except (ImportError, RuntimeError) as error:  # RuntimeError: built for another torch
        pytest.skip(f"needs torchvision: {error}")


def test_without_torchvision_it_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torchvision", None)
    monkeypatch.delitem(sys.modules, "torchvision.models.optical_flow", raising=False)
    with pytest.raises(
        ArtmirrorError, match=r"raft needs a torchvision that fits torch .*pip install 'artmirror\[raft\]'"
    ):
        open_any_flow("raft")


@pytest.mark.parametrize("name", ["raft_small", "raft_large"])
def test_a_file_of_weights_makes_its_network(models: Any, tmp_path: Path, name: str) -> None:
    torch.manual_seed(0)
    network = getattr(models, name)(weights=None).eval()
    torch.save(network.state_dict(), tmp_path / "weights.pth")
    frames = np.random.default_rng(0).integers(0, 255, (2, 100, 132, 3), np.uint8)  # smaller than it takes; not by 8
    forward, backward = dense_flow(*frames, open_any_flow("raft", tmp_path / "weights.pth"))
    assert forward.shape == backward.shape == (100, 132, 2)
    assert forward.dtype == np.float32
    assert not np.array_equal(forward, backward)
    padded = [np.pad(frame, ((0, 28), (0, 4), (0, 0)), mode="edge") for frame in frames]
    with torch.no_grad():
        inputs = [torch.from_numpy(frame).permute(2, 0, 1)[None].float() / 127.5 - 1 for frame in padded]
        expected = network(*inputs)[-1][0, :, :100, :132].permute(1, 2, 0)
    np.testing.assert_allclose(forward, expected, atol=1e-3)


def test_unusable_weights_are_told(models: Any, tmp_path: Path) -> None:
    with pytest.raises(ArtmirrorError, match=r"cannot read .*absent\.pth: No such file"):
        open_any_flow("raft", tmp_path / "absent.pth")
    (tmp_path / "text.pth").write_text("no weights")
    with pytest.raises(ArtmirrorError, match=r"text\.pth holds no weights"):
        open_any_flow("raft", tmp_path / "text.pth")
    torch.save({"weight": torch.zeros(3)}, tmp_path / "other.pth")
    with pytest.raises(ArtmirrorError, match=r"other\.pth is neither raft_large nor raft_small"):
        open_any_flow("raft", tmp_path / "other.pth")
