"""Picture files, and what a name stands for."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.runtime.sinks.open import open_sink
from tests.fakes.media import error_of_sink, format_of, halves, make_slot, write_all

SIZE = (96, 128)


# Pictures


def test_picture_file(tmp_path):
    write_all(open_sink(str(tmp_path / "a.png"), format_of(rate=None, frame_count=1)), [halves(SIZE)])
    assert np.array_equal(cv2.imread(str(tmp_path / "a.png")), halves(SIZE))
    assert "one picture" in error_of_sink(str(tmp_path / "a.png"), format_of(frame_count=2))
    with pytest.raises(ArtmirrorError, match="one picture"):
        write_all(open_sink(str(tmp_path / "b.jpg"), format_of()), [halves(SIZE)] * 2)
    write_all(open_sink(str(tmp_path / "c_%04d.jpg"), format_of(frame_count=2)), [halves(SIZE)] * 2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png", "b.jpg", "c_0000.jpg", "c_0001.jpg"]


def test_picture_folder_keeps_names(tmp_path):
    folder = tmp_path / "out"
    sink = open_sink(f"{folder}/", format_of(rate=None, frame_count=5))
    slot = make_slot(SIZE)
    for slot.id, slot.label in enumerate(["a.bmp", "b.JPG", "a.png", "", "../c.tif"]):
        slot.stylized[:] = slot.id
        sink.write(slot)
    sink.close()
    assert sorted(path.name for path in folder.iterdir()) == [
        "a.png",
        "a_000002.png",
        "b.JPG",
        "c.png",
        "frame_000003.png",
    ]
    assert [cv2.imread(str(folder / name))[0, 0, 0] for name in ("a.png", "a_000002.png")] == [0, 2]
    open_sink(str(folder), format_of()).close()


# Names


@pytest.mark.parametrize("uri", ["", "out.xyz", "nothing", "window", "a.gif"])
def test_unknown_sinks_are_listed(uri):
    assert "names no sink: window:, null:, pipe:, camera:, ndi:, a stream" in error_of_sink(uri, format_of())


@pytest.mark.parametrize("name", ["no/a.mp4", "no/a.png", "no/such/"])
def test_missing_folder_is_told_at_open(tmp_path, name):
    assert "does not exist" in error_of_sink(f"{tmp_path}/{name}", format_of(frame_count=1))


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="no folder that takes no file")
@pytest.mark.parametrize("name", ["a.mp4", "a.png", "new/", ""])
def test_unwritable_folder_is_told_at_open(name):
    assert "/proc/self" in error_of_sink(f"/proc/self/{name}", format_of(frame_count=1))


def test_null_takes_everything():
    write_all(open_sink("null:", format_of()), [halves(SIZE)] * 2)
