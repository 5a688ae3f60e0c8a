"""Pictures of some photos above their paintings, to see how a run comes along."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.runtime.common.files import write_whole
from artmirror.runtime.common.pictures import encode_picture
from artmirror.train.networks.stylizer import Stylizer


def preview_folder(checkpoint: Path) -> Path:
    """Where the previews lie: `starry.pt` -> `starry.previews`."""
    return checkpoint.with_name(f"{checkpoint.stem}.previews")


@torch.no_grad()
def write_preview(network: Stylizer, frames: Tensor, folder: Path, step: int) -> Path:
    """Write `step_000250.png`.

    Args:
        network: On any device; its mode is kept.
        frames: (B, 3, S, S) float32 RGB in [0, 1] on the CPU.

    Raises:
        ArtmirrorError: the file cannot be written.
    """
    training = network.training
    network.eval()
    device = next(network.parameters()).device
    painted = network(frames.to(device, memory_format=torch.channels_last)).cpu()
    network.train(training)
    rows = torch.cat([torch.cat(list(rgb), dim=2) for rgb in (frames, painted)], dim=1)  # (3, 2 S, B S)
    bgr = (rows.permute(1, 2, 0).numpy()[..., ::-1] * 255 + 0.5).astype(np.uint8)
    path = folder / f"step_{step:06d}.png"
    try:
        folder.mkdir(exist_ok=True)
        write_whole(path, encode_picture(bgr, ".png"))
    except OSError as error:
        raise ArtmirrorError(f"cannot write the preview {path}: {error.strerror}; see --preview-every 0") from None
    return path
