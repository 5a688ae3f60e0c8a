"""Shards: their members, bytes that repeat, and going on after a run that was killed."""

import hashlib
import io
import json
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
import webdataset

from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.runtime.common.flow import decode_flow_png
from artmirror.train.prepare.shards import Sample, ShardFolder, StoredFlow, chunks_per_shard, encoded_chunk
from tests.fakes.moving_clips import HEIGHT, WIDTH, pan


def samples(first: int, end: int) -> Iterator[Sample]:
    for index in range(first, end):
        content = hashlib.sha256(b"%d" % index).digest() * 40  # 1280 bytes
        yield {"__key__": f"shot{index:06d}-000", "json": {"shot": index}, "00.jpg": content}


def write(folder: Path, total: int, shard_bytes: int = 10**9) -> ShardFolder:
    shards = ShardFolder(folder, folder / "notes")
    shards.write(samples(shards.chunks, total), total, shard_bytes, lambda done: None)
    return shards


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.is_file()}


class TestEncodedChunk:
    def test_frames_and_flow(self) -> None:
        frames = pan(1, 4, dx=2)
        about = {"source": "a.mp4", "frames": 4}
        sample = encoded_chunk("shot000000-000", frames, about, StoredFlow("dis", gaps=(1, 3)))
        assert sorted(sample) == [
            *("00-01.flow.png", "00-03.flow.png", "00.jpg", "01-02.flow.png", "01.jpg", "02-03.flow.png"),
            *("02.jpg", "03.jpg", "__key__", "json"),
        ]
        for index, frame in enumerate(frames):
            decoded = cv2.imdecode(np.frombuffer(sample[f"{index:02d}.jpg"], np.uint8), cv2.IMREAD_COLOR)
            assert np.abs(decoded.astype(int) - frame).mean() < 4
        for name, dx in (("00-01", -2), ("00-03", -6)):
            flow, valid = decode_flow_png(sample[f"{name}.flow.png"], name)
            assert valid.shape == (HEIGHT, WIDTH)
            assert valid.mean() > 0.8
            np.testing.assert_allclose(np.median(flow[valid], axis=0), (dx, 0), atol=0.1)
            assert not valid[:, :2].any()  # what leaves the picture cannot be trusted

    def test_without_flow(self) -> None:
        assert sorted(encoded_chunk("k", pan(1, 2), {}, None)) == ["00.jpg", "01.jpg", "__key__", "json"]


class TestShardFolder:
    def test_webdataset_and_tarfile_read_them(self, tmp_path: Path) -> None:
        shards = write(tmp_path, 9)
        assert [(record.file, record.chunks) for record in shards.finished] == [
            ("shard-000000.tar", 4),
            ("shard-000001.tar", 4),
            ("shard-000002.tar", 1),
        ]
        for record in shards.finished:
            content = (tmp_path / record.file).read_bytes()
            assert (record.bytes, record.sha256) == (len(content), hashlib.sha256(content).hexdigest())
        urls = [str(tmp_path / record.file) for record in shards.finished]
        read = list(webdataset.WebDataset(urls, shardshuffle=False))
        assert [sample["__key__"] for sample in read] == [f"shot{index:06d}-000" for index in range(9)]
        assert [json.loads(sample["json"]) for sample in read] == [{"shot": index} for index in range(9)]
        with tarfile.open(urls[0]) as archive:
            members = archive.getmembers()
        assert [member.name for member in members[:2]] == ["shot000000-000.00.jpg", "shot000000-000.json"]
        assert {(member.mtime, member.uid, member.gid, member.uname) for member in members} == {(0, 0, 0, "")}

    def test_a_shard_ends_when_it_is_large_enough(self, tmp_path: Path) -> None:
        shards = write(tmp_path, 8, shard_bytes=2000)
        assert [record.chunks for record in shards.finished] == [2, 2, 2, 2]

    @pytest.mark.parametrize(("chunks", "wanted"), [(1, 4), (128, 4), (129, 5), (3200, 100)])
    def test_a_larger_dataset_has_about_32_shards_or_more(self, chunks: int, wanted: int) -> None:
        assert chunks_per_shard(chunks) == wanted

    @pytest.mark.parametrize("stop_after", range(10))
    def test_a_run_that_broke_off_goes_on(self, tmp_path: Path, stop_after: int) -> None:
        write(tmp_path / "whole", 10)
        broken = ShardFolder(tmp_path / "broken", tmp_path / "broken" / "notes")
        with pytest.raises(RuntimeError):
            broken.write(self._failing(stop_after), 10, 10**9, lambda done: None)
        # Between 4 and 7 samples one shard is whole; the fifth sample closes it.
        assert (
            len(ShardFolder(tmp_path / "broken", tmp_path / "broken" / "notes").finished) == max(0, stop_after - 1) // 4
        )
        assert not list((tmp_path / "broken").glob("*.part"))
        write(tmp_path / "broken", 10)
        assert contents(tmp_path / "broken") == contents(tmp_path / "whole")

    @staticmethod
    def _failing(stop_after: int) -> Iterator[Sample]:
        yield from samples(0, stop_after)
        raise RuntimeError

    def test_what_a_killed_run_may_leave_is_written_again(self, tmp_path: Path) -> None:
        write(tmp_path / "whole", 10)
        killed = tmp_path / "killed"
        write(killed, 10)
        (killed / "notes" / "shard-000002.json").unlink()  # renamed, but not noted yet
        (killed / f".shard-000002.tar.{1 << 22}.part").write_bytes(b"half")  # of a process that Linux does not give
        assert len(ShardFolder(killed, killed / "notes").finished) == 2
        write(killed, 10)
        assert contents(killed) == contents(tmp_path / "whole")

    def test_a_damaged_shard_is_noticed(self, tmp_path: Path) -> None:
        before = write(tmp_path, 10).finished
        path = tmp_path / "shard-000001.tar"
        content = bytearray(path.read_bytes())
        content[700] ^= 1
        path.write_bytes(content)
        assert len(ShardFolder(tmp_path, tmp_path / "notes").finished) == 1
        assert write(tmp_path, 10).finished == before

    def test_nothing_is_written_twice(self, tmp_path: Path) -> None:
        write(tmp_path, 10)
        again = ShardFolder(tmp_path, tmp_path / "notes")
        assert again.chunks == 10
        again.write(self._failing(0), 10, 10**9, lambda done: None)

    def test_progress_counts_what_was_there(self, tmp_path: Path) -> None:
        with pytest.raises(RuntimeError):
            ShardFolder(tmp_path, tmp_path / "notes").write(self._failing(6), 8, 10**9, lambda done: None)
        told: list[int] = []
        shards = ShardFolder(tmp_path, tmp_path / "notes")
        shards.write(samples(shards.chunks, 8), 8, 10**9, told.append)
        assert told == [5, 6, 7, 8]

    def test_a_folder_that_cannot_be_made_is_told(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        with pytest.raises(ArtmirrorError, match=r"cannot write .*file/below.*-o"):
            ShardFolder(tmp_path / "file" / "below", tmp_path / "notes")

    def test_a_full_disk_is_told(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        class FullDisk(io.RawIOBase):
            name = str(tmp_path / f".shard-000000.tar.{os.getpid()}.part")

            def writable(self) -> bool:
                return True

            def write(self, data: object) -> int:
                raise OSError(28, "No space left on device")

        shards = ShardFolder(tmp_path, tmp_path / "notes")
        monkeypatch.setattr(Path, "open", lambda *args: FullDisk())
        with pytest.raises(ArtmirrorError, match=r"cannot write .*: No space left on device; free some space"):
            shards.write(samples(0, 3), 3, 10**9, lambda done: None)
