"""From the names on the command line to what a network takes as its style."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.runtime.engines.encoder import Encoder
from artmirror.runtime.formats.encoder import read_encoder_manifest
from artmirror.runtime.formats.manifest import read_manifest
from artmirror.runtime.gallery.bundled import bundled_styles, find_style
from artmirror.runtime.gallery.paintings import choose
from artmirror.runtime.gallery.variants import encoder_path
from tests.fakes.tiny_many import styles, tiny_many, tiny_model, write_style

NETWORK = tiny_many().with_suffix(".onnx")


def write_painting(path: Path, size: tuple[int, int] = (70, 90), seed: int = 0) -> Path:
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (7, 9, 3), np.uint8)
    cv2.imwrite(str(path), cv2.resize(coarse, size[::-1], interpolation=cv2.INTER_CUBIC))
    return path


def test_a_painting_becomes_its_code(tmp_path: Path) -> None:
    path = write_painting(tmp_path / "mine.png")
    choice = choose(NETWORK, (), (path,))
    (paint, *_) = choice.paints(read_manifest(NETWORK))
    assert paint.title == "mine"
    code = Encoder(encoder_path(NETWORK)).code(cv2.imread(str(path)))
    np.testing.assert_allclose(paint.style[: code.size], code, atol=1e-3)  # kept in half precision
    assert not paint.style[code.size :].any()


def test_the_encoder_says_what_pytorch_says(tmp_path: Path) -> None:
    import torch

    from artmirror.train.pairs.base import to_tensor
    from artmirror.train.pairs.paintings import Painting, view_of

    path = write_painting(tmp_path / "a.png", (300, 333))
    view = view_of(Painting(path), 0)
    with torch.no_grad():
        wanted = tiny_model().encoder(to_tensor(view)[None])[0].numpy()
    found = Encoder(encoder_path(NETWORK)).code(cv2.imread(str(path)))
    np.testing.assert_allclose(found, wanted, atol=5e-3)


@pytest.mark.parametrize("size", [(3, 3), (1, 1), (2, 900), (900, 2), (1200, 1600)])
def test_paintings_of_any_size_have_a_code(size: tuple[int, int]) -> None:
    code = Encoder(encoder_path(NETWORK)).code(np.full((*size, 3), 90, np.uint8))
    assert np.abs(code).max() <= 1


def test_weights_mix_and_none_go_on(tmp_path: Path) -> None:
    first, second = styles(2)
    files = [str(write_style(tmp_path / f"{name}.style", v)) for name, v in (("a", first), ("b", second))]
    manifest = read_manifest(NETWORK)
    (mix,) = choose(NETWORK, [f"{files[0]}:3", f"{files[1]}:1"], ()).paints(manifest)
    np.testing.assert_allclose(mix.style, 0.75 * first + 0.25 * second, atol=2e-3)
    assert mix.title == "a + b"
    one, other = choose(NETWORK, files, ()).paints(manifest)
    np.testing.assert_allclose(one.style, first, atol=2e-3)
    np.testing.assert_allclose(other.style, second, atol=2e-3)


def test_without_anything_it_is_a_network_of_one_style() -> None:
    assert choose(None, (), ()).engine == find_style("starry")
    name = next(iter(bundled_styles()))
    choice = choose(None, (name,), ())
    assert choice.engine == bundled_styles()[name]
    (paint,) = choice.paints(read_manifest(choice.engine))
    assert paint.style is None


def test_mistakes_are_told(tmp_path: Path) -> None:
    style = write_style(tmp_path / "a.style", styles(1)[0])
    damaged = tmp_path / "damaged.style"
    damaged.write_text(style.read_text()[:200])
    other = tmp_path / "other.style"
    other.write_text(style.read_text().replace('"code_space": "', '"code_space": "0'))
    empty = tmp_path / "text.style"
    empty.write_text("{}")
    for arguments, words in [
        ((NETWORK, ("stary",), ()), "no style is called"),
        ((None, ("stary",), ()), "did you mean starry"),
        ((NETWORK, (f"{style}:0",), ()), "a number above 0"),
        ((NETWORK, (f"{style}:nan",), ()), "a number above 0"),
        ((NETWORK, (str(tmp_path / "none.style"),), ()), "cannot read"),
        ((NETWORK, (str(damaged),), ()), "is no style file"),
        ((NETWORK, (str(empty),), ()), "does not say that it is one"),
        ((NETWORK, (), (tmp_path / "none.jpg",)), "none.jpg"),
        ((NETWORK, (), (style,)), "a.style"),
    ]:
        with pytest.raises(ArtmirrorError, match=words) as caught:
            choose(*arguments)
        assert "\n" not in caught.value.message
    with pytest.raises(ArtmirrorError, match="name one with --painting"):
        choose(NETWORK, (), ()).paints(read_manifest(NETWORK))
    single = find_style("starry")
    with pytest.raises(ArtmirrorError, match="The Starry Night alone; leave out"):
        choose(single, (str(style),), ()).paints(read_manifest(single))
    with pytest.raises(ArtmirrorError, match="made for another network"):
        choose(NETWORK, (str(other),), ()).paints(read_manifest(NETWORK))


def test_a_network_is_no_encoder(tmp_path: Path) -> None:
    with pytest.raises(ArtmirrorError, match="is no encoder"):
        read_encoder_manifest(NETWORK)
    cut = tmp_path / "any-encoder.onnx"
    cut.write_bytes(encoder_path(NETWORK).read_bytes()[:5000])
    with pytest.raises(ArtmirrorError, match="cut off or damaged"):
        Encoder(cut)


@pytest.mark.parametrize(
    "name", ["any.onnx", "any-lite.onnx", "any-nano.plan", "any.ncnn.param", "any-int8.onnx", "any-lite-int8.onnx"]
)
def test_variants_share_an_encoder(name: str) -> None:
    assert encoder_path(Path("folder") / name) == Path("folder/any-encoder.onnx")


def test_networks_whose_names_begin_alike_do_not() -> None:
    """The export of one would write over the encoder of the other."""
    assert encoder_path(Path("my-any.onnx")) == Path("my-any-encoder.onnx")
    assert encoder_path(Path("my-other.onnx")) == Path("my-other-encoder.onnx")
