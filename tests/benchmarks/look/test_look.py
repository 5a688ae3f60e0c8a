"""The yardstick and the blind test."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import cast

import cv2
import numpy as np
import pytest
from click.testing import CliRunner, Result

from artmirror.benchmarks.cli import main
from artmirror.benchmarks.look import yardstick
from artmirror.benchmarks.look.blind import Verdict, read_votes, write_test
from artmirror.benchmarks.look.yardstick import PhotoLooks, Point, Standing, sheet, style_at, summarised
from artmirror.benchmarks.temporal.distances import Judge
from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.runtime.common.pixels import Pixels
from artmirror.train.objective.vgg import VggFeatures
from tests.train.conftest import painting, random_vgg, smooth_picture, vgg_file

__all__ = ["painting", "random_vgg", "vgg_file"]  # fixtures


def invoke(*words: object) -> Result:
    return CliRunner().invoke(main, ["look", *(str(word) for word in words)], prog_name="st-bench")


def test_the_best_style_at_no_more_content() -> None:
    path = [Point(10, 0), Point(4, 2), Point(5, 3), Point(2, 6)]
    for content, wanted in [(0, 10), (1, 7), (2, 4), (2.5, 4), (3, 4), (4.5, 3.5), (6, 2), (99, 2)]:
        assert style_at(path, content) == pytest.approx(wanted), content


def test_scores_lie_between_the_marks() -> None:
    def standing(style: float) -> Standing:
        return Standing("a", "p.jpg", Point(style, 1), optimised_style=2, unpainted_style=10)

    assert [standing(style).score for style in (10, 2, 6, 1)] == [1, 0, 0.5, -0.125]
    black = np.zeros((8, 8, 3), np.uint8)
    looks = [PhotoLooks((black, black), (standing(style),), ()) for style in (6, 10)]
    (row,) = summarised(looks)
    assert (row.score, row.style) == (0.75, 8)
    assert sheet(looks, 8).shape == (16, 24, 3)


def test_votes_are_counted_by_the_key(tmp_path: Path) -> None:
    black = np.zeros((8, 8, 3), np.uint8)
    names = ("ours", "theirs", "optimised")
    count = write_test(tmp_path, black, [black] * 4, {name: [black] * 4 for name in names}, seed=1)
    assert count == 12
    page = (tmp_path / "index.html").read_text()
    assert not any(name in page for name in names)  # the page tells nothing
    key = json.loads((tmp_path / "key.json").read_text())
    assert {tuple(sides) for sides in key.values()} > {("ours", "theirs"), ("theirs", "ours")}  # sides change
    votes = tmp_path / "votes.json"
    votes.write_text(json.dumps({pair: sides.index("ours") if "ours" in sides else 0 for pair, sides in key.items()}))
    found = {(verdict.one, verdict.other): verdict for verdict in read_votes(tmp_path, [votes, votes])}
    assert (found["ours", "theirs"].for_one, found["ours", "theirs"].for_other) == (8, 0)
    assert (found["optimised", "ours"].for_one, found["optimised", "ours"].for_other) == (0, 8)
    told = invoke("--blind", tmp_path, "--votes", votes)
    assert told.exit_code == 0
    assert "theirs" in told.output
    votes.write_text('{"another": 0}')
    with pytest.raises(ArtmirrorError, match="of another test"):
        read_votes(tmp_path, [votes])


@pytest.mark.parametrize(
    ("one", "other", "wanted"), [(8, 0, 2 / 256), (5, 5, 1), (9, 1, 22 / 1024), (1, 9, 22 / 1024), (0, 0, 1)]
)
def test_the_binomial_test_by_hand(one: int, other: int, wanted: float) -> None:
    assert Verdict("a", "b", one, other).p_value == pytest.approx(wanted)


def test_networks_are_placed(vgg_file: Path, painting: Path, tmp_path: Path, random_vgg: VggFeatures) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    for seed in range(3):
        assert cv2.imwrite(str(photos / f"{seed}.png"), smooth_picture((80, 120), seed))
    told = invoke(
        *("starry-nano", "any-nano", "--painting", painting, "--photos", photos, "--count", 2, "--vgg", vgg_file),
        *("--size", 96, "--iterations", 12, "-o", tmp_path / "look.json", "-o", tmp_path / "look.md"),
        *("--sheet", tmp_path / "look.png", "--blind", tmp_path / "test"),
    )
    assert told.exit_code == 0, told.output
    found = json.loads((tmp_path / "look.json").read_text())
    assert len(found["standings"]) == 4
    for entry in found["standings"]:
        assert entry["unpainted_style"] > entry["optimised_style"] > 0
    assert all(len(entry["path"]) == 1 + 10 + 1 for entry in found["optimised"])
    assert "| starry-nano |" in (tmp_path / "look.md").read_text()
    drawn = cv2.imread(str(tmp_path / "look.png"))
    assert drawn is not None
    assert drawn.shape == (480, 4 * 364, 3)
    assert "6 pairs: open" in told.output


def test_who_stays_near_the_photo_is_compared_with_a_slower_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class ByHand:
        """Style distance is 200 less the blue, content distance the green: the photo has 200 and 0."""

        def look(self, picture: Pixels) -> Point:
            blue, green, _ = picture.mean((0, 1))
            return Point(200 - blue, green)

        def distances(self, painted: Point, photo: Point) -> Point:
            return painted

    def picture(style: int, content: int) -> Pixels:
        return np.full((64, 64, 3), (200 - style, content, 0), np.uint8)

    paths = {300.0: picture(0, 100), 60.0: picture(100, 10)}
    tried = []

    def optimise(frame: Pixels, weight: float, observe: Callable[[int, Pixels], None]) -> Pixels:
        tried.append(weight)
        return paths[weight]

    assert cv2.imwrite(str(tmp_path / "photo.png"), picture(200, 0))
    painted = iter([picture(190, 10), picture(120, 10)])
    monkeypatch.setattr(yardstick, "_painted", lambda *_: next(painted))
    names = [Path("first.onnx"), Path("second.onnx")]
    judge = cast(Judge, ByHand())
    found = yardstick.look_at_photo(tmp_path / "photo.png", names, tmp_path, judge, optimise, 64)
    assert tried == [300, 60]
    assert [entry.optimised_style for entry in found.standings] == [100, 100]  # on the first path it was 180
    assert np.array_equal(found.pictures[-1], paths[300.0])


def test_mistakes_are_one_line(painting: Path, tmp_path: Path) -> None:
    for words, code, expected in [
        ((), 2, "name networks"),
        (("starry", "--votes", "a.json"), 2, "goes with --blind"),
        (("--blind", tmp_path, "--votes", tmp_path / "none.json"), 1, "key.json"),
        (("starry", "--painting", painting, "--photos", tmp_path / "none"), 1, "none"),
        (("starry", "starry", "--painting", painting, "--photos", tmp_path), 1, "two networks are called starry"),
    ]:
        told = invoke(*words)
        assert told.exit_code == code, (words, told.output)
        assert expected in told.output
        assert "Traceback" not in told.output
