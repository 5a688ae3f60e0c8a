"""Sequences for networks with a memory: the flow that losses take is exact, what the network is given is found."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.train.config import NetworkConfig, TrainConfig
from artmirror.train.objective.warp import warp
from artmirror.train.pairs import sequences
from artmirror.train.pairs.sequences import FrameSequence, MovedSequences, long_gap

MakeConfig = Callable[..., TrainConfig]
MEMORY = NetworkConfig(channels=(4, 6, 8), blocks=1, memory=True)


def made(make_config: MakeConfig, **changes: object) -> MovedSequences:
    config = make_config(network=MEMORY, crop=96, frames=4, **{"lead": 2, **changes})
    assert config.photos_path is not None
    return MovedSequences(Path(config.photos_path), config)


def worst(sequence: FrameSequence) -> list[float]:
    """Mean error of each neighbour, and of the two ends, brought onto each other where they show the same."""
    frames = sequence.frames
    learned = frames[sequence.lead :]
    pairs = [(learned[k + 1], learned[k], sequence.flow[k], sequence.visible[k]) for k in range(len(learned) - 1)]
    pairs.append((frames[-1], frames[-1 - long_gap(len(frames))], sequence.long_flow, sequence.long_visible))
    return [
        float((seen * (here - warp(before[None], flow[None])[0])).abs().sum() / (3 * seen.sum()).clamp(min=1))
        for here, before, flow, seen in pairs
    ]


def test_shapes(make_config: MakeConfig) -> None:
    sequence = made(make_config)[0]
    assert sequence.frames.shape == (6, 3, 96, 96)
    assert sequence.flow.shape == (3, 2, 96, 96)
    assert sequence.visible.shape == (3, 1, 96, 96)
    assert sequence.long_flow.shape == (2, 96, 96)
    assert sequence.found_flow.shape == (5, 2, 48, 48)
    assert sequence.renewed.shape == (5, 1, 1, 1)
    assert sequence.mask.shape == (5, 1, 48, 48)
    assert all(tensor.dtype == torch.float32 for tensor in sequence)


@pytest.mark.parametrize("lead", [0, 2, 9])
def test_the_flow_is_exact_between_neighbours_and_far_apart(
    make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch, lead: int
) -> None:
    monkeypatch.setattr(sequences, "_CUT", 0)
    material = made(make_config, lead=lead)
    object.__setattr__(material.config.motion, "noise_std", 0.0)
    errors = torch.tensor([worst(material[index]) for index in range(12)])
    assert errors.mean() < 0.004  # interpolation and rounding to bytes
    moved = [float(material[index].flow.abs().max()) for index in range(12)]
    assert max(moved) > 2


def test_another_flow_would_be_found_out(make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sequences, "_CUT", 0)
    monkeypatch.setattr(sequences, "_STILL", 0)
    monkeypatch.setattr(sequences, "_SLOW", 0)
    material = made(make_config)
    backwards = [material[index]._replace(flow=-material[index].flow) for index in range(6)]
    right = torch.tensor([worst(material[index]) for index in range(6)])[:, :3].mean()
    wrong = torch.tensor([worst(sequence) for sequence in backwards])[:, :3].mean()
    assert wrong > 1.5 * right


def test_after_a_cut_nothing_is_the_same(make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sequences, "_CUT", 1)
    for index in range(5):
        sequence = made(make_config, lead=0)[index]
        empty = [k for k in range(3) if not sequence.visible[k].any()]
        assert len(empty) == 1
        assert not sequence.long_visible.any()


def test_a_sequence_depends_on_its_number_alone(make_config: MakeConfig) -> None:
    first, again = made(make_config)[3], made(make_config)[3]
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first.frames, made(make_config)[4].frames)


def test_clips_alone_are_not_enough(make_config: MakeConfig) -> None:
    with pytest.raises(ArtmirrorError, match="name a folder with --photos"):
        make_config(network=MEMORY, photos_path=None, clips_path="clips")


def test_some_places_are_not_trusted_though_nothing_moved(
    make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, share in (("_THING", 0), ("_CUT", 0), ("_STILL", 1)):
        monkeypatch.setattr(sequences, name, share)
    material = made(make_config)
    object.__setattr__(material.config.motion, "noise_std", 0.0)
    monkeypatch.setattr(sequences, "_HOLES", 0)
    assert all(material[index].mask.min() > 0.9 for index in range(4))
    monkeypatch.setattr(sequences, "_HOLES", 1)
    last = torch.stack([material[index].mask[-1] for index in range(8)])
    assert last.min() < 0.1  # a hole
    assert last.mean() > 0.6  # in what is trusted else
    assert all(material[index].mask[: material[index].lead - 1].min() > 0.9 for index in range(4))  # it comes later
