"""Records to JSON and back, the environment, and files that are written whole or not at all."""

import json
import os
import platform
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from artmirror.benchmarks.records.environment import read_commit, read_environment
from artmirror.benchmarks.records.machine import Gpu
from artmirror.benchmarks.records.speed import Ceilings, Session, read_session, write_session
from artmirror.runtime.common.errors import ArtmirrorError
from tests.fakes.benchmark_records import make_environment, make_record, make_round, make_start, make_start_record
from tests.places import ROOT

SESSION = Session(
    replace(make_environment(), cpu_features=("avx2",), gpus=(Gpu("a GPU", "580.1", "8192 MiB"),)),
    (
        make_record(make_round(10), make_round(11)),
        make_record(make_round(12), make_round(13), scenario="pipeline", source="clip.mp4", threads=2),
    ),
    Ceilings(2, (1e10, 1.1e10), {"fp32": (1e11, 1.2e11)}),
    (make_start_record((make_start(1000),), (make_start(400, device_bytes=3),)),),
    ("live: pictures/ has no pace of its own",),
)


def test_session_survives_the_file(tmp_path: Path) -> None:
    write_session(SESSION, tmp_path / "records.json")
    assert read_session(tmp_path / "records.json") == SESSION
    assert [path.name for path in tmp_path.iterdir()] == ["records.json"]


def test_json_has_the_promised_shape() -> None:
    values = json.loads(SESSION.to_json())
    parts = ["environment", "records", "ceilings", "starts", "omissions"]
    assert list(values) == ["format_version", "kind", *parts]
    assert (values["format_version"], values["kind"]) == (3, "speed")
    assert values["starts"][0]["cold"][0]["compile_ns"] == 300_000_000
    first_round = values["records"][0]["rounds"][0]
    assert first_round["warmup"]["latency_ns"] == [900_000_000] * 2
    assert first_round["measured"]["completed_ns"][:2] == [10_000_000, 20_000_000]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is no record"),
        ("[]", "is no record of st-bench"),
        ('{"rows": []}', "is no record of st-bench"),
        ('{"format_version": 3}', "is no record of st-bench"),
        ('{"format_version": 2, "kind": "temporal"}', "is a record of kind temporal; one of speed is wanted"),
        ('{"format_version": 2, "kind": "speed"}', "has record version 2; this artmirror reads 3: measure again"),
        ('{"format_version": 4, "kind": "speed"}', "has record version 4; this artmirror reads 3"),
        ('{"format_version": 3, "kind": "speed"}', "is a damaged record"),
        ('{"format_version": 3, "kind": "speed", "environment": {}, "records": []}', "is a damaged record"),
        (SESSION.to_json().replace('"scenario": "engine"', '"scenario": "dream"'), "is a damaged record"),
        (SESSION.to_json().replace('"precision"', '"decision"'), "is a damaged record"),
        (SESSION.to_json().replace('"compile_ns"', '"stage_ns"'), "is a damaged record"),
    ],
)
def test_other_files_are_refused_in_one_line(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "other.json"
    path.write_text(text)
    with pytest.raises(ArtmirrorError, match=message) as caught:
        read_session(path)
    assert "\n" not in caught.value.message


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("records", 0, "rounds", 0, "measured", "completed_ns", 3), "12"),
        (("records", 0, "rounds", 0, "measured", "completed_ns", 3), -12),
        (("records", 0, "rounds", 0, "measured", "completed_ns", 3), 10**4000),
        (("records", 0, "rounds", 0, "measured", "latency_ns"), [[1, 2], [3]]),
        (("records", 0, "rounds", 0, "measured", "latency_ns"), 5),
        (("records", 0, "height"), "360"),
        (("records", 0, "height"), -360),
        (("records", 0, "threads"), [None]),
        (("starts", 0, "cold", 0, "read_ns"), None),
        (("environment", "cores"), 1e300),
        (("environment", "libraries"), {"numpy": 2}),
        (("environment", "time"), 5),
        (("omissions",), [5]),
        (("records",), {}),
    ],
)
def test_a_value_of_another_kind_is_told_with_its_place(place: tuple[str | int, ...], value: object) -> None:
    values = json.loads(SESSION.to_json())
    at = values
    for key in place[:-1]:
        at = at[key]
    at[place[-1]] = value
    with pytest.raises(ArtmirrorError, match=r"x is a damaged record of st-bench \(Expected .* at `\$\."):
        Session.from_json(json.dumps(values), "x")


def test_a_deep_record_is_told() -> None:
    with pytest.raises(ArtmirrorError, match=r"x is no record of st-bench \(.*nested"):
        Session.from_json("[" * 200_000 + "]" * 200_000, "x")


def test_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(ArtmirrorError, match="cannot read"):
        read_session(tmp_path / "none.json")


def test_failed_write_leaves_the_old_file_and_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "records.json"
    path.write_text("old")

    def full(self: Path, target: Path) -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(ArtmirrorError, match=r"cannot write .*records\.json: No space left on device"):
        write_session(SESSION, path)
    assert path.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["records.json"]


def test_environment_explains_without_giving_away(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = SimpleNamespace(system="Linux", node="anns-laptop", release="6.1", version="", machine="x", processor="")
    monkeypatch.setattr(platform, "uname", lambda: machine)
    environment = read_environment()
    assert environment.python.endswith(platform.python_version())
    assert environment.os == "Linux 6.1 x"
    assert environment.cores >= 1
    assert {"openvino", "numpy", "opencv-python", "av"} <= environment.libraries.keys()
    text = Session(environment, ()).to_json()
    for secret in ("anns-laptop", str(ROOT), str(Path.home()) + os.sep):
        assert secret not in text


@pytest.mark.skipif(shutil.which("git") is None, reason="needs git")
def test_commit_is_the_checkouts_own(tmp_path: Path) -> None:
    assert read_commit(tmp_path) is None

    def git(*arguments: str) -> str:
        identity = ["-c", "user.name=n", "-c", "user.email=e@example.org"]
        command = ["git", "-C", str(tmp_path), *identity, *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    git("init")
    assert read_commit(tmp_path) is None  # no commit yet
    (tmp_path / "file").write_text("1")
    git("add", "file")
    git("commit", "-m", "first")
    git("tag", "-a", "v1", "-m", "a tag is not what is wanted")
    head = git("rev-parse", "HEAD")
    assert read_commit(tmp_path) == head
    (tmp_path / "file").write_text("2")
    assert read_commit(tmp_path) == f"{head}-dirty"
    (tmp_path / "below").mkdir()
    assert read_commit(tmp_path / "below") is None  # as in a virtual environment inside somebody's checkout
