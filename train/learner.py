"""The network that learns and all that teaches it: one training step, and the state to go on from."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from artmirror.train.config import TrainConfig
from artmirror.train.distributed import Group
from artmirror.train.networks.stylizer import Stylizer
from artmirror.train.objective.losses import Objective, change_of_light
from artmirror.train.pairs.base import Pair
from artmirror.train.pairs.sequences import FrameSequence
from artmirror.train.remembering import InTurn, judged_of

_MEMORY_RATE = 5.0  # times the learning rate of a body that can paint already


@dataclass(frozen=True, slots=True)
class Step:
    """What one training step found, the mean over all processes."""

    losses: dict[str, float]  # unweighted terms and their weighted `total`
    gradient_norm: float  # before clipping
    learning_rate: float
    finite: bool  # False: the losses or the gradient were not, and the weights were left alone


class Learner:
    """A network, its optimizer, its learning rate and, where asked for, the average of its weights.

    Args:
        weights: To begin with; None for random ones.
    """

    def __init__(
        self, config: TrainConfig, objective: Objective, group: Group, weights: Mapping[str, Tensor] | None = None
    ) -> None:
        self._config, self._objective, self._group = config, objective, group
        self._network = Stylizer(config.network)
        if weights is not None:
            self._network.load_state_dict(dict(weights))
        self._network.to(group.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._model = group.parallel(InTurn(self._network))
        # Polyak's average with exponentially fading weights; the library begins it with the weights after step one.
        self._average = None
        if config.ema_decay:
            self._average = AveragedModel(self._network, multi_avg_fn=get_ema_multi_avg_fn(config.ema_decay))  # type: ignore[no-untyped-call]
        memory = [value for name, value in self._network.named_parameters() if name.startswith("memory.")]
        body = [value for name, value in self._network.named_parameters() if not name.startswith("memory.")]
        parts = [(part, rate) for part, rate in ((body, 1.0), (memory, _MEMORY_RATE)) if part]
        rates = [rate * config.peak_learning_rate for _, rate in parts]
        self._optimizer = torch.optim.Adam([{"params": part} for part, _ in parts], lr=config.peak_learning_rate)
        self._scheduler = torch.optim.lr_scheduler.OneCycleLR(self._optimizer, rates, total_steps=config.steps)
        self._scaler = torch.amp.GradScaler(group.device.type, enabled=config.precision == "fp16")

    def step(self, batch: Pair | FrameSequence) -> Step:
        """Learn from a batch on the CPU; every process brings its own."""
        share = self._temporal_share()
        with self._autocast():
            terms = self._of_sequence(batch, share) if isinstance(batch, FrameSequence) else self._of_pair(batch, share)

        # Find the gradient; with several processes this is where theirs are averaged.
        self._optimizer.zero_grad(set_to_none=True)
        self._scaler.scale(terms["total"]).backward()  # type: ignore[no-untyped-call]
        self._scaler.unscale_(self._optimizer)
        norm = torch.nn.utils.clip_grad_norm_(self._network.parameters(), self._config.gradient_clip)
        # Fetched in one piece: the only time in a step that the CPU waits for a GPU.
        *values, gradient_norm = self._group.mean(torch.stack([*terms.values(), norm.to(self._group.device)]).tolist())
        # With fp16 an overflowing gradient is the scaler's daily business: it skips the step and scales down.
        finite = all(map(math.isfinite, values)) and (self._scaler.is_enabled() or math.isfinite(gradient_norm))
        step = Step(
            dict(zip(terms, values, strict=True)), gradient_norm, float(self._scheduler.get_last_lr()[0]), finite
        )

        # Walk down the gradient.
        if finite:
            self._scaler.step(self._optimizer)
            self._scaler.update()
            self._scheduler.step()
            if self._average is not None:
                self._average.update_parameters(self._network)
        return step

    def _of_pair(self, pair: Pair, share: float) -> dict[str, Tensor]:
        first, second, flow, visible = (self._moved(tensor) for tensor in pair)
        more: dict[str, Any] = {"light": change_of_light(first, second, flow)} if self._config.luminance else {}
        # Paint both frames of every pair in one pass.
        if self._config.weights.features:
            painted, features = self._model(torch.cat([first, second]), with_features=True)
            more["features"] = features.chunk(2)
        else:
            painted = self._model(torch.cat([first, second]))
        terms: dict[str, Tensor] = self._objective(first, *painted.chunk(2), flow, visible, share, **more)
        return terms

    def _of_sequence(self, sequence: FrameSequence, share: float) -> dict[str, Tensor]:
        sequence = FrameSequence(*map(self._moved_whole, sequence))
        painted = self._model(sequence.frames, sequence.found, lead=sequence.lead)
        judged = judged_of(sequence, painted)
        terms: dict[str, Tensor] = self._objective(judged.frames, *judged.pair, share, painted=judged.painted)
        return terms

    def _moved_whole(self, tensor: Tensor) -> Tensor:
        return tensor.to(self._group.device, non_blocking=True)

    def _moved(self, tensor: Tensor) -> Tensor:
        return tensor.to(self._group.device, non_blocking=True, memory_format=torch.channels_last)

    def _temporal_share(self) -> float:
        """Of the temporal weight, at this step: a network that may not move from the start learns no strokes."""
        grows_steps = self._config.temporal_ramp * self._config.steps
        return min(1.0, self._scheduler.last_epoch / grows_steps) if grows_steps else 1.0

    @property
    def result(self) -> Stylizer:
        """The network to show and to keep: the average where there is one."""
        network = self._network if self._average is None else self._average.module
        assert isinstance(network, Stylizer)
        return network

    def state_dict(self) -> dict[str, Any]:
        """All that the next step depends on."""
        return {name: owner.state_dict() for name, owner in self._stateful().items()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        for name, owner in self._stateful().items():
            owner.load_state_dict(state[name])

    def _stateful(self) -> dict[str, Any]:
        owners = {
            "network": self._network,
            "average": self._average,
            "optimizer": self._optimizer,
            "scheduler": self._scheduler,
            "scaler": self._scaler,
        }
        return {name: owner for name, owner in owners.items() if owner is not None}

    def _autocast(self) -> torch.autocast:
        dtype = torch.float16 if self._config.precision == "fp16" else torch.bfloat16
        return torch.autocast(self._group.device.type, dtype=dtype, enabled=self._config.precision != "fp32")
