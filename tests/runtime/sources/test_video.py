"""Video files and streams: pictures, times, damage, pacing."""

import functools
import http.server
import itertools
import threading
import time
from fractions import Fraction

import cv2  # before PyAV, see sink_video

# isort: split
import av
import numpy as np
import pytest

from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.runtime.sources.open import open_source
from artmirror.runtime.sources.video import VideoSource
from tests.fakes.media import (
    FakeClock,
    clip_pictures,
    error_of,
    flat,
    halves,
    make_slot,
    noise,
    read_all,
    write_clip,
    write_picture,
)
from tests.places import SHARED

SIZE = (96, 128)


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    """Serves files and says nothing."""

    def log_message(self, format: str, *args: object) -> None:
        return


@pytest.mark.parametrize(
    ("suffix", "codec", "sound_codec"),
    [
        (".mp4", "libx264", "aac"),
        (".mkv", "libx264", "aac"),
        (".webm", "libvpx-vp9", "libopus"),
        (".avi", "mpeg4", "mp2"),
    ],
)
@pytest.mark.parametrize("rate", [Fraction(25), Fraction(30000, 1001)])
def test_video_keeps_rate_times_and_pictures(tmp_path, suffix, codec, sound_codec, rate):
    sent = clip_pictures(20)
    path = write_clip(tmp_path / f"a{suffix}", sent, rate=rate, codec=codec, sound_s=1.2, sound_codec=sound_codec)
    source = open_source(str(path), size=None)
    assert (source.size, source.rate, source.live) == (SIZE, rate, False)
    assert source.tracks is not None
    assert source.tracks.sound is not None
    assert source.frame_count in (20, None)
    got, times = read_all(source)
    assert times == [index / rate for index in range(20)]
    assert max(np.abs(a.astype(int) - b).mean() for a, b in zip(sent, got, strict=True)) < 8


def test_video_frame_count_is_known_for_mp4(tmp_path):
    path = write_clip(tmp_path / "a.mp4", clip_pictures(13))
    assert open_source(str(path), size=None).frame_count == 13
    assert open_source(str(path), size=None, max_frames=4).frame_count == 4
    assert len(read_all(open_source(str(path), size=None, max_frames=4))[0]) == 4
    assert len(read_all(open_source(str(path), size=None, max_frames=99))[0]) == 13


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_variable_rate_keeps_its_times(tmp_path, suffix):
    times = [Fraction(tick, 100) for tick in (0, 4, 8, 33, 37, 110, 250)]
    path = write_clip(tmp_path / f"vfr{suffix}", clip_pictures(7), times=times)
    got = read_all(open_source(str(path), size=None))[1]
    assert [abs(a - b) <= Fraction(1, 1000) for a, b in zip(times, got, strict=True)] == [True] * 7


@pytest.mark.parametrize(("name", "fourcc"), [("a.avi", "MJPG"), ("a.mp4", "mp4v")])
def test_clips_of_opencv_end_without_an_alarm(tmp_path, name, fourcc):
    writer = cv2.VideoWriter(str(tmp_path / name), cv2.VideoWriter.fourcc(*fourcc), 25.0, SIZE[::-1])
    for picture in clip_pictures(17):
        writer.write(picture)
    writer.release()
    assert len(read_all(open_source(str(tmp_path / name), size=None))[0]) == 17


@pytest.mark.parametrize("turn", [90, 180, -90])
def test_phone_videos_are_turned_upright(tmp_path, turn):
    upright = halves((160, 96))
    lying = np.rot90(upright, -turn // 90)  # what the sensor saw; the player turns it back counterclockwise
    path = write_clip(tmp_path / "phone.mp4", [np.ascontiguousarray(lying)] * 3, rotation=turn)
    source = open_source(str(path), size=None)
    assert source.size == (160, 96)
    picture = read_all(source)[0][0]
    assert np.abs(picture.astype(int) - upright).mean() < 8
    mirrored = read_all(open_source(str(path), size=(160, 96), mirror=True))[0][0]
    assert np.abs(mirrored.astype(int) - upright[:, ::-1]).mean() < 8


def test_size_covers_and_crops_without_distortion(tmp_path):
    disc = np.zeros((120, 200, 3), np.uint8)
    cv2.circle(disc, (100, 60), 40, (255, 255, 255), -1)
    clip = write_clip(tmp_path / "disc.mp4", [disc])
    picture = write_picture(tmp_path / "disc.png", disc)
    for uri, size in itertools.product((clip, picture), ((240, 240), (80, 200), (64, 72))):
        got = read_all(open_source(str(uri), size=size))[0][0]
        assert got.shape == (*size, 3)
        scale = max(size[0] / 120, size[1] / 200)
        lit = got[:, :, 1] > 127
        expected = min(80 * scale, size[0]), min(80 * scale, size[1])
        assert np.ptp(np.nonzero(lit.any(1))) + 1 == pytest.approx(expected[0], abs=2.5)
        assert np.ptp(np.nonzero(lit.any(0))) + 1 == pytest.approx(expected[1], abs=2.5)


def test_mirror_flips_left_and_right(tmp_path):
    clip = write_clip(tmp_path / "a.mp4", [halves(SIZE)])
    picture = write_picture(tmp_path / "a.png", halves(SIZE))
    for uri in (clip, picture):
        for size in (None, (192, 256)):
            plain, flipped = (
                read_all(open_source(str(uri), size=size, mirror=mirror))[0][0] for mirror in (False, True)
            )
            assert np.abs(flipped.astype(int) - plain[:, ::-1]).mean() < 1
            assert plain[0, 0].min() > 240
            assert flipped[0, 0].max() < 15


def test_untagged_hd_is_read_as_bt709(tmp_path):
    green = flat((720, 1280), (0, 200, 0))
    path = tmp_path / "hd.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.height, stream.width, stream.pix_fmt = 720, 1280, "yuv420p"
        frame = av.VideoFrame.from_ndarray(green, format="bgr24").reformat(format="yuv420p", dst_colorspace="ITU709")
        frame.colorspace = 2
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    got = read_all(open_source(str(path), size=None))[0][0]
    assert np.abs(got.astype(int) - green).max() < 8


@pytest.mark.parametrize(("suffix", "options"), [(".mp4", {"movflags": "faststart"}), (".mkv", {}), (".avi", {})])
def test_cut_off_file_gives_its_pictures_and_then_tells(tmp_path, suffix, options):
    codec = "mpeg4" if suffix == ".avi" else "libx264"
    pictures = [noise(SIZE, seed) for seed in range(40)]
    path = write_clip(tmp_path / f"whole{suffix}", pictures, options=options, codec=codec)
    data = path.read_bytes()
    cut = tmp_path / f"cut{suffix}"
    cut.write_bytes(data[: len(data) // 2])
    source = open_source(str(cut), size=None)
    slot, readings = make_slot(source.size), itertools.count()
    with pytest.raises(ArtmirrorError) as caught:
        list(iter(lambda: next(readings) >= 0 and source.read(slot), False))
    count = next(readings) - 1
    assert 10 <= count <= 30
    assert caught.value.message.startswith(f"{cut} ends at frame {count} of about 40 (cut off or damaged)")


def test_damage_in_the_middle_still_gives_the_rest(tmp_path):
    path = write_clip(tmp_path / "a.avi", [noise(SIZE, seed) for seed in range(30)], codec="mpeg4")
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 200] = bytes(200)
    path.write_bytes(data)
    source, count = open_source(str(path), size=None), 0
    slot = make_slot(source.size)
    while source.read(slot):
        count += 1
    assert 28 <= count <= 30


def test_what_is_no_video_is_refused(tmp_path):
    garbage = tmp_path / "garbage.mp4"
    garbage.write_bytes(bytes(range(256)) * 40)
    assert "not a video that can be read" in error_of(str(garbage))
    (tmp_path / "empty.mp4").touch()
    assert "is empty" in error_of(str(tmp_path / "empty.mp4"))
    (tmp_path / "notes.txt").write_text("hello")
    assert "not a video that can be read" in error_of(str(tmp_path / "notes.txt"))
    with av.open(str(tmp_path / "tone.mp3"), "w") as container:
        stream = container.add_stream("libmp3lame", rate=44_100, layout="mono")
        silence = av.AudioFrame.from_ndarray(np.zeros((1, 4096), np.int16), "s16", "mono")
        silence.sample_rate = 44_100
        container.mux(stream.encode(silence))
        container.mux(stream.encode(None))
    assert "sound only" in error_of(str(tmp_path / "tone.mp3"))


def test_video_without_a_frame_is_refused(tmp_path):
    path = tmp_path / "none.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.height, stream.width = SIZE
        container.start_encoding()
    assert str(path) in error_of(str(path))


def test_colon_and_umlaut_in_a_name(tmp_path):
    path = write_clip(tmp_path / "Käthe: 1.mp4", clip_pictures(3))
    assert len(read_all(open_source(str(path), size=None))[0]) == 3


def test_live_file_is_paced_and_never_catches_up(tmp_path):
    path = write_clip(tmp_path / "a.mp4", clip_pictures(12))
    clock = FakeClock()
    source = VideoSource(str(path), None, False, live=True, monotonic=clock.monotonic, sleep=clock.sleep)
    assert source.live
    assert source.tracks is None
    slot, moments = make_slot(source.size), []
    for index in range(10):
        if index == 5:
            clock.now_s += 1.0  # a slow consumer
        assert source.read(slot)
        assert slot.media_time_s is None
        moments.append(clock.now_s)
    steps = np.diff(moments)
    assert steps[4] == pytest.approx(1.0, abs=1e-6)
    assert np.delete(steps, 4) == pytest.approx(0.04, abs=1e-6)


def test_close_ends_a_sleeping_read(tmp_path):
    path = write_clip(tmp_path / "slow.mp4", clip_pictures(3), times=[Fraction(0), Fraction(30), Fraction(60)])
    source = open_source(str(path), size=None, live=True)
    slot = make_slot(source.size)
    assert source.read(slot)
    results: list[bool] = []
    reader = threading.Thread(target=lambda: results.append(source.read(slot)))
    reader.start()
    time.sleep(0.1)
    source.close()
    reader.join(5)
    assert results == [False]
    source.close()


def test_close_during_decoding_is_safe(tmp_path):
    path = write_clip(tmp_path / "a.mp4", clip_pictures(40))
    for attempt in range(20):
        source = open_source(str(path), size=None)
        slot = make_slot(source.size)
        reader = threading.Thread(target=lambda s=source, t=slot: [None for _ in iter(lambda: s.read(t), False)])
        reader.start()
        time.sleep(0.0005 * attempt)
        source.close()
        reader.join(5)
        assert not reader.is_alive()
        assert source.read(slot) is False


def test_stream_from_a_server_is_live_and_paced(tmp_path):
    write_clip(tmp_path / "a.mp4", clip_pictures(10), options={"movflags": "faststart"})
    handler = functools.partial(QuietHandler, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        source = open_source(f"http://127.0.0.1:{server.server_port}/a.mp4", size=None)
        assert (source.live, source.frame_count, source.tracks) == (True, None, None)
        begun_s = time.monotonic()
        pictures, times = read_all(source)
        server.shutdown()
    assert (len(pictures), set(times)) == (10, {None})
    assert time.monotonic() - begun_s >= 0.35  # ten frames at 25 per second


def test_dead_stream_is_an_error():
    assert "cannot open the stream" in error_of("http://127.0.0.1:9/a.mp4")


@pytest.mark.shared
def test_shared_clips_are_read_whole():
    clips = sorted((SHARED / "data" / "clips").glob("*.mp4"))
    if not clips:
        pytest.skip("no shared clips")
    for clip in clips[::6]:
        source = open_source(str(clip), size=(90, 160))
        assert len(read_all(source)[0]) == source.frame_count


class TestServers:
    @pytest.fixture
    def address(self, tmp_path):
        """A server without ranges, as the simplest ones are."""
        handler = functools.partial(QuietHandler, directory=str(tmp_path))
        with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            yield f"http://127.0.0.1:{server.server_port}"
            server.shutdown()

    def test_a_film_with_its_index_at_the_end(self, tmp_path, address):
        write_clip(tmp_path / "a.mp4", clip_pictures(5))
        assert len(read_all(open_source(f"{address}/a.mp4", size=None))[0]) == 5

    def test_a_stream_in_segments(self, tmp_path, address):
        write_clip(tmp_path / "list.m3u8", clip_pictures(5), options={"hls_time": "1", "hls_list_size": "0"})
        assert len(read_all(open_source(f"{address}/list.m3u8", size=None))[0]) == 5

    def test_a_stream_opens_no_file_of_this_machine(self, tmp_path, address):
        write_clip(tmp_path / "secret.ts", clip_pictures(5))
        head = "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXT-X-MEDIA-SEQUENCE:0\n#EXTINF:1,\n"
        (tmp_path / "list.m3u8").write_text(f"{head}file://{tmp_path}/secret.ts\n#EXT-X-ENDLIST\n")
        assert "cannot open the stream" in error_of(f"{address}/list.m3u8")
