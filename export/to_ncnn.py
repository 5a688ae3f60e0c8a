"""starry.pt -> starry.ncnn.param and starry.ncnn.bin, by pnnx; see `runtime.ncnn_file` for what is in them."""

import copy
import subprocess
import tempfile
import warnings
from pathlib import Path

import pnnx
import torch
from torch import Tensor, nn

from artmirror.export.checkpoint_manifest import manifest_of
from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.runtime.formats.manifest import Manifest
from artmirror.runtime.formats.ncnn import graph_sha256, write_ncnn
from artmirror.runtime.formats.ncnn_graph import WrongGraph, check_ncnn_graph
from artmirror.train.checkpoint import Checkpoint
from artmirror.train.networks.stylizer import Grain, Stylizer

# Two sizes that share no side, neither of them a multiple of four, tell pnnx that height and width are free.
_SIZES = ((65, 98), (83, 131))


class FloatCore(nn.Module):
    """A stylizer without its grain, since ncnn has no layer that repeats a tile; the tile is a second output."""

    tile: Tensor

    def __init__(self, stylizer: Stylizer) -> None:
        super().__init__()
        self.stylizer = copy.deepcopy(stylizer)
        self.has_grain = isinstance(self.stylizer.grain, Grain)
        if isinstance(self.stylizer.grain, Grain):
            self.register_buffer("tile", self.stylizer.grain.tile.float()[None])
            self.stylizer.grain = nn.Identity()
        self.eval()

    def forward(self, rgb: Tensor) -> Tensor | tuple[Tensor, Tensor]:  # (1, 3, H, W) float32 RGB in [0, 1]
        """Paint a frame, same shape and range; and the tile of grain (1, side, side), where there is one."""
        painted: Tensor = self.stylizer(rgb)
        return (painted, self.tile) if self.has_grain else painted


def ncnn_from_checkpoint(checkpoint: Checkpoint, checkpoint_path: Path, output: Path, *, fp16: bool) -> Manifest:
    """Convert a checkpoint for any height and width, and write both files with the manifest.

    Args:
        checkpoint_path: The file that `checkpoint` came from, for its SHA-256.
        output: Of either file.
        fp16: Weights stored in FP16. What a device computes in is chosen when the files are opened.

    Raises:
        ArtmirrorError: the weights do not fit the network's configuration.
        ArtmirrorError: pnnx does not convert this network.
        ArtmirrorError: the folder does not exist or cannot be written.
    """
    param, weights = _convert(FloatCore(checkpoint.stylizer()), fp16)
    try:
        check_ncnn_graph(param, weights, _SIZES[0])
    except WrongGraph as error:
        raise ArtmirrorError(f"pnnx wrote what the runtime does not open ({error}); export it as ONNX") from None
    manifest = manifest_of(
        checkpoint,
        checkpoint_path,
        precision="fp16" if fp16 else "fp32",
        graph_sha256=graph_sha256(param, weights),
        libraries=("pnnx",),
    )
    write_ncnn(output, manifest, param, weights)
    return manifest


def _convert(core: FloatCore, fp16: bool) -> tuple[bytes, bytes]:
    """The graph's text and the weights. pnnx reads TorchScript and writes into the folder where that lies."""
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # tracing is being retired, and sizes in the network look like constants to it
        traced = Path(folder) / "core.pt"
        example = torch.rand(1, 3, *_SIZES[0])
        torch.jit.trace(core, example).save(str(traced))  # type: ignore[no-untyped-call]
        shapes = [f"{name}=[1,3,{h},{w}]" for name, (h, w) in zip(("inputshape", "inputshape2"), _SIZES, strict=True)]
        command = [pnnx.EXEC_PATH, str(traced), *shapes, f"fp16={int(fp16)}"]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        try:
            if done.returncode:
                raise FileNotFoundError
            return (Path(folder) / "core.ncnn.param").read_bytes(), (Path(folder) / "core.ncnn.bin").read_bytes()
        except FileNotFoundError:
            told = (done.stderr.strip() or done.stdout.strip() or "no message").splitlines()[-1]
            raise ArtmirrorError(
                f"pnnx does not convert this network ({told}); export it as ONNX, without --ncnn"
            ) from None
