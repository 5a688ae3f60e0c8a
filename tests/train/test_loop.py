"""The training loop: it learns, saves, stops, goes on, and says why it cannot."""

import hashlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from unittest.mock import ANY

import cv2
import numpy as np
import pytest
import torch

from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.train import batches
from artmirror.train.checkpoint import StyleInfo, load_checkpoint, load_state, state_path
from artmirror.train.config import LossWeights, NetworkConfig, TrainConfig
from artmirror.train.loop import Outcome, RunOptions, StepReport, train
from artmirror.train.objective.losses import TotalVariationLoss
from artmirror.train.pairs.photos import MovedPhotos

MakeConfig = Callable[..., TrainConfig]
STYLE = StyleInfo("stripes", "Stripes", "Nobody", "2024")


@dataclass
class Run:
    """A run and what it reported."""

    output: Path
    reports: list[StepReport] = field(default_factory=list)

    def __call__(self, config: TrainConfig, *, stop_at: int = 0, **options: Any) -> Outcome:
        arguments = {key: options.pop(key) for key in ("resume", "start_from") if key in options}
        steps = iter(range(load_state(state_path(self.output))[2] + 1 if arguments.get("resume") else 1, 1 << 30))
        return train(
            config,
            STYLE,
            RunOptions(self.output, **{"workers": 0, "preview_every": 0, **options}),
            observe=self.reports.append,
            should_stop=lambda: next(steps) == stop_at,
            **arguments,
        )

    @property
    def losses(self) -> dict[int, dict[str, float]]:
        return {report.step: report.losses for report in self.reports}


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(tmp_path / "run.pt")


@pytest.fixture(scope="module")
def unbroken(
    tmp_path_factory: pytest.TempPathFactory, photos: Path, painting: Path, vgg_file: Path
) -> tuple[TrainConfig, Run]:
    config = TrainConfig(
        painting_path=str(painting),
        photos_path=str(photos),
        vgg_path=str(vgg_file),
        network=NetworkConfig(channels=(4, 6, 8), blocks=1),
        steps=6,
        pairs=2,
        crop=64,
        painting_size=64,
        precision="fp32",
    )
    run = Run(tmp_path_factory.mktemp("unbroken") / "run.pt")
    assert run(config) == Outcome(6, True, run.losses[6])
    return config, run


def _same_weights(one: Path, other: Path) -> bool:
    a, b = load_checkpoint(one).weights, load_checkpoint(other).weights
    return list(a) == list(b) and all(torch.equal(a[key], b[key]) for key in a)


def test_reports_and_checkpoint_tell_what_was_done(unbroken: tuple[TrainConfig, Run]) -> None:
    config, run = unbroken
    assert [report.step for report in run.reports] == [1, 2, 3, 4, 5, 6]
    assert {report.steps for report in run.reports} == {6}
    assert all(
        list(report.losses) == ["content", "style", "total_variation", "temporal", "total"] for report in run.reports
    )
    assert len({report.losses["total"] for report in run.reports}) == 6
    saved = load_checkpoint(run.output)
    assert saved.style == STYLE
    assert saved.step == 6
    assert saved.network == config.network
    assert saved.losses == run.losses[6]
    expected = {**config.to_dict(), "painting_path": "stripes.png", "vgg_path": "random.safetensors"}
    expected |= {"photos_path": Path(config.photos_path or "").name, "start_from": None}
    assert saved.training == expected  # no folders
    assert sorted(path.name for path in run.output.parent.iterdir()) == ["run.pt", "run.state.pt"]


def test_a_stopped_run_is_saved_and_goes_on_as_if_unbroken(unbroken: tuple[TrainConfig, Run], run: Run) -> None:
    config, whole = unbroken
    outcome = run(config, stop_at=3)
    assert outcome == Outcome(3, False, run.losses[3])
    assert load_checkpoint(run.output).step == 3
    assert load_state(state_path(run.output))[:3] == (STYLE, config, 3)
    assert run(config, resume=True).finished
    assert [report.step for report in run.reports] == [1, 2, 3, 4, 5, 6]
    assert run.losses == whole.losses  # every term of every step, to the last bit
    assert _same_weights(run.output, whole.output)


def test_a_run_that_died_goes_on_from_its_last_checkpoint(unbroken: tuple[TrainConfig, Run], run: Run) -> None:
    config, whole = unbroken

    def die(report: StepReport) -> None:
        if report.step == 5:
            raise SystemExit

    with pytest.raises(SystemExit):
        train(config, STYLE, RunOptions(run.output, workers=0, checkpoint_every=2, preview_every=0), observe=die)
    assert load_checkpoint(run.output).step == 4
    run(config, resume=True)
    assert run.losses == {step: whole.losses[step] for step in (5, 6)}
    assert _same_weights(run.output, whole.output)


def test_a_request_to_stop_at_the_last_step_finds_it_finished(make_config: MakeConfig, run: Run) -> None:
    assert run(make_config(steps=1, pairs=1), stop_at=1).finished


def test_a_finished_run_may_be_resumed(unbroken: tuple[TrainConfig, Run]) -> None:
    config, whole = unbroken
    again = Run(whole.output)
    assert again(config, resume=True) == Outcome(6, True, whole.losses[6])
    assert again.reports == []


def test_a_checkpoint_that_is_missing_or_older_than_the_state_is_written_anew(
    unbroken: tuple[TrainConfig, Run], run: Run
) -> None:
    config, whole = unbroken
    run(config, stop_at=2)
    older = run.output.read_bytes()
    run(config, resume=True)
    for left in (older, None):  # as after a kill between the two last files
        run.output.unlink()
        if left is not None:
            run.output.write_bytes(left)
        assert run(config, resume=True) == Outcome(6, True, whole.losses[6])
        assert _same_weights(run.output, whole.output)
        assert load_checkpoint(run.output) == replace(load_checkpoint(whole.output), weights=ANY)


def test_a_run_is_resumed_from_another_folder(
    unbroken: tuple[TrainConfig, Run], run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, whole = unbroken
    painting = Path(config.painting_path)
    monkeypatch.chdir(painting.parent)
    begun = replace(config, painting_path=painting.name)
    run(begun, stop_at=3)
    monkeypatch.chdir(tmp_path)
    assert load_state(state_path(run.output))[1] == config
    run(load_state(state_path(run.output))[1], resume=True)
    assert run.losses == whole.losses


def test_another_configuration_is_not_resumed(unbroken: tuple[TrainConfig, Run]) -> None:
    config, whole = unbroken
    with pytest.raises(ArtmirrorError, match=r"run\.state\.pt was written with another configuration"):
        Run(whole.output)(replace(config, seed=1), resume=True)


def test_nothing_to_resume_is_told(make_config: MakeConfig, tmp_path: Path) -> None:
    with pytest.raises(ArtmirrorError, match=r"run\.state\.pt does not exist"):
        train(make_config(), STYLE, RunOptions(tmp_path / "run.pt", workers=0), resume=True)


def test_the_seed_decides_the_losses(unbroken: tuple[TrainConfig, Run], run: Run) -> None:
    config, whole = unbroken
    run(replace(config, seed=1), stop_at=1)
    assert run.losses[1] != whole.losses[1]


@pytest.mark.slow
def test_the_number_of_workers_changes_nothing(unbroken: tuple[TrainConfig, Run], run: Run) -> None:
    config, whole = unbroken
    run(config, workers=1)
    assert run.losses == whole.losses


def test_the_loss_goes_down(make_config: MakeConfig, run: Run) -> None:
    run(make_config(steps=30, pairs=1, peak_learning_rate=1e-2))
    totals = [report.losses["total"] for report in run.reports]
    assert np.mean(totals[-5:]) < 0.7 * np.mean(totals[:5])


def test_the_learning_rate_rises_to_its_peak_and_falls(make_config: MakeConfig, run: Run) -> None:
    run(make_config(steps=10, pairs=1, peak_learning_rate=1e-2))
    rates = [report.learning_rate for report in run.reports]
    assert max(rates) == pytest.approx(1e-2, rel=0.01)
    assert rates[-1] < 1e-4
    assert rates[0] < 1e-2


class TestAverage:
    def test_the_checkpoint_holds_the_average_and_the_training_goes_its_way(
        self, unbroken: tuple[TrainConfig, Run], run: Run
    ) -> None:
        config, whole = unbroken
        weights: list[dict[str, torch.Tensor]] = []

        def keep(report: StepReport) -> None:
            run.reports.append(report)
            weights.append(load_state(state_path(run.output))[3]["network"])

        options = RunOptions(run.output, workers=0, checkpoint_every=1, preview_every=0)
        train(replace(config, ema_decay=0.75), STYLE, options, observe=keep)
        assert run.losses == whole.losses
        saved = load_checkpoint(run.output).weights
        assert list(saved) == list(weights[0])
        for key, value in saved.items():
            expected = weights[0][key]
            for later in weights[1:]:
                expected = 0.75 * expected + 0.25 * later[key]
            torch.testing.assert_close(value, expected)
            assert not torch.equal(value, weights[-1][key])

    def test_a_stopped_run_goes_on_with_its_average(
        self, unbroken: tuple[TrainConfig, Run], run: Run, tmp_path: Path
    ) -> None:
        config, whole = replace(unbroken[0], ema_decay=0.75), Run(tmp_path / "whole.pt")
        whole(config)
        run(config, stop_at=3)
        run(config, resume=True)
        assert run.losses == whole.losses
        assert _same_weights(run.output, whole.output)


def test_the_temporal_weight_grows_to_its_full(make_config: MakeConfig, run: Run) -> None:
    config = make_config(steps=6, temporal_ramp=2 / 3)
    run(config)
    shares = []
    for losses in run.losses.values():
        others = sum(getattr(config.weights, name) * losses[name] for name in ("content", "style", "total_variation"))
        shares.append((losses["total"] - others) / (config.weights.temporal * losses["temporal"]))
    assert shares == pytest.approx([0, 0.25, 0.5, 0.75, 1, 1], abs=1e-3)


@pytest.mark.parametrize("preset_change", [{"norm": "batch"}, {"upsampling": "deconv"}])
def test_bf16_trains_too(make_config: MakeConfig, run: Run, preset_change: dict[str, Any]) -> None:
    network = NetworkConfig(channels=(4, 6, 8), blocks=1, **preset_change)
    assert run(make_config(steps=2, precision="bf16", network=network)).finished
    assert all(weights.dtype != torch.bfloat16 for weights in load_checkpoint(run.output).weights.values())


@pytest.mark.parametrize("ema_decay", [0, 0.9])
def test_previews_show_photos_above_what_the_checkpoint_paints(
    make_config: MakeConfig, run: Run, ema_decay: float
) -> None:
    config = make_config(steps=3, pairs=1, ema_decay=ema_decay)
    run(config, preview_every=2)
    folder = run.output.with_name("run.previews")
    assert [report.preview for report in run.reports] == [None, folder / "step_000002.png", folder / "step_000003.png"]
    picture = cv2.imread(str(folder / "step_000003.png"))
    assert picture is not None
    assert picture.shape == (2 * 64, 4 * 64, 3)
    frames = MovedPhotos(Path(config.photos_path), config).calibration_photos(4)
    with torch.no_grad():
        painted = load_checkpoint(run.output).stylizer()(frames)
    for row, rgb in enumerate((frames, painted)):
        expected = torch.cat(list(rgb), dim=2).permute(1, 2, 0).numpy()[..., ::-1] * 255
        np.testing.assert_allclose(picture[64 * row : 64 * row + 64], expected, atol=0.6)


def test_previews_do_not_change_the_losses(unbroken: tuple[TrainConfig, Run], run: Run) -> None:
    config, whole = unbroken
    run(config, stop_at=3, preview_every=1, checkpoint_every=1)
    assert run.losses == {step: whole.losses[step] for step in (1, 2, 3)}


class TestStartFrom:
    def test_weights_are_taken_over(self, unbroken: tuple[TrainConfig, Run], run: Run) -> None:
        config, whole = unbroken
        run(replace(config, steps=1, peak_learning_rate=1e-30), start_from=whole.output)
        assert _same_weights(run.output, whole.output)
        assert run.losses[1] != whole.losses[1]

    def test_it_is_told_where_they_came_from(self, unbroken: tuple[TrainConfig, Run], run: Run) -> None:
        config, whole = unbroken
        origin = {"name": "run.pt", "sha256": hashlib.sha256(whole.output.read_bytes()).hexdigest()}
        run(replace(config, steps=2), start_from=whole.output, stop_at=1)
        assert load_checkpoint(run.output).training["start_from"] == origin
        run(replace(config, steps=2), resume=True)
        assert load_checkpoint(run.output).training["start_from"] == origin

    def test_what_has_no_weights_may_differ(self, unbroken: tuple[TrainConfig, Run], run: Run) -> None:
        config, whole = unbroken
        network = replace(config.network, block_padding="zeros", padding="replicate", output="linear", grain=0.0)
        run(replace(config, steps=1, peak_learning_rate=1e-30, network=network), start_from=whole.output)
        assert _same_weights(run.output, whole.output)
        assert load_checkpoint(run.output).network == network

    def test_another_network_is_told(self, unbroken: tuple[TrainConfig, Run], run: Run) -> None:
        config, whole = unbroken
        other = replace(config, network=NetworkConfig(channels=(4, 6, 10), blocks=1))
        with pytest.raises(ArtmirrorError, match="choose the same preset"):
            run(other, start_from=whole.output)


class TestNotFinite:
    def test_an_infinite_loss_stops_before_the_first_checkpoint(self, make_config: MakeConfig, run: Run) -> None:
        with pytest.raises(
            ArtmirrorError, match=r"not finite at step 1 \(.*total inf\); no checkpoint had been written"
        ) as caught:
            run(make_config(weights=LossWeights(style=float("inf"))))
        assert "--learning-rate" in caught.value.message
        assert list(run.output.parent.iterdir()) == []

    def test_a_loss_that_turns_nan_keeps_the_last_good_checkpoint(
        self, unbroken: tuple[TrainConfig, Run], run: Run, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        config, whole = unbroken
        honest, calls = TotalVariationLoss.forward, iter(range(1, 100))

        def turn_nan(self: TotalVariationLoss, painted: torch.Tensor) -> torch.Tensor:
            return honest(self, painted) * (float("nan") if next(calls) == 4 else 1)

        with monkeypatch.context() as patch:
            patch.setattr(TotalVariationLoss, "forward", turn_nan)
            with pytest.raises(
                ArtmirrorError, match=r"not finite at step 4 .* the checkpoint of step 2 is kept in .*run\.pt"
            ):
                run(config, checkpoint_every=2)
        assert load_checkpoint(run.output).step == 2
        run.reports.clear()
        run(config, resume=True)
        assert run.losses == {step: whole.losses[step] for step in (3, 4, 5, 6)}

    def test_a_gradient_that_is_not_finite_stops_too(
        self, make_config: MakeConfig, run: Run, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def infinite(*_: object) -> torch.Tensor:
            return torch.tensor(float("inf"))

        monkeypatch.setattr(torch.nn.utils, "clip_grad_norm_", infinite)
        with pytest.raises(ArtmirrorError, match="the loss or its gradient is not finite at step 1"):
            run(make_config(pairs=1))

    def test_an_absurd_learning_rate_ends_in_that_error(self, make_config: MakeConfig, run: Run) -> None:
        with pytest.raises(ArtmirrorError, match="not finite at step"):
            run(make_config(steps=20, pairs=1, peak_learning_rate=1e38))


def test_the_losses_of_reconet_are_options(make_config: MakeConfig, tmp_path: Path) -> None:
    plain, like_theirs = Run(tmp_path / "plain.pt"), Run(tmp_path / "reconet.pt")
    plain(make_config(steps=2))
    like_theirs(make_config(steps=2, luminance=True, weights=LossWeights(features=10.0)))
    assert "features" not in plain.losses[1]
    losses = like_theirs.losses[1]
    assert losses["features"] > 0
    assert losses["temporal"] != plain.losses[1]["temporal"]
    factors = LossWeights()
    parts = [getattr(factors, name) * losses[name] for name in ("content", "style", "total_variation", "temporal")]
    assert losses["total"] == pytest.approx(sum(parts) + 10 * losses["features"], rel=1e-4)


class TestMemory:
    """A network that is given its own earlier picture learns from sequences."""

    memory = NetworkConfig(channels=(4, 6, 8), blocks=1, memory=True)

    def test_it_begins_with_a_network_without(
        self, make_config: MakeConfig, unbroken: tuple[TrainConfig, Run], run: Run
    ) -> None:
        _, whole = unbroken
        config = make_config(network=self.memory, crop=64, frames=3, steps=1, peak_learning_rate=1e-30)
        run(config, start_from=whole.output)
        found, before = load_checkpoint(run.output), load_checkpoint(whole.output)
        assert found.network.memory
        assert all(torch.allclose(found.weights[name], value) for name, value in before.weights.items())
        assert {name.split(".")[0] for name in found.weights.keys() - before.weights.keys()} == {"memory"}

    def test_a_stopped_run_goes_on_as_if_unbroken(self, make_config: MakeConfig, tmp_path: Path) -> None:
        config = make_config(network=self.memory, crop=64, frames=3, steps=4)
        whole, parted = Run(tmp_path / "whole.pt"), Run(tmp_path / "parted.pt")
        whole(config)
        parted(config, stop_at=2)
        parted(config, resume=True)
        assert parted.losses == whole.losses

    def test_its_memory_learns(self, make_config: MakeConfig, run: Run) -> None:
        config = make_config(
            network=self.memory, crop=64, frames=3, steps=6, peak_learning_rate=0.02, weights=LossWeights(temporal=1e5)
        )
        run(config)
        weights = load_checkpoint(run.output).weights
        assert weights["memory.enter.1.weight"].abs().max() > 1e-4


class TestBadInput:
    @pytest.mark.parametrize(
        ("config", "options", "told"),
        [
            ({}, {"device": "toaster"}, "there is no device 'toaster'; wanted cpu, cuda"),
            ({"precision": "fp16"}, {}, "fp16 training needs a CUDA GPU; use --precision bf16 or fp32"),
            ({"photos_path": "/absent"}, {}, "/absent does not exist; name one with --photos"),
            ({"painting_path": "/absent.png"}, {}, r"cannot read the picture /absent\.png: No such file"),
            ({"vgg_path": "/absent.pth"}, {}, r"VGG-19 weights /absent\.pth do not exist; fetch"),
        ],
    )
    def test_it_is_told_before_the_first_step(
        self, make_config: MakeConfig, run: Run, config: dict[str, Any], options: dict[str, Any], told: str
    ) -> None:
        with pytest.raises(ArtmirrorError, match=told):
            run(make_config(**config), **options)
        assert run.reports == []

    @pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
    def test_no_gpu_is_told(self, make_config: MakeConfig, run: Run) -> None:
        with pytest.raises(ArtmirrorError, match=r"no CUDA GPU is there .*; use --device cpu"):
            run(make_config(), device="cuda")

    def test_an_output_that_cannot_be_written_is_told_before_the_first_step(
        self, make_config: MakeConfig, tmp_path: Path
    ) -> None:
        run = Run(tmp_path / "absent" / "run.pt")
        with pytest.raises(ArtmirrorError, match=r"the folder of .*run\.pt does not exist"):
            run(make_config())
        assert run.reports == []

    def test_a_full_disk_stops_the_run_and_keeps_the_old_checkpoint(
        self, make_config: MakeConfig, run: Run, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail(_: int) -> None:
            if run.reports:  # the first step's files were written
                raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "fsync", fail)
        with pytest.raises(ArtmirrorError, match="No space left on device; free some space"):
            run(make_config(steps=2, pairs=1), checkpoint_every=1)
        monkeypatch.undo()
        assert load_checkpoint(run.output).step == 1
        assert sorted(path.name for path in run.output.parent.iterdir()) == ["run.pt", "run.state.pt"]

    def test_a_preview_that_cannot_be_written_is_told(self, make_config: MakeConfig, run: Run) -> None:
        run.output.with_name("run.previews").write_text("in the way")
        with pytest.raises(ArtmirrorError, match=r"cannot write the preview .*; see --preview-every 0"):
            run(make_config(steps=1, pairs=1), preview_every=1)

    @pytest.mark.parametrize("workers", [0, pytest.param(1, marks=pytest.mark.slow)])
    def test_damaged_photos_in_the_middle_are_named_and_the_steps_before_them_kept(
        self, make_config: MakeConfig, photos: Path, tmp_path: Path, run: Run, workers: int
    ) -> None:
        folder = tmp_path / "many"
        folder.mkdir()
        for index in range(17):  # more than are looked at before the first step
            shutil.copy(photos / "a.png", folder / f"{index:02}.png")
        broken = [folder / "08.png", folder / "16.png"]  # one of seventeen would be passed over
        for path in broken:
            path.write_bytes(b"no picture")
        config = make_config(photos_path=str(folder), pairs=4, steps=5, seed=1)
        with pytest.raises(ArtmirrorError) as caught:
            run(config, workers=workers)
        done = len(run.reports)
        assert done > 0  # or choose another seed
        assert "2 of 17 photos cannot be read (" in caught.value.message
        assert caught.value.message.endswith(f"the {done} steps so far are saved, go on with --resume {run.output}")
        for path in broken:
            shutil.copy(photos / "a.png", path)
        assert run(config, resume=True).finished
        assert [report.step for report in run.reports] == [1, 2, 3, 4, 5]


@pytest.mark.skipif(not hasattr(signal, "pthread_sigmask"), reason="needs signal masks")
def test_workers_are_started_deaf_to_ctrl_c() -> None:
    """Ctrl-C reaches the whole group, also while a worker is still importing."""
    program = "import signal; print(*sorted(s.name for s in signal.pthread_sigmask(signal.SIG_BLOCK, [])))"
    with batches._signals_held():
        inside = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert inside.stdout.split() == ["SIGINT", "SIGTERM"]
    assert not {signal.SIGINT, signal.SIGTERM} & signal.pthread_sigmask(signal.SIG_BLOCK, [])
