"""What the runtime refuses to open, and how it says so."""

import hashlib
from pathlib import Path

import cv2
import pytest

from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.runtime.engines.open import open_engine
from artmirror.runtime.formats.manifest import Manifest, read_manifest
from artmirror.runtime.formats.onnx import parse_onnx_metadata
from artmirror.runtime.gallery.bundled import bundled_manifests, bundled_styles, find_style, styles_folder
from artmirror.runtime.gallery.variants import FULL, quality_of, steady_twin, variant_path, variants
from tests.fakes.engine import make_manifest
from tests.places import ROOT

STARRY = find_style("starry")


def test_round_trip() -> None:
    manifest = make_manifest(height=360, width=640, exporter={"artmirror": "0"})
    assert Manifest.from_json(manifest.to_json(), "x.onnx") == manifest


def test_bundled_styles_say_what_they_are() -> None:
    manifests = bundled_manifests()
    assert [manifest.name for manifest in manifests] == list(bundled_styles())
    starry = next(manifest for manifest in manifests if manifest.name == "starry")
    assert (starry.title, starry.artist, starry.year) == ("The Starry Night", "Vincent van Gogh", "1889")
    assert starry.preset == "huang"
    for manifest in manifests:
        assert manifest.title
        assert manifest.artist
        assert manifest.year.isdecimal()
        assert manifest.steps >= 600


def test_bundled_files_are_small_and_complete() -> None:
    checkpoints = {
        path.stem: path for path in (ROOT / "train" / "styles").glob("*.pt") if path.stem.split("-")[0] != "any"
    }
    files = {path.stem: path for style in bundled_styles().values() for path in variants(style).values()}
    files |= {twin.stem: twin for twin in map(steady_twin, list(files.values())) if twin is not None}
    there = {path.stem for path in styles_folder().glob("*.onnx")}
    assert set(files) == {name for name in there if not name.endswith("-int8")}  # no lighter one without a full one
    assert set(checkpoints) == set(files)
    for name, path in files.items():
        assert path.stat().st_size < 1_200_000
        assert checkpoints[name].stat().st_size < 1_200_000
        manifest, quality = read_manifest(path), quality_of(path)
        # The file was made from that checkpoint, and is what its name says.
        assert manifest.checkpoint_sha256 == hashlib.sha256(checkpoints[name].read_bytes()).hexdigest()
        assert manifest.title == read_manifest(variant_path(_without_memory(path), FULL)).title
        assert manifest.has_memory == path.stem.endswith("-steady")
        assert manifest.preset == ("huang" if quality == FULL else quality)
    for path in bundled_styles().values():
        thumbnail = cv2.imread(str(path.with_suffix(".jpg")))
        assert thumbnail is not None
        assert thumbnail.shape == (256, 256, 3)
        assert path.with_suffix(".jpg").stat().st_size < 60_000


def _without_memory(path: Path) -> Path:
    return path.with_name(path.name.replace("-steady", ""))


@pytest.mark.parametrize("length", [0, 1, 100, 5000, -1])
def test_a_truncated_file_is_refused(tmp_path: Path, length: int) -> None:
    path = tmp_path / "cut.onnx"
    path.write_bytes(STARRY.read_bytes()[:length])
    with pytest.raises(ArtmirrorError) as caught:
        read_manifest(path)
    assert "cut.onnx" in caught.value.message
    assert "\n" not in caught.value.message


def test_every_flipped_byte_in_the_graph_is_noticed(tmp_path: Path) -> None:
    data = STARRY.read_bytes()
    for place in range(50, len(data) - 2000, len(data) // 23):
        path = tmp_path / "flipped.onnx"
        path.write_bytes(data[:place] + bytes([data[place] ^ 0x10]) + data[place + 1 :])
        with pytest.raises(ArtmirrorError):
            read_manifest(path)


def test_random_bytes_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "noise.onnx"
    path.write_bytes(bytes(range(256)) * 40)
    with pytest.raises(ArtmirrorError, match="no ONNX"):
        read_manifest(path)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ArtmirrorError, match="No such file"):
        read_manifest(tmp_path / "absent.onnx")


def test_an_onnx_of_somebody_else_is_refused(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    model = onnx.load(STARRY)
    del model.metadata_props[:]
    path = tmp_path / "other.onnx"
    onnx.save(model, path)
    with pytest.raises(ArtmirrorError, match="without artmirror's manifest"):
        read_manifest(path)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("{", "damaged manifest"),
        ("[]", "version None"),
        ('{"format_version": 99}', "version 99"),
        ('{"format_version": 1}', "missing required field `name`"),
    ],
)
def test_a_wrong_manifest_is_refused(text: str, complaint: str) -> None:
    with pytest.raises(ArtmirrorError, match=complaint):
        Manifest.from_json(text, "x.onnx")


def test_the_graph_checksum_covers_the_graph_alone() -> None:
    metadata, checksum = parse_onnx_metadata(memoryview(STARRY.read_bytes()))
    assert read_manifest(STARRY).graph_sha256 == checksum
    assert list(metadata) == ["artmirror"]


def test_too_small_frames_are_refused() -> None:
    with pytest.raises(ArtmirrorError, match=r"63x70.*at least 64x64"):
        open_engine(STARRY, size=(70, 63))


def test_an_unknown_style_names_the_near_ones() -> None:
    with pytest.raises(ArtmirrorError, match="did you mean starry"):
        find_style("stary")
    with pytest.raises(ArtmirrorError, match=r"there are: .*starry"):
        find_style("qqqq")
