"""Clips as a stateless stream of pairs: whose turn it is, geometry of stored flow, direction of time, damage."""

import json
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.train.config import MotionConfig, TrainConfig
from artmirror.train.objective.warp import warp
from artmirror.train.pairs import chunks
from artmirror.train.pairs.base import Pair
from artmirror.train.pairs.clips import MIN_TRUSTED, ClipPairs
from tests.fakes.clip_dataset import DX, DY, HEIGHT, noise_shot, panned_shot, write_dataset

MakeConfig = Callable[..., TrainConfig]
STILL = MotionConfig(noise_std=0)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four shots of 14, 6, 6 and 2 frames: six chunks; flow stored over one and two frames."""
    shots = [panned_shot(count, seed) for seed, count in enumerate((14, 6, 6, 2))]
    return write_dataset(tmp_path_factory.mktemp("clips") / "dataset", shots, stored_gaps=(1, 2))


def equal(one: Pair, other: Pair) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def flow_px(pair: Pair) -> NDArray[np.float32]:
    """The median flow of a pair, (dx, dy)."""
    return np.median(pair.flow.flatten(1).numpy(), axis=1)


class TestOrder:
    @pytest.mark.parametrize("flow", ["dis", "farneback", "stored"])
    def test_a_pair_depends_on_index_and_seed_alone(self, dataset: Path, make_config: MakeConfig, flow: str) -> None:
        config = make_config(flow=flow)
        stream, other = ClipPairs(dataset, config), pickle.loads(pickle.dumps(ClipPairs(dataset, config)))
        pairs = [stream[index] for index in range(6)]
        for index in (5, 0, 3):
            assert equal(other[index], pairs[index])
        assert not any(equal(pairs[0], pair) for pair in pairs[1:])
        assert not equal(ClipPairs(dataset, make_config(flow=flow, seed=1))[0], pairs[0])

    def test_every_shot_once_an_epoch_and_all_its_chunks_in_turn(self, dataset: Path, make_config: MakeConfig) -> None:
        stream = ClipPairs(dataset, make_config(steps=50, pairs=2))
        assert len(stream) == 100
        epochs = [[stream.chunk_of(4 * epoch + place) for place in range(4)] for epoch in range(12)]
        for epoch in epochs:
            assert {chunk.shot for chunk in epoch} == {f"shot{number:06d}" for number in range(4)}
        assert len({tuple(chunk.shot for chunk in epoch) for epoch in epochs}) > 1
        long = [next(chunk.key for chunk in epoch if chunk.shot == "shot000000") for epoch in epochs]
        for cycle in range(0, 12, 3):
            assert sorted(long[cycle : cycle + 3]) == [f"shot000000-{number:03d}" for number in range(3)]

    def test_chunks_that_are_too_short_for_the_gap_are_left_out(self, dataset: Path, make_config: MakeConfig) -> None:
        stream = ClipPairs(dataset, make_config(gaps=(5,)))
        assert {chunk.key for chunks in stream.shots for chunk in chunks} == {
            "shot000000-000",
            "shot000000-001",
            "shot000001-000",
            "shot000002-000",
        }

    def test_pairs_that_flow_says_nothing_about_are_drawn_again(self, tmp_path: Path, make_config: MakeConfig) -> None:
        shots = [*(noise_shot(2, seed) for seed in range(3)), *(panned_shot(3, seed) for seed in range(3))]
        stream = ClipPairs(write_dataset(tmp_path / "d", shots), make_config())
        pairs = [stream[index] for index in range(24)]
        poor = [pair for pair in pairs if pair.visible.mean() < MIN_TRUSTED]
        assert len(poor) < 6  # 12 without, 1.5 expected
        assert equal(stream[3], pairs[3])

    def test_calibration_photos_are_middles_of_first_frames(self, dataset: Path, make_config: MakeConfig) -> None:
        crops = ClipPairs(dataset, make_config()).calibration_photos(3)
        assert crops.shape == (3, 3, 64, 64)
        assert torch.equal(crops, ClipPairs(dataset, make_config(seed=5)).calibration_photos(3))
        assert ClipPairs(dataset, make_config()).calibration_photos(16).shape[0] == 4


class TestPairs:
    @pytest.mark.parametrize("flow", ["dis", "stored"])
    @pytest.mark.parametrize("crop", [66, 130])  # scaled down, scaled up
    def test_shapes_and_ranges(self, dataset: Path, make_config: MakeConfig, flow: str, crop: int) -> None:
        stream = ClipPairs(dataset, make_config(crop=crop, flow=flow, motion=MotionConfig(noise_std=0.5)))
        for index in range(3):
            pair = stream[index]
            assert [tuple(tensor.shape) for tensor in pair] == [(channels, crop, crop) for channels in (3, 3, 2, 1)]
            assert {tensor.dtype for tensor in pair} == {torch.float32}
            for frame in (pair.first, pair.second):
                assert frame.min() >= 0
                assert frame.max() <= 1
            assert set(pair.visible.flatten().tolist()) <= {0.0, 1.0}

    @pytest.mark.parametrize("crop", [64, 128])
    def test_first_is_second_where_stored_flow_leads(self, dataset: Path, make_config: MakeConfig, crop: int) -> None:
        stream = ClipPairs(dataset, make_config(flow="stored", crop=crop, motion=STILL))
        directions = set()
        for index in range(12):
            pair = stream[index]
            dx, dy = flow_px(pair)
            # A crop has 1 to 2/3 of the short side of a frame; across, sizes are rounded to whole pixels.
            assert crop / HEIGHT <= dy / DY <= 1.51 * crop / HEIGHT
            assert abs(dx) / -DX == pytest.approx(dy / DY, rel=0.01)
            directions.add(dx > 0)
            first, second, flow, visible = (tensor[None] for tensor in pair)
            error = (visible * (first - warp(second, flow))).abs()
            assert visible.mean() > 0.85
            assert error.mean() < 0.01
            assert error.mean() < 0.2 * (visible * (first - second)).abs().mean()
        assert directions == {True, False}  # half are mirrored

    def test_estimated_flow_agrees_with_stored_flow_on_the_same_pairs(
        self, dataset: Path, make_config: MakeConfig
    ) -> None:
        stored = ClipPairs(dataset, make_config(flow="stored", motion=STILL, crop=96))
        for flow in ("dis", "farneback"):
            estimated = ClipPairs(dataset, make_config(flow=flow, motion=STILL, crop=96))
            backwards = 0
            for index in range(12):
                ours, theirs = estimated[index], stored[index]
                both = (ours.visible * theirs.visible)[0] > 0
                if torch.equal(ours.first, theirs.first):
                    assert torch.equal(ours.second, theirs.second)
                    assert (ours.flow - theirs.flow).norm(dim=0)[both].mean() < 0.15
                    assert ours.visible.mean() > 0.7
                else:  # the same frames, back in time
                    backwards += 1
                    assert torch.equal(ours.first, theirs.second)
                    assert torch.equal(ours.second, theirs.first)
                    np.testing.assert_allclose(flow_px(ours), -flow_px(theirs), atol=0.15)
            assert 2 <= backwards <= 10

    def test_gaps_are_drawn_evenly(self, dataset: Path, make_config: MakeConfig) -> None:
        def lengths(**changes: object) -> list[int]:
            stream = ClipPairs(dataset, make_config(motion=STILL, crop=120, **changes))
            # Scaled by 1 to 1.5: 2, 4 and 8 pixels down stay apart.
            return [round(np.log2(abs(flow_px(stream[index])[1]) / -DY / 1.22)) for index in range(24)]

        assert set(lengths(flow="stored", gaps=(2,))) == {1}
        both = lengths(flow="stored", gaps=(1, 2))
        assert set(both) == {0, 1}
        assert 4 < sum(both) < 18
        assert set(lengths(flow="dis", gaps=(4,))[:6]) == {2}

    def test_noise_is_on_the_second_frame_and_as_strong_as_configured(
        self, dataset: Path, make_config: MakeConfig
    ) -> None:
        clean = ClipPairs(dataset, make_config(motion=STILL))[0]
        noisy = ClipPairs(dataset, make_config(motion=MotionConfig(noise_std=0.02)))[0]
        assert torch.equal(clean.first, noisy.first)
        assert torch.equal(clean.flow, noisy.flow)  # found before the noise
        assert (noisy.second - clean.second).std().item() == pytest.approx(0.02, rel=0.05)


class TestDamage:
    @pytest.fixture
    def copy(self, tmp_path: Path) -> Path:
        return write_dataset(tmp_path / "dataset", [panned_shot(12, 0), panned_shot(6, 1)])

    def test_a_folder_without_a_dataset_is_told(self, tmp_path: Path, make_config: MakeConfig) -> None:
        with pytest.raises(ArtmirrorError, match=r"absent holds no dataset.json; name with --clips a folder"):
            ClipPairs(tmp_path / "absent", make_config())

    @pytest.mark.parametrize(
        ("text", "told"),
        [
            ("{", "is damaged"),
            ("[]", "is damaged"),
            ('{"format_version": 1, "shards": [{}]}', r"is damaged \(Object missing required field `file`"),
            ("[" * 100_000 + "]" * 100_000, "nested more than 64 deep"),
            ('{"format_version": 7, "shards": []}', "has format version 7; this artmirror reads version 1"),
            ('{"format_version": 1, "shards": []}', "holds no frames that are 1 apart; give a smaller --gap"),
        ],
    )
    def test_a_strange_description_is_told(self, copy: Path, make_config: MakeConfig, text: str, told: str) -> None:
        (copy / "dataset.json").write_text(text)
        with pytest.raises(ArtmirrorError, match=told):
            ClipPairs(copy, make_config())

    def test_a_missing_shard_is_told(self, copy: Path, make_config: MakeConfig) -> None:
        (copy / "shard-000001.tar").unlink()
        with pytest.raises(
            ArtmirrorError, match=r"cannot read .*shard-000001.tar: No such file.*st-data prepare again"
        ):
            ClipPairs(copy, make_config())

    @pytest.mark.parametrize("part", [0.0, 0.1, 0.5, 0.9])
    def test_a_truncated_shard_is_told(self, copy: Path, make_config: MakeConfig, part: float) -> None:
        shard = copy / "shard-000000.tar"
        content = shard.read_bytes()
        shard.write_bytes(content[: int(len(content) * part)])
        with pytest.raises(ArtmirrorError, match=r"shard-000000\.tar (is damaged: its checksum)"):
            ClipPairs(copy, make_config())

    def test_a_shard_of_other_data_is_told(self, copy: Path, make_config: MakeConfig) -> None:
        (copy / "shard-000000.tar").write_bytes(b"no archive " * 100)
        with pytest.raises(ArtmirrorError, match=r"shard-000000\.tar is damaged"):
            ClipPairs(copy, make_config())

    def test_chunks_that_the_description_knows_nothing_of_are_told(self, copy: Path, make_config: MakeConfig) -> None:
        description = json.loads((copy / "dataset.json").read_text())
        description["shards"][1]["chunks"] = 3
        (copy / "dataset.json").write_text(json.dumps(description))
        with pytest.raises(ArtmirrorError, match=r"shard-000001\.tar holds 1 chunks; wanted 3, as dataset\.json says"):
            ClipPairs(copy, make_config())

    @pytest.mark.parametrize(
        "name", ["../shard.tar", "/etc/passwd", "below/shard.tar", "..", "", ".hidden", "a\nb.tar"]
    )
    def test_a_name_that_leads_elsewhere_is_refused(self, copy: Path, make_config: MakeConfig, name: str) -> None:
        description = json.loads((copy / "dataset.json").read_text())
        description["shards"][0]["file"] = name
        (copy / "dataset.json").write_text(json.dumps(description))
        with pytest.raises(ArtmirrorError, match=r"dataset\.json is damaged .*is not the plain name of a file"):
            ClipPairs(copy, make_config())

    def test_a_link_out_of_the_folder_is_refused(self, copy: Path, make_config: MakeConfig, tmp_path: Path) -> None:
        shard = copy / "shard-000000.tar"
        shard.rename(tmp_path / "elsewhere.tar")
        shard.symlink_to(tmp_path / "elsewhere.tar")
        with pytest.raises(ArtmirrorError, match=r"shard-000000\.tar is a link that leads out of its folder"):
            ClipPairs(copy, make_config())

    def test_one_wrong_byte_is_told_with_the_shards_name(self, copy: Path, make_config: MakeConfig) -> None:
        ClipPairs(copy, make_config())  # once whole: what is known of it does not hide the damage
        shard = copy / "shard-000001.tar"
        content = bytearray(shard.read_bytes())
        content[len(content) // 2] ^= 1
        shard.write_bytes(content)
        with pytest.raises(ArtmirrorError, match=r"shard-000001\.tar is damaged: its checksum is not the one"):
            ClipPairs(copy, make_config())

    def test_a_checksum_is_taken_once(
        self, copy: Path, make_config: MakeConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
        ClipPairs(copy, make_config())

        def again(path: Path) -> str:
            raise AssertionError(path)

        monkeypatch.setattr(chunks, "file_sha256", again)
        ClipPairs(copy, make_config())
        (copy / "shard-000000.tar").touch()
        with pytest.raises(AssertionError, match="shard-000000"):
            ClipPairs(copy, make_config())

    def test_a_damaged_frame_is_named(self, copy: Path, make_config: MakeConfig) -> None:
        stream = ClipPairs(copy, make_config())
        shard = copy / "shard-000001.tar"
        content = bytearray(shard.read_bytes())
        for offset, size in stream.shots[1][0].frames:
            content[offset : offset + size] = bytes(size)
        shard.write_bytes(content)
        with pytest.raises(ArtmirrorError, match=r"shard-000001\.tar: shot000001-000\.0\d\.jpg is not a picture"):
            [stream[index] for index in range(2)]

    def test_what_is_not_in_the_dataset_is_told(self, copy: Path, make_config: MakeConfig) -> None:
        with pytest.raises(
            ArtmirrorError, match="holds no stored flow between frames that are 1 apart; choose --flow dis"
        ):
            ClipPairs(copy, make_config(flow="stored"))
        with pytest.raises(ArtmirrorError, match="holds no frames that are 6 or 9 apart; give a smaller --gap"):
            ClipPairs(copy, make_config(gaps=(6, 9)))
