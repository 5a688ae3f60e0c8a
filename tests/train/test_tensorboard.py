"""TensorBoard reads back what a run wrote for it."""

import io
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.train.checkpoint import StyleInfo
from artmirror.train.config import LossWeights, TrainConfig
from artmirror.train.loop import RunOptions, StepReport, train
from artmirror.train.tensorboard import EventLog

WEIGHTS = LossWeights()


def _read(folder: Path) -> Any:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder))
    events.Reload()
    return events


def _report(step: int, loss: float = 1.0, memory: int | None = None) -> StepReport:
    losses = {"content": loss, "total": 2 * loss}
    return StepReport(step, 9, losses, 0.5, 1e-3, step_s=0.25, gpu_memory_bytes=memory, preview=None)


def test_curves_and_previews_of_a_run(make_config: Callable[..., TrainConfig], tmp_path: Path) -> None:
    config, reports = make_config(steps=3, pairs=1), list[StepReport]()
    options = RunOptions(tmp_path / "run.pt", workers=0, preview_every=2)
    with closing(EventLog(tmp_path / "events", config.weights)) as log:
        train(config, StyleInfo("a"), options, observe=lambda report: (reports.append(report), log(report))[0])
    events = _read(tmp_path / "events")
    for name in reports[0].losses:
        points = events.Scalars(f"loss/{name}")
        assert [point.step for point in points] == [1, 2, 3]
        assert [point.value for point in points] == pytest.approx([report.losses[name] for report in reports])
    weighted = sum(events.Scalars(tag)[1].value for tag in events.Tags()["scalars"] if tag.startswith("weighted/"))
    assert weighted == pytest.approx(reports[1].losses["total"], rel=1e-5)
    for tag, field in (("gradient_norm", "gradient_norm"), ("learning_rate", "learning_rate")):
        found = [point.value for point in events.Scalars(tag)]
        assert found == pytest.approx([getattr(report, field) for report in reports])
    assert all(point.value > 0 for point in events.Scalars("steps_per_second"))
    assert "gpu_memory_gib" not in events.Tags()["scalars"]
    pictures = events.Images("preview")
    assert [picture.step for picture in pictures] == [2, 3]
    shown = cv2.imdecode(np.frombuffer(io.BytesIO(pictures[1].encoded_image_string).read(), np.uint8), cv2.IMREAD_COLOR)
    np.testing.assert_array_equal(shown, cv2.imread(str(reports[2].preview)))


def test_memory_of_a_gpu(tmp_path: Path) -> None:
    with closing(EventLog(tmp_path, WEIGHTS)) as log:
        log(_report(1, memory=3 * 2**30))
    assert _read(tmp_path).Scalars("gpu_memory_gib")[0].value == 3


def test_steps_that_are_done_again_replace_those_of_the_killed_run(tmp_path: Path) -> None:
    for first, loss in ((1, 1.0), (3, 5.0)):
        with closing(EventLog(tmp_path, WEIGHTS)) as log:
            for step in range(first, first + 4):
                log(_report(step, loss))
    points = [(point.step, point.value) for point in _read(tmp_path).Scalars("loss/content")]
    assert points == [(1, 1), (2, 1), (3, 5), (4, 5), (5, 5), (6, 5)]


def test_no_step_no_file(tmp_path: Path) -> None:
    EventLog(tmp_path / "events", WEIGHTS).close()
    assert not (tmp_path / "events").exists()


def test_a_missing_package_is_told_before_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    monkeypatch.delitem(sys.modules, "torch.utils.tensorboard", raising=False)
    with pytest.raises(ArtmirrorError, match=r"needs the package tensorboard; install it with pip install 'artmirror"):
        EventLog(tmp_path, WEIGHTS)


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ArtmirrorError, match=r"cannot write .*file.*; name another folder"):
        EventLog(tmp_path / "file", WEIGHTS)(_report(1))
