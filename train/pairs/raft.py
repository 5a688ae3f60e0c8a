"""RAFT (Teed and Deng 2020) as torchvision has it: an optional extra, learned and far slower than DIS on a CPU."""

import importlib
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
import torch

from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.runtime.common.flow import Flow, FlowEstimator, Rgb, open_flow
from artmirror.train.tensor_file import load_tensors, told_of

FlowName = Literal["dis", "farneback", "raft"]

MIN_SIDE = 128  # pixels: its coarsest correlations, at 1/64 of the size, need two cells


def open_any_flow(name: str, weights: Path | None = None) -> FlowEstimator:
    """Return the estimator of a name: `raft`, or one of `runtime.common.flow`.

    Args:
        weights: For `raft`, a file of torchvision's `raft_large` or `raft_small`; None takes torchvision's own.

    Raises:
        ArtmirrorError: the name is unknown, or `raft` lacks its packages or weights.
    """
    return RaftFlow(weights) if name == "raft" else open_flow(name)


class RaftFlow:
    """`raft_large` with torchvision's weights, or whichever of `raft_large` and `raft_small` a file holds.

    Raises:
        ArtmirrorError: torchvision is missing or does not fit torch, or the weights cannot be had.
    """

    def __init__(self, weights: Path | None = None) -> None:
        models = _models()
        try:
            if weights is None:
                self._network = models.raft_large(weights=models.Raft_Large_Weights.DEFAULT, progress=False)
            else:
                self._network = _from_file(models, weights)
        except OSError as error:
            raise ArtmirrorError(f"cannot have RAFT's weights: {error}; name a file with --flow-weights") from None
        self._network.eval()

    @torch.no_grad()
    def __call__(self, first: Rgb, second: Rgb) -> Flow:
        height, width = first.shape[:2]
        # The network wants sides that 8 divides.
        tall, wide = (max(MIN_SIDE, -(-side // 8) * 8) for side in (height, width))
        frames = [_frame(rgb, tall, wide) for rgb in (first, second)]
        flow = self._network(*frames)[-1][0]  # (2, H, W) float32 pixels, the last of its refinements
        return np.ascontiguousarray(flow.permute(1, 2, 0).numpy()[:height, :width], np.float32)


def _models() -> Any:
    try:
        return importlib.import_module("torchvision.models.optical_flow")
    except (ImportError, RuntimeError) as error:  # RuntimeError: built for another torch
        raise ArtmirrorError(
            f"raft needs a torchvision that fits torch {torch.__version__} ({error}); "
            "install one with pip install 'artmirror[raft]', or take --flow dis"
        ) from None


def _from_file(models: Any, path: Path) -> Any:
    try:
        weights = load_tensors(path)
    except OSError as error:
        raise ArtmirrorError(f"cannot read {path}: {error.strerror}; name a file of RAFT's weights") from None
    except Exception as error:  # a damaged file may raise nearly anything
        raise ArtmirrorError(f"{path} holds no weights ({told_of(error)}); wanted torchvision's .pth") from None
    for make in (models.raft_large, models.raft_small):
        network = make(weights=None)
        if isinstance(weights, dict) and weights.keys() == network.state_dict().keys():
            try:
                network.load_state_dict(weights)
            except RuntimeError:  # equal names, other sizes
                continue
            return network
    raise ArtmirrorError(f"{path} is neither raft_large nor raft_small; wanted torchvision's .pth of one of them")


def _frame(rgb: Rgb, height: int, width: int) -> torch.Tensor:
    """(1, 3, height, width) float32 RGB in [-1, 1], the border repeated below and to the right."""
    below, right = height - rgb.shape[0], width - rgb.shape[1]
    padded = cv2.copyMakeBorder(rgb, 0, below, 0, right, cv2.BORDER_REPLICATE)
    return torch.from_numpy(padded).permute(2, 0, 1)[None].float() / 127.5 - 1
