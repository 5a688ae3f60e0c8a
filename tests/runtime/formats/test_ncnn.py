"""ncnn's two files: they explain themselves, and what does not belong together is refused."""

import shutil
from pathlib import Path

import ncnn
import pytest

from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.runtime.formats.kind import EngineKind, kind_of, suffix_of
from artmirror.runtime.formats.ncnn import graph_sha256, ncnn_pair, read_ncnn_manifest, write_ncnn
from tests.fakes.engine import make_manifest
from tests.fakes.tiny_ncnn import tiny_ncnn

PARAM, WEIGHTS = b"7767517\n1 1\nInput in0 0 1 in0\n", bytes(range(64))


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    path = tmp_path / "a.ncnn.param"
    write_ncnn(path, make_manifest(title="A", graph_sha256=graph_sha256(PARAM, WEIGHTS)), PARAM, WEIGHTS)
    return ncnn_pair(path)


def test_names() -> None:
    both = (Path("x/a.ncnn.param"), Path("x/a.ncnn.bin"))
    assert ncnn_pair(both[0]) == ncnn_pair(both[1]) == both
    assert all(kind_of(path) is EngineKind.NCNN for path in both)
    others = ("a.onnx", "a.param", "a.ncnn", "ncnn.bin", "a.plan")
    assert not any(kind_of(Path(name)) is EngineKind.NCNN for name in others)
    assert kind_of(Path("a.ncnn.plan")) is EngineKind.PLAN
    assert [suffix_of(Path(name)) for name in ("a.b.ncnn.param", "a.plan", "a.onnx", "a.pt")] == [
        ".ncnn.param",
        ".plan",
        ".onnx",
        ".pt",
    ]


def test_what_is_written_is_read_by_either_name(pair: tuple[Path, Path]) -> None:
    assert read_ncnn_manifest(pair[0]).title == read_ncnn_manifest(pair[1]).title == "A"
    assert pair[0].read_bytes() == PARAM
    assert pair[1].read_bytes().startswith(WEIGHTS)
    assert sorted(path.name for path in pair[0].parent.iterdir()) == ["a.ncnn.bin", "a.ncnn.param"]


def test_ncnn_itself_opens_the_files_as_they_are() -> None:
    param, weights = ncnn_pair(tiny_ncnn())
    net = ncnn.Net()
    assert net.load_param(str(param)) == net.load_model(str(weights)) == 0
    assert list(net.input_names()) == ["in0"]
    assert sorted(net.output_names()) == ["out0", "out1"]


def test_damage_is_told(pair: tuple[Path, Path], tmp_path: Path) -> None:
    param, weights = pair
    whole = weights.read_bytes()
    elsewhere = tmp_path / "no" / "b.ncnn.param"
    manifest = read_ncnn_manifest(param)
    for content, words in [
        (whole[:-1], "cut off or without artmirror's manifest"),
        (WEIGHTS, "cut off or without artmirror's manifest"),
        (b"", "cut off or without artmirror's manifest"),
        (b"\xff" + whole[1:], "do not belong together or are damaged"),
        (whole[8:], "do not belong together or are damaged"),
        (whole[:-20] + b"\xff\xff\xff\x7f" + whole[-16:], "manifest"),
        (whole.replace(b'"format_version": 1', b'"format_version": 9'), "manifest version 9"),
    ]:
        weights.write_bytes(content)
        with pytest.raises(ArtmirrorError, match=words):
            read_ncnn_manifest(param)
    weights.write_bytes(whole)
    param.write_bytes(PARAM + b"\n")
    with pytest.raises(ArtmirrorError, match="do not belong together"):
        read_ncnn_manifest(param)
    weights.unlink()
    with pytest.raises(ArtmirrorError, match=r"a\.ncnn\.bin: No such file .* belong together, in one folder"):
        read_ncnn_manifest(param)
    with pytest.raises(ArtmirrorError, match=r"cannot write .* -o"):
        write_ncnn(elsewhere, manifest, PARAM, WEIGHTS)


def test_files_of_two_networks_are_not_mixed(pair: tuple[Path, Path]) -> None:
    shutil.copy(tiny_ncnn(), pair[0])
    with pytest.raises(ArtmirrorError, match="do not belong together"):
        read_ncnn_manifest(pair[0])
