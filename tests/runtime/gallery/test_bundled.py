"""The network for any painting that comes with the package, and its styles."""

import cv2
import numpy as np
import pytest

from artmirror.runtime.common.files import file_sha256
from artmirror.runtime.common.style_file import load_style
from artmirror.runtime.formats.encoder import read_encoder_manifest
from artmirror.runtime.formats.manifest import read_manifest
from artmirror.runtime.gallery.bundled import bundled_style_files, bundled_styles, find_network, many_network
from artmirror.runtime.gallery.paintings import choose, listed
from artmirror.runtime.gallery.variants import encoder_path, steady_twin, variants
from tests.places import ROOT


def test_the_network_and_its_encoder_belong_together() -> None:
    encoder = read_encoder_manifest(encoder_path(many_network()))
    for path in variants(many_network()).values():
        style = read_manifest(path).style
        assert style is not None
        assert (style.code_space, style.code_length) == (encoder.code_space, encoder.code_length)
        checkpoint = ROOT / "train" / "styles" / f"{path.stem}.pt"
        assert read_manifest(path).checkpoint_sha256 == file_sha256(checkpoint)  # the file was made from that one
    assert encoder_path(many_network()).stat().st_size < 3_000_000
    assert find_network("any") == many_network()


def test_the_steady_ones_belong_to_their_twins() -> None:
    many, steady = many_network(), steady_twin(many_network())
    assert steady is not None
    plain, remembering = read_manifest(many), read_manifest(steady)
    assert remembering.has_memory
    assert not plain.has_memory
    assert remembering.tuned_for == plain.checkpoint_sha256  # so every tuned style fits both
    assert remembering.style is not None
    assert plain.style is not None
    assert remembering.style.code_space == plain.style.code_space
    for path in (steady, find_network("starry-steady")):
        checkpoint = ROOT / "train" / "styles" / f"{path.stem}.pt"
        assert read_manifest(path).checkpoint_sha256 == file_sha256(checkpoint)
    assert read_manifest(find_network("starry-steady")).title == "The Starry Night"


def test_there_are_many_styles_and_each_is_listed_once() -> None:
    names = [style.name for style in listed()]
    assert len(names) == len(set(names)) >= 30
    assert set(names) == {*bundled_styles(), *bundled_style_files()}
    assert all(style.title and style.artist for style in listed())


@pytest.mark.parametrize("name", bundled_style_files())
def test_a_style_was_made_for_the_network_that_is_here(name: str) -> None:
    style = load_style(bundled_style_files()[name])
    manifest = read_manifest(many_network())
    assert style.name == name
    assert set(style.changes) == {manifest.checkpoint_sha256}
    assert cv2.imdecode(np.frombuffer(style.thumbnail, np.uint8), cv2.IMREAD_COLOR).size > 0
    (paint, *others) = choose(many_network(), (name,), ()).paints(manifest)
    assert paint.title == style.title
    assert len(others) == len(bundled_style_files()) - 1


def test_a_mix_of_names_is_painted_by_the_network_for_many() -> None:
    choice = choose(None, ("starry:0.7", "wave:0.3"), ())
    assert choice.engine == many_network()
    (paint, *_) = choice.paints(read_manifest(many_network()))
    assert paint.title == "The Starry Night + The Great Wave off Kanagawa"
