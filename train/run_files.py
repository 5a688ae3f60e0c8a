"""The files of one run: the checkpoint, the state to go on from, the previews. What was killed half-way is mended."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.runtime.common.files import check_not_input, file_sha256
from artmirror.train.checkpoint import (
    Checkpoint,
    StyleInfo,
    check_writable,
    load_checkpoint,
    load_state,
    save_checkpoint,
    save_state,
    state_path,
)
from artmirror.train.config import TrainConfig
from artmirror.train.learner import Learner
from artmirror.train.networks.stylizer import Stylizer, with_new_memory
from artmirror.train.preview import preview_folder, write_preview


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is."""

    done: int = 0  # steps
    losses: dict[str, float] = field(default_factory=dict)  # of the last step
    start_from: dict[str, str] | None = None  # name and SHA-256 of the checkpoint whose weights it began with


class RunFiles:
    """Written by the first process of a run, read by it too."""

    def __init__(self, config: TrainConfig, style: StyleInfo, output: Path) -> None:
        self._config, self._style, self._output = config, style, output
        self._state_path = state_path(output)
        self._preview_folder = preview_folder(output)

    def check(self) -> None:
        """See that they can be written, and take away what a killed process left half written.

        Raises:
            ArtmirrorError: they cannot.
        """
        check_not_input(self._output, [Path(self._config.painting_path)])
        check_writable(self._output)
        for part in self._preview_folder.glob(".*.part"):
            part.unlink(missing_ok=True)

    def load(self) -> tuple[Progress, dict[str, Any]]:
        """How far the run was, and the learner's state.

        Raises:
            ArtmirrorError: there is none, or another run's.
        """
        _, begun, done, values = load_state(self._state_path)
        if begun.with_absolute_paths() != self._config:
            raise ArtmirrorError(f"{self._state_path} was written with another configuration: {begun}")
        return Progress(done, values.get("losses", {}), values.get("start_from")), values

    def save(self, progress: Progress, learner: Learner) -> None:
        """Write both files.

        Raises:
            ArtmirrorError: they cannot be written; then the old ones are kept.
        """
        values = {"losses": progress.losses, "start_from": progress.start_from, **learner.state_dict()}
        # First, since it holds all that the checkpoint does, should the process be killed in between.
        save_state(self._state_path, style=self._style, config=self._config, step=progress.done, state=values)
        self._save_checkpoint(progress, learner)

    def mend(self, progress: Progress, learner: Learner) -> None:
        """Write the checkpoint where it is missing or older than the state that was loaded."""
        if not self._output.is_file() or load_checkpoint(self._output).step != progress.done:
            self._save_checkpoint(progress, learner)

    def write_preview(self, learner: Learner, frames: Tensor, done: int) -> Path:
        """Write a picture of some photos above their paintings; `frames` (B, 3, S, S) float32 RGB in [0, 1]."""
        return write_preview(learner.result, frames, self._preview_folder, done)

    def kept(self) -> str:
        """What a run that fails now leaves behind, in words."""
        if not self._output.is_file():
            return "no checkpoint had been written yet"
        return f"the checkpoint of step {load_checkpoint(self._output).step} is kept in {self._output}"

    def _save_checkpoint(self, progress: Progress, learner: Learner) -> None:
        config = self._config
        training = {**config.to_portable_dict(), "start_from": progress.start_from}
        weights = learner.result.state_dict()
        save_checkpoint(
            self._output,
            Checkpoint(self._style, config.preset, config.network, weights, training, progress.done, progress.losses),
        )


def load_start(path: Path, config: TrainConfig) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Weights to begin with from another checkpoint, and its name and SHA-256.

    Its network may differ in what has no weights: padding, grain, output; and it may be one without a memory.

    Raises:
        ArtmirrorError: it is missing, damaged or holds weights of other names or shapes.
    """
    checkpoint = load_checkpoint(path)
    fresh = Stylizer(config.network).state_dict()
    weights = with_new_memory(checkpoint.weights, fresh)
    if _shapes(weights) != _shapes(fresh):
        raise ArtmirrorError(f"{path} holds {checkpoint.network}; wanted {config.network}: choose the same preset")
    return weights, {"name": path.name, "sha256": file_sha256(path)}


def _shapes(weights: Mapping[str, Tensor]) -> dict[str, torch.Size]:
    return {name: value.shape for name, value in weights.items()}
