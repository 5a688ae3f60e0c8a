"""Styles with a memory lie beside those without: which file is whose twin, and when it is taken."""

from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from artmirror.runtime import run as run_module
from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.runtime.gallery.bundled import find_style
from artmirror.runtime.gallery.paintings import Choice
from artmirror.runtime.gallery.variants import (
    encoder_path,
    find_variant,
    in_order,
    int8_twin,
    is_int8_twin,
    is_twin,
    quality_of,
    steady_twin,
    variants,
)
from artmirror.runtime.run import RunOptions, open_network
from tests.fakes.tiny_memory import tiny_memory


def test_a_twin_with_a_memory_is_no_style_of_its_own(tmp_path: Path) -> None:
    for name in ("a.onnx", "a-lite.onnx", "a-steady.onnx", "a-int8.onnx"):
        (tmp_path / name).touch()
    assert steady_twin(tmp_path / "a.onnx") == tmp_path / "a-steady.onnx"
    assert steady_twin(tmp_path / "a-lite.onnx") is None
    assert steady_twin(tmp_path / "a-steady.onnx") is None
    assert is_twin(tmp_path / "a-steady.onnx")
    assert int8_twin(tmp_path / "a-steady.onnx") is None
    assert quality_of(tmp_path / "a-steady.onnx") == "full"
    assert quality_of(tmp_path / "a-lite-steady.onnx") == "lite"
    assert encoder_path(tmp_path / "any-steady.onnx") == tmp_path / "any-encoder.onnx"
    assert set(variants(tmp_path / "a.onnx")) == {"full", "lite"}
    assert list(in_order(tmp_path / "a.onnx", steady=True)) == ["steady", "", "int8"]


def test_a_twin_with_a_memory_may_have_one_in_int8(tmp_path: Path) -> None:
    for name in ("a.onnx", "a-steady.onnx", "a-int8.onnx", "a-steady-int8.onnx"):
        (tmp_path / name).touch()
    twin = tmp_path / "a-steady-int8.onnx"
    assert int8_twin(tmp_path / "a-steady.onnx") == twin
    assert is_twin(twin)
    assert is_int8_twin(twin)
    assert int8_twin(twin) is None
    assert steady_twin(twin) is None
    assert steady_twin(tmp_path / "a-int8.onnx") is None
    assert quality_of(twin) == "full"
    assert find_variant(twin, "full") == twin
    assert encoder_path(tmp_path / "any-steady-int8.onnx") == tmp_path / "any-encoder.onnx"
    assert set(variants(twin)) == {"full"}
    kinds = in_order(tmp_path / "a.onnx", steady=True)
    assert list(kinds) == ["steady", "steady int8", "", "int8"]
    assert kinds["steady int8"] == twin
    assert list(in_order(tmp_path / "a.onnx", steady=False)) == ["", "int8"]


@pytest.mark.parametrize("name", ["a-lite-steady.onnx", "a-lite-int8.onnx", "a-int8.onnx", "a-lite-steady.ncnn.param"])
def test_a_twin_that_is_named_is_taken_as_it_is(name: str, tmp_path: Path) -> None:
    for there in ("a.onnx", "a-lite.onnx", name):
        (tmp_path / there).touch()
    twin = tmp_path / name
    assert find_variant(twin, quality_of(twin)) == twin
    if twin.suffix == ".onnx":
        other = "full" if quality_of(twin) == "lite" else "lite"
        assert find_variant(twin, other) == tmp_path / ("a.onnx" if other == "full" else "a-lite.onnx")


@pytest.mark.parametrize(
    ("steady", "named", "rate", "live", "taken"),
    [
        ("auto", False, 30, True, "a-steady.onnx"),
        ("auto", False, 30, False, "a.onnx"),  # a film may move as a whole
        ("on", False, 30, False, "a-steady.onnx"),
        ("on", False, None, False, "a.onnx"),  # pictures have nothing before them
        ("auto", True, 30, True, "a.onnx"),  # a file that was named is taken as it is
        ("off", False, 30, True, "a.onnx"),
        ("on", True, 30, True, "a-steady.onnx"),
    ],
)
def test_when_it_is_taken(
    steady: str, named: bool, rate: int | None, live: bool, taken: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a.onnx", "a-steady.onnx"):
        (tmp_path / name).touch()
    opened: list[str] = []
    monkeypatch.setattr(run_module, "open_for_show", lambda path, **_: opened.append(path.name))
    options = RunOptions(
        Choice(tmp_path / "a.onnx"), "x", ("null:",), named_engine=named, quality="full", steady=steady
    )
    source: Any = SimpleNamespace(size=(64, 64), rate=None if rate is None else Fraction(rate), live=live)
    open_network(options, source, lambda line: None)
    assert opened == [taken]


def test_where_there_is_none_it_is_told(tmp_path: Path) -> None:
    plain = Path(tmp_path / "b.onnx")
    source: Any = SimpleNamespace(size=(64, 64), rate=Fraction(30), live=False)
    plain.write_bytes((tiny_memory().with_suffix(".onnx")).read_bytes())
    options = RunOptions(Choice(plain), "x", ("null:",), named_engine=True, steady="on")
    open_network(options, source, lambda line: None).engine.close()  # it has one itself
    alone = tmp_path / "c.onnx"
    alone.write_bytes(find_style("starry-nano").read_bytes())
    with pytest.raises(ArtmirrorError, match=r"no c-steady\.onnx beside it"):
        open_network(RunOptions(Choice(alone), "x", ("null:",), named_engine=True, steady="on"), source, print)
