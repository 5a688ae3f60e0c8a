"""Videos, folders and data sets with ground truth, laid out in temporary folders as their archives unpack."""

from collections.abc import Callable
from pathlib import Path

import click
import numpy as np
import pytest

from artmirror.benchmarks.temporal.sequences import FrameSequence, open_photos, open_sequences
from artmirror.runtime.common.flow import write_flow
from tests.fakes.media import clip_pictures, write_clip
from tests.fakes.moving_pictures import SIZE, constant_flow, texture, write_frames, write_picture

FLOW = constant_flow(-3, 1)
COVERED = np.zeros(SIZE, bool)
COVERED[10:20, 10:20] = True


def names(path: Path) -> list[str]:
    return [sequence.name for sequence in open_sequences(str(path), None, None)]


def only(path: Path, size: tuple[int, int] | None = None, max_frames: int | None = None) -> FrameSequence:
    (sequence,) = open_sequences(str(path), size, max_frames)
    return sequence


def error_of(call: Callable[[], object]) -> str:
    with pytest.raises(click.ClickException) as caught:
        call()
    assert "\n" not in caught.value.message
    return caught.value.message


class TestWithoutTruth:
    def test_video_gives_its_frames_each_in_memory_of_its_own(self, tmp_path: Path) -> None:
        pictures = clip_pictures(6, (96, 128))
        sequence = only(write_clip(tmp_path / "a.mp4", pictures))
        frames = [frame.pixels for frame in sequence.frames()]
        assert (sequence.name, sequence.size, len(frames)) == ("a.mp4", (96, 128), 6)
        for found, wanted in zip(frames, pictures, strict=True):
            assert abs(found.mean((0, 1)) - wanted.mean((0, 1))).max() < 6  # lossy

    def test_video_is_cut_and_scaled_on_request(self, tmp_path: Path) -> None:
        sequence = only(write_clip(tmp_path / "a.mp4", clip_pictures(6)), (64, 64), 4)
        assert [frame.pixels.shape for frame in sequence.frames()] == [(64, 64, 3)] * 4

    def test_frames_come_in_the_order_of_their_numbers(self, tmp_path: Path) -> None:
        for number in (10, 9, 1):
            write_picture(tmp_path / f"f{number}.png", np.full((*SIZE, 3), number, np.uint8))
        sequence = only(tmp_path)
        assert [(int(frame.pixels[0, 0, 0]), frame.truth) for frame in sequence.frames()] == [
            (1, None),
            (9, None),
            (10, None),
        ]

    def test_folders_and_patterns_of_sequences(self, tmp_path: Path) -> None:
        write_frames(tmp_path / "shots" / "b10", [texture()])
        write_frames(tmp_path / "shots" / "b9", [texture()])
        (tmp_path / "shots" / "empty").mkdir()
        (tmp_path / "clips").mkdir()
        write_clip(tmp_path / "clips" / "a.mp4", clip_pictures(2))
        assert names(tmp_path / "shots") == ["b9", "b10"]
        assert names(tmp_path / "clips") == ["a.mp4"]
        assert names(tmp_path) == ["a.mp4", "b9", "b10"]
        assert names(tmp_path / "shots" / "b1*") == ["b10"]

    def test_photos_are_spread_over_the_folder(self, tmp_path: Path) -> None:
        for index in range(10):
            write_picture(tmp_path / f"{index}.png", np.full((70, 90 + index, 3), index, np.uint8))
        photos = open_photos(tmp_path, 4, (64, 64))
        found = [frame.pixels for frame in photos.frames()]
        assert [int(pixels[0, 0, 0]) for pixels in found] == [0, 2, 5, 7]
        assert {pixels.shape for pixels in found} == {(64, 64, 3)}
        assert photos.unrelated
        assert open_photos(tmp_path, 99, (64, 64)).frame_count == 10

    def test_errors_say_what_is_wanted(self, tmp_path: Path) -> None:
        write_picture(tmp_path / "one.png", texture())
        assert "single picture" in error_of(lambda: only(tmp_path / "one.png"))
        assert "does not exist" in error_of(lambda: only(tmp_path / "none.mp4"))
        assert "does not exist" in error_of(lambda: only(tmp_path / "*.mp4"))
        (tmp_path / "empty").mkdir()
        assert "neither frames nor videos" in error_of(lambda: only(tmp_path / "empty"))
        (tmp_path / "text.mp4").write_text("no video")
        assert "not a video" in error_of(lambda: only(tmp_path / "text.mp4"))

    def test_frames_of_two_sizes_are_an_error_unless_scaled(self, tmp_path: Path) -> None:
        write_picture(tmp_path / "1.png", texture())
        write_picture(tmp_path / "2.png", texture((64, 64)))
        told = error_of(lambda: list(only(tmp_path).frames()))
        assert "2.png is 64x64, the frames before it are 80x64" in told
        assert [frame.pixels.shape for frame in only(tmp_path, (70, 70)).frames()] == [(70, 70, 3)] * 2


class TestSideBySide:
    def test_flow_and_mask_beside_the_frames(self, tmp_path: Path) -> None:
        sequence = only(write_frames(tmp_path / "alley", [texture()] * 3, FLOW, COVERED))
        frames = list(sequence.frames())
        assert (sequence.name, len(frames)) == ("alley", 3)
        assert frames[2].truth is None
        for frame in frames[:2]:
            assert frame.truth is not None
            assert frame.truth.occlusions
            np.testing.assert_array_equal(frame.truth.flow, FLOW)
            assert not frame.truth.visible[COVERED].any()
            assert not frame.truth.visible[:, :3].any()  # leaves the frame to the left
            assert not frame.truth.visible[-1].any()  # and below
            assert frame.truth.visible.sum() == (SIZE[0] - 1) * (SIZE[1] - 3) - COVERED.sum()

    def test_some_flows_may_be_missing_and_masks_too(self, tmp_path: Path) -> None:
        folder = write_frames(tmp_path / "alley", [texture()] * 4, FLOW, COVERED)
        (folder / "frame_0002.flo").unlink()
        (folder / "occlusion_0003.png").unlink()
        truths = [frame.truth for frame in only(folder).frames()]
        assert [truth is not None for truth in truths] == [True, False, True, False]
        assert truths[2] is not None
        assert not truths[2].occlusions

    def test_ground_truth_keeps_its_size(self, tmp_path: Path) -> None:
        assert only(write_frames(tmp_path / "alley", [texture()] * 2, FLOW), (100, 100)).size == SIZE

    def test_two_pictures_and_a_flow_of_any_name(self, tmp_path: Path) -> None:
        for number in (1, 2):
            write_picture(tmp_path / f"whale{number}.png", texture())
        write_flow(tmp_path / "flow.flo", FLOW)
        assert [frame.truth is not None for frame in only(tmp_path).frames()] == [True, False]

    @pytest.mark.parametrize(
        ("spoil", "message"),
        [
            (lambda folder: (folder / "frame_0001.flo").write_bytes(b"no flow"), "is no Middlebury flow"),
            (lambda folder: write_flow(folder / "frame_0002.flo", FLOW[:-1]), "its flow is 80x63"),
            (lambda folder: write_frames(folder, [texture((96, 96))] * 3), "is for 80x64, its frame is 96x96"),
            (lambda folder: write_picture(folder / "occlusion_0001.png", texture((64, 64))), "its flow is 80x64"),
            (lambda folder: (folder / "frame_0001.png").unlink(), "frame_0001.flo has no frame"),
            (lambda folder: (folder / "frame_0003.png").unlink(), "number 3, after"),
            (lambda folder: write_flow(folder / "frame_0003.flo", FLOW), "number 4, after"),
        ],
    )
    def test_what_does_not_fit_is_an_error(self, tmp_path: Path, spoil: Callable[[Path], object], message: str) -> None:
        folder = write_frames(tmp_path / "alley", [texture()] * 3, FLOW, COVERED)
        spoil(folder)
        assert message in error_of(lambda: list(only(folder).frames()))


@pytest.fixture
def sintel(tmp_path: Path) -> Path:
    """Two scenes in two passes, as in the training part of MPI-Sintel."""
    root = tmp_path / "sintel" / "training"
    for scene in ("alley_1", "cave_2"):
        for number in (1, 2):
            for render in ("clean", "final"):
                write_picture(root / render / scene / f"frame_{number:04}.png", texture(seed=number))
        (root / "flow" / scene).mkdir(parents=True)
        write_flow(root / "flow" / scene / "frame_0001.flo", FLOW)
        write_picture(root / "occlusions" / scene / "frame_0001.png", COVERED.astype(np.uint8) * 255)
    return root


class TestDataSets:
    def test_sintel_root_pass_and_scene(self, sintel: Path) -> None:
        for path in (sintel.parent, sintel, sintel / "clean"):
            assert names(path) == ["clean/alley_1", "clean/cave_2"]
        assert names(sintel / "final") == ["final/alley_1", "final/cave_2"]
        first, second = only(sintel / "final" / "cave_2").frames()
        assert first.truth is not None
        assert first.truth.occlusions
        assert not first.truth.visible[COVERED].any()
        np.testing.assert_array_equal(first.truth.flow, FLOW)
        assert second.truth is None

    def test_middlebury_knows_where_flow_is_unknown(self, tmp_path: Path) -> None:
        for number in (9, 10, 11, 12):  # only frames 10 and 11 have a flow between them
            write_picture(tmp_path / "other-data" / "Urban2" / f"frame{number:02}.png", texture(seed=number))
        (tmp_path / "other-gt-flow" / "Urban2").mkdir(parents=True)
        write_flow(tmp_path / "other-gt-flow" / "Urban2" / "flow10.flo", FLOW, ~COVERED)  # unknown is above 1e9
        sequence = only(tmp_path)
        first, second = sequence.frames()
        assert sequence.name == "Urban2"
        np.testing.assert_array_equal(first.pixels, texture(seed=10))
        np.testing.assert_array_equal(second.pixels, texture(seed=11))
        assert first.truth is not None
        assert not first.truth.occlusions
        assert not first.truth.visible[COVERED].any()
        assert first.truth.visible.sum() == (SIZE[0] - 1) * (SIZE[1] - 3) - COVERED.sum()

    @pytest.mark.parametrize(("flows", "frames"), [("flow_noc", "image_2"), ("flow_occ", "colored_0")])
    def test_kitti(self, tmp_path: Path, flows: str, frames: str) -> None:
        root = tmp_path / "training"
        for scene, size in (("000000", SIZE), ("000001", (70, 90))):
            for number in (10, 11):
                write_picture(root / frames / f"{scene}_{number}.png", texture(size, number))
            (root / flows).mkdir(exist_ok=True)
            known = np.ones(size, bool)
            known[:30] = False  # the sky has no laser points
            write_flow(root / flows / f"{scene}_10.png", constant_flow(-3, 1, size), known)
        one, other = open_sequences(str(tmp_path), None, None)
        assert [(sequence.name, sequence.size) for sequence in (one, other)] == [("000000", SIZE), ("000001", (70, 90))]
        first, _ = one.frames()
        assert first.truth is not None
        assert first.truth.occlusions == (flows == "flow_noc")
        assert not first.truth.visible[:30].any()
        assert first.truth.visible[30:-1, 3:].all()
        np.testing.assert_array_equal(first.truth.flow[40], FLOW[40])

    @pytest.mark.parametrize("damage", [b"no picture", None])
    def test_a_kitti_flow_that_cannot_be_read_is_named(self, tmp_path: Path, damage: bytes | None) -> None:
        for number in (10, 11):
            write_picture(tmp_path / "image_2" / f"000000_{number}.png", texture())
        flow = tmp_path / "flow_occ" / "000000_10.png"
        write_picture(flow, texture())  # 8 bits a channel are no flow
        if damage is not None:
            flow.write_bytes(damage)
        assert "000000_10.png is damaged or no flow" in error_of(lambda: list(only(tmp_path).frames()))

    def test_a_missing_frame_is_named(self, tmp_path: Path) -> None:
        write_picture(tmp_path / "image_2" / "000000_10.png", texture())
        (tmp_path / "flow_occ").mkdir()
        write_flow(tmp_path / "flow_occ" / "000000_10.png", FLOW)
        assert "000000_11.png is missing" in error_of(lambda: only(tmp_path))
