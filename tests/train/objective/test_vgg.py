"""VGG-19: weights files, input scales, normalisation."""

import copy
from pathlib import Path
from urllib.error import URLError

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.train.config import TrainConfig
from artmirror.train.objective import vgg as features
from artmirror.train.objective.vgg import RELU_INDEX, STYLE_LAYERS, VggFeatures, load_vgg
from artmirror.train.pairs.photos import MovedPhotos
from tests.places import SHARED


@pytest.fixture(scope="module")
def crops(photos: Path) -> Tensor:
    config = TrainConfig(painting_path="", photos_path="", crop=64)
    return MovedPhotos(photos, config).calibration_photos()


def _outputs(vgg: VggFeatures, rgb: Tensor) -> list[Tensor]:
    """Return the activations after every ReLU."""
    found = []
    x = (rgb - vgg.mean) / vgg.std
    for layer in vgg.layers:
        x = layer(x)
        if isinstance(layer, nn.ReLU):
            found.append(x)
    return found


def test_layers_are_those_of_vgg19(random_vgg: VggFeatures) -> None:
    assert sum(isinstance(layer, nn.Conv2d) for layer in random_vgg.layers) == 10  # conv1_1 to conv4_2
    assert all(isinstance(random_vgg.layers[index], nn.ReLU) for index in RELU_INDEX.values())
    found = random_vgg(torch.rand(2, 3, 64, 72))
    assert {name: tuple(value.shape) for name, value in found.items()} == {
        "relu1_2": (2, 64, 64, 72),
        "relu2_2": (2, 128, 32, 36),
        "relu3_4": (2, 256, 16, 18),
        "relu4_2": (2, 512, 8, 9),
    }
    assert all(value.min() == 0 for value in found.values())  # after the ReLU


def test_input_scales() -> None:
    white = torch.ones(1, 3, 1, 1)
    caffe, torchvision = VggFeatures("caffe"), VggFeatures("torchvision")
    expected = torch.tensor([255 - 123.68, 255 - 116.779, 255 - 103.939]).view(1, 3, 1, 1)
    torch.testing.assert_close((white - caffe.mean) / caffe.std, expected)
    expected = torch.tensor([(1 - 0.485) / 0.229, (1 - 0.456) / 0.224, (1 - 0.406) / 0.225]).view(1, 3, 1, 1)
    torch.testing.assert_close((white - torchvision.mean) / torchvision.std, expected)


def test_normalise_gives_every_layer_a_mean_activation_of_one(random_vgg: VggFeatures, crops: Tensor) -> None:
    vgg = copy.deepcopy(random_vgg)
    before = _outputs(vgg, crops)
    vgg.normalise(crops)
    after = _outputs(vgg, crops)
    assert len(after) == 10
    for output in after:
        assert output.mean().item() == pytest.approx(1, rel=1e-3)
    assert max(abs(output.mean().item() - 1) for output in before) > 0.1


def test_normalise_changes_the_scale_of_the_activations_alone(random_vgg: VggFeatures, crops: Tensor) -> None:
    vgg = copy.deepcopy(random_vgg)
    vgg.normalise(crops)
    other = torch.rand(1, 3, 64, 64, generator=torch.manual_seed(0))  # no photo that it was normalised on
    for before, after in zip(_outputs(random_vgg, other), _outputs(vgg, other), strict=True):
        factor = after.sum() / before.sum()
        torch.testing.assert_close(after, before * factor, rtol=1e-3, atol=1e-3)


def test_normalise_takes_away_the_scale_of_the_weights_file(random_vgg: VggFeatures, crops: Tensor) -> None:
    vgg, louder = copy.deepcopy(random_vgg), copy.deepcopy(random_vgg)
    with torch.no_grad():
        for place, layer in enumerate(louder.layers):
            if isinstance(layer, nn.Conv2d) and layer.bias is not None:
                layer.weight.mul_(50 if place == 0 else 1)
                layer.bias.mul_(50)
    for each in (vgg, louder):
        each.normalise(crops)
    for name, value in vgg(crops).items():
        torch.testing.assert_close(louder(crops)[name], value, rtol=1e-3, atol=1e-3)


def test_a_silent_layer_is_survived(random_vgg: VggFeatures) -> None:
    vgg = copy.deepcopy(random_vgg)
    with torch.no_grad():
        for parameter in vgg.layers[0].parameters():
            parameter.zero_()
    vgg.normalise(torch.zeros(1, 3, 64, 64))
    assert all(value.isfinite().all() for value in vgg(torch.rand(1, 3, 64, 64)).values())


class TestLoad:
    @pytest.mark.parametrize("prefix", ["", "features."])
    @pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
    def test_both_kinds_of_file_and_of_keys(
        self, random_vgg: VggFeatures, crops: Tensor, tmp_path: Path, suffix: str, prefix: str
    ) -> None:
        weights = {f"{prefix}{key}": value for key, value in random_vgg.layers.state_dict().items()}
        weights[f"{prefix}34.weight"] = torch.zeros(1)  # conv5_4 is in the file too, and not wanted
        path = tmp_path / f"vgg{suffix}"
        if suffix == ".pth":
            torch.save(weights, path)
        else:
            save_file(weights, path)
        vgg = load_vgg(path, crops)
        scale = "torchvision" if suffix == ".pth" else "caffe"
        assert torch.equal(vgg.std, VggFeatures(scale).std)  # type: ignore[arg-type]
        expected = VggFeatures(scale)  # type: ignore[arg-type]
        expected.layers.load_state_dict(random_vgg.layers.state_dict())
        expected.normalise(crops)
        for name, value in expected(crops).items():
            assert torch.equal(vgg(crops)[name], value)
        assert not any(parameter.requires_grad for parameter in vgg.parameters())

    def test_a_missing_file_is_told(self, crops: Tensor, tmp_path: Path) -> None:
        with pytest.raises(
            ArtmirrorError, match=r"absent\.pth do not exist; fetch https://.* or name a file with --vgg"
        ):
            load_vgg(tmp_path / "absent.pth", crops)

    @pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
    @pytest.mark.parametrize("content", [b"", b"no weights", b"PK\x03\x04 a zip cut off"])
    def test_other_data_is_told(self, crops: Tensor, tmp_path: Path, suffix: str, content: bytes) -> None:
        path = tmp_path / f"vgg{suffix}"
        path.write_bytes(content)
        with pytest.raises(ArtmirrorError, match="cannot be read as VGG-19 weights") as caught:
            load_vgg(path, crops)
        assert "\n" not in caught.value.message

    def test_a_list_in_a_pth_is_told(self, crops: Tensor, tmp_path: Path) -> None:
        torch.save([1, 2], tmp_path / "vgg.pth")
        with pytest.raises(ArtmirrorError, match="cannot be read as VGG-19 weights"):
            load_vgg(tmp_path / "vgg.pth", crops)

    def test_another_network_is_told(self, random_vgg: VggFeatures, crops: Tensor, tmp_path: Path) -> None:
        weights = random_vgg.layers.state_dict()
        weights["16.weight"] = weights["14.weight"][:, :128].clone()  # as if it were another VGG
        del weights["21.bias"]
        save_file(weights, tmp_path / "vgg.safetensors")
        with pytest.raises(ArtmirrorError, match=r"is not VGG-19: 2 of 20 tensors .* the first is 16\.weight"):
            load_vgg(tmp_path / "vgg.safetensors", crops)


class TestPublishedWeights:
    @pytest.fixture
    def cache(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        path = tmp_path / "cache" / "artmirror" / "vgg19.pth"
        monkeypatch.setattr(features, "CACHED_WEIGHTS", path)
        return path

    @pytest.mark.parametrize(
        "error",
        [
            URLError("Name or service not known"),
            TimeoutError("timed out"),
            RuntimeError('invalid hash value (expected "dcbb", got "1234")'),
        ],
    )
    def test_no_network_names_what_to_fetch_and_where_to_put_it(
        self, cache: Path, crops: Tensor, monkeypatch: pytest.MonkeyPatch, error: Exception
    ) -> None:
        def download(*_: object, **__: object) -> None:
            raise error

        monkeypatch.setattr(torch.hub, "download_url_to_file", download)
        with pytest.raises(ArtmirrorError) as caught:
            load_vgg(None, crops)
        told = caught.value.message
        assert str(error) in told
        for needed in (features.TORCHVISION_URL, str(cache), features.TORCHVISION_SHA256, "--vgg"):
            assert needed in told
        assert "\n" not in told
        assert not cache.exists()

    def test_a_cache_that_cannot_be_made_is_told(
        self, tmp_path: Path, crops: Tensor, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "file").touch()
        monkeypatch.setattr(features, "CACHED_WEIGHTS", tmp_path / "file" / "vgg19.pth")
        with pytest.raises(ArtmirrorError, match="cannot fetch VGG-19 weights"):
            load_vgg(None, crops)

    def test_the_file_is_fetched_once_and_checked(
        self, cache: Path, crops: Tensor, random_vgg: VggFeatures, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        asked: list[tuple[str, str, str]] = []

        def download(url: str, path: str, hash_prefix: str) -> None:
            asked.append((url, path, hash_prefix))
            torch.save(random_vgg.layers.state_dict(), path)

        monkeypatch.setattr(torch.hub, "download_url_to_file", download)
        for _ in range(2):
            load_vgg(None, crops)
        assert asked == [(features.TORCHVISION_URL, str(cache), features.TORCHVISION_SHA256)]
        # torchvision names its files by the first digits of their SHA-256.
        assert f"-{features.TORCHVISION_SHA256[:8]}.pth" in features.TORCHVISION_URL
        assert len(features.TORCHVISION_SHA256) == 64


@pytest.mark.shared
@pytest.mark.skipif(not (SHARED / "data").is_dir(), reason="needs the shared data folder")
def test_the_real_weights_answer_photos_with_means_near_one() -> None:
    """The shared file is normalised on other photos: its means are near 1 if indices and input scale are right."""
    (path,) = (SHARED / "data" / "weights").glob("vgg19_normalised_*.safetensors")
    vgg = VggFeatures("caffe")
    weights = load_file(path)
    vgg.layers.load_state_dict({key: weights[key].float() for key in vgg.layers.state_dict()})
    config = TrainConfig(painting_path="", photos_path="", crop=128)
    rgb = MovedPhotos(SHARED / "data" / "photos", config).calibration_photos(4)
    means = {name: vgg(rgb)[name].mean().item() for name in STYLE_LAYERS}
    assert all(0.6 < mean < 1.6 for mean in means.values()), means
