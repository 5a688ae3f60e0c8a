"""A style tuned to one painting, and the small encoder that learns from the one that looks through VGG-19."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result

from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.runtime.common.files import file_sha256
from artmirror.runtime.common.style_file import load_style
from artmirror.train import distil as distil_module
from artmirror.train import many, tune
from artmirror.train.cli import main
from artmirror.train.distil import DistilConfig, DistilStep, code_metric, distil
from artmirror.train.many import ManyConfig, ManyModel, load_many, load_many_with_facts, save_many, train_many
from artmirror.train.networks.picture_encoder import PictureEncoder
from tests.train.conftest import TINY, smooth_picture


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Some paintings, of which some are kept apart, and an untrained network with its encoder that wants VGG-19."""
    monkeypatch.setattr(many, "_LEAST", 2)
    monkeypatch.setattr(many, "_CALIBRATION", 2)
    monkeypatch.setattr(tune, "_SIDE", 64)
    monkeypatch.setattr(distil_module, "_BATCH", 4)
    monkeypatch.setattr(distil_module, "_CHANGED", 2)
    monkeypatch.setattr(distil_module, "_MOST_CHANGED", 8)
    monkeypatch.setattr(distil_module, "_PROBES", 2)
    monkeypatch.setattr("artmirror.train.pairs.varied.SIZES", ((64, 2),) * 5)
    for name in ("PAINTING_SIDE", "_LARGE_SIDE"):
        monkeypatch.setattr(f"artmirror.train.pairs.paintings.{name}", 64)
    (tmp_path / "paintings").mkdir()
    for number in range(70):
        assert cv2.imwrite(str(tmp_path / "paintings" / f"{number}.png"), smooth_picture((64, 80), number))
    torch.manual_seed(0)
    model = ManyModel(TINY)
    with torch.no_grad():
        model.network.affine.weight *= 10
    save_many(tmp_path / "any.pt", model, ManyConfig("a", "b", network=TINY).to_portable_dict(), 1)
    return tmp_path


def invoke(*words: object) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words], prog_name="st-train")


class TestTuning:
    def test_a_style_comes_nearer_and_leaves_the_network_alone(
        self, folder: Path, painting: Path, photos: Path, vgg_file: Path
    ) -> None:
        before = file_sha256(folder / "any.pt")
        output = folder / "mine.style"
        words = ("--base", folder / "any.pt", "--painting", painting, "--photos", photos, "--vgg", vgg_file)
        told = invoke(*words, "--steps", 45, "--precision", "fp32", "--title", "Stripes", "-o", output)
        assert told.exit_code == 0, told.output
        first, last = (
            float(word.rstrip(",")) for word in told.stdout.split("distance ")[1].split(" of")[0].split(" -> ")
        )
        assert last < first
        assert f"st-run --style {output}" in told.stdout
        style = load_style(output)
        assert (style.name, style.title) == ("mine", "Stripes")
        assert set(style.changes) == {before}
        assert file_sha256(folder / "any.pt") == before
        thumbnail = cv2.imdecode(np.frombuffer(style.thumbnail, np.uint8), cv2.IMREAD_COLOR)
        assert thumbnail.shape == (80, 100, 3)
        assert output.stat().st_size < 40_000

    def test_the_photos_of_the_package_are_enough(self, folder: Path, painting: Path, vgg_file: Path) -> None:
        told = invoke(
            "--base",
            folder / "any.pt",
            "--painting",
            painting,
            "--vgg",
            vgg_file,
            "--steps",
            2,
            "-o",
            folder / "a.style",
        )
        assert told.exit_code == 0, told.output

    def test_mistakes_are_one_line(self, folder: Path, painting: Path, vgg_file: Path) -> None:
        base = ("--base", folder / "any.pt", "--vgg", vgg_file)
        for words, code, expected in [
            ((*base,), 2, "--painting missing"),
            ((*base, "--painting", painting, "-o", "a.pt"), 2, "ends in .style"),
            ((*base, "--painting", painting, "--crop", 99), 2, "--crop: not for tuning"),
            ((*base, "--painting", folder / "none.jpg", "-o", folder / "a.style"), 1, "none.jpg"),
            (("--base", painting, "--painting", painting, "-o", folder / "a.style"), 1, "is not a file of st-train"),
        ]:
            told = invoke(*words)
            assert told.exit_code == code, words
            assert expected in told.stderr
            assert "Traceback" not in told.output


class TestDistilling:
    def config(self, folder: Path, photos: Path, vgg_file: Path, steps: int = 4) -> DistilConfig:
        network = folder / "any.pt"
        return DistilConfig(
            str(network), file_sha256(network), str(folder / "paintings"), str(photos), str(vgg_file), steps=steps
        )

    def test_it_learns_and_the_network_stays(self, folder: Path, photos: Path, vgg_file: Path) -> None:
        steps: list[DistilStep] = []
        output = folder / "small.pt"
        result = distil(self.config(folder, photos, vgg_file, 60), output, observe=steps.append)
        assert result.steps == 60
        early, late = (np.mean([step.losses["hidden"] for step in part]) for part in (steps[:10], steps[-10:]))
        assert late < early
        assert 0 <= result.held_out_painted < 100
        one, other = load_many(folder / "any.pt"), load_many(output)
        assert isinstance(other.encoder, PictureEncoder)
        for name, value in one.network.state_dict().items():
            assert torch.equal(value, other.network.state_dict()[name])

    def test_a_stopped_run_goes_on(self, folder: Path, photos: Path, vgg_file: Path) -> None:
        config = self.config(folder, photos, vgg_file)
        whole: list[float] = []
        distil(config, folder / "whole.pt", observe=lambda step: whole.append(step.losses["code"]))
        broken: list[float] = []
        distil(
            config,
            folder / "broken.pt",
            observe=lambda step: broken.append(step.losses["code"]),
            should_stop=lambda: len(broken) == 2,
        )
        told = invoke("--resume", folder / "broken.pt")
        assert told.exit_code == 0, told.output
        assert "4 steps" in told.stdout
        assert broken == pytest.approx(whole[:2], rel=1e-4)
        with pytest.raises(ArtmirrorError, match="another configuration"):
            distil(self.config(folder, photos, vgg_file, 9), folder / "broken.pt", resume=True)

    def test_network_and_small_encoder_go_on_together(self, folder: Path, photos: Path, vgg_file: Path) -> None:
        paintings = folder / "paintings"
        words = ("--paintings", paintings, "--photos", photos, "--vgg", vgg_file)
        small = folder / "small.pt"
        told = invoke("--distil", folder / "any.pt", *words, "--steps", 2, "-o", small)
        assert told.exit_code == 0, told.output
        config = ManyConfig(str(paintings), str(photos), str(vgg_file), network=TINY, steps=3)
        seen: list[float] = []
        train_many(config, folder / "both.pt", start_from=small, observe=lambda step: seen.append(step.losses["total"]))
        assert len(seen) == 3
        before, after = load_many(small), load_many(folder / "both.pt")
        assert isinstance(after.encoder, PictureEncoder)
        name = "convolutions.0.0.weight"
        assert not torch.equal(before.encoder.state_dict()[name], after.encoder.state_dict()[name])
        for name in ("running_mean", "running_var"):  # a step sees too few paintings for new ones
            full = f"convolutions.0.1.{name}"
            torch.testing.assert_close(
                before.encoder.state_dict()[full], after.encoder.state_dict()[full], atol=1e-3, rtol=1e-2
            )

    def test_a_lighter_network_takes_the_encoder_as_it_is(self, folder: Path, photos: Path, vgg_file: Path) -> None:
        words = ("--paintings", folder / "paintings", "--photos", photos, "--vgg", vgg_file, "--steps", 3)
        lighter = ("--network", "channels=4,4,8", "--network", "blocks=1", "--precision", "fp32")
        output = folder / "any-lite.pt"
        told = invoke(*words, *lighter, "--encoder", folder / "any.pt", "-o", output)
        assert told.exit_code == 0, told.output
        one, one_facts = load_many_with_facts(folder / "any.pt")
        other, other_facts = load_many_with_facts(output)
        assert one_facts.code_space == other_facts.code_space
        for name, value in one.encoder.state_dict().items():
            assert torch.equal(value, other.encoder.state_dict()[name])
        assert other.network.config.channels == (4, 4, 8)

    def test_an_encoder_that_looks_itself_is_refused(self, folder: Path, photos: Path, vgg_file: Path) -> None:
        output = folder / "small.pt"
        distil(self.config(folder, photos, vgg_file, 1), output)
        again = DistilConfig(
            str(output), file_sha256(output), str(folder / "paintings"), str(photos), str(vgg_file), steps=1
        )
        with pytest.raises(ArtmirrorError, match="looks at pictures already"):
            distil(again, folder / "smaller.pt")

    def test_the_metric_tells_what_a_change_does(self, folder: Path) -> None:
        model = load_many(folder / "any.pt")
        codes = torch.tanh(torch.randn(3, 128, generator=torch.Generator().manual_seed(1)))
        frames = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(2))
        metric = code_metric(model, codes, frames)
        assert torch.allclose(metric, metric.T, rtol=1e-4, atol=1e-6)
        assert (torch.linalg.eigvalsh(metric) > -1e-3 * metric.abs().max()).all()
