"""Little clips and pictures that the tests make for themselves."""

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import cv2  # before PyAV: loaded after it, OpenCV's first window hangs in PyAV's copy of libxcb

# isort: split
import av
import numpy as np
import pytest

from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.runtime.common.pixels import Pixels
from artmirror.runtime.frame import FrameSlot
from artmirror.runtime.sinks.base import Sink, SinkFormat
from artmirror.runtime.sinks.open import open_sink
from artmirror.runtime.sources.base import Source
from artmirror.runtime.sources.open import open_source


def make_slot(size: tuple[int, int]) -> FrameSlot:
    """Return an empty slot for pictures of `size` (H, W)."""
    return FrameSlot(frame=np.zeros((*size, 3), np.uint8), stylized=np.zeros((*size, 3), np.uint8))


def flat(size: tuple[int, int], colour: Iterable[int]) -> Pixels:
    """Return a (H, W, 3) uint8 picture of one BGR colour."""
    picture = np.empty((*size, 3), np.uint8)
    picture[:] = tuple(colour)
    return picture


def halves(size: tuple[int, int]) -> Pixels:
    """Return a (H, W, 3) uint8 picture: black, its left half blue, its upper left quarter white."""
    picture = np.zeros((*size, 3), np.uint8)
    picture[:, : size[1] // 2] = (255, 0, 0)
    picture[: size[0] // 2, : size[1] // 2] = 255
    return picture


def noise(size: tuple[int, int], seed: int) -> Pixels:
    """Return a (H, W, 3) uint8 picture that does not compress."""
    return np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)


def write_clip(
    path: Path,
    pictures: Iterable[Pixels],
    *,
    rate: Fraction | int = 25,
    times: list[Fraction] | None = None,
    sound_s: float = 0.0,
    rotation: int = 0,
    codec: str = "libx264",
    sound_codec: str = "aac",
    options: dict[str, str] | None = None,
) -> Path:
    """Write a clip with PyAV: `times` in seconds per picture or a constant rate, a tone of `sound_s` seconds."""
    with av.open(str(path), "w", container_options=options or {}) as container:
        video = container.add_stream(codec, rate=rate)
        video.pix_fmt = "yuv420p"
        video.codec_context.thread_count = 1
        video.bit_rate = 4_000_000
        tick = Fraction(1, 90_000) if times else 1 / Fraction(rate)
        video.codec_context.time_base = tick
        if rotation:
            video.set_display_rotation(rotation)
        sound = container.add_stream(sound_codec, rate=48_000, layout="stereo") if sound_s else None
        for index, picture in enumerate(pictures):
            if index == 0:
                video.height, video.width = picture.shape[:2]
            frame = av.VideoFrame.from_ndarray(picture, format="bgr24")
            frame.pts = round(times[index] / tick) if times else index
            frame.time_base = tick
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        if sound is not None:
            for start in range(0, round(48_000 * sound_s), 1024):
                tone = (8000 * np.sin(np.arange(start, start + 1024) / 20)).astype(np.int16)
                wave = av.AudioFrame.from_ndarray(np.repeat(tone, 2)[None], format="s16", layout="stereo")
                wave.sample_rate, wave.pts, wave.time_base = 48_000, start, Fraction(1, 48_000)
                container.mux(sound.encode(wave))
            container.mux(sound.encode(None))
    return path


def write_picture(path: Path, picture: np.ndarray) -> Path:
    """Write a picture with OpenCV."""
    path.write_bytes(cv2.imencode(path.suffix, picture)[1].tobytes())
    return path


def read_all(source: Source) -> tuple[list[Pixels], list[Fraction | None]]:
    """Return all pictures of `source` and their media times, and close it."""
    pictures, times = [], []
    slot = make_slot(source.size)
    while source.read(slot):
        pictures.append(slot.frame.copy())
        times.append(slot.media_time_s)
    source.close()
    return pictures, times


def sound_packets(path: Path) -> list[bytes]:
    """Return the packets of the first sound stream."""
    with av.open(str(path)) as container:
        return [bytes(packet) for packet in container.demux(audio=0) if packet.size]


def error_of(uri: str, **options: object) -> str:
    """Return the one line that opening `uri` as a source fails with."""
    with pytest.raises(ArtmirrorError) as caught:
        open_source(uri, size=None, **options)  # type: ignore[arg-type]
    message = caught.value.message
    assert "\n" not in message
    return message


class FakeClock:
    """A clock that only sleeping and the test move."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def monotonic(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        assert seconds >= 0
        self.now_s += seconds


def clip_pictures(count: int, size: tuple[int, int] = (96, 128)) -> list[Pixels]:
    """Return `count` pictures of one colour each that can be told apart."""
    return [flat(size, (8 * index % 256, 100, 255 - 8 * index % 256)) for index in range(count)]


def format_of(**changes: object) -> SinkFormat:
    """Return the format of a video of 128x96 at 25 frames per second, with `changes`."""
    values: dict[str, object] = {"size": (96, 128), "rate": Fraction(25), "frame_count": None, "tracks": None}
    return SinkFormat(**{**values, **changes})  # type: ignore[arg-type]


def write_all(sink: Sink, pictures: list[np.ndarray], times: list[Fraction] | None = None) -> None:
    """Write `pictures` at their times or 25 per second, and close the sink."""
    slot = make_slot((pictures[0].shape[0], pictures[0].shape[1]))
    for index, picture in enumerate(pictures):
        slot.id, slot.stylized[:] = index, picture
        slot.media_time_s = times[index] if times else index * Fraction(1, 25)
        assert sink.write(slot)
    sink.close()
    sink.close()


def repaint(clip: Path, path: Path, count: int | None = None) -> None:
    """Carry the frames of `clip`, or `count` of them, and what else it holds into `path`, as a run without a style."""
    source = open_source(str(clip), size=None, max_frames=count)
    sink = open_sink(str(path), SinkFormat(source.size, source.rate, source.frame_count, source.tracks))
    slot = make_slot(source.size)
    slot.stylized = slot.frame
    while source.read(slot):
        slot.id += 1
        assert sink.write(slot)
    source.close()
    sink.close()


def error_of_sink(uri: str, format: SinkFormat) -> str:
    """Return the one line that opening `uri` as a sink fails with."""
    with pytest.raises(ArtmirrorError) as caught:
        open_sink(uri, format)
    assert "\n" not in caught.value.message
    return caught.value.message
