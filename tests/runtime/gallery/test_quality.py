"""Which variant of a style is taken: by name, by what is there, and by the speed of engines whose speed is known."""

import json
from dataclasses import replace
from functools import partial
from itertools import chain, repeat
from pathlib import Path

import pytest

from artmirror.runtime import run as run_module
from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.runtime.engines.open import Opened
from artmirror.runtime.formats.manifest import read_manifest
from artmirror.runtime.gallery import bundled as gallery
from artmirror.runtime.gallery.bundled import (
    bundled_styles,
    find_network,
    find_style,
    paintings_folder,
    styles_folder,
)
from artmirror.runtime.gallery.quality import open_best
from artmirror.runtime.gallery.variants import (
    QUALITIES,
    find_variant,
    int8_twin,
    is_int8_twin,
    quality_of,
    variant_path,
    variants,
)
from tests.fakes.engine import FakeEngine
from tests.fakes.st_run import one_line_of, run

SIZE = (64, 96)


class Shelf:
    """The files of one style in a folder, and fake engines for them. Time passes only while an engine computes."""

    def __init__(self, folder: Path, **fps: float) -> None:
        """Put the qualities that are named into `folder`, each with its frames per second."""
        self.path = folder / "starry.onnx"
        self.now_s = 0.0
        self.hiccup_s = 0.02  # first frame after the warm-up
        self.engines: dict[str, FakeEngine] = {}  # those that were opened
        self.fps = fps
        for quality in fps:
            variant_path(self.path, quality).touch()

    def open(self, path: Path, **_: object) -> Opened:
        quality = quality_of(path)
        # The first frames of a network take long; a fake engine does not count the very first.
        durations_s = chain([0.3, 0.2], [self.hiccup_s], repeat(1 / self.fps[quality]))
        engine = self.engines[quality] = FakeEngine(SIZE, delay_s=lambda: self._pass_s(next(durations_s)))
        return Opened(engine, path, "fake")

    def pick(self, target_fps: float = 30, *, live: bool = True) -> tuple[str, str]:
        """The quality that is taken, and why."""
        self.engines.clear()
        picked = open_best(self.path, self.open, target_fps=target_fps, live=live, clock_s=lambda: self.now_s)
        return quality_of(picked.opened.path), picked.reason

    def _pass_s(self, duration_s: float) -> float:
        self.now_s += duration_s
        return 0.0


@pytest.mark.parametrize(
    ("fps", "quality", "reason"),
    [
        ((50, 110, 200), "full", "quality full: 50 FPS measured; target 30 and a margin of 20%"),
        ((37, 110, 200), "full", "quality full: 37 FPS measured; target 30 and a margin of 20%"),
        ((35, 110, 200), "lite", "quality lite: 110 FPS measured, full 35; target 30 and a margin of 20%"),
        ((21, 62, 130), "lite", "quality lite: 62 FPS measured, full 21; target 30 and a margin of 20%"),
        ((9, 25, 61), "nano", "quality nano: 61 FPS measured, full 9, lite 25; target 30 and a margin of 20%"),
    ],
)
def test_the_best_that_holds_the_target_is_taken(
    tmp_path: Path, fps: tuple[float, ...], quality: str, reason: str
) -> None:
    shelf = Shelf(tmp_path, **dict(zip(QUALITIES, fps, strict=True)))
    assert shelf.pick() == (quality, reason)
    # Nothing lighter was opened, and what was too slow was closed.
    assert list(shelf.engines) == list(QUALITIES[: QUALITIES.index(quality) + 1])
    assert [name for name, engine in shelf.engines.items() if not engine.closed] == [quality]


def test_where_none_holds_the_target_the_lightest_is_taken_and_a_size_is_named(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path, full=1, lite=4, nano=20)
    quality, reason = shelf.pick()
    assert quality == "nano"
    # sqrt(20 / 36) of 96x64, in steps of 8, and never below the smallest picture there is
    assert reason == (
        "quality nano: 20 FPS measured, full 1, lite 4; target 30 and a margin of 20% not reached; "
        "a smaller picture is faster: --size 64x64"
    )
    assert shelf.pick(16) == ("nano", "quality nano: 20 FPS measured, full 1, lite 4; target 16 and a margin of 20%")
    assert shelf.pick(3)[0] == "lite"


def test_only_what_is_there_is_tried(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path, full=21, nano=130)
    assert shelf.pick()[0] == "nano"
    assert list(shelf.engines) == ["full", "nano"]


def test_one_variant_is_not_measured(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path, lite=21)
    assert shelf.pick() == ("lite", "quality lite: the only one there is of this style")
    assert shelf.now_s == 0


def test_one_hiccup_of_the_machine_decides_nothing(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path, full=50, nano=130)
    shelf.hiccup_s = 0.4
    assert shelf.pick() == ("full", "quality full: 50 FPS measured; target 30 and a margin of 20%")


@pytest.mark.parametrize(("live", "in_flight"), [(True, 1), (False, 2)])
def test_half_a_second_is_measured_in_all_as_the_pipeline_runs(tmp_path: Path, live: bool, in_flight: int) -> None:
    shelf = Shelf(tmp_path, full=50, lite=80, nano=120)
    shelf.pick(1000, live=live)
    warm_up_s = 3 * (0.3 + 0.2)
    assert shelf.now_s == pytest.approx(warm_up_s + 0.5, abs=0.1)
    assert {engine.most_in_flight for engine in shelf.engines.values()} == {in_flight}


def test_an_engine_that_fails_is_closed(tmp_path: Path) -> None:
    engine = FakeEngine(SIZE, fail_at=4)
    shelf = Shelf(tmp_path, full=50, lite=60)
    with pytest.raises(ArtmirrorError, match="the device is gone"):
        open_best(shelf.path, lambda path: Opened(engine, path, "fake"), target_fps=30, live=True)
    assert engine.closed


@pytest.mark.parametrize(
    ("name", "quality", "lite"),
    [
        ("starry.onnx", "full", "starry-lite.onnx"),
        ("starry-lite.plan", "lite", "starry-lite.plan"),
        ("starry-nano.ncnn.param", "nano", "starry-lite.ncnn.param"),
        ("starry.ncnn.bin", "full", "starry-lite.ncnn.bin"),
        ("van-gogh.v2.onnx", "full", "van-gogh.v2-lite.onnx"),
        ("lite.onnx", "full", "lite-lite.onnx"),
        ("-lite.onnx", "full", "-lite-lite.onnx"),
    ],
)
def test_the_name_says_the_quality(name: str, quality: str, lite: str) -> None:
    path = Path("folder") / name
    assert quality_of(path) == quality
    assert variant_path(path, "lite") == Path("folder") / lite
    assert variant_path(path, quality) == path


def test_a_variant_that_is_not_there_is_named_with_the_way_to_it(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path, full=1, nano=1)
    assert find_variant(shelf.path, "nano") == tmp_path / "starry-nano.onnx"
    line = one_line_of(
        1, "--engine", shelf.path, "--quality", "lite", "--input", "synthetic:96x64", "--output", "null:"
    )
    for words in ("no " + str(tmp_path / "starry-lite.onnx"), "there is: full, nano", "st-train --preset lite"):
        assert words in line
    shelf.path.unlink()
    with pytest.raises(ArtmirrorError, match=r"there is: nano. To make full: st-train -o starry.pt"):
        find_variant(tmp_path / "starry-nano.onnx", "full")
    assert find_variant(tmp_path / "absent.onnx", "lite").name == "absent-lite.onnx"  # opening it says the rest


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shelf:
    """The one bundled style, and what `st-run` opens."""
    shelf = Shelf(tmp_path, full=21, lite=62, nano=130)
    monkeypatch.setattr(gallery, "styles_folder", lambda: tmp_path)
    monkeypatch.setattr(run_module, "open_for_show", shelf.open)
    monkeypatch.setattr(run_module, "open_best", partial(open_best, clock_s=lambda: shelf.now_s))
    return shelf


FILE, CAMERA, SLOW_CAMERA = "synthetic:96x64", "synthetic:96x64@500", "synthetic:96x64@15"


@pytest.mark.parametrize(
    ("arguments", "source", "quality", "measured"),
    [
        ("--style starry", CAMERA, "lite", True),
        ("--style starry", SLOW_CAMERA, "full", True),  # 15 FPS are all there are
        ("--style starry --target-fps 30", SLOW_CAMERA, "lite", True),
        ("--style starry --target-fps 10", CAMERA, "full", True),
        ("--style starry --target-fps 60", CAMERA, "nano", True),
        ("--style starry", FILE, "full", False),
        ("--style starry --quality auto", FILE, "lite", True),
        ("--style starry --target-fps 60", FILE, "nano", True),
        ("--style starry --quality nano", FILE, "nano", False),
        ("--style starry --quality full", CAMERA, "full", False),
        ("--style starry-nano", CAMERA, "nano", False),
        ("--engine {}/starry.onnx", CAMERA, "full", False),
        ("--engine {}/starry-nano.onnx", CAMERA, "nano", False),
        ("--engine {}/starry-nano.onnx --quality lite", CAMERA, "lite", False),
        ("--engine {}/starry-nano.onnx --quality auto", CAMERA, "lite", True),
    ],
)
def test_what_st_run_takes(shelf: Shelf, arguments: str, source: str, quality: str, measured: bool) -> None:
    words = arguments.format(shelf.path.parent).split()
    code, stdout, err = run(*words, "--input", source, "--max-frames", "3", "--output", "null:", "--json")
    assert code == 0, err
    record = json.loads(stdout.splitlines()[-1])
    assert record["quality"] == quality
    assert Path(record["engine"]) == variant_path(shelf.path, quality)
    lines = [line for line in err.splitlines() if line.startswith("quality ")]
    assert [line.split(" FPS measured")[0] for line in lines] == (
        [f"quality {quality}: {shelf.fps[quality]}"] if measured else []
    )


def test_a_target_is_for_auto(shelf: Shelf) -> None:
    words = ("--target-fps", "30", "--quality", "lite", "--input", FILE, "--output", "null:")
    assert "--target-fps is for --quality auto, not for lite" in one_line_of(2, *words)
    assert "x>0" in one_line_of(2, "--target-fps", "0", "--input", FILE, "--output", "null:")


def test_a_style_is_listed_once_with_its_variants(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network = find_style("starry").read_bytes()
    for name in ("starry", "starry-lite", "starry-nano", "starry-nano-steady"):
        (tmp_path / f"{name}.onnx").write_bytes(network)
    monkeypatch.setattr(gallery, "styles_folder", lambda: tmp_path)
    assert list(bundled_styles()) == ["starry"]
    assert list(variants(bundled_styles()["starry"])) == list(QUALITIES)
    assert find_style("starry-lite") == tmp_path / "starry-lite.onnx"
    (tmp_path / "starry-lite.onnx").unlink()
    with pytest.raises(ArtmirrorError, match="did you mean starry"):
        find_style("starry-lite")
    code, stdout, _ = run("--list-styles")
    assert code == 0
    rows = [line for line in stdout.splitlines() if "The Starry Night" in line]
    assert len(rows) == 1
    assert rows[0].split("│")[-2].split() == ["full", "nano", "steady"]


def test_real_networks_are_measured(tmp_path: Path) -> None:
    network = find_style("starry").read_bytes()
    for quality in QUALITIES:
        variant_path(tmp_path / "starry.onnx", quality).write_bytes(network)
    # They are equally fast: which of them is the fastest by a tenth, chance decides.
    for target_fps, qualities in (("0.001", ("full",)), ("1000000", QUALITIES)):
        words = ("--quality", "auto", "--target-fps", target_fps, "--threads", "1", "--json", "--output", "null:")
        source = ("--input", "synthetic:64x64", "--max-frames", "2")
        code, stdout, err = run("--engine", tmp_path / "starry.onnx", *source, *words)
        assert code == 0, err
        quality = json.loads(stdout.splitlines()[-1])["quality"]
        assert quality in qualities
        assert err.startswith(f"quality {quality}: ")
        assert ("not reached" in err) == (qualities == QUALITIES)
        assert all(name in err for name in qualities)


class TestInt8:
    """Twins in INT8, between a quality and the next lighter one."""

    @staticmethod
    def pick(
        folder: Path, fps: dict[str, float], backend: str = "openvino", target_fps: float = 30, steady: bool = False
    ) -> tuple[str, str, list[str]]:
        opened: list[str] = []
        now_s = [0.0]
        for name in fps:
            (folder / f"{name}.onnx").touch()

        def open_file(path: Path) -> Opened:
            opened.append(path.stem)

            def delay_s() -> float:
                now_s[0] += 1 / fps[path.stem]
                return 0.0

            engine = FakeEngine(SIZE, delay_s=delay_s)
            engine.describe = lambda: replace(FakeEngine.describe(engine), backend=backend)  # type: ignore[method-assign]
            return Opened(engine, path, "fake")

        picked = open_best(
            folder / "starry.onnx",
            open_file,
            target_fps=target_fps,
            live=True,
            steady=steady,
            clock_s=lambda: now_s[0],
        )
        return picked.opened.path.stem, picked.reason, opened

    def test_a_quality_that_is_too_slow_is_tried_in_int8_before_a_lighter_one(self, tmp_path: Path) -> None:
        fps = {"starry": 20.0, "starry-int8": 40.0, "starry-lite": 90.0}
        taken, reason, opened = self.pick(tmp_path, fps)
        assert taken == "starry-int8"
        assert opened == ["starry", "starry-int8"]
        assert reason == "quality full int8: 40 FPS measured, full 20; target 30 and a margin of 20%"
        assert quality_of(tmp_path / f"{taken}.onnx") == "full"

    def test_one_with_a_memory_is_tried_before_that_without(self, tmp_path: Path) -> None:
        fps = {"starry": 40.0, "starry-steady": 30.0, "starry-int8": 60.0}
        taken, reason, opened = self.pick(tmp_path, fps, steady=True)
        assert taken == "starry"
        assert opened == ["starry-steady", "starry"]
        assert reason == "quality full: 40 FPS measured, full steady 30; target 30 and a margin of 20%"
        assert self.pick(tmp_path, {**fps, "starry-steady": 37.0}, steady=True)[0] == "starry-steady"
        assert self.pick(tmp_path, fps)[2] == ["starry"]

    def test_one_with_a_memory_is_tried_in_int8_before_that_without(self, tmp_path: Path) -> None:
        fps = {"starry": 40.0, "starry-steady": 30.0, "starry-steady-int8": 37.0, "starry-int8": 60.0}
        taken, reason, opened = self.pick(tmp_path, fps, steady=True)
        assert taken == "starry-steady-int8"
        assert opened == ["starry-steady", "starry-steady-int8"]
        assert reason.startswith("quality full steady int8: 37 FPS measured, full steady 30;")
        slow = self.pick(tmp_path, {**fps, "starry": 30.0, "starry-steady-int8": 33.0}, steady=True)
        assert slow[2] == ["starry-steady", "starry-steady-int8", "starry", "starry-int8"]
        assert self.pick(tmp_path, fps, steady=True, backend="ncnn")[2] == ["starry-steady", "starry"]
        assert self.pick(tmp_path, {**fps, "starry": 30.0})[2] == ["starry", "starry-int8"]

    def test_a_fast_one_is_taken_as_it_is(self, tmp_path: Path) -> None:
        assert self.pick(tmp_path, {"starry": 50.0, "starry-int8": 90.0})[0] == "starry"

    def test_where_none_is_fast_enough_the_lightest_in_int8_is_taken(self, tmp_path: Path) -> None:
        fps = {"starry": 2.0, "starry-int8": 4.0, "starry-nano": 9.0, "starry-nano-int8": 15.0}
        taken, reason, opened = self.pick(tmp_path, fps)
        assert taken == "starry-nano-int8"
        assert len(opened) == 4
        assert "not reached" in reason

    def test_where_none_is_fast_enough_a_better_one_that_is_as_fast_is_taken(self, tmp_path: Path) -> None:
        fps = {"starry": 2.0, "starry-nano": 9.0, "starry-nano-steady": 8.8, "starry-nano-int8": 9.5}
        taken, reason, opened = self.pick(tmp_path, fps, steady=True)
        assert taken == "starry-nano-steady"
        assert opened == ["starry", "starry-nano-steady", "starry-nano", "starry-nano-int8", "starry-nano-steady"]
        assert reason.startswith(
            "quality nano steady: 9 FPS measured, full 2, nano 9, nano int8 10; target 30 and a margin of 20% "
        )
        assert self.pick(tmp_path, fps, steady=True, backend="ncnn")[0] == "starry-nano-steady"

    def test_another_back_end_gets_none(self, tmp_path: Path) -> None:
        fps = {"starry": 20.0, "starry-int8": 90.0, "starry-lite": 50.0, "starry-lite-int8": 99.0}
        taken, _, opened = self.pick(tmp_path, fps, backend="ncnn")
        assert taken == "starry-lite"
        assert opened == ["starry", "starry-lite"]

    def test_one_style_with_a_twin_is_measured(self, tmp_path: Path) -> None:
        assert self.pick(tmp_path, {"starry": 20.0, "starry-int8": 50.0})[0] == "starry-int8"

    @pytest.mark.parametrize(
        ("name", "quality", "twin"),
        [("starry.onnx", "full", False), ("starry-int8.onnx", "full", True), ("starry-lite-int8.onnx", "lite", True)],
    )
    def test_names(self, name: str, quality: str, twin: bool, tmp_path: Path) -> None:
        (tmp_path / "starry-lite-int8.onnx").touch()
        assert quality_of(tmp_path / name) == quality
        assert is_int8_twin(tmp_path / name) is twin
        assert int8_twin(tmp_path / "starry-lite.onnx") == tmp_path / "starry-lite-int8.onnx"
        assert int8_twin(tmp_path / "starry-lite-int8.onnx") is None
        assert int8_twin(tmp_path / "starry.onnx") is None


def test_every_bundled_twin_is_the_same_network_in_int8() -> None:
    twins = sorted(path for folder in (styles_folder(), paintings_folder()) for path in folder.glob("*-int8.onnx"))
    assert len(twins) >= 12
    for twin in twins:
        other = twin.with_name(twin.name.replace("-int8", ""))
        found, wanted = read_manifest(twin), read_manifest(other)
        assert found.precision == "int8"
        assert found.checkpoint_sha256 == wanted.checkpoint_sha256
        assert twin.stat().st_size < 1_100_000
        assert find_network(twin.stem) == twin
    assert not [name for name in bundled_styles() if "int8" in name]
