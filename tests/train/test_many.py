"""The many-painting network: what its parts do, and that a run is stopped, resumed and opened again."""

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result

from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.runtime.common.files import file_sha256
from artmirror.train import many
from artmirror.train.checkpoint import Checkpoint, save_checkpoint
from artmirror.train.cli import main
from artmirror.train.many import ManyConfig, encoder_path, load_many, load_many_with_facts, many_config_of, train_many
from artmirror.train.networks.many_style import CODE_LENGTH, ManyStyle
from artmirror.train.networks.style_encoder import StatisticsEncoder
from artmirror.train.networks.stylizer import Stylizer
from artmirror.train.objective.losses import StyleLoss, gram
from artmirror.train.objective.many import ManyObjective, ManyWeights
from artmirror.train.objective.targets import FLAT, STATISTICS, look, matrices
from artmirror.train.objective.vgg import STYLE_LAYERS, VggFeatures
from artmirror.train.pairs import varied
from artmirror.train.pairs.paintings import Painting, find_paintings, is_held_out, view_of
from artmirror.train.pairs.varied import VariedPairs
from tests.train.conftest import TINY, smooth_picture


@pytest.fixture(scope="module")
def paintings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight little paintings by four artists."""
    folder = tmp_path_factory.mktemp("paintings")
    for number in range(8):
        assert cv2.imwrite(str(folder / f"{number}.png"), smooth_picture((70 + number, 90), 50 + number))
    rows = [{"file": f"{number}.png", "artist": f"artist {number // 2}"} for number in range(8)]
    (folder / "manifest.json").write_text(json.dumps(rows))
    return folder


@pytest.fixture
def config(paintings: Path, photos: Path, vgg_file: Path, monkeypatch: pytest.MonkeyPatch) -> ManyConfig:
    monkeypatch.setattr(many, "_LEAST", 2)
    monkeypatch.setattr(many, "_CALIBRATION", 2)
    monkeypatch.setattr(varied, "SIZES", ((64, 2),) * 5)
    monkeypatch.setattr("artmirror.train.pairs.paintings.PAINTING_SIDE", 64)
    monkeypatch.setattr("artmirror.train.pairs.paintings._LARGE_SIDE", 80)
    return ManyConfig(str(paintings), str(photos), str(vgg_file), network=TINY, steps=4)


class TestNetwork:
    def test_begun_with_a_single_style_every_code_nearly_paints_it(self) -> None:
        torch.manual_seed(0)
        single = Stylizer(TINY).eval()
        network = ManyStyle(TINY).eval()
        network.begin_with(single.state_dict())
        frames = torch.rand(2, 3, 64, 72)
        code = torch.zeros(1, CODE_LENGTH)
        with torch.no_grad():
            painted = network(frames, network.affines(code).expand(2, -1))
            torch.testing.assert_close(painted, single(frames), rtol=0, atol=1e-5)

    def test_each_frame_is_painted_with_its_own_code(self) -> None:
        torch.manual_seed(0)
        network = ManyStyle(TINY).eval()
        codes = torch.randn(2, CODE_LENGTH)
        frame = torch.rand(1, 3, 64, 64)
        with torch.no_grad():
            both = network(frame.expand(2, -1, -1, -1), network.affines(codes))
            alone = [network(frame, network.affines(code[None])) for code in codes]
        torch.testing.assert_close(both, torch.cat(alone), rtol=0, atol=1e-5)
        assert (both[0] - both[1]).abs().mean() > 1e-3

    def test_a_mix_of_codes_is_a_mix_of_scales_and_shifts(self) -> None:
        network = ManyStyle(TINY)
        one, other = torch.randn(2, 1, CODE_LENGTH)
        mixed = network.affines(0.3 * one + 0.7 * other)
        torch.testing.assert_close(mixed, 0.3 * network.affines(one) + 0.7 * network.affines(other))

    def test_codes_stay_within_one_whatever_the_painting(self) -> None:
        encoder = StatisticsEncoder(STATISTICS)
        encoder.fit(torch.rand(5, STATISTICS))
        codes = encoder(torch.cat([torch.zeros(1, STATISTICS), torch.full((1, STATISTICS), 1e6)]))
        assert codes.shape == (2, CODE_LENGTH)
        assert codes.isfinite().all()
        assert codes.abs().max() <= 1


class TestObjective:
    def test_the_matrices_come_back_from_their_triangles(self, random_vgg: VggFeatures) -> None:
        picture = torch.rand(1, 3, 64, 64)
        target = look(random_vgg, picture)
        assert (target.grams.shape, target.statistics.shape) == ((FLAT,), (STATISTICS,))
        activations = random_vgg(picture)
        for layer, matrix in matrices(target.grams[None]).items():
            torch.testing.assert_close(matrix, gram(activations[layer]))

    def test_style_is_in_units_of_what_photos_score_on_average(self, random_vgg: VggFeatures) -> None:
        photos, painting = torch.rand(3, 3, 64, 64), torch.rand(1, 3, 64, 64).round()
        objective = ManyObjective(random_vgg, photos, ManyWeights())
        wanted = matrices(look(random_vgg, painting).grams[None])
        found = [objective.style(random_vgg(photo[None]), wanted)[0] for photo in photos]
        assert float(torch.cat(found).mean()) == pytest.approx(1, rel=1e-3)
        own, layers = objective.style(random_vgg(painting), wanted)
        assert float(own) < 1e-6
        assert layers.shape == (1, len(STYLE_LAYERS))

    def test_it_is_the_style_distance_of_a_single_painting(self, random_vgg: VggFeatures) -> None:
        photos, painting = torch.rand(2, 3, 64, 64), torch.rand(1, 3, 64, 64).round()
        objective = ManyObjective(random_vgg, photos, ManyWeights())
        wanted = matrices(look(random_vgg, painting).grams[None])
        single = StyleLoss(random_vgg(painting))
        distance = objective.style(random_vgg(photos[:1]), wanted)[0] * objective.units(wanted).sum()
        assert float(distance) == pytest.approx(float(single(random_vgg(photos[:1]))), rel=1e-3)


class TestMaterial:
    def test_artists_come_from_the_manifest_and_are_held_out_whole(self, paintings: Path) -> None:
        found = find_paintings(paintings)
        assert [painting.artist for painting in found] == [f"artist {number // 2}" for number in range(8)]
        assert all(is_held_out(one) == is_held_out(other) for one, other in zip(found[::2], found[1::2], strict=True))
        many_artists = [is_held_out(Painting(Path("a.png"), f"artist {number}")) for number in range(2000)]
        assert 0.04 < np.mean(many_artists) < 0.08

    @pytest.mark.parametrize("text", ["{", "[1]", '[{"artist": "a"}]', "[" * 9999])
    def test_a_damaged_manifest_is_told(self, tmp_path: Path, text: str) -> None:
        cv2.imwrite(str(tmp_path / "a.png"), smooth_picture((70, 70), 1))
        (tmp_path / "manifest.json").write_text(text)
        with pytest.raises(ArtmirrorError, match=r"manifest\.json is damaged"):
            find_paintings(tmp_path)

    @pytest.mark.parametrize("size", [(3, 3), (40, 400), (300, 260)])
    @pytest.mark.parametrize("view", [0, 1, 2])
    def test_views_are_large_enough_for_vgg_and_always_the_same(
        self, tmp_path: Path, size: tuple[int, int], view: int
    ) -> None:
        cv2.imwrite(str(tmp_path / "a.png"), smooth_picture(size, 1))
        painting = Painting(tmp_path / "a.png")
        found = view_of(painting, view)
        assert 256 <= min(found.shape[:2]) <= 320
        assert max(found.shape[:2]) <= 480
        np.testing.assert_array_equal(found, view_of(painting, view))

    def test_steps_depend_on_their_number_alone(self, photos: Path, config: ManyConfig) -> None:
        one, other = VariedPairs(photos, 0, 2), VariedPairs(photos, 0, 2)
        other.step(0)
        for left, right in zip(one.step(3), other.step(3), strict=True):
            assert torch.equal(left, right)
        assert one.step(3).first.shape == (2, 3, 64, 64)


class TestRun:
    def test_a_stopped_run_goes_on_as_if_unbroken(self, config: ManyConfig, tmp_path: Path) -> None:
        whole: list[float] = []
        train_many(config, tmp_path / "whole.pt", observe=lambda step: whole.append(step.losses["total"]))
        assert len(whole) == 4
        broken: list[float] = []
        done = train_many(
            config,
            tmp_path / "broken.pt",
            observe=lambda step: broken.append(step.losses["total"]),
            should_stop=lambda: len(broken) == 2,
        )
        assert done == 2
        train_many(
            config, tmp_path / "broken.pt", resume=True, observe=lambda step: broken.append(step.losses["total"])
        )
        assert broken == pytest.approx(whole, rel=1e-5)
        one, other = load_many(tmp_path / "whole.pt"), load_many(tmp_path / "broken.pt")
        for name, value in one.state_dict().items():
            torch.testing.assert_close(value, other.state_dict()[name], rtol=1e-2, atol=1e-3)

    def test_a_lighter_body_finds_the_encoder_of_the_whole_one(self, config: ManyConfig, tmp_path: Path) -> None:
        train_many(config, tmp_path / "any.pt")
        (tmp_path / "any-lite.pt").write_bytes((tmp_path / "any.pt").read_bytes())
        one, other = load_many(tmp_path / "any.pt"), load_many(tmp_path / "any-lite.pt")
        for name, value in one.encoder.state_dict().items():
            assert torch.equal(value, other.encoder.state_dict()[name])
        (tmp_path / "mine-lite.pt").write_bytes((tmp_path / "any.pt").read_bytes())
        with pytest.raises(ArtmirrorError, match="mine-lite-encoder"):
            load_many(tmp_path / "mine-lite.pt")

    def test_it_begins_with_a_single_style_or_another_checkpoint(
        self, config: ManyConfig, checkpoint: Checkpoint, tmp_path: Path
    ) -> None:
        save_checkpoint(tmp_path / "single.pt", checkpoint)
        train_many(config, tmp_path / "one.pt", start_from=tmp_path / "single.pt")
        assert encoder_path(tmp_path / "one.pt").is_file()
        train_many(config, tmp_path / "two.pt", start_from=tmp_path / "one.pt")
        with pytest.raises(ArtmirrorError, match="was written with another configuration"):
            train_many(ManyConfig(**{**vars_of(config), "steps": 5}), tmp_path / "two.pt", resume=True)

    def test_a_memory_learns_beside_a_network_that_stays(self, config: ManyConfig, tmp_path: Path) -> None:
        base, steady = tmp_path / "any.pt", tmp_path / "any-steady.pt"
        train_many(config, base)
        with_memory = replace(config, network=replace(config.network, memory=True), encoder_of=str(base), steps=3)
        seen: list[object] = []
        assert (
            train_many(with_memory, steady, start_from=base, should_stop=lambda: len(seen) == 2, observe=seen.append)
            == 2
        )
        assert train_many(with_memory, steady, resume=True) == 3
        before, after = load_many(base).network.state_dict(), load_many(steady).network.state_dict()
        assert all(torch.equal(after[name], value) for name, value in before.items())
        learned = {name for name in after if name not in before}
        assert all(name.startswith("body.memory.") for name in learned)
        assert after["body.memory.enter.1.weight"].abs().max() > 0
        _, facts = load_many_with_facts(steady)
        assert facts.tuned_for == file_sha256(base)
        encoder_path(steady).unlink()  # as where it shares that of `any.pt`
        again = tmp_path / "any-lite.pt"  # begins with what the memory has learned
        train_many(replace(with_memory, steps=1, peak_learning_rate=1e-9), again, start_from=steady)
        assert load_many_with_facts(again)[1].tuned_for == file_sha256(base)
        entering = load_many(again).network.state_dict()["body.memory.enter.1.weight"]
        torch.testing.assert_close(entering, after["body.memory.enter.1.weight"], rtol=1e-3, atol=1e-6)

    def test_too_few_paintings_are_told(
        self, config: ManyConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(many, "_LEAST", 50)
        with pytest.raises(ArtmirrorError, match="paintings to train on; wanted at least 50"):
            train_many(config, tmp_path / "any.pt")

    def test_a_damaged_checkpoint_is_told(self, config: ManyConfig, tmp_path: Path) -> None:
        (tmp_path / "any.pt").write_bytes(b"no checkpoint")
        with pytest.raises(ArtmirrorError, match="is not a file of st-train"):
            load_many(tmp_path / "any.pt")


class TestCommand:
    def invoke(self, *words: object) -> Result:
        return CliRunner().invoke(main, [str(word) for word in words], prog_name="st-train")

    def test_a_run_stopped_and_gone_on(self, config: ManyConfig, vgg_file: Path, tmp_path: Path) -> None:
        output = tmp_path / "any.pt"
        words = ("--paintings", config.paintings_path, "--photos", config.photos_path, "--vgg", vgg_file, "-o", output)
        tiny = ("--network", "channels=4,6,8", "--network", "blocks=1", "--precision", "fp32")
        told = self.invoke(*words, *tiny, "--steps", 2, "--style-weight", 60)
        assert told.exit_code == 0, told.output
        assert f"{output}: 2 steps" in told.stdout
        kept = many_config_of(output)
        assert kept is not None
        assert kept.weights == ManyWeights(style=60)
        assert self.invoke("--resume", output).exit_code == 0

    @pytest.mark.parametrize(
        ("words", "told"),
        [
            (("--paintings", "a", "--painting", "b.jpg"), "--painting: not for the network of many paintings"),
            (("--paintings", "a", "--clips", "b", "--crop", "99"), "--clips, --crop: not for the network of many"),
            (("--paintings", "a"), "--photos missing"),
        ],
    )
    def test_mistakes_are_one_line(self, words: tuple[str, ...], told: str) -> None:
        result = self.invoke(*words)
        assert result.exit_code == 2
        assert told in result.stderr

    def test_options_from_a_file(self, tmp_path: Path) -> None:
        file = tmp_path / "many.toml"
        file.write_text('paintings = "paintings"\nphotos = "/photos"\nsteps = 7\nprecision = "fp32"\n')
        told = json.loads(self.invoke("--config", file, "--dry-run").stdout)
        assert (told["paintings_path"], told["photos_path"]) == (str(tmp_path / "paintings"), "/photos")
        assert told["steps"] == 7


def vars_of(config: ManyConfig) -> dict[str, object]:
    return {name: getattr(config, name) for name in config.__dataclass_fields__}
