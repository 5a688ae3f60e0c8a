"""Pictures, the synthetic picture, and what a name stands for."""

import os
import subprocess
import sys
from fractions import Fraction

import cv2
import numpy as np
import pytest

from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.runtime.common.pictures import read_picture
from artmirror.runtime.sources.open import open_source
from artmirror.runtime.sources.synthetic import SyntheticSource
from tests.fakes.media import (
    FakeClock,
    clip_pictures,
    error_of,
    flat,
    halves,
    make_slot,
    read_all,
    write_clip,
    write_picture,
)

SIZE = (96, 128)


# Pictures


def test_folder_is_read_in_natural_order(tmp_path):
    for number in (10, 2, 1):
        write_picture(tmp_path / f"p{number}.png", flat((70 + number, 80), (number, 0, 0)))
    (tmp_path / "notes.txt").touch()
    source = open_source(str(tmp_path), size=None)
    assert (source.size, source.frame_count, source.rate) == ((71, 80), 3, None)
    slot, seen = make_slot(source.size), []
    while source.read(slot):
        seen.append((slot.label, slot.frame[0, 0, 0]))
    assert seen == [("p1.png", 1), ("p2.png", 2), ("p10.png", 10)]
    assert open_source(str(tmp_path / "p1*.png"), size=None).frame_count == 2


def test_every_kind_of_picture_becomes_bgr(tmp_path):
    grey = np.full((64, 64), 77, np.uint8)
    assert read_picture(write_picture(tmp_path / "grey.png", grey))[5, 5].tolist() == [77, 77, 77]
    deep = np.full((64, 64, 3), 77 * 257, np.uint16)
    assert read_picture(write_picture(tmp_path / "deep.png", deep))[5, 5].tolist() == [77, 77, 77]
    clear = np.full((64, 64, 4), (0, 0, 200, 0), np.uint8)
    clear[:32, :, 3] = 255
    clear[:, :8, 3] = 51
    picture = read_picture(write_picture(tmp_path / "clear.png", clear))
    assert [picture[5, 20].tolist(), picture[50, 20].tolist()] == [[0, 0, 200], [255, 255, 255]]
    assert picture[5, 2].tolist() == [204, 204, 244]


def test_exif_orientation_is_respected(tmp_path):
    data = cv2.imencode(".jpg", halves((64, 96)), [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes()
    tiff = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0"  # orientation 6: turn clockwise
    exif = b"Exif\0\0" + tiff
    path = tmp_path / "phone.jpg"
    path.write_bytes(data[:2] + b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif + data[2:])
    picture = read_picture(path)
    assert np.abs(picture.astype(int) - np.rot90(halves((64, 96)), -1)).mean() < 8


def test_picture_errors(tmp_path):
    assert "at least 64x64" in error_of(str(write_picture(tmp_path / "small.png", flat((63, 80), (0, 0, 0)))))
    assert open_source(str(tmp_path / "small.png"), size=(64, 80)).size == (64, 80)
    (tmp_path / "bad.png").write_bytes(b"no picture")
    assert "not a picture that can be read" in error_of(str(tmp_path / "bad.png"))
    (tmp_path / "empty.jpg").touch()
    assert "is empty" in error_of(str(tmp_path / "empty.jpg"))
    (tmp_path / "videos").mkdir()
    assert "a folder of pictures" in error_of(str(tmp_path / "videos"))
    write_clip(tmp_path / "videos" / "a.mp4", clip_pictures(1))
    assert "a folder of pictures" in error_of(str(tmp_path / "videos"))
    assert "no picture matches" in error_of(str(tmp_path / "*.webp"))


# Synthetic


def test_synthetic_moves_and_repeats_exactly():
    first, times = read_all(open_source("synthetic:128x96", size=None, max_frames=4))
    again = read_all(open_source("synthetic:128x96", size=None, max_frames=4))[0]
    assert np.array_equal(first, again)
    assert first[0].shape == (96, 128, 3)
    assert times == [index * Fraction(1, 30) for index in range(4)]
    assert np.abs(first[0].astype(int) - first[3]).mean() > 0.5
    assert np.array_equal(first[0][:48, 1:], first[1][:48, :-1])  # the upper half glides left
    assert np.array_equal(first[0][48:, :-1], first[1][48:, 1:])  # the lower half glides right
    mirrored = read_all(open_source("synthetic:128x96", size=None, mirror=True, max_frames=4))[0]
    assert np.array_equal(mirrored[2], first[2][:, ::-1])
    assert open_source("synthetic:", size=None).size == (360, 640)
    assert open_source("synthetic:", size=(100, 200)).size == (100, 200)


def test_synthetic_with_a_rate_is_paced_and_live():
    source = open_source("synthetic:64x64@30000/1001", size=None)
    assert (source.live, source.rate) == (True, Fraction(30000, 1001))
    clock = FakeClock()
    paced = SyntheticSource("synthetic:", (64, 64), Fraction(50), False, monotonic=clock.monotonic, sleep=clock.sleep)
    slot, moments = make_slot((64, 64)), []
    for index in range(6):
        clock.now_s += 0.5 if index == 3 else 0.001
        paced.read(slot)
        moments.append(clock.now_s)
    assert np.diff(moments) == pytest.approx([0.02, 0.02, 0.5, 0.02, 0.02], abs=2e-3)


@pytest.mark.parametrize("uri", ["synthetic:abc", "synthetic:640", "synthetic:10x10", "synthetic:640x360@0"])
def test_bad_synthetic_is_refused(uri):
    assert "wanted" in error_of(uri)


# Names


@pytest.mark.parametrize("uri", ["nothing.mp4", "", "ftp://host/a", "no/such/folder/", "clip?.mp4"])
def test_unknown_sources_are_refused(uri, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    error_of(uri)


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root reads everything")
def test_unreadable_file(tmp_path):
    path = write_clip(tmp_path / "a.mp4", clip_pictures(1))
    path.chmod(0)
    assert "permissions" in error_of(str(path))


def test_sizes_and_counts_that_make_no_sense():
    with pytest.raises(ArtmirrorError, match="too small"):
        open_source("synthetic:", size=(32, 640))
    with pytest.raises(ArtmirrorError, match="at least 1"):
        open_source("synthetic:", size=None, max_frames=0)


def test_naming_sources_and_sinks_loads_no_library():
    names = "artmirror.runtime.sources.open, artmirror.runtime.sinks.open"
    code = f"import sys, {names}; print({{'cv2', 'av'}} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"
