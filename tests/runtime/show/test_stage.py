"""Scenes, networks and qualities."""

import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.runtime.common.pictures import save_picture
from artmirror.runtime.common.pixels import Pixels, Size
from artmirror.runtime.engines.base import stylize
from artmirror.runtime.engines.open import Opened, open_for_show
from artmirror.runtime.show import visitors_painting
from artmirror.runtime.show.health import FrameRate, QualityKeeper, memory_bytes, open_files, thread_count
from artmirror.runtime.show.scenes import Programme, read_programme
from artmirror.runtime.show.settings import Look, Settings
from artmirror.runtime.show.stage import Stage
from artmirror.runtime.show.visitors_painting import decoded
from tests.fakes.engine import FakeEngine
from tests.fakes.show_parts import Clock

SIZE = Size(64, 96)


def programme(folder: Path, **values: Any) -> Programme:
    return read_programme(Settings.model_validate(values), folder)


@pytest.fixture(scope="module")
def paintings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("paintings")
    for seed, name in enumerate(("dawn_over-harbour.jpg", "field.png")):
        coarse = np.random.default_rng(seed).integers(0, 256, (20, 30, 3), np.uint8)
        save_picture(np.kron(coarse, np.ones((12, 12, 1), np.uint8)), folder / name)
    (folder / "damaged.jpg").write_bytes(b"\xff\xd8 no picture")
    return folder


def test_without_a_playlist_all_bundled_styles_are_shown(tmp_path: Path) -> None:
    found = programme(tmp_path)
    assert len(found.scenes) >= 30
    assert "full" in found.qualities
    assert all(scene.picture is not None and scene.title for scene in found.scenes)
    assert {path.stem.partition("-")[0] for path in found.networks} == {"any"}


def test_own_networks_and_their_qualities(tmp_path: Path) -> None:
    found = programme(tmp_path, playlist={"styles": ["starry", "lilies"], "networks": "own"})
    assert found.qualities == ["full", "lite", "nano"]
    assert list(found.scenes[0].paints) == ["full", "lite", "nano"]
    assert list(found.scenes[1].paints) == ["full"]
    assert found.scenes[1].paint("nano") is found.scenes[1].best  # it has no lighter one
    assert len(set(found.networks)) == len(found.networks) == 4


def test_a_wanted_quality_is_all_that_is_opened(tmp_path: Path) -> None:
    found = programme(tmp_path, playlist={"styles": ["starry"], "networks": "own"}, look={"quality": "nano"})
    assert [path.stem for path in found.networks] == ["starry-nano"]


def test_pictures_folders_mixes_and_words_of_ones_own(paintings: Path) -> None:
    found = programme(
        paintings.parent,
        playlist={"styles": [paintings.name], "every": 30},
        scene=[
            {"mix": {"starry": 1, "wave": 3}, "seconds": 5},
            {"painting": f"{paintings.name}/field.png", "title": "A field", "artist": "Me", "year": "2026"},
            {"style": "starry"},
        ],
    )
    assert [scene.title for scene in found.scenes] == [
        "dawn over harbour",
        "field",
        "The Starry Night + The Great Wave off Kanagawa",
        "A field",
        "The Starry Night",
    ]
    assert [scene.key for scene in found.scenes] == ["dawn_over-harbour", "field", "starry-wave", "field-2", "starry"]
    assert [scene.seconds for scene in found.scenes] == [30, 30, 5, 30, 30]
    assert (found.scenes[3].artist, found.scenes[3].year) == ("Me", "2026")
    assert not np.array_equal(found.scenes[0].best.style, found.scenes[1].best.style)


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"playlist": {"styles": ["stary"]}}, "did you mean starry"),
        ({"playlist": {"styles": ["missing.style"]}}, "cannot read"),
        ({"scene": [{"painting": "missing.jpg"}]}, "missing.jpg"),
        ({"playlist": {"styles": ["empty"]}}, "holds no picture"),
    ],
)
def test_what_is_missing_is_told(tmp_path: Path, values: dict[str, Any], told: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(ArtmirrorError, match=told):
        programme(tmp_path, **values)


def test_a_switch_of_networks_on_the_stage(tmp_path: Path) -> None:
    found = programme(tmp_path, playlist={"styles": ["starry", "wave"], "networks": "own"}, look={"quality": "nano"})
    stage = Stage(found, Look(quality="nano", crossfade=0), SIZE)
    slot = stage.engine.allocate(1)[0]
    slot.frame[:] = np.random.default_rng(0).integers(0, 256, slot.frame.shape, np.uint8)
    painted = []
    for index in (0, 1, 2):
        stage.show(index)
        for _ in range(3):
            stylize(stage.engine, slot, stage.look())
        painted.append(slot.stylized.copy())
    assert not (painted[0] == painted[1]).all()
    assert (painted[0] == painted[2]).all()
    stage.close()


def test_colours_are_kept_and_given_back(tmp_path: Path) -> None:
    found = programme(
        tmp_path, playlist={"styles": ["starry"], "networks": "own"}, look={"quality": "nano", "steady": False}
    )
    stage = Stage(found, Look(quality="nano", steady=False), SIZE)
    slot = stage.engine.allocate(1)[0]
    slot.frame[:] = (0, 0, 200)

    def redness() -> float:
        stylize(stage.engine, slot, stage.look())
        return float(slot.stylized[:, :, 2].mean() - slot.stylized[:, :, 0].mean())

    without = redness()
    stage.keep_colours = True
    assert redness() > without + 30
    stage.keep_colours = False
    assert redness() == without
    stage.close()


def test_qualities_step_down_and_up(tmp_path: Path) -> None:
    found = programme(tmp_path, playlist={"styles": ["starry"], "networks": "own"})
    stage = Stage(found, Look(), SIZE, open_network=lambda path: FakeEngine(SIZE))
    assert stage.quality == "full"
    assert [stage.lighter(), stage.quality, stage.lighter(), stage.quality] == [True, "lite", True, "nano"]
    assert not stage.lighter()
    assert [stage.better(), stage.better(), stage.better()] == [True, True, False]
    assert stage.quality == "full"


def test_auto_takes_what_holds_the_rate_here(tmp_path: Path) -> None:
    found = programme(tmp_path, playlist={"styles": ["starry"], "networks": "own"})
    told: list[str] = []

    def slow(path: Path) -> FakeEngine:
        return FakeEngine(SIZE, delay_s=lambda: 0.001 if "nano" in path.stem else 0.06)

    stage = Stage(found, Look(), SIZE, open_network=slow, report=told.append)
    assert stage.quality == "nano"
    assert not stage.better()  # the better ones did not hold it at the start
    assert sum("FPS measured" in line for line in told) == 3


def test_slow_for_a_minute_steps_down_and_fast_for_long_tries_again() -> None:
    clock = Clock()
    keeper = QualityKeeper(30, clock)

    def run(seconds: int, fps: float) -> list[int]:
        steps = []
        for _ in range(seconds):
            clock.now_s += 1
            steps.append(keeper.step(fps, 30))
        return [step for step in steps if step]

    assert run(59, 20) == []
    assert run(5, 30) == []  # one good second begins the minute anew
    assert run(59, 20) == []
    assert run(5, 20) == [1]
    assert run(599, 30) == []
    assert run(5, 30) == [-1]
    assert run(70, 20) == [1]  # the step up failed: the next try is later
    assert run(1100, 30) == []
    assert run(200, 30) == [-1]


def test_a_slow_camera_is_no_reason() -> None:
    clock = Clock()
    keeper = QualityKeeper(30, clock)
    for _ in range(200):
        clock.now_s += 1
        assert keeper.step(15, 15) <= 0


def test_the_frame_rate_is_of_the_last_seconds() -> None:
    clock = Clock()
    rate = FrameRate(clock)
    for _ in range(300):
        clock.now_s += 0.05
        rate.add()
    assert rate.fps == pytest.approx(20, rel=0.01)
    clock.now_s += 3
    assert rate.fps == 0
    rate.add()
    assert rate.longest_gap_s == pytest.approx(3)


def test_what_the_system_tells() -> None:
    assert memory_bytes() > 10_000_000
    assert open_files() > 2
    assert thread_count() >= 1


def test_a_sent_picture_is_decoded_elsewhere(paintings: Path) -> None:
    found: Pixels = decoded((paintings / "field.png").read_bytes())
    assert found.shape == (240, 360, 3)


@pytest.mark.parametrize("body", [b"", b"no picture", b"\x89PNG\r\n\x1a\n" + bytes(100), b"<svg/>"])
def test_what_is_no_picture_is_refused(body: bytes) -> None:
    with pytest.raises(ArtmirrorError, match="no picture"):
        decoded(body)


def test_a_picture_that_takes_too_long_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def late(*arguments: Any, **options: Any) -> None:
        raise subprocess.TimeoutExpired("decode", 10)

    monkeypatch.setattr(visitors_painting.subprocess, "run", late)
    with pytest.raises(ArtmirrorError, match="takes too long"):
        decoded(b"x")


def test_a_sent_painting_becomes_a_scene(paintings: Path) -> None:
    from types import SimpleNamespace

    found = programme(paintings, playlist={"styles": ["starry"]}, look={"quality": "full"})
    stage = Stage(found, Look(quality="full"), SIZE)
    shown: list[str] = []
    opened: Any = SimpleNamespace(director=SimpleNamespace(stage=stage, show_key=shown.append), settings=Settings())
    key = visitors_painting.add_painting(opened, (paintings / "field.png").read_bytes())
    assert shown == [key] == ["visitor-1"]
    assert stage.scenes[-1].key == key
    assert stage.revision == 1
    stage.show(1)
    slot = stage.engine.allocate(1)[0]
    stylize(stage.engine, slot, stage.look())
    stage.close()


@pytest.mark.parametrize(
    ("fast", "steady", "taken"),
    [
        ({"fp32 memory"}, True, "fp32 memory"),
        ({"int8 memory", "fp32"}, True, "int8 memory"),
        ({"fp32"}, True, "fp32"),
        ({"int8", "fp32 memory"}, False, "int8"),
        ({"int8"}, True, "int8"),
    ],
)
def test_it_paints_with_a_memory_and_in_full_precision_where_that_is_fast_enough(
    fast: set[str], steady: bool, taken: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def kind(engine: Any) -> str:
        precision = "int8" if engine.manifest.precision == "int8" else "fp32"
        return f"{precision} memory" if engine.manifest.has_memory else precision

    monkeypatch.setattr(
        "artmirror.runtime.show.stage.measure_fps", lambda engine, *rest: 100.0 if kind(engine) in fast else 20.0
    )

    def opening(path: Path, **options: Any) -> Opened:
        opened.append(path)
        return open_for_show(path, **options)

    opened: list[Path] = []
    monkeypatch.setattr("artmirror.runtime.show.stage.open_for_show", opening)
    found = programme(tmp_path, playlist={"styles": ["starry", "mondrian"], "networks": "own"})
    told: list[str] = []
    stage = Stage(found, Look(steady=steady), SIZE, report=told.append)
    assert len(set(opened)) == len(opened)  # compiling takes time
    assert stage.quality == "full"
    assert kind(stage.engine) == taken
    order = ["fp32 memory", "int8 memory", "fp32", "int8"] if steady else ["fp32", "int8"]
    assert [line.split(":")[0] for line in told if "measured" in line] == [
        {"fp32": "quality full", "int8": "quality full int8", "fp32 memory": "quality full steady"}.get(
            kind, "quality full steady int8"
        )
        for kind in order[: order.index(taken) + 1]
    ]
    stage.close()
