"""Temporal error against values that are known in closed form."""

import math
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest

from artmirror.benchmarks.temporal.metric import e_stab, edge_energy, squared_error, visible_by_truth
from artmirror.benchmarks.temporal.run import WARMUP_FRAMES, Comparison, measure_temporal
from artmirror.benchmarks.temporal.sequences import FrameSequence, open_photos, open_sequences
from artmirror.benchmarks.temporal.summary import (
    edge_error,
    median_ms,
    pairs_at,
    ratio,
    temporal_error,
    times_spread,
)
from artmirror.runtime.common.flow import dis_flow
from tests.fakes.moving_pictures import (
    SIZE,
    FunctionPainter,
    Picture,
    constant_flow,
    shifted,
    texture,
    write_frames,
    write_picture,
)

EVERYWHERE = np.ones(SIZE, bool)
STILL = constant_flow(0)
COMPARISON = Comparison((1, 5), dis_flow, None, 1)


def sequence_of(folder: Path) -> FrameSequence:
    (sequence,) = open_sequences(str(folder), None, None)
    return sequence


def measured(
    sequences: Sequence[FrameSequence], *painters: FunctionPainter, comparison: Comparison = COMPARISON
) -> tuple[dict[int, float | None], ...]:
    """Return e_stab by step of the input and of each painter."""
    records, found = measure_temporal(sequences, lambda size: painters, comparison)
    return tuple({step: temporal_error(row, records, step) for step in comparison.steps} for row in found)


class TestDefinition:
    def test_a_brightness_offset_is_the_error(self) -> None:
        picture = texture()
        assert e_stab([squared_error(picture, picture + 20, STILL, EVERYWHERE)]) == pytest.approx(20 / 255, rel=1e-6)

    def test_noise_of_known_variance(self) -> None:
        size, deviation = (256, 256), 10
        still, everywhere = constant_flow(0, size=size), np.ones(size, bool)
        rng = np.random.default_rng(0)
        first, second = (np.rint(rng.normal(128, deviation, (*size, 3))).astype(np.uint8) for _ in range(2))
        found = e_stab([squared_error(first, second, still, everywhere)])
        assert found == pytest.approx(math.sqrt(2) * deviation / 255, rel=0.01)

    def test_an_exact_shift_has_no_error(self) -> None:
        first, second = shifted(2, 3)
        flow = constant_flow(-3)
        visible = visible_by_truth(flow, EVERYWHERE, None)
        assert visible.mean() == (SIZE[1] - 3) / SIZE[1]
        assert squared_error(first, second, flow, visible) == 0
        assert squared_error(first, second, constant_flow(3), visible) > 0  # the other direction is not the same

    def test_hidden_pixels_count_in_the_mean(self) -> None:
        picture, half = texture(), EVERYWHERE.copy()
        half[:, : SIZE[1] // 2] = False
        found = e_stab([squared_error(picture, picture + 20, STILL, half)])
        assert found == pytest.approx(20 / 255 * math.sqrt(1 / 2), rel=1e-6)

    def test_edges_are_squared_slopes_where_they_are_seen(self) -> None:
        ramp = np.broadcast_to(np.arange(SIZE[1], dtype=np.uint8)[None, :, None] * 2, (*SIZE, 3))
        half = EVERYWHERE.copy()
        half[SIZE[0] // 2 :] = False
        assert edge_energy(ramp, EVERYWHERE) == pytest.approx((2 / 255) ** 2, rel=1e-4)
        assert edge_energy(np.ascontiguousarray(ramp.transpose(1, 0, 2)), EVERYWHERE.T) == pytest.approx(
            (2 / 255) ** 2, rel=1e-4
        )
        assert edge_energy(ramp, half) == pytest.approx((2 / 255) ** 2 / 2, rel=0.02)

    def test_half_a_pixel_is_interpolated(self) -> None:
        ramp = np.broadcast_to(np.arange(SIZE[1], dtype=np.uint8)[None, :, None] * 2, (*SIZE, 3))
        flow = constant_flow(-0.5)
        visible = visible_by_truth(flow, EVERYWHERE, None)
        assert squared_error(np.ascontiguousarray(ramp), np.ascontiguousarray(ramp + 1), flow, visible) < 1e-12

    def test_pairs_are_pooled_before_the_root(self) -> None:
        assert e_stab([0.01, 0.09]) == pytest.approx(math.sqrt(0.05))

    def test_no_pair_is_no_zero(self) -> None:
        with pytest.raises(ValueError, match="no pair"):
            e_stab([])

    def test_given_flow_counts_where_it_is_known_inside_and_not_covered(self) -> None:
        valid, occluded = EVERYWHERE.copy(), ~EVERYWHERE
        valid[0], occluded[1] = False, True
        visible = visible_by_truth(constant_flow(0, 1), valid, occluded)
        assert not visible[[0, 1, -1]].any()  # unknown, covered, below the frame
        assert visible[2:-1].all()


def flashing(offset: int) -> FunctionPainter:
    """Every other frame is brighter."""
    return FunctionPainter(lambda number, frame: frame + np.uint8(offset * (number % 2)))


class TestRun:
    def test_flashing_is_seen_at_odd_steps_only(self, tmp_path: Path) -> None:
        still = sequence_of(write_frames(tmp_path / "still", [texture()] * 8, STILL))
        floor, found = measured([still], flashing(20), comparison=Comparison((1, 2), dis_flow, None, 1))
        assert floor == {1: 0, 2: 0}
        assert found == {1: pytest.approx(20 / 255, rel=1e-6), 2: 0}

    def test_shift_mask_and_offset_together(self, tmp_path: Path) -> None:
        """3 of 80 columns leave the frame, and half of the rest is covered."""
        covered = EVERYWHERE.copy()
        covered[SIZE[0] // 2 :] = False
        moving = sequence_of(write_frames(tmp_path / "moving", shifted(4, 3), constant_flow(-3), covered))
        floor, found = measured([moving], flashing(20))
        assert floor[1] == 0
        assert found[1] == pytest.approx(20 / 255 * math.sqrt(77 / 80 / 2), rel=1e-6)

    def test_pairs_of_all_steps_are_counted_and_placed(self, tmp_path: Path) -> None:
        folder = write_frames(tmp_path / "still", [texture()] * 7, STILL)
        (record,), _ = measure_temporal([sequence_of(folder)], lambda size: [], COMPARISON)
        assert [pair.first for pair in record.pairs if pair.step == 1] == [0, 1, 2, 3, 4, 5]
        assert [pair.first for pair in record.pairs if pair.step == 5] == [0, 1]
        assert {(pair.step, pair.flow, pair.occlusions) for pair in record.pairs} == {
            (1, "truth", False),
            (5, "dis", True),
        }

    def test_step_five_compares_frames_five_apart(self, tmp_path: Path) -> None:
        """Brightness that grows by 3 a frame: 3 apart at step 1, 15 at step 5; the input stands still."""
        still = sequence_of(write_frames(tmp_path / "still", [texture()] * 12, STILL))
        _, found = measured([still], FunctionPainter(lambda number, frame: frame + np.uint8(3 * number)))
        (record,), _ = measure_temporal([still], lambda size: [], COMPARISON)
        assert found[1] == pytest.approx(3 / 255, rel=1e-6)
        share = [pair.visible for pair in pairs_at([record], 5)]  # nearly all of a still texture is trusted
        assert min(share) > 0.95
        assert found[5] == pytest.approx(15 / 255 * math.sqrt(np.mean(share)), rel=1e-6)

    def test_estimated_flow_follows_a_shift(self, tmp_path: Path) -> None:
        knots = np.random.default_rng(0).integers(60, 190, (40, 60, 3), np.uint8)
        wide = cv2.resize(knots, (360, 240), interpolation=cv2.INTER_CUBIC)
        frames = [np.ascontiguousarray(wide[:, 4 * index :][:, :320]) for index in range(3)]
        floor, found = measured([sequence_of(write_frames(tmp_path / "wide", frames))], flashing(20))
        assert floor[1] is not None
        assert found[1] is not None
        unmoved = squared_error(frames[0], frames[1], constant_flow(0, size=(240, 320)), np.ones((240, 320), bool))
        assert floor[1] < 0.1 * e_stab([unmoved])
        assert found[1] == pytest.approx(20 / 255, rel=0.1)

    def test_a_sharper_picture_owes_more_to_a_wrong_flow(self, tmp_path: Path) -> None:
        """The flow given is a pixel short. Twice the contrast makes twice the error, all of it at edges."""
        dim = [frame // 2 for frame in shifted(3, 3)]
        moving = sequence_of(write_frames(tmp_path / "moving", dim, constant_flow(-2)))
        sharp = FunctionPainter(lambda number, frame: frame * np.uint8(2))
        records, (floor, painted, jumpy) = measure_temporal([moving], lambda size: [sharp, flashing(100)], COMPARISON)
        error = temporal_error(floor, records, 1)
        assert error is not None
        assert error > 0
        assert edge_error(floor, floor, records, 1) == pytest.approx(error)
        assert temporal_error(painted, records, 1) == pytest.approx(2 * error)
        assert edge_error(painted, floor, records, 1) == pytest.approx(2 * error)
        found, expected = temporal_error(jumpy, records, 1), edge_error(jumpy, floor, records, 1)
        assert found is not None
        assert expected is not None
        assert found > 1.5 * expected
        assert edge_error(painted, floor, records, 5) is None

    def test_an_input_without_edges_owes_nothing_to_them(self, tmp_path: Path) -> None:
        even = sequence_of(write_frames(tmp_path / "even", [np.full((*SIZE, 3), 9, np.uint8)] * 2, STILL))
        records, (floor, painted) = measure_temporal([even], lambda size: [flashing(20)], COMPARISON)
        assert edge_error(painted, floor, records, 1) == 0

    def test_sequences_of_different_error_pool_by_pair(self, tmp_path: Path) -> None:
        """Three pairs without error and one with: half the error, not a quarter of it."""
        calm = sequence_of(write_frames(tmp_path / "calm", [texture()] * 4, STILL))
        jumpy = sequence_of(write_frames(tmp_path / "jumpy", [texture(), texture() + 40], STILL))
        (floor,) = measured([calm, jumpy])
        assert floor == {1: pytest.approx(40 / 255 / 2, rel=1e-6), 5: None}

    def test_kinds_of_flow_can_be_told_apart(self, tmp_path: Path) -> None:
        given = sequence_of(write_frames(tmp_path / "given", [texture(), texture() + 10], STILL))
        estimated = sequence_of(write_frames(tmp_path / "estimated", [texture(), texture()]))
        records, (row,) = measure_temporal([given, estimated], lambda size: [], COMPARISON)
        assert temporal_error(row, records, 1, flow="truth") == pytest.approx(10 / 255, rel=1e-6)
        assert temporal_error(row, records, 1, flow="dis") == 0
        assert temporal_error(row, records, 1, only=1) == 0
        assert temporal_error(row, records, 5, flow="truth") is None

    def test_painters_open_once_a_size_and_keep_their_place(self, tmp_path: Path) -> None:
        sizes = [SIZE, (96, 96), SIZE]
        sequences = [
            sequence_of(write_frames(tmp_path / str(index), [texture(size)] * 2)) for index, size in enumerate(sizes)
        ]
        opened: list[FunctionPainter] = []

        def open_painters(size: tuple[int, int]) -> list[FunctionPainter]:
            assert all(painter.closed for painter in opened)
            pair = [FunctionPainter(lambda number, frame: frame, name) for name in ("a", "b")]
            pair[0].note = f"cut at {size[0]}"
            opened.extend(pair)
            return pair

        records, found = measure_temporal(sequences, open_painters, COMPARISON)
        assert len(opened) == 4
        assert all(painter.closed for painter in opened)
        assert [(record.height, record.width) for record in records] == sizes
        assert [row.info.label for row in found] == ["input", "a", "b"]
        assert found[1].info.note == "cut at 64; cut at 96"
        assert len(found[1].warmup_ns) == 2 * WARMUP_FRAMES
        assert [len(values.latency_ns) for values in found[1].values] == [2, 2, 2]

    def test_painters_take_turns_at_being_first(self, tmp_path: Path) -> None:
        order: list[str] = []

        def told(name: str) -> FunctionPainter:
            def paint(number: int, frame: Picture) -> Picture:
                order.append(name)
                return frame

            return FunctionPainter(paint, name)

        measured([sequence_of(write_frames(tmp_path / "a", [texture()] * 4))], told("a"), told("b"))
        assert "".join(order) == "abbaabba"

    def test_photos_make_no_pairs(self, tmp_path: Path) -> None:
        for index in range(6):
            write_picture(tmp_path / f"{index}.png", texture(seed=index))
        photos = open_photos(tmp_path, 3, SIZE)
        (record,), (row,) = measure_temporal([photos], lambda size: [], COMPARISON)
        assert (record.frames, record.unrelated, record.pairs) == (3, True, ())
        assert temporal_error(row, [record], 1) is None

    def test_time_is_the_median_at_the_size_of_most_frames(self, tmp_path: Path) -> None:
        large = sequence_of(write_frames(tmp_path / "large", [texture((96, 96))] * 2))
        small = sequence_of(write_frames(tmp_path / "small", [texture()] * 3))
        painter = FunctionPainter(lambda number, frame: frame)
        records, rows = measure_temporal([large, small], lambda size: [painter], COMPARISON)
        assert rows[1].values[1].latency_ns == (9_000_000, 10_000_000, 11_000_000)
        assert median_ms(rows[1], records) == 10
        assert median_ms(rows[0], records) is None
        assert times_spread(rows[1], records) == pytest.approx(0.1)  # from 9.5 to 10.5
        assert times_spread(rows[0], records) is None

    def test_a_ratio_to_nothing_is_none(self) -> None:
        assert ratio(0.2, 0.1) == 2
        assert ratio(0.2, 0.0) is None
        assert ratio(None, 0.1) is None
