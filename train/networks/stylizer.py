"""The stylizer network: one frame in, the painted frame out."""

from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from artmirror.train.config import NetworkConfig

_KEPT = 0.95  # of the earlier picture, where it is fully trusted
_GRAIN_SIDE = 251  # pixels after which the grain repeats: prime, so that it never falls in step with the strides


class Grain(nn.Module):
    """A fixed faint noise, like the weave of a canvas, added to the frame.

    Ours, not the papers': where a frame is perfectly even (black cloth, burnt-out sky) every convolution sees the same
    everywhere and can paint but one flat colour. The grain gives brush strokes something to begin with. It does not
    move, so neither do they.
    """

    tile: Tensor

    def __init__(self, strength: float) -> None:
        super().__init__()
        noise = torch.randn(_GRAIN_SIDE, _GRAIN_SIDE, generator=torch.Generator().manual_seed(1889))
        # Half precision takes half the room in an exported file; not a weight, so not in a checkpoint.
        self.register_buffer("tile", (noise * strength).half(), persistent=False)

    def forward(self, rgb: Tensor) -> Tensor:  # (B, 3, H, W) float RGB in [0, 1]
        """Return the frame with the same grain on all three channels, same shape; may leave [0, 1] a little."""
        rows = torch.arange(rgb.shape[2], device=rgb.device) % _GRAIN_SIDE
        columns = torch.arange(rgb.shape[3], device=rgb.device) % _GRAIN_SIDE
        return rgb + self.tile.index_select(0, rows).index_select(1, columns).to(rgb.dtype)


class ConvBlock(nn.Module):
    """A convolution with its padding, normalisation and, where asked for, ReLU."""

    def __init__(self, config: NetworkConfig, conv: nn.Module, outputs: int, *, relu: bool = True) -> None:
        super().__init__()
        self.conv = conv
        self.norm = _norm(config, outputs)
        self.relu = relu

    def forward(self, x: Tensor, added: Tensor | None = None) -> Tensor:
        x = self.conv(x)
        x = self.norm(x if added is None else x + added)
        return F.relu(x) if self.relu else x


class SeparableConv(nn.Module):
    """A 3x3 convolution within each channel, then a 1x1 across them (Howard et al. 2017), nothing in between.

    A departure from that paper, which normalises after each of the two: one normalisation a pair, in `ConvBlock`, moves
    less memory.
    """

    def __init__(self, config: NetworkConfig, channels: int) -> None:
        super().__init__()
        self.within = nn.Conv2d(
            channels, channels, 3, padding=1, groups=channels, padding_mode=config.padding, bias=False
        )
        self.across = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.across(self.within(x))
        return out


class ResidualBlock(nn.Module):
    """Two convolutions and the identity; no ReLU after the sum (Johnson et al. 2016, supplement)."""

    def __init__(self, config: NetworkConfig, channels: int) -> None:
        super().__init__()
        self.first = ConvBlock(config, _block_conv(config, channels), channels)
        self.second = ConvBlock(config, _block_conv(config, channels), channels, relu=False)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + self.second(self.first(x))
        return out


class UpsamplingBlock(nn.Module):
    """Twice the size: nearest neighbour and a convolution, or the paper's transposed convolution."""

    def __init__(self, config: NetworkConfig, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv: nn.Module
        if config.upsampling == "deconv":
            self.conv = nn.ConvTranspose2d(inputs, outputs, 3, stride=2, padding=1, output_padding=1)
        else:
            self.conv = nn.Sequential(nn.Upsample(scale_factor=2), _padded_conv(config, inputs, outputs, kernel=3))
        self.norm = _norm(config, outputs)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.norm(self.conv(x)))


class SubPixelConv(nn.Module):
    """Twice the size: a convolution with four outputs for each channel, laid out as squares (Shi et al. 2016).

    All pixels of a square begin with the same weights (Aitken et al. 2017), else a grid stays visible.
    """

    def __init__(self, config: NetworkConfig, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = _padded_conv(config, inputs, outputs * 4, kernel=3)
        self.unfold = nn.PixelShuffle(2)
        assert self.conv.bias is not None
        with torch.no_grad():
            for parameter in (self.conv.weight, self.conv.bias):
                parameter.copy_(parameter[::4].repeat_interleave(4, 0))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.unfold(self.conv(x))
        return out


class Memory(nn.Module):
    """What a network does with its picture of an earlier frame, brought onto this one (Ruder et al. 2018, section 4).

    A departure from that paper, whose network takes its last picture, at full size, beside the frame: here a picture of
    a key frame (`KeyMotion`) enters at half size or less, where it costs next to nothing; and most of it is kept as it
    is, pixel by pixel, beside what is painted anew. So the network paints what is missing: strokes where there were
    none, and edges that were sampled between pixels. Where nothing may be trusted, it paints as without a memory.

    A learned gate in place of the fixed share was tried: it closes, since what is painted anew is nearer to the
    painting at once, and what is kept only in the long run.

    Args:
        step: Pixels from one place of the layer that it enters to the next.
        width: Channels of that layer.
    """

    def __init__(self, config: NetworkConfig, step: int, width: int) -> None:
        super().__init__()
        self.enter = _folded_conv(config, 3, width, step, bias=False)
        nn.init.zeros_(self.entering().weight)

    def entering(self) -> nn.Conv2d:
        """The convolution that takes the earlier picture."""
        return cast(nn.Conv2d, self.enter[1])

    def forward(self, known: Tensor) -> Tensor:  # (B, 3, H, W), the earlier picture about 0, times how far it holds
        """What is added to the layer that the frame enters too."""
        out: Tensor = self.enter(known)
        return out


def with_new_memory(weights: Mapping[str, Tensor], fresh: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights of a network without a memory, and beside them the memory of a new one, which has learned nothing yet."""
    return {**{name: value for name, value in fresh.items() if "memory" in name.split(".")}, **weights}


class Stylizer(nn.Module):
    """Huang et al. 2017, section 3.1, in the sizes of a `NetworkConfig`.

    The picture may have any size from 64 up. The strides give ceil(size / 4), so the doublings overshoot by at most
    three pixels, which are cropped at the right and bottom.

    A `fold` above 1 is ours: no layer computes at full size, and with 4 all but the last at a quarter. The stem takes
    overlapping squares, twice the fold a side; the head doubles the size once or twice. Doubling twice, not fourfold at
    once, lets the squares grow together: a fourfold step leaves a grid.
    """

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.config = config
        widths = config.channels[config.fold.bit_length() - 1 :]  # from the stem's size down to a quarter
        self.grain = Grain(config.grain) if config.grain > 0 else nn.Identity()
        self.stem = nn.Sequential(_stem_conv(config, widths[0]), _norm(config, widths[0]), nn.ReLU())
        sizes = list(pairwise(widths))
        self.down = nn.Sequential(*(_halving(config, wide, narrow) for wide, narrow in sizes))
        inside = config if config.block_padding == "same" else replace(config, padding=config.block_padding)
        self.blocks = nn.Sequential(*(ResidualBlock(inside, widths[-1]) for _ in range(config.blocks)))
        self.up = nn.Sequential(*(UpsamplingBlock(config, narrow, wide) for wide, narrow in reversed(sizes)))
        self.head = _head(config, widths[0])
        if config.memory:
            width = widths[1 if config.fold == 1 else 0]
            self.memory = Memory(config, max(config.fold, 2), width)

    def last_conv(self) -> nn.Conv2d:
        """The convolution that gives the colours."""
        *_, last = (layer for layer in self.head.modules() if isinstance(layer, nn.Conv2d))
        return last

    def colour_parameters(self) -> list[tuple[Tensor, int]]:
        """Views of the parameters that red, green and blue enter or leave by, and the axis that they lie on."""
        first, *_ = (layer for layer in self.stem.modules() if isinstance(layer, nn.Conv2d))
        last = self.last_conv()
        assert last.bias is not None
        parameters = [(first.weight, 1), (last.weight.view(3, -1), 0), (last.bias.view(3, -1), 0)]
        if self.config.memory:
            parameters.append((self.memory.entering().weight, 1))
        return parameters

    def forward(
        self, rgb: Tensor, recalled: Tensor | None = None, trust: Tensor | None = None, *, colours_last: bool = False
    ) -> Tensor:
        """Paint a batch of frames.

        Args:
            rgb: (B, 3, H, W) float RGB in [0, 1].
            recalled: Of a network with memory its earlier pictures, brought onto these frames: same shape and range.
            trust: (B, 3, H, W) float in [0, 1], how far each pixel of them holds; three times the same, since a single
                channel that is spread over three costs more time than the rest of the memory.
            colours_last: `recalled`, `trust` and what is returned are (B, H, W, 3), as the runtime has them. A graph
                that changes their order before it computes with them takes longer.

        Returns:
            The shape and range of `rgb`, float32; with `colours_last` (B, H, W, 3).
        """
        order, back = ((0, 2, 3, 1), (0, 3, 1, 2)) if colours_last else ((0, 1, 2, 3), (0, 1, 2, 3))
        if recalled is None or trust is None:
            return self.with_features(rgb)[0].permute(order)
        known = ((recalled - 0.5) * trust).permute(back)
        shade = self.head(self.up(self.blocks(self._entered(rgb, known))))
        painted = self._in_range(shade[:, :, : rgb.shape[2], : rgb.shape[3]].permute(order))
        mixed = painted + _KEPT * trust * (recalled - painted)
        # Cut off after the mix, not before: what is new may have to make up for what the memory lost, many times over.
        return self._cut_off(mixed)  # (B, 3, H, W) float32 RGB in [0, 1]

    def with_features(self, rgb: Tensor) -> tuple[Tensor, Tensor]:
        """As `forward` without a memory, and what it has made of the frames before it paints: (B, C, h, w)."""
        features = self.down(self.stem(self.grain(rgb)))
        shade = self.head(self.up(self.blocks(features)))
        painted = self._in_range(shade[:, :, : rgb.shape[2], : rgb.shape[3]])
        return self._cut_off(painted), features

    def _cut_off(self, painted: Tensor) -> Tensor:
        # In training the losses see, and pull back, what is out of range; tanh leaves nothing out of it.
        return painted if self.training or self.config.output == "tanh" else painted.clamp(0, 1)

    def _in_range(self, shade: Tensor) -> Tensor:
        shade = shade.float()  # bf16 has too few levels for 8-bit pictures
        if self.config.output == "tanh":  # the paper's
            shade = torch.tanh(shade)
        return 0.5 * shade + 0.5  # (B, 3, H, W) float32 RGB; in [0, 1] of tanh, else about

    def _entered(self, rgb: Tensor, known: Tensor) -> Tensor:
        """Down to a quarter size, with the memory added before the first normalisation at half size or less."""
        seen = self.memory(known)
        conv, norm, relu = self.stem
        x = conv(self.grain(rgb))
        if self.config.fold > 1:
            return cast(Tensor, self.down(relu(norm(x + seen))))
        first, second = self.down
        return cast(Tensor, second(first(relu(norm(x)), seen)))


def _stem_conv(config: NetworkConfig, outputs: int) -> nn.Module:
    if config.fold == 1:
        return _padded_conv(config, 3, outputs, kernel=config.end_kernel)
    return _folded_conv(config, 3, outputs, config.fold)


def _folded_conv(config: NetworkConfig, inputs: int, outputs: int, fold: int, *, bias: bool = True) -> nn.Sequential:
    # Half a square more on every side, and at the right and bottom so that a broken last square is taken too.
    near, far = fold // 2, fold // 2 + fold - 1
    pad = {"reflect": nn.ReflectionPad2d, "replicate": nn.ReplicationPad2d, "zeros": nn.ZeroPad2d}[config.padding]
    return nn.Sequential(pad((near, far, near, far)), nn.Conv2d(inputs, outputs, 2 * fold, fold, bias=bias))


def _head(config: NetworkConfig, inputs: int) -> nn.Module:
    if config.fold == 1:
        return _padded_conv(config, inputs, 3, kernel=config.end_kernel)
    if config.fold == 2:
        return SubPixelConv(config, inputs, 3)
    half = config.channels[1]
    return nn.Sequential(SubPixelConv(config, inputs, half), nn.ReLU(), SubPixelConv(config, half, 3))


def _halving(config: NetworkConfig, inputs: int, outputs: int) -> ConvBlock:
    return ConvBlock(config, _padded_conv(config, inputs, outputs, kernel=3, stride=2), outputs)


def _block_conv(config: NetworkConfig, channels: int) -> nn.Module:
    if config.block_conv == "separable":
        return SeparableConv(config, channels)
    return _padded_conv(config, channels, channels, kernel=3)


def _padded_conv(config: NetworkConfig, inputs: int, outputs: int, *, kernel: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, padding_mode=config.padding)


def _norm(config: NetworkConfig, channels: int) -> nn.Module:
    if config.norm == "batch":
        return nn.BatchNorm2d(channels)
    return nn.InstanceNorm2d(channels, affine=True)
