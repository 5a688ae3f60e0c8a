"""A film on its way through: times, sound, tracks. Flashes and beeps tell whether both stay together."""

import itertools
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import cv2  # noqa: F401 - before PyAV, see runtime/common/video.py

# isort: split
import av
import numpy as np
import pytest
from numpy.typing import NDArray

from tests.fakes.media import repaint

SIZE = (64, 64)
RATE = 25
SOUND_RATE = 48_000
SECONDS = 2.0
FLASHES_S = (0.4, 0.92, 1.4)
NEAR_S = 0.04

CONTAINERS = (".mp4", ".mkv", ".mov", ".webm", ".avi")
# name -> container, codec of pictures, codec of sound, rate, layout
INPUTS = {
    "phone.mp4": ("mp4", "libx264", "aac", 48_000, "stereo"),
    "ripped.mkv": ("matroska", "libx264", "flac", 44_100, "stereo"),
    "web.webm": ("webm", "libvpx-vp9", "libopus", 48_000, "mono"),
    "editor.mov": ("mov", "libx264", "pcm_s24le", 96_000, "stereo"),
    "old.avi": ("avi", "mpeg4", "libmp3lame", 44_100, "stereo"),
    "tv.ts": ("mpegts", "libx264", "mp2", 48_000, "stereo"),
    "hdtv.ts": ("mpegts", "libx264", "ac3", 48_000, "5.1"),
    "adts.ts": ("mpegts", "libx264", "aac", 48_000, "stereo"),
    "small.3gp": ("3gp", "mpeg4", "aac", 8_000, "mono"),
    "apple.mov": ("mov", "libx264", "alac", 44_100, "stereo"),
    "flash.flv": ("flv", "libx264", "aac", 44_100, "stereo"),
}


def beeps(rate: int, seconds: float = SECONDS) -> NDArray[np.float32]:
    """Silence, with a tone of 40 ms at each flash."""
    sound = np.zeros(round(seconds * rate), np.float32)
    for flash_s in FLASHES_S:
        if flash_s + 0.1 < seconds:
            start, count = round(flash_s * rate), round(0.04 * rate)
            sound[start : start + count] = 0.7 * np.sin(2 * np.pi * 1000 * np.arange(count) / rate)
    return sound


def write_film(
    path: Path,
    kind: str,
    pictures: str,
    sound: str,
    rate: int = SOUND_RATE,
    layout: str = "stereo",
    *,
    times: Sequence[Fraction] | None = None,
    late_s: Fraction = Fraction(0),
    options: dict[str, str] | None = None,
) -> Path:
    """A film of flashes and beeps; `times` of its pictures, and how much both begin after time zero."""
    with av.open(str(path), "w", format=kind) as container:
        video = container.add_stream(pictures, rate=RATE, options=options or {})
        video.height, video.width = SIZE
        video.pix_fmt = "yuv420p"
        tick = Fraction(1, RATE) if times is None else Fraction(1, 1000)
        video.codec_context.time_base = tick
        audio = container.add_stream(sound, rate=rate, layout=layout)
        packets: list[av.Packet] = []
        for shown_s in times or [Fraction(number, RATE) for number in range(round(SECONDS * RATE))]:
            lit = any(abs(shown_s - Fraction(str(flash_s))) < Fraction(1, 100) for flash_s in FLASHES_S)
            frame = av.VideoFrame.from_ndarray(np.full((*SIZE, 3), 255 if lit else 20, np.uint8), format="bgr24")
            frame.pts, frame.time_base = round((shown_s + late_s) / tick), tick
            packets += video.encode(frame)
        packets += video.encode(None)
        wave = beeps(rate)
        channels = av.AudioLayout(layout).nb_channels
        for start in range(0, len(wave), 1024):
            block = np.repeat(wave[None, start : start + 1024], channels, 0)
            heard = av.AudioFrame.from_ndarray(block, format="fltp", layout=layout)
            heard.sample_rate, heard.time_base = rate, Fraction(1, rate)
            heard.pts = start + round(late_s * rate)
            packets += audio.encode(heard)
        packets += audio.encode(None)
        for packet in sorted(packets, key=lambda packet: (packet.dts or 0) * packet.time_base):
            container.mux(packet)
    return path


def flashes_and_beeps(path: Path) -> tuple[list[float], list[float]]:
    """When each begins, seconds."""
    with av.open(str(path)) as container:
        lit = [
            (float(frame.pts * frame.time_base), frame.to_ndarray(format="gray").mean() > 140)
            for frame in container.decode(video=0)
        ]
    flashes = [now_s for (_, before), (now_s, now) in itertools.pairwise([(0.0, False), *lit]) if now and not before]
    heard: list[float] = []
    loud_until_s = -1.0
    with av.open(str(path)) as container:
        for frame in container.decode(audio=0):
            block = frame.to_ndarray()
            first = block[0] if frame.format.is_planar else block.reshape(frame.samples, -1)[:, 0]
            scale = 1.0 if first.dtype.kind == "f" else float(np.iinfo(first.dtype).max)
            for place in np.flatnonzero(np.abs(first.astype(np.float64)) > 0.2 * scale):
                at_s = float(frame.pts * frame.time_base) + place / frame.sample_rate
                if at_s > loud_until_s:
                    heard.append(at_s)
                loud_until_s = at_s + 0.05
    return flashes, heard


def assert_together(path: Path, count: int = len(FLASHES_S)) -> None:
    flashes, heard = flashes_and_beeps(path)
    assert len(flashes) == len(heard) == count, (flashes, heard)
    assert max(abs(flash_s - heard_s) for flash_s, heard_s in zip(flashes, heard, strict=True)) <= NEAR_S


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("films")
    for name, made in INPUTS.items():
        write_film(folder / name, *made)
    return folder


@pytest.mark.parametrize("suffix", CONTAINERS)
@pytest.mark.parametrize("name", INPUTS)
def test_flash_and_beep_stay_together_from_every_kind_of_film_into_every_container(
    films: Path, tmp_path: Path, name: str, suffix: str
) -> None:
    repaint(films / name, tmp_path / f"out{suffix}")
    assert_together(tmp_path / f"out{suffix}")


@pytest.mark.parametrize("suffix", CONTAINERS)
def test_a_varying_rate_stays_together(tmp_path: Path, suffix: str) -> None:
    numbers = [number for number in range(round(SECONDS * RATE)) if number % 3 == 0 or number in (10, 23, 35)]
    times = [Fraction(number, RATE) for number in numbers]
    film = write_film(tmp_path / "in.mkv", "matroska", "libx264", "aac", times=times)
    repaint(film, tmp_path / f"out{suffix}")
    assert_together(tmp_path / f"out{suffix}")


@pytest.mark.parametrize("suffix", [".mp4", ".avi"])
def test_a_film_that_begins_late_begins_at_once(tmp_path: Path, suffix: str) -> None:
    film = write_film(tmp_path / "in.mkv", "matroska", "libx264", "aac", late_s=Fraction(3))
    repaint(film, tmp_path / f"out{suffix}")
    assert_together(tmp_path / f"out{suffix}")
    assert flashes_and_beeps(tmp_path / f"out{suffix}")[0][0] == pytest.approx(FLASHES_S[0], abs=0.001)


@pytest.mark.parametrize("suffix", [".mp4", ".avi"])
def test_joined_recordings_are_one_film(tmp_path: Path, suffix: str) -> None:
    one = write_film(tmp_path / "one.ts", "mpegts", "libx264", "mp2")
    film = tmp_path / "joined.ts"
    film.write_bytes(one.read_bytes() * 3)
    repaint(film, tmp_path / f"out{suffix}")
    assert_together(tmp_path / f"out{suffix}", 3 * len(FLASHES_S))
    with av.open(str(tmp_path / f"out{suffix}")) as container:
        times = [float(frame.pts * frame.time_base) for frame in container.decode(video=0)]
    assert len(times) == 150
    assert times[-1] == pytest.approx(5.96, abs=0.04)
    assert min(np.diff(times)) > 0


def test_a_recording_that_begins_between_whole_pictures_is_in_sync(tmp_path: Path) -> None:
    options = {"g": "30", "keyint_min": "30", "sc_threshold": "0"}
    whole = write_film(tmp_path / "whole.ts", "mpegts", "libx264", "mp2", options=options).read_bytes()
    cut = tmp_path / "cut.ts"
    cut.write_bytes(whole[188 * (len(whole) // 188 // 5) :])  # in the middle of the first group
    repaint(cut, tmp_path / "out.mp4")
    assert_together(tmp_path / "out.mp4", 1)


def test_pictures_that_are_stored_in_another_order_in_avi_are_even(tmp_path: Path) -> None:
    film = write_film(tmp_path / "in.avi", "avi", "libx264", "libmp3lame", options={"bf": "2", "b_strategy": "0"})
    repaint(film, tmp_path / "out.mp4")
    assert_together(tmp_path / "out.mp4")
    with av.open(str(tmp_path / "out.mp4")) as container:
        times = [frame.pts * frame.time_base for frame in container.decode(video=0)]
    assert set(np.diff(times)) == {Fraction(1, 25)}


def test_the_last_picture_is_shown_as_long_as_the_file_says(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "in.gif"), "w") as container:
        stream = container.add_stream("gif", rate=10)
        stream.height, stream.width, stream.pix_fmt = *SIZE, "rgb8"
        stream.codec_context.time_base = Fraction(1, 100)
        for shade, hundredths in ((0, 0), (90, 10), (255, 40)):
            frame = av.VideoFrame.from_ndarray(np.full((*SIZE, 3), shade, np.uint8), format="rgb24").reformat(
                format="rgb8"
            )
            frame.pts, frame.time_base = hundredths, Fraction(1, 100)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with av.open(str(tmp_path / "in.gif")) as container:
        whole_s = container.duration / av.time_base
    for suffix in (".mp4", ".mkv", ".avi"):
        repaint(tmp_path / "in.gif", tmp_path / f"out{suffix}")
        with av.open(str(tmp_path / f"out{suffix}")) as container:
            assert container.duration / av.time_base == pytest.approx(whole_s, abs=0.045)


def test_second_sound_subtitles_chapters_and_title_are_kept_or_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    film = tmp_path / "in.mkv"
    with av.open(str(film), "w") as container:
        container.metadata["title"] = "My film"
        video = container.add_stream("libx264", rate=RATE)
        video.height, video.width, video.pix_fmt = *SIZE, "yuv420p"
        tracks = [container.add_stream("aac", rate=SOUND_RATE, layout="mono") for _ in range(2)]
        tracks[0].metadata["language"], tracks[1].metadata["language"] = "ger", "eng"
        tracks[0].disposition = av.stream.Disposition(0)
        tracks[1].disposition = av.stream.Disposition.default
        container.set_chapters(
            [{"id": 1, "start": 0, "end": 500, "time_base": Fraction(1, 1000), "metadata": {"title": "one"}}]
        )
        for number in range(10):
            frame = av.VideoFrame.from_ndarray(np.full((*SIZE, 3), 9, np.uint8), format="bgr24")
            frame.pts, frame.time_base = number, Fraction(1, RATE)
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        for track, level in zip(tracks, (0.0, 0.5), strict=True):
            heard = av.AudioFrame.from_ndarray(np.full((1, 8192), level, np.float32), format="fltp", layout="mono")
            heard.sample_rate = SOUND_RATE
            container.mux(track.encode(heard))
            container.mux(track.encode(None))
    repaint(film, tmp_path / "out.mp4")
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert container.metadata["title"] == "My film"
        assert [track.metadata["language"] for track in container.streams.audio] == ["eng", "ger"]
        assert container.streams.audio[0].disposition & av.stream.Disposition.default
        assert [chapter["metadata"]["title"] for chapter in container.chapters()] == ["one"]
    assert caplog.text == ""
    repaint(film, tmp_path / "out.avi")
    with av.open(str(tmp_path / "out.avi")) as container:
        loudest = max(float(np.abs(frame.to_ndarray()).max()) for frame in container.decode(audio=0))
    assert loudest > 0.3  # the default one
    assert "audio 1 (aac), chapters; left out" in caplog.text


def test_two_outputs_of_one_film_both_have_its_sound(films: Path, tmp_path: Path) -> None:
    from artmirror.runtime.sinks.base import SinkFormat
    from artmirror.runtime.sinks.open import open_sink
    from artmirror.runtime.sources.open import open_source
    from tests.fakes.media import make_slot

    source = open_source(str(films / "ripped.mkv"), size=None)
    format = SinkFormat(source.size, source.rate, None, source.tracks)
    paths = [tmp_path / "a.mkv", tmp_path / "b.avi", tmp_path / "c.mov"]
    sinks = [open_sink(str(path), format) for path in paths]
    slot = make_slot(source.size)
    slot.stylized = slot.frame
    while source.read(slot):
        assert all(sink.write(slot) for sink in sinks)
    source.close()  # before the sinks, as the pipeline does
    for sink in sinks:
        sink.close()
    for path in paths:
        assert_together(path)
