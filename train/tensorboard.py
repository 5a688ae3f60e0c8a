"""What a run reports, as TensorBoard shows it."""

from pathlib import Path
from typing import TYPE_CHECKING

import cv2

from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.train.config import LossWeights
from artmirror.train.loop import StepReport

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

_FLUSH_S = 30  # a killed process loses at most this much


class EventLog:
    """Writes event files into a folder, from a thread of its own; close it to see the last of them written.

    Args:
        weights: Factors of the loss terms, to show each as it enters the sum too.

    Raises:
        ArtmirrorError: TensorBoard's package is missing.
    """

    def __init__(self, folder: Path, weights: LossWeights) -> None:
        try:
            import torch.utils.tensorboard  # noqa: F401  # an extra
        except ImportError as error:
            raise ArtmirrorError(
                f"--tensorboard needs the package {error.name}; install it with pip install 'artmirror[tensorboard]'"
            ) from None
        self._folder, self._weights = folder, weights
        self._writer: SummaryWriter | None = None

    def __call__(self, report: StepReport) -> None:
        """Note a step.

        Raises:
            ArtmirrorError: the folder cannot be written.
        """
        if self._writer is None:
            self._writer = self._open(report.step)
        for name, value in report.losses.items():
            self._writer.add_scalar(f"loss/{name}", value, report.step)
            if name != "total":
                self._writer.add_scalar(f"weighted/{name}", getattr(self._weights, name) * value, report.step)
        self._writer.add_scalar("gradient_norm", report.gradient_norm, report.step)
        self._writer.add_scalar("learning_rate", report.learning_rate, report.step)
        self._writer.add_scalar("steps_per_second", 1 / report.step_s, report.step)
        if report.gpu_memory_bytes is not None:
            self._writer.add_scalar("gpu_memory_gib", report.gpu_memory_bytes / 2**30, report.step)
        if report.preview is not None:
            bgr = cv2.imread(str(report.preview))
            assert bgr is not None  # just written
            self._writer.add_image("preview", bgr[..., ::-1], report.step, dataformats="HWC")

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()

    def _open(self, first_step: int) -> "SummaryWriter":
        from torch.utils.tensorboard import SummaryWriter

        try:  # steps that a killed process had noted and that are now done again are taken out of the curves
            return SummaryWriter(self._folder, purge_step=first_step, flush_secs=_FLUSH_S)
        except OSError as error:
            raise ArtmirrorError(f"cannot write {self._folder}: {error.strerror}; name another folder") from None
