"""What of ncnn's text and weights ncnn itself does not get to see."""

from pathlib import Path

import pytest

from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.runtime.engines.open import open_engine
from artmirror.runtime.formats.ncnn import graph_sha256, ncnn_pair, read_ncnn_manifest, write_ncnn
from artmirror.runtime.formats.ncnn_graph import WrongGraph, check_ncnn_graph
from tests.fakes.engine import make_manifest
from tests.fakes.tiny_ncnn import tiny_ncnn


@pytest.fixture(scope="module")
def whole() -> tuple[bytes, bytes]:
    """The text and the weights, without the manifest."""
    param, weights = (path.read_bytes() for path in ncnn_pair(tiny_ncnn()))
    sha256 = read_ncnn_manifest(tiny_ncnn()).graph_sha256
    ends = (end for end in range(len(weights), 0, -1) if weights[end : end + 1] == b"{")
    return param, next(weights[:end] for end in ends if graph_sha256(param, weights[:end]) == sha256)


@pytest.mark.parametrize("size", [(64, 64), (67, 101), (360, 640)])
def test_what_st_export_writes_is_right(whole: tuple[bytes, bytes], size: tuple[int, int]) -> None:
    check_ncnn_graph(*whole, size)


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        (b"40 42\n", b"1000000000 42\n", "it has 1000000000 layers, at most 10000 are wanted"),
        (b"40 42\n", b"99999999999999999999 42\n", "no text of ncnn's"),
        (b"40 42\n", b"40 1000000000\n", "it says 40 1000000000 and has 40 layers with 42 results"),
        (b"7767517", b"7767518", "no text of ncnn's"),
        (b"TanH ", b"Nothing ", "'Nothing .* is no layer that st-export writes"),
        (b"13=1 ", b"13=0 ", "conv_17 has 13=0"),
        (b"13=1 ", b"13=-1 ", "conv_17 has 13=-1"),
        (b"6=108 ", b"6=1000000000 ", r"conv_17 has 1e\+09 weights, 108 are wanted"),
        (b"0=4 1=3 ", b"0=400 1=3 ", "conv_17 has 108 weights, 10800 are wanted"),
        (b"0=4 1=1.0", b"0=5 1=1.0", "in_6 is for 5 channels, it gets 4"),
        (b"1=2.0 2=2.0", b"1=60000 2=60000", "gives"),
        (b"0=251 1=251", b"0=60000 1=60000", "weights, at most"),
        (b"2 1 16 24 25", b"2 1 16 16 25", "add_0 uses what no layer makes"),
        (b"1 1 4 5 ", b"1 1 out0 5 ", "conv_17 uses what no layer makes"),
        (b"1 1 4 5 ", b"9 9 4 5 ", "is cut off"),
        (b"0=1 1=1 2=1 3=1 4=2", b"0=9999 1=1 2=1 3=1 4=2", "pad_16 pads more than there is"),
        (b'"1h,1w"', b'"9h,9w"', "is no cropping that st-export writes"),
        (b" 5=1 ", b" 5=1 8=2 ", "conv_17 has '8=2'"),
    ],
)
def test_a_wrong_text_is_told(whole: tuple[bytes, bytes], old: bytes, new: bytes, told: str) -> None:
    param, weights = whole
    assert old in param
    with pytest.raises(WrongGraph, match=told):
        check_ncnn_graph(param.replace(old, new, 1), weights, (64, 64))


def test_weights_of_another_length_are_told(whole: tuple[bytes, bytes]) -> None:
    param, weights = whole
    for wrong in (weights[:-1], weights[:9], b""):
        with pytest.raises(WrongGraph, match="weights are missing"):
            check_ncnn_graph(param, wrong, (64, 64))
    with pytest.raises(WrongGraph, match="are there"):
        check_ncnn_graph(param, weights + b"1234", (64, 64))


def test_the_engine_asks_before_ncnn_does(whole: tuple[bytes, bytes], tmp_path: Path) -> None:
    param, weights = whole[0].replace(b"13=1 ", b"13=0 ", 1), whole[1]
    path = tmp_path / "x.ncnn.param"
    write_ncnn(path, make_manifest(graph_sha256=graph_sha256(param, weights)), param, weights)
    with pytest.raises(ArtmirrorError, match=r"x\.ncnn\.param was not written by st-export, or is damaged: conv_17"):
        open_engine(path, size=(64, 64), device="cpu")
