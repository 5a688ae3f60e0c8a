"""Video files: times, colours, sound, and what a full disk leaves behind."""

import subprocess
import sys
from fractions import Fraction

import cv2  # before PyAV, see sink_video

# isort: split
import av
import numpy as np
import pytest

from artmirror.runtime.sinks.open import open_sink
from artmirror.runtime.sources.open import open_source
from tests.fakes.media import (
    flat,
    format_of,
    make_slot,
    read_all,
    repaint,
    sound_packets,
    write_all,
    write_clip,
)
from tests.places import ROOT

SIZE = (96, 128)
COLOURS = [(0, 0, 255), (0, 255, 0), (255, 0, 0), (255, 255, 255), (0, 0, 0), (128, 128, 128), (200, 100, 50)]


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".mov", ".webm", ".avi"])
@pytest.mark.parametrize("size", [(96, 128), (97, 131)])
def test_video_keeps_size_count_and_colours(tmp_path, suffix, size):
    path = tmp_path / f"a{suffix}"
    write_all(open_sink(str(path), format_of(size=size)), [flat(size, colour) for colour in COLOURS])
    assert [file.name for file in tmp_path.iterdir()] == [path.name]
    source = open_source(str(path), size=None)
    assert (source.size, source.rate) == ((size[0] + size[0] % 2, size[1] + size[1] % 2), 25)
    got, times = read_all(source)
    assert times == [index * Fraction(1, 25) for index in range(len(COLOURS))]
    wrong = [np.abs(picture.astype(int) - colour).max() for picture, colour in zip(got, COLOURS, strict=True)]
    assert max(wrong) <= 5


@pytest.mark.parametrize(("live", "effort"), [(True, b"cabac=0"), (False, b"cabac=1")])
def test_a_live_recording_leaves_the_processor_to_the_painting(tmp_path, live, effort):
    path = tmp_path / "a.mp4"
    write_all(open_sink(str(path), format_of(live=live)), [flat(SIZE, colour) for colour in COLOURS])
    assert effort in path.read_bytes()  # x264 writes down what it was asked for


@pytest.mark.parametrize("size", [(96, 128), (720, 1280)])
def test_colours_are_tagged_as_they_are_coded(tmp_path, size):
    path = tmp_path / "a.mp4"
    write_all(open_sink(str(path), format_of(size=size)), [flat(size, (40, 200, 90))])
    reader = cv2.VideoCapture(str(path))  # another reader than ours
    picture = reader.read()[1]
    assert np.abs(picture.astype(int) - (40, 200, 90)).max() <= 5
    with av.open(str(path)) as container:
        context = container.streams.video[0].codec_context
        assert context.color_range == 1
        assert context.colorspace == (1 if size[0] >= 720 else 6)


def test_uneven_times_are_kept(tmp_path):
    times = [Fraction(tick, 1000) for tick in (0, 40, 95, 330, 331, 1500)]
    write_all(open_sink(str(tmp_path / "a.mp4"), format_of()), [flat(SIZE, (0, 0, 0))] * 6, times)
    got = read_all(open_source(str(tmp_path / "a.mp4"), size=None))[1]
    assert [abs(a - b) < Fraction(1, 10_000) for a, b in zip(times, got, strict=True)] == [True] * 6


def test_rate_is_exact_after_a_round_trip(tmp_path):
    rate = Fraction(30000, 1001)
    write_clip(tmp_path / "in.mkv", [flat(SIZE, (index, 0, 0)) for index in range(30)], rate=rate)
    source = open_source(str(tmp_path / "in.mkv"), size=None)
    pictures, times = read_all(source)
    write_all(open_sink(str(tmp_path / "out.mp4"), format_of(rate=source.rate)), pictures, times)
    again = open_source(str(tmp_path / "out.mp4"), size=None)
    assert (again.rate, again.frame_count) == (rate, 30)
    assert read_all(again)[1] == times


def test_live_frames_keep_the_time_of_capture(tmp_path):
    sink = open_sink(str(tmp_path / "a.mp4"), format_of())
    slot = make_slot(SIZE)
    for index, moment_s in enumerate((5.0, 5.04, 5.5, 5.501)):
        slot.id, slot.captured_ns, slot.media_time_s = index, round(moment_s * 1e9), None
        sink.write(slot)
    sink.close()
    got = read_all(open_source(str(tmp_path / "a.mp4"), size=None))[1]
    assert [float(time_s) for time_s in got if time_s is not None] == pytest.approx([0, 0.04, 0.5, 0.501], abs=1e-3)


def test_single_pictures_become_a_video(tmp_path):
    sink = open_sink(str(tmp_path / "a.mp4"), format_of(rate=None, frame_count=3))
    slot = make_slot(SIZE)
    for slot.id in range(3):
        slot.captured_ns += 10**10
        sink.write(slot)
    sink.close()
    assert read_all(open_source(str(tmp_path / "a.mp4"), size=None))[1] == [
        index * Fraction(1, 25) for index in range(3)
    ]


def test_sound_is_copied_packet_by_packet(tmp_path):
    clip = write_clip(tmp_path / "in.mp4", [flat(SIZE, (0, 0, 0))] * 50, sound_s=2.5)
    path = tmp_path / "out.mp4"
    repaint(clip, path)
    assert sound_packets(path) == sound_packets(clip)
    with av.open(str(path)) as container:
        order = [packet.stream.type for packet in container.demux() if packet.size]
    assert "audio" in order[:20]
    assert "video" in order[len(order) // 2 :]


def test_sound_ends_with_the_pictures_where_they_end_early(tmp_path):
    clip = write_clip(tmp_path / "in.mp4", [flat(SIZE, (0, 0, 0))] * 50, sound_s=2.0)
    repaint(clip, tmp_path / "out.mp4", 25)
    with av.open(str(tmp_path / "out.mp4")) as container:
        stream = container.streams.audio[0]
        assert float(stream.duration * stream.time_base) == pytest.approx(1.0, abs=0.05)


@pytest.mark.parametrize(("suffix", "codec"), [(".webm", "opus"), (".mkv", "aac"), (".mov", "aac")])
def test_sound_goes_into_every_container(tmp_path, suffix, codec):
    clip = write_clip(tmp_path / "in.mp4", [flat(SIZE, (0, 0, 0))] * 25, sound_s=1.0)
    path = tmp_path / f"out{suffix}"
    repaint(clip, path, 25)
    with av.open(str(path)) as container:
        assert container.streams.audio[0].codec_context.name == codec
        samples = [frame.to_ndarray() for frame in container.decode(audio=0)]
    assert sum(block.shape[-1] for block in samples) == pytest.approx(48_000, abs=3000)
    assert np.abs(np.concatenate(samples, axis=-1)).max() > 0.1  # a tone, not silence
    assert len(read_all(open_source(str(path), size=None))[0]) == 25


def test_sound_stays_beside_pictures_that_start_late(tmp_path):
    times = [Fraction(1) + index * Fraction(1, 25) for index in range(25)]
    clip = write_clip(tmp_path / "in.mkv", [flat(SIZE, (0, 0, 0))] * 25, times=times, sound_s=2.0)
    path = tmp_path / "out.mkv"
    repaint(clip, path, 25)
    with av.open(str(path)) as container:
        first = next(packet for packet in container.demux(audio=0) if packet.size)
        assert 0 <= first.pts * first.time_base < Fraction(1, 10)
        total = sum(1 for packet in container.demux(audio=0) if packet.size)
    assert total * 1024 / 48_000 == pytest.approx(1.0, abs=0.1)


def test_nothing_is_left_without_a_frame(tmp_path):
    sink = open_sink(str(tmp_path / "a.mp4"), format_of())
    sink.close()
    assert list(tmp_path.iterdir()) == []


def test_discard_leaves_what_can_be_played(tmp_path):
    sink = open_sink(str(tmp_path / "a.mp4"), format_of())
    slot = make_slot(SIZE)
    for slot.id in range(5):
        slot.media_time_s = slot.id * Fraction(1, 25)
        sink.write(slot)
    assert not (tmp_path / "a.mp4").exists()
    sink.discard()
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]
    assert len(read_all(open_source(str(tmp_path / "a.mp4"), size=None))[0]) == 5


FULL_DISK = """
import resource, signal, sys
from fractions import Fraction
from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.runtime.sinks.base import SinkFormat
from artmirror.runtime.sinks.open import open_sink
from tests.fakes.media import make_slot, noise
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), int(sys.argv[2])))
sink = open_sink(sys.argv[1], SinkFormat((96, 128), Fraction(25), None, None))
slot = make_slot((96, 128))
try:
    for slot.id in range(int(sys.argv[3])):
        slot.stylized[:] = noise((96, 128), slot.id)
        slot.media_time_s = slot.id * Fraction(1, 25)
        sink.write(slot)
    sink.close()
except ArtmirrorError as error:
    print(error.message)
    sink.discard()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="the limit on a file's size is a matter of Unix")
@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.webm", "a.avi", "a.png"])
@pytest.mark.parametrize("frames", [200, 12])  # fails in write; fails in close
def test_full_disk_is_one_line_and_leaves_nothing(tmp_path, name, frames):
    if name == "a.png" and frames > 1:
        frames = 1
    limit = 20_000 if name == "a.png" else 60_000
    command = [sys.executable, "-c", FULL_DISK, str(tmp_path / name), str(limit), str(frames)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert done.stdout.count("\n") == 1
    assert done.stdout.startswith(f"cannot write {tmp_path / name}: File too large")
    assert list(tmp_path.iterdir()) == []
