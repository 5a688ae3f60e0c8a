"""starry.pt -> starry.ncnn.param and starry.ncnn.bin, by pnnx; see `runtime.ncnn_file` for what is in them."""

import copy
import subprocess
import tempfile
import warnings
from pathlib import Path

import pnnx
import torch
from torch import Tensor, nn

from artmirror.export.trained import Trained
from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.runtime.formats.manifest import Manifest
from artmirror.runtime.formats.ncnn import graph_sha256, write_ncnn
from artmirror.runtime.formats.ncnn_graph import WrongGraph, check_ncnn_graph
from artmirror.train.networks.many_style import ConditionalNorm, ManyStyle
from artmirror.train.networks.stylizer import Grain, Stylizer

# Two sizes that share no side, neither of them a multiple of four, tell pnnx that height and width are free.
_SIZES = ((65, 98), (83, 131))


class _OpenNorm(nn.Module):
    """A `ConditionalNorm` in operations that ncnn has."""

    def __init__(self, norm: ConditionalNorm) -> None:
        super().__init__()
        self.norm = nn.InstanceNorm2d(norm.channels, norm.eps)
        self.scale = self.shift = torch.empty(0)  # (1, C, 1, 1) each

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.norm(x) * self.scale + self.shift
        return found


class ManyCore(nn.Module):
    """As `FloatCore`, of a network for many paintings."""

    def __init__(self, many: ManyStyle) -> None:
        super().__init__()
        many = copy.deepcopy(many)
        self.affine, self.length = many.affine, many.affine.in_features
        for module in list(many.body.modules()):
            for name, child in list(module.named_children()):
                if isinstance(child, ConditionalNorm):
                    setattr(module, name, _OpenNorm(child))
        self.core = FloatCore(many.body)
        self._norms = [module for module in self.core.modules() if isinstance(module, _OpenNorm)]
        self.eval()

    def forward(self, rgb: Tensor, style: Tensor, *memory: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """As `FloatCore`, in a style of (1, S) float32."""
        affines = self.affine(style[:, : self.length]) + style[:, self.length :]
        widths = [norm.norm.num_features for norm in self._norms]
        parts = affines.split(widths + widths, 1)
        for norm, scale, shift in zip(self._norms, parts, parts[len(widths) :], strict=False):
            norm.scale, norm.shift = (part.reshape(1, -1, 1, 1) for part in (scale, shift))
        found: Tensor | tuple[Tensor, Tensor] = self.core(rgb, *memory)
        return found


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

    def forward(self, rgb: Tensor, *memory: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """Paint a frame, (1, 3, H, W) float32 RGB in [0, 1]; and give the tile of grain (1, side, side), where one is.

        `memory`, of a network that has one, is what `Stylizer.forward` calls `recalled` and `trust`.
        """
        painted: Tensor = self.stylizer(rgb, *memory)
        return (painted, self.tile) if self.has_grain else painted


def write_ncnn_of(trained: Trained, output: Path, *, fp16: bool) -> Manifest:
    """Convert a network for any height and width, and write both files with the manifest.

    Args:
        output: Of either file.
        fp16: Weights stored in FP16. What a device computes in is chosen when the files are opened.

    Raises:
        ArtmirrorError: the weights do not fit the network's configuration.
        ArtmirrorError: pnnx does not convert this network.
        ArtmirrorError: the folder does not exist or cannot be written.
    """
    painter, has_memory = trained.painter, trained.network.memory
    core = ManyCore(painter) if isinstance(painter, ManyStyle) else FloatCore(painter)
    styles = painter.style_length if isinstance(painter, ManyStyle) else 0
    param, weights = _convert(core, fp16, styles, has_memory)
    try:
        check_ncnn_graph(param, weights, _SIZES[0], styles, has_memory=has_memory)
    except WrongGraph as error:
        raise ArtmirrorError(f"pnnx wrote what the runtime does not open ({error}); export it as ONNX") from None
    manifest = trained.manifest(
        precision="fp16" if fp16 else "fp32",
        graph_sha256=graph_sha256(param, weights),
        libraries=("pnnx",),
    )
    write_ncnn(output, manifest, param, weights)
    return manifest


def _convert(core: nn.Module, fp16: bool, style_length: int, has_memory: bool) -> tuple[bytes, bytes]:
    """The graph's text and the weights. pnnx reads TorchScript and writes into the folder where that lies."""
    pictures = 2 if has_memory else 0  # beside the frame
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # tracing is being retired, and sizes in the network look like constants to it
        traced = Path(folder) / "core.pt"
        frame = torch.rand(1, 3, *_SIZES[0])
        given = (frame, *([torch.rand(1, style_length)] if style_length else []), *[frame] * pictures)
        torch.jit.trace(core, given).save(str(traced))  # type: ignore[no-untyped-call]
        shapes = []
        for name, (height, width) in zip(("inputshape", "inputshape2"), _SIZES, strict=True):
            picture = f"[1,3,{height},{width}]"
            listed = (picture, *([f"[1,{style_length}]"] if style_length else []), *[picture] * pictures)
            shapes.append(f"{name}={','.join(listed)}")
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
