"""Photos as a stateless stream of moved pairs, and pictures of all kinds."""

import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.train.batches import batches
from artmirror.train.config import MotionConfig, TrainConfig
from artmirror.train.distributed import Group
from artmirror.train.objective.warp import warp
from artmirror.train.pairs import photos as data
from artmirror.train.pairs.base import Pair, read_painting, read_rgb
from artmirror.train.pairs.photos import MovedPhotos, Photos
from tests.train.conftest import smooth_picture

MakeConfig = Callable[..., TrainConfig]


def _equal(one: Pair, other: Pair) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


class TestMovedPhotos:
    def test_photos_are_found_below_and_nothing_else(self, tmp_path: Path, make_config: MakeConfig) -> None:
        (tmp_path / "below").mkdir()
        (tmp_path / "folder.png").mkdir()
        for name in ("b.png", "below/a.JPEG", "notes.txt", "._b.png", ".hidden.jpg"):
            (tmp_path / name).write_bytes(b"x")
        found = MovedPhotos(tmp_path, make_config()).photos.paths
        assert found == [tmp_path / "b.png", tmp_path / "below" / "a.JPEG"]

    def test_no_photos_and_no_folder_are_told(self, tmp_path: Path, make_config: MakeConfig) -> None:
        with pytest.raises(ArtmirrorError, match=r"holds no photos; wanted .avif, .bmp"):
            MovedPhotos(tmp_path, make_config())
        with pytest.raises(ArtmirrorError, match="absent does not exist; name one with --photos"):
            MovedPhotos(tmp_path / "absent", make_config())

    def test_a_pair_depends_on_index_and_seed_alone(self, photos: Path, make_config: MakeConfig) -> None:
        one, other = MovedPhotos(photos, make_config()), MovedPhotos(photos, make_config())
        pairs = [one[index] for index in range(7)]
        for index in (6, 0, 3):
            assert _equal(other[index], pairs[index])
        assert not any(_equal(pairs[0], pair) for pair in pairs[1:])
        assert not _equal(MovedPhotos(photos, make_config(seed=1))[0], pairs[0])

    def test_shapes_and_ranges(self, photos: Path, make_config: MakeConfig) -> None:
        stream = MovedPhotos(photos, make_config(crop=66, motion=MotionConfig(noise_std=0.5)))
        for index in range(5):  # the photos are wide, tall, and smaller than the crop
            pair = stream[index]
            assert [tuple(tensor.shape) for tensor in pair] == [(3, 66, 66), (3, 66, 66), (2, 66, 66), (1, 66, 66)]
            assert {tensor.dtype for tensor in pair} == {torch.float32}
            for frame in (pair.first, pair.second):
                assert frame.min() >= 0
                assert frame.max() <= 1
            assert set(pair.visible.flatten().tolist()) <= {0.0, 1.0}

    def test_every_photo_is_seen_once_an_epoch(
        self, photos: Path, make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        seen: list[str] = []

        def read(path: Path) -> object:
            seen.append(path.name)
            return read_rgb(path)

        monkeypatch.setattr(data, "read_rgb", read)
        stream = MovedPhotos(photos, make_config(steps=50, pairs=2))
        assert len(stream) == 100
        for index in range(20):
            stream[index]
        epochs = [seen[start : start + 5] for start in range(0, 20, 5)]
        assert all(sorted(epoch) == ["a.png", "b.png", "c.jpg", "d.JPG", "e.png"] for epoch in epochs)
        assert len({tuple(epoch) for epoch in epochs}) > 1  # each its own shuffle

    def test_first_is_second_where_the_flow_leads(self, photos: Path, make_config: MakeConfig) -> None:
        stream = MovedPhotos(photos, make_config(motion=MotionConfig(noise_std=0)))
        moved = 0
        for index in range(12):
            first, second, flow, visible = (tensor[None] for tensor in stream[index])
            error = (visible * (first - warp(second, flow))).abs()
            # Bytes twice (1/255 in all), cubic against bilinear, coordinates to 1/32 of a pixel.
            assert error.mean() < 1 / 255
            assert error.max() < 6 / 255
            if flow.any():
                moved += 1
                assert (visible * (first - second)).abs().mean() > 4 * error.mean()
                assert visible.mean() > 0.7
            else:
                assert torch.equal(first, second)
                assert visible.all()
        assert moved > 6

    def test_noise_is_on_the_second_frame_and_as_strong_as_configured(
        self, photos: Path, make_config: MakeConfig
    ) -> None:
        clean = MovedPhotos(photos, make_config(motion=MotionConfig(noise_std=0)))[0]
        noisy = MovedPhotos(photos, make_config(motion=MotionConfig(noise_std=0.02)))[0]
        assert torch.equal(clean.first, noisy.first)
        assert (noisy.second - clean.second).std().item() == pytest.approx(0.02, rel=0.05)

    def test_a_resumed_stream_is_the_rest_of_the_whole(self, photos: Path, make_config: MakeConfig) -> None:
        config, alone = make_config(steps=4), Group(torch.device("cpu"))
        stream = MovedPhotos(photos, config)
        whole = list(batches(stream, config, alone, workers=0, done=0))
        rest = list(batches(stream, config, alone, workers=0, done=3))
        assert len(whole) == 4
        assert whole[0].first.shape == (2, 3, 64, 64)
        assert len(rest) == 1
        assert _equal(rest[0], whole[3])

    def test_a_damaged_photo_is_named(self, tmp_path: Path, make_config: MakeConfig) -> None:
        (tmp_path / "broken.jpg").write_bytes(b"no picture")
        with pytest.raises(ArtmirrorError, match=r"broken\.jpg is not a picture"):
            MovedPhotos(tmp_path, make_config())[0]

    def test_a_strip_too_long_to_crop_is_named(self, tmp_path: Path, make_config: MakeConfig) -> None:
        cv2.imwrite(str(tmp_path / "strip.png"), np.zeros((2, 4000, 3), np.uint8))
        with pytest.raises(ArtmirrorError, match=r"strip\.png cannot be cropped"):
            MovedPhotos(tmp_path, make_config())[0]

    def test_calibration_photos_are_crops_of_the_middle(self, photos: Path, make_config: MakeConfig) -> None:
        crops = MovedPhotos(photos, make_config()).calibration_photos(3)
        assert crops.shape == (3, 3, 64, 64)
        assert torch.equal(crops, MovedPhotos(photos, make_config(seed=5)).calibration_photos(3))
        assert MovedPhotos(photos, make_config()).calibration_photos(16).shape[0] == 5  # no more than there are


class TestReadPicture:
    @pytest.mark.parametrize("suffix", ["png", "bmp", "tif", "webp", "jpg"])
    def test_channels_are_rgb(self, tmp_path: Path, suffix: str) -> None:
        path = tmp_path / f"orange.{suffix}"
        cv2.imwrite(str(path), np.full((20, 30, 3), (10, 120, 230), np.uint8))  # BGR
        rgb = read_rgb(path)
        assert rgb.shape == (20, 30, 3)
        assert rgb.dtype == np.uint8
        np.testing.assert_allclose(rgb.mean((0, 1)), (230, 120, 10), atol=4)

    @pytest.mark.parametrize(
        ("pixels", "expected"),
        [
            (np.full((9, 7), 128, np.uint8), (128, 128, 128)),
            (np.full((9, 7), 128 * 257, np.uint16), (128, 128, 128)),
            (np.full((9, 7, 3), (10 * 257, 120 * 257, 230 * 257), np.uint16), (230, 120, 10)),
            (np.full((9, 7, 4), (10, 120, 230, 77), np.uint8), (247, 214, 181)),  # over white
        ],
        ids=["grey", "grey of 16 bits", "colour of 16 bits", "alpha"],
    )
    def test_unusual_pngs_become_rgb_bytes(
        self, tmp_path: Path, pixels: NDArray[np.uint8] | NDArray[np.uint16], expected: tuple[int, int, int]
    ) -> None:
        path = tmp_path / "picture.png"
        cv2.imwrite(str(path), pixels)
        rgb = read_rgb(path)
        assert rgb.shape == (9, 7, 3)
        assert rgb.dtype == np.uint8
        np.testing.assert_allclose(rgb, np.broadcast_to(expected, (9, 7, 3)), atol=1)

    @pytest.mark.parametrize("name", ["grey.png", "alpha.png", "deep.png"])
    def test_unusual_photos_become_pairs(self, tmp_path: Path, make_config: MakeConfig, name: str) -> None:
        noise = np.random.default_rng(0).integers(0, 255, (70, 80, 4), np.uint8)
        kinds = {"grey.png": noise[..., 0], "alpha.png": noise, "deep.png": noise[..., :3].astype(np.uint16) * 257}
        cv2.imwrite(str(tmp_path / name), kinds[name])
        assert MovedPhotos(tmp_path, make_config())[0].first.shape == (3, 64, 64)

    def test_a_missing_file_a_folder_and_other_data_are_told(self, tmp_path: Path) -> None:
        with pytest.raises(ArtmirrorError, match=r"cannot read .*absent\.png: No such file"):
            read_rgb(tmp_path / "absent.png")
        with pytest.raises(ArtmirrorError, match=r"cannot read .*: Is a directory"):
            read_rgb(tmp_path)
        (tmp_path / "empty.png").touch()
        (tmp_path / "text.png").write_text("a text")
        for name in ("empty.png", "text.png"):
            with pytest.raises(ArtmirrorError, match=rf"{name} (is empty|is not a picture that can be read)"):
                read_rgb(tmp_path / name)

    def test_a_picture_beyond_opencvs_limit_is_told(self, tmp_path: Path) -> None:
        def chunk(kind: bytes, content: bytes) -> bytes:
            check = struct.pack(">I", zlib.crc32(kind + content))
            return struct.pack(">I", len(content)) + kind + content + check

        header = chunk(b"IHDR", struct.pack(">IIBBBBB", 900_000, 900_000, 8, 2, 0, 0, 0))
        (tmp_path / "vast.png").write_bytes(b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", b"") + chunk(b"IEND", b""))
        with pytest.raises(ArtmirrorError, match="at most 200 are taken"):
            read_rgb(tmp_path / "vast.png")


def test_the_painting_comes_at_its_short_side(painting: Path) -> None:
    found = read_painting(painting, 64)  # from 80 x 100
    assert found.shape == (1, 3, 64, 80)
    assert found.dtype == torch.float32
    expected = read_rgb(painting).mean((0, 1)) / 255
    np.testing.assert_allclose(found.mean((0, 2, 3)), expected, atol=0.01)


class TestDamagedPhotos:
    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        for number in range(6):
            assert cv2.imwrite(str(tmp_path / f"{number}.png"), smooth_picture((90, 100), number))
        return tmp_path

    def test_one_is_told_once_and_the_next_one_stands_for_it(
        self, folder: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        whole = [path.read_bytes() for path in sorted(folder.iterdir())]
        (folder / "2.png").write_bytes(whole[2][:200])
        photos = Photos(sorted(folder.iterdir()))
        found = [photos.read(place)[0].name for place in (0, 2, 3, 2, 2)]
        assert found == ["0.png", "3.png", "3.png", "3.png", "3.png"]
        assert caplog.text.count("2.png") == 1

    def test_each_pair_is_the_same_whatever_was_read_before(self, folder: Path, make_config: MakeConfig) -> None:
        (folder / "4.png").write_bytes(b"no picture")
        straight = MovedPhotos(folder, make_config())
        all_of_them = [straight[index] for index in range(12)]
        resumed = MovedPhotos(folder, make_config())
        for index in (11, 7, 4):
            for tensor, wanted in zip(resumed[index], all_of_them[index], strict=True):
                assert torch.equal(tensor, wanted)

    def test_more_than_one_in_a_hundred_end_the_training(self, folder: Path) -> None:
        for name in ("1.png", "3.png"):
            (folder / name).write_bytes(b"no picture")
        photos = Photos(sorted(folder.iterdir()))
        photos.read(1)
        with pytest.raises(ArtmirrorError, match=r"2 of 6 photos cannot be read \(1\.png, 3\.png, \.\.\.\)"):
            photos.read(3)
