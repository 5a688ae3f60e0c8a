"""Flow: known motion, occlusion, the two inequalities, warping, files; ground truth where it is at hand."""

import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.runtime.common.flow import (
    FlowEstimator,
    decode_flow_png,
    dense_flow,
    dis_flow,
    encode_flow_png,
    endpoint_error,
    farneback_flow,
    inside,
    open_flow,
    read_flow,
    trusted,
    warp_error,
    warp_image,
    write_flow,
)
from artmirror.train.objective.warp import warp
from tests.fakes.clip_dataset import texture
from tests.places import SHARED

TRUTH = SHARED / "data" / "flow_gt"

Rgb = NDArray[np.uint8]
Flow = NDArray[np.float32]


def moved(ground: Rgb, flow_at: Callable[[Flow, Flow], tuple[Flow, Flow]], side: int) -> tuple[Rgb, Rgb, Flow]:
    """Cut two frames out of the middle of a ground so that the flow from the first to the second is exact."""
    margin = (ground.shape[0] - side) // 2
    x, y = np.meshgrid(*[np.arange(side, dtype=np.float32)] * 2)
    dx, dy = flow_at(x - (side - 1) / 2, y - (side - 1) / 2)
    flow = np.stack([dx, dy], axis=-1).astype(np.float32)
    second = ground[margin : margin + side, margin : margin + side]
    first = cv2.remap(ground, x + margin + flow[..., 0], y + margin + flow[..., 1], cv2.INTER_CUBIC)
    return first, np.ascontiguousarray(second), flow


def shift(x: Flow, y: Flow) -> tuple[Flow, Flow]:
    return np.full_like(x, 2.25), np.full_like(y, -1.5)


def turn(x: Flow, y: Flow) -> tuple[Flow, Flow]:
    angle = np.deg2rad(2)
    return np.cos(angle) * x - np.sin(angle) * y - x, np.sin(angle) * x + np.cos(angle) * y - y


class TestEstimators:
    @pytest.mark.parametrize("motion", [shift, turn])
    @pytest.mark.parametrize(("name", "limit_px"), [("dis", 0.1), ("farneback", 0.1)])
    def test_known_motion_is_found(
        self, name: str, limit_px: float, motion: Callable[[Flow, Flow], tuple[Flow, Flow]]
    ) -> None:
        first, second, truth = moved(texture(200, 200, 1), motion, 160)
        forward, backward = dense_flow(first, second, open_flow(name))
        assert forward.shape == (160, 160, 2)
        assert forward.dtype == backward.dtype == np.float32
        middle = np.s_[10:-10, 10:-10]
        assert endpoint_error(forward, truth)[middle].mean() < limit_px
        assert endpoint_error(backward, -truth)[middle].mean() < limit_px + 0.1  # a turn's inverse is not its negative
        assert trusted(forward, backward)[middle].mean() > 0.97

    @pytest.mark.parametrize("estimator", [dis_flow, farneback_flow])
    def test_threads_and_earlier_frames_change_nothing(self, estimator: FlowEstimator) -> None:
        first, second, _ = moved(texture(200, 200, 2), turn, 160)
        threads = cv2.getNumThreads()
        try:
            found = []
            for count in (1, 2, 4):
                cv2.setNumThreads(count)
                found.append(estimator(first, second))
                estimator(second[:64, :80], first[:64, :80])
        finally:
            cv2.setNumThreads(threads)
        np.testing.assert_array_equal(found[1], found[0])
        np.testing.assert_array_equal(found[2], found[0])

    def test_an_unknown_name_is_told(self) -> None:
        with pytest.raises(ArtmirrorError, match="no flow named 'lucas'; wanted dis or farneback"):
            open_flow("lucas")

    def test_frames_that_do_not_fit_are_told(self) -> None:
        big, small = np.zeros((20, 30, 3), np.uint8), np.zeros((20, 29, 3), np.uint8)
        with pytest.raises(ArtmirrorError, match="frames of 30x20 and 29x20; wanted one size of at least 16x16"):
            dense_flow(big, small, dis_flow)
        with pytest.raises(ArtmirrorError, match="at least 16x16"):
            dense_flow(big[:8], big[:8], dis_flow)
        assert dense_flow(big[:16, :16], big[:16, :16], dis_flow)[0].shape == (16, 16, 2)

    def test_no_torch_is_wanted(self) -> None:
        code = (
            "import sys; sys.modules['torch'] = None; "
            "from artmirror.runtime.common.flow import open_flow; open_flow('dis')"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


class TestTrusted:
    def test_a_square_that_moves_over_a_ground_hides_some_of_it(self) -> None:
        ground, square = texture(120, 160, 3), texture(40, 40, 4)
        first, second = ground.copy(), ground.copy()
        first[40:80, 40:80] = square
        second[40:80, 50:90] = square
        forward = np.zeros((120, 160, 2), np.float32)
        forward[40:80, 40:80, 0] = 10
        backward = np.zeros_like(forward)
        backward[40:80, 50:90, 0] = -10
        exact = trusted(forward, backward)
        hidden = np.zeros((120, 160), bool)
        hidden[40:80, 80:90] = True  # the square comes to lie there
        assert not exact[hidden].any()
        assert exact[45:75, 45:75].all()
        edge = np.zeros_like(hidden)
        edge[38:82, 38:82] = True
        edge[42:78, 42:78] = False
        assert exact[~hidden & ~edge].all()
        assert not exact[41:79, 40].any()  # motion boundary, one pixel to each side
        assert not exact[41:79, 39].any()

        estimated = trusted(*dense_flow(first, second, dis_flow))
        assert estimated[hidden].mean() < 0.15
        assert estimated[48:72, 48:72].mean() > 0.95
        assert estimated[:30].mean() > 0.95

    @pytest.mark.parametrize(("difference_px", "kept"), [(0.86, True), (0.90, False)])
    def test_the_bound_of_disocclusion(self, difference_px: float, kept: bool) -> None:
        # |w| = |v| = 4 about: 0.01 (16 + v^2) + 0.5 = 0.7 + ..., and d^2 crosses it between 0.86 and 0.90.
        forward = np.full((20, 20, 2), (4, 0), np.float32)
        backward = np.full((20, 20, 2), (-4 + difference_px, 0), np.float32)
        bound = 0.01 * (16 + (4 - difference_px) ** 2) + 0.5
        assert (difference_px**2 <= bound) == kept
        assert trusted(forward, backward)[5:15, 5:15].all() == kept

    @pytest.mark.parametrize(("slope", "kept"), [(0.044, True), (0.046, False)])
    def test_the_bound_of_motion_boundaries(self, slope: float, kept: bool) -> None:
        # Along y so that x + w does not change w: |grad w_x|^2 = slope^2 against 0.002 where the flow is 0.
        forward = np.zeros((21, 21, 2), np.float32)
        forward[..., 0] = slope * (np.arange(21, dtype=np.float32)[:, None] - 10)
        assert trusted(forward, -forward)[10, 10] == kept
        assert not trusted(forward * 30, -forward * 30)[10, 10]

    def test_backward_flow_is_sampled_where_the_forward_flow_ends(self) -> None:
        forward = np.full((20, 40, 2), (10, 0), np.float32)
        backward = np.zeros_like(forward)
        backward[:, 20:] = (-10, 0)
        mask = trusted(forward, backward)
        assert mask[:, 10:30].all()
        assert not mask[:, :10].any()
        assert not mask[:, 30:].any()  # leaves the frame

    def test_what_is_not_a_number_is_not_trusted(self) -> None:
        flow = np.zeros((20, 20, 2), np.float32)
        broken = flow.copy()
        broken[10, 10] = np.nan
        assert not trusted(broken, flow)[10, 10]
        assert trusted(flow, flow).all()


class TestWarp:
    @pytest.mark.parametrize("dtype", [np.uint8, np.float32])
    @pytest.mark.parametrize(("dx", "dy"), [(0, 0), (3, 0), (0, 2), (2, 1)])
    def test_whole_pixels_are_a_shift(self, dx: int, dy: int, dtype: type) -> None:
        image = np.random.default_rng(0).integers(0, 255, (10, 14, 3)).astype(dtype)
        warped = warp_image(image, np.full((10, 14, 2), (dx, dy), np.float32))
        assert warped.dtype == dtype
        np.testing.assert_array_equal(warped[: 10 - dy, : 14 - dx], image[dy:, dx:])
        np.testing.assert_array_equal(warped[:, 13], warped[:, 13 - dx])  # beyond the border, its value

    def test_it_is_the_warp_of_the_losses(self) -> None:
        rng = np.random.default_rng(0)
        image = rng.random((40, 50, 3), np.float32)
        flow = rng.uniform(-6, 6, (40, 50, 2)).astype(np.float32)
        theirs = warp(*(torch.from_numpy(array).permute(2, 0, 1)[None] for array in (image, flow)))
        np.testing.assert_allclose(warp_image(image, flow), theirs[0].permute(1, 2, 0), rtol=0, atol=1e-4)

    def test_inside_is_where_the_flow_ends_within_the_frame(self) -> None:
        flow = np.zeros((4, 5, 2), np.float32)
        assert inside(flow).all()
        flow[..., 0], flow[..., 1] = 2, -1
        expected = np.zeros((4, 5), bool)
        expected[1:, :3] = True
        np.testing.assert_array_equal(inside(flow), expected)
        flow[..., 0] = 0.5
        assert not inside(flow)[:, 4].any()

    def test_errors_are_in_pixels_and_in_parts_of_full_scale(self) -> None:
        flow, truth = np.full((6, 8, 2), (3, 4), np.float32), np.zeros((6, 8, 2), np.float32)
        np.testing.assert_array_equal(endpoint_error(flow, truth), 5)
        first, second = np.zeros((6, 8, 3), np.uint8), np.full((6, 8, 3), 51, np.uint8)
        mask = np.zeros((6, 8), bool)
        assert np.isnan(warp_error(first, second, truth, mask))
        mask[2] = True
        assert warp_error(first, second, truth, mask) == pytest.approx(0.2)
        first[3] = 200  # outside the mask
        assert warp_error(first, second, truth, mask) == pytest.approx(0.2)


class TestFiles:
    @pytest.fixture
    def flow(self) -> Flow:
        return np.random.default_rng(0).uniform(-40, 40, (7, 9, 2)).astype(np.float32)

    @pytest.fixture
    def valid(self) -> NDArray[np.bool_]:
        return np.random.default_rng(1).random((7, 9)) < 0.7

    @pytest.mark.parametrize(("suffix", "exactness_px"), [(".flo", 0), (".png", 1 / 128)])
    def test_round_trip(
        self, tmp_path: Path, flow: Flow, valid: NDArray[np.bool_], suffix: str, exactness_px: float
    ) -> None:
        path = tmp_path / f"flow{suffix}"
        write_flow(path, flow, valid)
        found, known = read_flow(path)
        np.testing.assert_array_equal(known, valid)
        np.testing.assert_allclose(found[valid], flow[valid], rtol=0, atol=exactness_px)
        assert not found[~valid].any()
        write_flow(path, flow)
        found, known = read_flow(path)
        assert known.all()
        np.testing.assert_allclose(found, flow, rtol=0, atol=exactness_px)

    def test_opencv_reads_and_writes_the_same_flo(self, tmp_path: Path, flow: Flow) -> None:
        write_flow(tmp_path / "ours.flo", flow)
        np.testing.assert_array_equal(cv2.readOpticalFlow(str(tmp_path / "ours.flo")), flow)
        cv2.writeOpticalFlow(str(tmp_path / "theirs.flo"), flow)
        np.testing.assert_array_equal(read_flow(tmp_path / "theirs.flo")[0], flow)

    def test_kitti_channels_are_u_v_valid_in_red_green_blue(self, tmp_path: Path) -> None:
        write_flow(tmp_path / "flow.png", np.full((2, 3, 2), (1.5, -2), np.float32))
        blue_green_red = cv2.imread(str(tmp_path / "flow.png"), cv2.IMREAD_UNCHANGED)
        assert blue_green_red[0, 0].tolist() == [1, (1 << 15) - 128, (1 << 15) + 96]

    def test_motion_too_large_for_kitti_is_told_unless_not_valid(self, tmp_path: Path) -> None:
        flow = np.full((2, 3, 2), 512, np.float32)
        with pytest.raises(ArtmirrorError, match="512 pixels or more does not fit a KITTI file"):
            write_flow(tmp_path / "flow.png", flow)
        found, known = decode_flow_png(encode_flow_png(flow, np.zeros((2, 3), bool)), "flow")
        assert not found.any()
        assert not known.any()

    def test_unusable_files_are_told(self, tmp_path: Path, flow: Flow) -> None:
        with pytest.raises(ArtmirrorError, match=r"absent\.flo: No such file"):
            read_flow(tmp_path / "absent.flo")
        with pytest.raises(ArtmirrorError, match=r"flow\.txt is no flow; wanted a \.flo"):
            read_flow(tmp_path / "flow.txt")
        with pytest.raises(ArtmirrorError, match=r"cannot write flow to .*flow\.txt"):
            write_flow(tmp_path / "flow.txt", flow)
        with pytest.raises(ArtmirrorError, match=r"cannot write .*flow\.flo: No such file"):
            write_flow(tmp_path / "absent" / "flow.flo", flow)

    @pytest.mark.parametrize(
        ("content", "reason"),
        [
            (b"", "no Middlebury flow"),
            (b"PIEH", "no Middlebury flow"),
            (struct.pack("<fii", 1.0, 2, 1) + bytes(16), "no Middlebury flow"),
            (struct.pack("<fii", 202021.25, 2, 1) + bytes(15), "27 bytes for 2x1 pixels; wanted 28"),
            (struct.pack("<fii", 202021.25, -2, -1) + bytes(16), "28 bytes for -2x-1 pixels"),
        ],
    )
    def test_a_damaged_flo_is_told(self, tmp_path: Path, content: bytes, reason: str) -> None:
        (tmp_path / "bad.flo").write_bytes(content)
        with pytest.raises(ArtmirrorError, match=reason):
            read_flow(tmp_path / "bad.flo")

    def test_a_damaged_kitti_file_is_told(self, tmp_path: Path, flow: Flow) -> None:
        path = tmp_path / "bad.png"
        colours = cv2.imencode(".png", np.zeros((4, 5, 3), np.uint8))[1].tobytes()
        depths = cv2.imencode(".png", np.zeros((4, 5), np.uint16))[1].tobytes()
        for content in (b"", b"text", colours, depths):
            path.write_bytes(content)
            with pytest.raises(ArtmirrorError, match=r"bad\.png is damaged or no flow; wanted a PNG of three channels"):
                read_flow(path)


@pytest.mark.shared
@pytest.mark.skipif(not TRUTH.is_dir(), reason="needs the shared data folder")
@pytest.mark.parametrize(
    ("sequence", "frames", "dis_px", "farneback_px"),
    [
        ("alley_1", ("frame_0001.png", "frame_0002.png", "frame_0001.flo"), 0.33, 0.95),
        ("alley_2", ("frame_0002.png", "frame_0003.png", "frame_0002.flo"), 0.23, 0.38),
        ("rubberwhale", ("rubberwhale1.png", "rubberwhale2.png", "flow.flo"), 0.25, 0.40),
    ],
)
def test_ground_truth(sequence: str, frames: tuple[str, str, str], dis_px: float, farneback_px: float) -> None:
    first, second = (cv2.cvtColor(cv2.imread(str(TRUTH / sequence / name)), cv2.COLOR_BGR2RGB) for name in frames[:2])
    truth, valid = read_flow(TRUTH / sequence / frames[2])
    for estimator, limit_px in ((dis_flow, dis_px), (farneback_flow, farneback_px)):
        forward, backward = dense_flow(first, second, estimator)
        error = endpoint_error(forward, truth)
        assert error[valid].mean() < limit_px
        mask = trusted(forward, backward) & valid
        assert mask.mean() > 0.7
        assert error[mask].mean() < 0.9 * error[valid].mean()
        assert warp_error(first, second, forward, mask) < 0.5 * warp_error(first, second, np.zeros_like(truth), mask)
