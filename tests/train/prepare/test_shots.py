"""Rules over figures that are made up: what is kept, what is dropped and why, which frames become chunks."""

from dataclasses import replace

import numpy as np
import pytest

from artmirror.runtime.common.pixels import Size
from artmirror.train.prepare.measure import HASH_EVERY, SHARPNESS_EVERY, TRUST_EVERY, Measurement
from artmirror.train.prepare.shots import (
    Rules,
    Shot,
    chunks_of,
    find_shots,
    hash_distance,
    hold_out,
    without_duplicates,
)
from artmirror.train.prepare.video import Margins

SIZE = Size(360, 640)
RULES = Rules()


def measured(frames: int = 100, cuts: tuple[int, ...] = (), seed: int = 0, **columns: object) -> Measurement:
    """Return the figures of a good video of 1280x720, measured at 320x180; columns may be numbers or arrays."""
    values: dict[str, object] = {"motion": 1.0, "trust": 0.9, "luma": 120.0, "contrast": 50.0, "sharpness": 0.1}
    values |= columns
    every = {"trust": TRUST_EVERY, "sharpness": SHARPNESS_EVERY}
    arrays = {
        name: np.broadcast_to(np.float32(values[name]), -(-frames // every.get(name, 1))).copy()  # type: ignore[arg-type]
        for name in ("motion", "trust", "luma", "contrast", "sharpness")
    }
    hashes = np.random.default_rng(seed).integers(0, 256, (-(-frames // HASH_EVERY), 2, 32), np.uint8)
    return Measurement(
        size=columns.get("size", Size(720, 1280)),  # type: ignore[arg-type]
        small=Size(180, 320),
        fps=25.0,
        remarks=(),
        cuts=cuts,
        time_s=np.arange(frames) / 25,
        bars=np.broadcast_to(np.int16(columns.get("bars", (0, 0, 0, 0))), (frames, 4)),  # type: ignore[arg-type]
        hashes=hashes,
        thumbnails=tuple(b"%d" % index for index in range(len(cuts) + 1)),
        **arrays,
    )


def only_shot(found: Measurement, rules: Rules = RULES) -> Shot:
    (shot,) = find_shots(found, 0, 0, SIZE, rules)
    return shot


def ramp(frames: int, **stretches: tuple[int, int, float]) -> list[float]:
    """Ones, but in stretches (first, end, value)."""
    values = [1.0] * frames
    for first, end, value in stretches.values():
        values[first:end] = [value] * (end - first)
    return values


class TestCutting:
    def test_shots_lie_between_cuts_without_the_frames_beside_them(self) -> None:
        shots = find_shots(measured(120, cuts=(30, 80)), source=3, first_number=7, size=SIZE, rules=RULES)
        assert [(shot.number, shot.source, shot.first_frame, shot.frames) for shot in shots] == [
            (7, 3, 0, 30),
            (8, 3, 30, 50),
            (9, 3, 80, 40),
        ]
        # Two frames at the file's ends, where the detector is blind, and one at a cut.
        assert [shot.parts for shot in shots] == [((2, 29),), ((31, 79),), ((81, 118),)]
        assert [(shot.start_s, shot.end_s) for shot in shots] == [(0.0, 1.2), (1.2, 3.2), (3.2, 4.8)]
        assert [shot.thumbnail for shot in shots] == [b"0", b"1", b"2"]
        assert not any(shot.dropped for shot in shots)

    def test_motion_is_in_pixels_of_the_dataset(self) -> None:
        assert only_shot(measured(motion=1.5)).motion_px == 3.0  # 320 wide when measured, 640 now
        half = find_shots(measured(motion=1.5), 0, 0, Size(180, 320), RULES)
        assert half[0].motion_px == 1.5

    def test_what_a_cut_seems_to_move_does_not_count(self) -> None:
        motion = np.ones(100, np.float32)
        motion[[0, 50]] = 900
        shots = find_shots(measured(cuts=(50,), motion=motion), 0, 0, SIZE, RULES)
        assert [shot.motion_px for shot in shots] == [2.0, 2.0]


class TestRules:
    @pytest.mark.parametrize(
        ("rule", "why", "columns"),
        [
            ("dark", "mean luma 15.0, wanted 16", {"luma": 15}),
            ("flat", "contrast 5.0, wanted 6", {"contrast": 5}),
            ("short", "15 frames, wanted 16", {"frames": 15}),
            ("short", "no 16 frames are left", {"frames": 18}),
            ("static", "moves 0.080 px a frame, wanted 0.1", {"motion": 0.04}),
            ("fast", "moves 42.0 px a frame, at most 40", {"motion": 21}),
            ("untrusted", "flow is consistent on 45%, wanted 50%", {"trust": 0.45}),
            ("blurred", "sharpness 0.0010, wanted 0.002", {"sharpness": 0.001}),
            ("small", "enlarged 1.60 times, at most 1.5", {"size": Size(225, 400)}),
        ],
    )
    def test_each_drops_with_its_number(self, rule: str, why: str, columns: dict[str, object]) -> None:
        frames = columns.pop("frames", 100)
        shot = only_shot(measured(frames, **columns))  # type: ignore[arg-type]
        assert shot.dropped == rule
        assert shot.why.startswith(why)
        assert shot.usable_frames == 0
        assert chunks_of(shot, RULES, 16) == []

    @pytest.mark.parametrize(
        "columns",
        [
            {"luma": 16.5},
            {"contrast": 6.5},
            {"frames": 20},
            {"motion": 0.06},
            {"motion": 19},
            {"trust": 0.52},
            {"sharpness": 0.0021},
            {"size": Size(242, 430)},
        ],
    )
    def test_what_is_just_good_enough_stays(self, columns: dict[str, object]) -> None:
        frames = columns.pop("frames", 100)
        assert only_shot(measured(frames, **columns)).dropped == ""  # type: ignore[arg-type]

    def test_thresholds_are_the_callers(self) -> None:
        assert only_shot(measured(luma=30), replace(RULES, min_luma=31)).dropped == "dark"
        assert only_shot(measured(50), replace(RULES, min_frames=47)).dropped == "short"
        assert only_shot(measured(50), replace(RULES, min_frames=46)).dropped == ""

    def test_a_fade_to_black_is_left_out(self) -> None:
        shot = only_shot(measured(luma=[120] * 70 + [8] * 30))
        assert shot.dropped == ""
        assert shot.parts == ((2, 70),)

    def test_a_long_still_stretch_is_cut_out_and_a_short_one_is_not(self) -> None:
        moving = measured(200, motion=ramp(200, long=(50, 90, 0.0), short=(140, 164, 0.0)))
        assert only_shot(moving).parts == ((2, 50), (90, 198))
        assert only_shot(moving, replace(RULES, max_still_frames=23)).parts == ((2, 50), (90, 140), (164, 198))
        assert only_shot(moving, replace(RULES, max_still_frames=40)).parts == ((2, 198),)

    def test_moves_too_seldom(self) -> None:
        shot = only_shot(measured(100, motion=ramp(100, before=(0, 45, 0.0), after=(55, 100, 0.0))))
        assert (shot.dropped, shot.why) == ("static", "nothing but still stretches of more than 24 frames")


class TestBars:
    def test_a_letterbox_is_cropped_with_its_blurred_edge(self) -> None:
        shot = only_shot(measured(bars=(0, 23, 0, 24), motion=1.5))
        assert shot.margins == pytest.approx(Margins(0, 24 / 180, 0, 24 / 180))
        # The width still fills the frame; and the motion is that of the picture between the bars.
        inner = 1 - 48 / 180
        assert shot.motion_px == pytest.approx(1.5 * 2 * (1 / inner) / inner, rel=1e-3)

    @pytest.mark.parametrize("bars", [(0, 9, 0, 0), (0, 3, 0, 3), (160, 90, 160, 90)], ids=["one", "thin", "all"])
    def test_what_is_no_letterbox_stays(self, bars: tuple[int, int, int, int]) -> None:
        assert only_shot(measured(bars=bars)).margins == Margins()

    def test_a_bar_is_there_in_every_frame(self) -> None:
        bars = np.tile(np.int16([0, 30, 0, 30]), (100, 1))
        bars[40] = (0, 12, 0, 30)
        assert only_shot(measured(bars=bars)).margins.top == pytest.approx(13 / 180)


class TestDuplicates:
    def test_the_shorter_of_two_goes_mirrored_or_not(self) -> None:
        long, other = measured(100, seed=1), measured(90, seed=2)
        copy, mirrored = measured(60, seed=3), measured(80, seed=4)
        copy.hashes[:] = long.hashes[10:40]  # shows what the long one shows from frame 20 to 80
        copy.hashes[:, :, 0] ^= 0xFF  # 8 bits of noise
        mirrored.hashes[:] = other.hashes[5:45, ::-1]
        found = [find_shots(each, i, i, SIZE, RULES)[0] for i, each in enumerate((copy, long, mirrored, other))]
        judged = without_duplicates(found)
        assert [shot.dropped for shot in judged] == ["duplicate", "", "duplicate", ""]
        assert judged[0].why == "shows what shot 1 shows: 8 of 256 bits differ, at most 48"
        assert judged[2].why == "shows mirrored what shot 3 shows: 0 of 256 bits differ, at most 48"

    def test_of_equally_long_ones_the_first_stays(self) -> None:
        found = [find_shots(measured(seed=5), i, i, SIZE, RULES)[0] for i in range(3)]
        assert [shot.dropped for shot in without_duplicates(found)] == ["", "duplicate", "duplicate"]

    def test_a_shot_that_is_dropped_already_is_nobodys_original(self) -> None:
        dark, good = measured(120, seed=6, luma=3), measured(100, seed=6)
        good.hashes[:] = dark.hashes[:50]
        found = [find_shots(each, i, i, SIZE, RULES)[0] for i, each in enumerate((dark, good))]
        assert [shot.dropped for shot in without_duplicates(found)] == ["dark", ""]

    def test_distance_is_the_median_over_the_shot(self) -> None:
        one = np.zeros((9, 2, 32), np.uint8)
        one[:, 1] = 0xFF  # so that the mirrored picture is far away
        other = one.copy()
        other[:4] ^= 0xFF  # a third of the probes shows something else
        assert hash_distance(other, one[:1]) == (0, False)
        other[:5] = 0xF0
        assert hash_distance(other, one[:1]) == (128, False)


class TestChunks:
    def test_a_rest_of_eight_frames_stays_and_a_smaller_one_goes(self) -> None:
        for frames, wanted in ((2 + 40 + 2, [16, 16, 8]), (2 + 39 + 2, [16, 16])):
            chunks = chunks_of(only_shot(measured(frames)), RULES, 16)
            assert [chunk.frames for chunk in chunks] == wanted
            assert [chunk.first_frame for chunk in chunks] == [2, 18, 34][: len(wanted)]
            assert [chunk.key for chunk in chunks] == [f"shot000000-{i:03d}" for i in range(len(wanted))]

    def test_no_chunk_reaches_over_a_stretch_that_was_cut_out(self) -> None:
        shot = only_shot(measured(200, motion=ramp(200, still=(50, 90, 0.0))))
        spans = [(chunk.first_frame, chunk.first_frame + chunk.frames) for chunk in chunks_of(shot, RULES, 16)]
        assert spans[:3] == [(2, 18), (18, 34), (34, 50)]
        assert spans[3][0] == 90

    def test_of_a_long_shot_chunks_are_taken_evenly(self) -> None:
        chunks = chunks_of(only_shot(measured(4 + 16 * 100)), replace(RULES, max_shot_frames=64), 16)
        assert [chunk.first_frame for chunk in chunks] == [2 + 16 * i for i in (12, 37, 62, 87)]

    def test_motion_is_the_chunks_own(self) -> None:
        motion = ramp(100, quick=(34, 50, 4.0))
        chunks = chunks_of(only_shot(measured(100, motion=motion)), RULES, 16)
        assert [chunk.motion_px for chunk in chunks[:4]] == [2.0, 2.0, 8.0, 2.0]


class TestHoldOut:
    def test_whole_sources_up_to_the_share(self) -> None:
        frames = [100, 30, 0, 50, 20]
        assert hold_out(frames, [0, 1, 2, 3, 4], 0.3) == {1, 4}
        assert hold_out(frames, [3, 0, 1, 2, 4], 0.3) == {3}
        assert hold_out(frames, [0, 1, 2, 3, 4], 0.01) == {4}  # none fits in: the smallest

    def test_never_the_only_one(self) -> None:
        assert hold_out([100, 0], [0, 1], 0.5) == set()
        assert hold_out([100, 30], [0, 1], 0.0) == set()
