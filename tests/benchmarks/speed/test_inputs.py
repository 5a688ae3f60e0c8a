"""What is painted from source to sink and live, for every kind of input."""

from pathlib import Path

import pytest

from artmirror.benchmarks.speed import inputs
from artmirror.benchmarks.speed.inputs import Input, open_inputs, source_label
from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.runtime.sources.base import Source
from tests.fakes.counting_engine import SIZE, CountingSource
from tests.fakes.media import clip_pictures, write_clip
from tests.fakes.moving_pictures import texture, write_picture


def opened(found: Input | None, frames: int | None = None) -> Source:
    assert found is not None
    source = found.open_source(frames)
    source.close()
    return source


@pytest.mark.parametrize(
    ("uri", "rate"),
    [
        (None, "30"),
        ("synthetic:80x64", "30"),
        ("synthetic:80x64@120", "120"),
        ("synthetic:80x64@24000/1001", "24000/1001"),
    ],
)
def test_the_test_picture_is_either(uri: str | None, rate: str) -> None:
    found = open_inputs(uri, SIZE)
    assert found.pipeline is not None
    assert found.live is not None
    assert (found.pipeline.label, found.live.label) == ("synthetic:80x64", f"synthetic:80x64@{rate}")
    every, live = opened(found.pipeline, 9), opened(found.live)
    assert (every.live, every.frame_count, live.live) == (False, 9, True)
    assert str(live.rate) == rate
    assert found.picture.shape == (*SIZE, 3)
    assert found.picture.any()


def test_a_video_is_either_and_is_scaled(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mp4", clip_pictures(6, (96, 128)))
    found = open_inputs(str(path), SIZE)
    assert (opened(found.pipeline).live, opened(found.live).live) == (False, True)
    assert opened(found.live).size == SIZE


def test_pictures_have_no_pace(tmp_path: Path) -> None:
    write_picture(tmp_path / "1.png", texture())
    found = open_inputs(str(tmp_path), SIZE)
    assert found.live is None
    assert not opened(found.pipeline).live
    assert (found.picture == texture()).all()


def test_a_camera_can_only_be_live_and_is_opened_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def open_camera(uri: str, **options: object) -> CountingSource:
        asked.append(uri)
        return CountingSource(3, live=True)

    monkeypatch.setattr(inputs, "open_source", open_camera)
    found = open_inputs("0", SIZE)
    assert asked == ["0"]
    assert found.pipeline is None
    assert found.live is not None
    assert found.live.label == "0"


def test_no_frame_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inputs, "open_source", lambda uri, **options: CountingSource(0))
    with pytest.raises(ArtmirrorError, match=r"clip\.mp4 gave no frame; name another --input"):
        open_inputs("clip.mp4", SIZE)


@pytest.mark.parametrize(
    ("uri", "label"),
    [
        ("synthetic:640x360@30", "synthetic:640x360@30"),
        ("0", "0"),
        ("/home/ann/private/clip.mp4", "clip.mp4"),
        ("pictures/", "pictures"),
        ("rtsp://ann:secret@10.0.0.7/door", "rtsp://"),
    ],
)
def test_source_label_gives_nothing_away(uri: str, label: str) -> None:
    assert source_label(uri) == label
