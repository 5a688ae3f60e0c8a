"""The plan's container: what goes in comes out, and damage is told in one line."""

import json
from dataclasses import asdict, fields, replace
from pathlib import Path

import pytest

from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.runtime.formats.manifest import NO_PLAN, Manifest, read_manifest
from artmirror.runtime.formats.onnx import read_onnx_metadata
from artmirror.runtime.formats.plan import (
    MAGIC,
    PlanInfo,
    SizeRange,
    read_plan,
    read_plan_manifest,
    sizes_taken,
    write_plan,
)
from artmirror.runtime.gallery.bundled import find_style
from tests.fakes.engine import make_manifest

ENGINE = bytes(range(256)) * 9


MANIFEST = make_manifest(precision="fp16")
INFO = PlanInfo(
    library="tensorrt_rtx",
    library_version="1.7.0",
    targets=["sm75", "sm86"],
    min_size=(64, 64),
    opt_size=(360, 640),
    max_size=(1080, 1920),
    onnx_sha256="1" * 64,
)


@pytest.fixture
def plan(tmp_path: Path) -> Path:
    path = tmp_path / "x.plan"
    write_plan(path, MANIFEST, INFO, ENGINE)
    return path


def test_round_trip(plan: Path) -> None:
    manifest, info, engine = read_plan(plan)
    assert bytes(engine) == ENGINE
    assert manifest == MANIFEST
    assert replace(info, plan_sha256=None) == INFO
    assert read_plan_manifest(plan) == (manifest, info)
    assert [path.name for path in plan.parent.iterdir()] == ["x.plan"]


def test_the_engine_is_stored_as_it_is(plan: Path) -> None:
    data = plan.read_bytes()
    assert data.startswith(MAGIC)
    assert data.endswith(ENGINE)


@pytest.mark.parametrize("length", [0, 1, len(MAGIC) - 1, len(MAGIC), len(MAGIC) + 4, 60, -1])
def test_a_truncated_plan_is_refused(plan: Path, length: int) -> None:
    plan.write_bytes(plan.read_bytes()[:length])
    with pytest.raises(ArtmirrorError) as caught:
        read_plan(plan)
    assert "x.plan" in caught.value.message
    assert "\n" not in caught.value.message


def test_every_flipped_byte_of_the_engine_is_noticed(plan: Path) -> None:
    data = plan.read_bytes()
    for place in range(len(data) - len(ENGINE), len(data), 97):
        plan.write_bytes(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
        with pytest.raises(ArtmirrorError, match="checksum"):
            read_plan(plan)


def test_damage_in_the_head_is_one_line(plan: Path) -> None:
    data = plan.read_bytes()
    for place in range(len(MAGIC) + 4 + 2):  # magic, length, the first of the JSON
        plan.write_bytes(data[:place] + b"\xff" + data[place + 1 :])
        with pytest.raises(ArtmirrorError) as caught:
            read_plan(plan)
        assert "\n" not in caught.value.message


@pytest.mark.parametrize("content", [b"", b"ftrt" * 100, b"hello"])
def test_a_plan_of_somebody_else_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "other.plan"
    path.write_bytes(content)
    for read in (read_plan, read_plan_manifest):
        with pytest.raises(ArtmirrorError, match="no plan with artmirror's manifest"):
            read(path)


@pytest.mark.parametrize("lost", ["library", "library_version", "opt_size"])
def test_a_plan_needs_its_library_and_sizes(plan: Path, lost: str) -> None:
    write_plan(plan, MANIFEST, replace(INFO, **{lost: None}), ENGINE)
    with pytest.raises(ArtmirrorError, match=rf"without its TensorRT library|Expected.*at `\$\.{lost}"):
        read_plan_manifest(plan)


def test_a_missing_plan_and_a_missing_folder(tmp_path: Path) -> None:
    for read in (read_plan, read_plan_manifest):
        with pytest.raises(ArtmirrorError, match="No such file"):
            read(tmp_path / "absent.plan")
    with pytest.raises(ArtmirrorError, match="cannot write"):
        write_plan(tmp_path / "absent" / "x.plan", MANIFEST, INFO, ENGINE)


def test_the_sizes_that_it_takes() -> None:
    assert sizes_taken(MANIFEST, None) is None
    assert sizes_taken(MANIFEST, INFO) == SizeRange((64, 64), (360, 640), (1080, 1920))
    one = sizes_taken(replace(MANIFEST, height=360, width=640), PlanInfo("tensorrt", "10.9.0"))
    assert one == SizeRange((360, 640), (360, 640), (360, 640))
    assert one.is_one
    assert (360, 640) in one
    assert (360, 641) not in one


def test_files_that_are_no_plan_have_the_same_keys() -> None:
    """The bundled files were written so, and an export of the same checkpoint is the same file."""
    empty = asdict(PlanInfo("tensorrt", "")) | {"library": None, "library_version": None}
    assert empty == NO_PLAN
    assert json.loads(MANIFEST.to_json()).keys() == json.loads(MANIFEST.to_json(asdict(INFO))).keys()
    text = read_onnx_metadata(find_style("starry"))[0]["artmirror"]
    assert read_manifest(find_style("starry")).to_json() == text


def test_a_manifest_without_the_fields_that_have_defaults_is_whole() -> None:
    manifest = make_manifest()
    text = manifest.to_json()
    for name in (*(entry.name for entry in fields(PlanInfo)), "exporter"):
        assert f'"{name}"' in text
    old = {"name", "title", "artist", "year", "preset", "network", "precision", "height", "width"}
    old |= {"checkpoint_sha256", "steps", "graph_sha256", "format_version"}
    kept = {key: value for key, value in json.loads(text).items() if key in old}
    assert Manifest.from_json(json.dumps(kept), "x.onnx") == manifest
