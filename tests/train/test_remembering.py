"""Sequences through a network with a memory: which frames it learns from."""

import pytest
import torch
from torch import Tensor, nn

from artmirror.train.pairs.sequences import FoundMotion, FrameSequence
from artmirror.train.remembering import InTurn, judged_of

SIDE, TOTAL = 16, 6


class Adding(nn.Module):
    """Paints a frame as `weight` times it, and adds what it remembers."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))

    def forward(self, frame: Tensor, recalled: Tensor | None = None, trust: Tensor | None = None) -> Tensor:
        painted: Tensor = self.weight * frame
        return painted if recalled is None or trust is None else painted + recalled * trust


def found(renewed: float = 1.0) -> FoundMotion:
    """Nothing moved, and all is trusted."""
    new = torch.full((1, TOTAL - 1, 1, 1, 1), renewed)
    return FoundMotion(torch.zeros(1, TOTAL - 1, 2, 8, 8), new, torch.ones(1, TOTAL - 1, 1, 8, 8))


def painted_by(network: Adding, lead: int) -> Tensor:
    frames = torch.full((1, TOTAL, 3, SIDE, SIDE), 0.1)
    pictures = InTurn(network)(frames, found(), lead=lead)
    assert isinstance(pictures, Tensor)
    return pictures


@pytest.mark.parametrize(("lead", "learned"), [(0, 6), (1, 5), (4, 2)])
def test_the_gradient_goes_through_the_frames_after_the_lead(lead: int, learned: int) -> None:
    network = Adding()
    pictures = painted_by(network, lead)
    assert pictures[0, -1].mean().item() == pytest.approx(0.6, abs=1e-4)  # all frames are remembered
    pictures[0, -1].mean().backward()
    assert network.weight.grad is not None
    assert network.weight.grad.item() == pytest.approx(0.1 * learned, abs=1e-4)


def test_what_is_remembered_is_the_key_frame() -> None:
    frames = torch.full((1, TOTAL, 3, SIDE, SIDE), 0.1)
    motion = found(renewed=0.0)
    motion.renewed[:, 2] = 1  # the fourth frame takes the third as its key frame
    pictures = InTurn(Adding())(frames, motion)
    assert isinstance(pictures, Tensor)
    means = pictures.mean((0, 2, 3, 4)).tolist()
    assert means == pytest.approx([0.1, 0.2, 0.2, 0.3, 0.3, 0.3], abs=1e-4)


def test_the_first_frame_has_a_gradient_of_its_own() -> None:
    network = Adding()
    painted_by(network, 4)[0, 0].mean().backward()
    assert network.weight.grad is not None
    assert network.weight.grad.item() == pytest.approx(0.1)


def test_pairs_are_neighbours_after_the_lead_and_one_that_lies_far_apart() -> None:
    lead, count = 4, 2
    frames = torch.arange(TOTAL).float()[None, :, None, None, None].expand(1, TOTAL, 3, SIDE, SIDE)
    flow, visible = torch.zeros(1, count - 1, 2, SIDE, SIDE), torch.ones(1, count - 1, 1, SIDE, SIDE)
    sequence = FrameSequence(frames, flow, visible, flow[:, 0], visible[:, 0], *found())
    assert sequence.lead == lead
    judged = judged_of(sequence, 10 * frames)
    later, earlier, *_ = judged.pair
    assert later[:, 0, 0, 0].tolist() == [50, 50]
    assert earlier[:, 0, 0, 0].tolist() == [40, 0]
    assert judged.frames[:, 0, 0, 0].tolist() == [0, 5]
    assert judged.painted[:, 0, 0, 0].tolist() == [0, 50]
