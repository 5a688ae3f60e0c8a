"""Sequences through a network with a memory: painted frame after frame, and what of them is judged."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from artmirror.train.networks.stylizer import Stylizer
from artmirror.train.objective.warp import recall, spread
from artmirror.train.pairs.sequences import FoundMotion, FrameSequence, long_gap

_STILL_PX, _AT_REST = 0.1, 5.0  # what stands still counts so many times: there the eye sees what flickers


class InTurn(nn.Module):
    """A network that also paints sequences, each frame with that of the key frame in mind, as at show time.

    The gradient goes through the frames after the lead: what is remembered shall be worth remembering. The first frame
    has a gradient of its own, since nothing is before it.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(
        self,
        frames: Tensor,
        found: FoundMotion | None = None,
        affines: Tensor | None = None,
        *,
        lead: int = 0,
        with_features: bool = False,
    ) -> Tensor | tuple[Tensor, Tensor]:
        """Paint.

        Args:
            frames: (B, 3, H, W) float RGB in [0, 1], or of sequences (B, L + K, 3, H, W).
            found: Of sequences, `FrameSequence.found`.
            affines: (B, 2 N) float32, of a network for many paintings.
            lead: L, the frames that are only painted so that the others have something before them.
            with_features: Of frames that are no sequences, as `Stylizer.with_features`.

        Returns:
            The shape of `frames`, float32 RGB in [0, 1].
        """
        if with_features:
            assert isinstance(self.network, Stylizer)
            return self.network.with_features(frames)
        style = () if affines is None else (affines,)
        if found is None:
            painted: Tensor = self.network(frames, *style)
            return painted
        first, *others = (frame.contiguous(memory_format=torch.channels_last) for frame in frames.unbind(1))
        pictures = [self.network(first, *style)]
        kept = pictures[0]
        seen = zip(others, *(tensor.unbind(1) for tensor in found), strict=True)
        for number, (frame, flow, new, trust) in enumerate(seen, start=1):
            last = pictures[-1].detach() if number <= lead else pictures[-1]
            kept = torch.where(new > 0, last, kept)
            with torch.set_grad_enabled(torch.is_grad_enabled() and number >= lead):
                trusted = spread(trust, frame.shape[2:]).expand_as(frame)
                pictures.append(self.network(frame, *style, recall(kept, flow), trusted))
        return torch.stack(pictures, 1)


class Judged(NamedTuple):
    """What losses are taken of: first and last frames by their look; neighbours, and what lies far apart, as pairs."""

    frames: Tensor  # (2 B, 3, H, W): first and last, unpainted
    painted: Tensor  # the same, painted
    pair: tuple[Tensor, Tensor, Tensor, Tensor]  # (K B, ...): later, earlier, flow between them, how much it counts


def judged_of(sequence: FrameSequence, painted: Tensor) -> Judged:
    """Take them out of a batch of sequences; `painted` is (B, L + K, 3, H, W)."""
    frames, pictures = sequence.frames, painted.unbind(1)
    learned = pictures[sequence.lead :]
    flow = torch.cat([*sequence.flow.unbind(1), sequence.long_flow])
    visible = torch.cat([*sequence.visible.unbind(1), sequence.long_visible])
    still = (flow.abs().amax(1, keepdim=True) < _STILL_PX).float()
    return Judged(
        torch.cat([frames[:, 0], frames[:, -1]]),
        torch.cat([pictures[0], pictures[-1]]),
        (
            torch.cat([*learned[1:], pictures[-1]]),
            torch.cat([*learned[:-1], pictures[-1 - long_gap(len(pictures))]]),
            flow,
            visible * (1 + (_AT_REST - 1) * still),
        ),
    )
