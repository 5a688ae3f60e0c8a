"""Films whose pictures are not what a screen shows: turned, of oblong pixels, of two fields, of wide colours."""

from fractions import Fraction
from pathlib import Path

import cv2  # before PyAV, see runtime/common/video.py

# isort: split
import av
import numpy as np
import pytest
from av.video.reformatter import ColorPrimaries, ColorRange, ColorTrc

from artmirror.runtime.common.pixels import Pixels
from artmirror.runtime.sources.open import open_source
from tests.fakes.media import error_of, flat, halves, read_all, write_clip

SIZE = (96, 128)


def first_picture(path: Path, size: tuple[int, int] | None = None) -> Pixels:
    return read_all(open_source(str(path), size=size))[0][0]


@pytest.mark.parametrize("mirror", [False, True])
@pytest.mark.parametrize("turn", [0, 90, 180, 270])
def test_all_eight_ways_to_hold_a_camera(tmp_path: Path, turn: int, mirror: bool) -> None:
    stored = halves(SIZE)
    shown = np.rot90(stored, turn // 90)
    shown = shown[:, ::-1] if mirror else shown
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.height, stream.width, stream.pix_fmt = *SIZE, "yuv420p"
        stream.set_display_rotation(turn, hflip=mirror)
        container.mux(stream.encode(av.VideoFrame.from_ndarray(stored, format="bgr24")))
        container.mux(stream.encode(None))
    got = first_picture(path)
    assert got.shape == shown.shape
    assert np.abs(got.astype(int) - shown).mean() < 8
    flipped = read_all(open_source(str(path), size=None, mirror=True))[0][0]
    assert np.abs(flipped.astype(int) - shown[:, ::-1]).mean() < 8


@pytest.mark.parametrize(
    ("ratio", "size"),
    [
        (Fraction(16, 11), (96, 186)),
        (Fraction(8, 9), (96, 114)),
        (Fraction(484, 483), (96, 128)),
        (Fraction(1), (96, 128)),
    ],
)
def test_oblong_pixels_become_square(tmp_path: Path, ratio: Fraction, size: tuple[int, int]) -> None:
    disc = flat(SIZE, (0, 0, 0))
    cv2.ellipse(disc, (64, 48), (round(30 / ratio), 30), 0, 0, 360, (255, 255, 255), -1)
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.height, stream.width, stream.pix_fmt = *SIZE, "yuv420p"
        stream.codec_context.sample_aspect_ratio = ratio
        container.mux(stream.encode(av.VideoFrame.from_ndarray(disc, format="bgr24")))
        container.mux(stream.encode(None))
    got = first_picture(path)
    assert got.shape[:2] == size
    lit = got[:, :, 1] > 127
    assert np.ptp(np.nonzero(lit.any(0))) == pytest.approx(np.ptp(np.nonzero(lit.any(1))), abs=3)  # round


def test_two_fields_become_one_picture(tmp_path: Path) -> None:
    left, right = flat(SIZE, (20, 20, 20)), flat(SIZE, (20, 20, 20))
    left[:, 20:50], right[:, 60:90] = 235, 235
    combed = left.copy()
    combed[1::2] = right[1::2]
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"x264-params": "tff=1", "flags": "+ildct+ilme"})
        stream.height, stream.width, stream.pix_fmt = *SIZE, "yuv420p"
        for number in range(6):
            frame = av.VideoFrame.from_ndarray(combed, format="bgr24")
            frame.pts = number
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    pictures, times = read_all(open_source(str(path), size=None))
    assert times == [Fraction(number, 25) for number in range(6)]
    combing = np.abs(np.diff(pictures[3][:, 20:50, 1].astype(int), axis=0)).mean()
    assert combing < 5  # 215 from line to line before


@pytest.mark.parametrize("transfer", ["PQ", "HLG"])
def test_wide_and_bright_colours_become_those_of_a_screen(tmp_path: Path, transfer: str) -> None:
    # White of 203 cd/m2 (Report ITU-R BT.2408): 58 % of PQ, 75 % of HLG; grey of 26 cd/m2: 38 % of either.
    white, grey, trc = (0.58, 0.38, ColorTrc.SMPTE2084) if transfer == "PQ" else (0.75, 0.38, ColorTrc.ARIB_STD_B67)
    level = np.zeros(SIZE, np.float64)
    level[:, :64], level[:, 64:] = white, grey
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"x264-params": "fullrange=off"})
        stream.height, stream.width, stream.pix_fmt = *SIZE, "yuv420p10le"
        context = stream.codec_context
        context.colorspace, context.color_range = 9, ColorRange.MPEG
        context.color_primaries, context.color_trc = ColorPrimaries.BT2020, trc
        frame = av.VideoFrame(SIZE[1], SIZE[0], "yuv420p10le")
        luma = np.zeros((SIZE[0], frame.planes[0].line_size // 2), np.uint16)
        luma[:, : SIZE[1]] = np.rint(64 + 876 * level)
        frame.planes[0].update(luma.tobytes())
        for plane in frame.planes[1:]:
            plane.update(np.full(plane.buffer_size // 2, 512, np.uint16).tobytes())
        frame.colorspace, frame.color_range = 9, ColorRange.MPEG  # BT.2020, not constant luminance
        frame.color_primaries, frame.color_trc = ColorPrimaries.BT2020, trc
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    got = first_picture(path)
    assert got[48, 30].min() >= 240
    assert 70 <= got[48, 100].mean() <= 130
    assert np.ptp(got[48, 30].astype(int)) <= 12  # stays without a tint


@pytest.mark.parametrize(("suffix", "codec", "pixels"), [(".mov", "qtrle", "argb"), (".mov", "png", "rgba")])
def test_transparent_parts_of_a_film_show_white(tmp_path: Path, suffix: str, codec: str, pixels: str) -> None:
    clear = np.zeros((*SIZE, 4), np.uint8)
    clear[:, :64] = (0, 0, 200, 255)
    path = tmp_path / f"a{suffix}"
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25)
        stream.height, stream.width, stream.pix_fmt = *SIZE, pixels
        container.mux(stream.encode(av.VideoFrame.from_ndarray(clear, format="bgra").reformat(format=pixels)))
        container.mux(stream.encode(None))
    got = first_picture(path)
    assert np.abs(got[48, 20].astype(int) - (0, 0, 200)).max() <= 2
    assert got[48, 100].min() >= 253


def test_a_size_that_changes_on_the_way_is_scaled_to_the_first(tmp_path: Path) -> None:
    parts = [write_clip(tmp_path / f"{side}.ts", [flat((side, side), (40, 90, 160))] * 5) for side in (96, 64)]
    joined = tmp_path / "joined.ts"
    joined.write_bytes(b"".join(part.read_bytes() for part in parts))
    pictures, _ = read_all(open_source(str(joined), size=None))
    assert len(pictures) == 10
    assert {picture.shape for picture in pictures} == {(96, 96, 3)}
    assert np.abs(pictures[-1].astype(int) - (40, 90, 160)).max() < 8


class TestWhichTrack:
    def write(self, path: Path, marked: int) -> Path:
        """Two tracks of pictures, black and white; one is marked as the default."""
        with av.open(str(path), "w") as container:
            streams = [container.add_stream("libx264", rate=25) for _ in range(2)]
            for number, stream in enumerate(streams):
                stream.height, stream.width, stream.pix_fmt = *SIZE, "yuv420p"
                stream.disposition = av.stream.Disposition.default if number == marked else av.stream.Disposition(0)
            for number in range(3):
                for stream, shade in zip(streams, (0, 255), strict=True):
                    frame = av.VideoFrame.from_ndarray(flat(SIZE, (shade,) * 3), format="bgr24")
                    frame.pts = number
                    container.mux(stream.encode(frame))
            for stream in streams:
                container.mux(stream.encode(None))
        return path

    @pytest.mark.parametrize("marked", [0, 1])
    def test_the_default_one_is_the_film(self, tmp_path: Path, marked: int) -> None:
        pictures, _ = read_all(open_source(str(self.write(tmp_path / "a.mkv", marked)), size=None))
        assert len(pictures) == 3
        assert pictures[0].mean() == pytest.approx(255 * marked, abs=5)

    def test_a_cover_is_no_film(self, tmp_path: Path) -> None:
        path = tmp_path / "song.mp4"
        with av.open(str(path), "w") as container:
            sound = container.add_stream("aac", rate=48_000, layout="mono")
            cover = container.add_stream("mjpeg", rate=1)
            cover.height, cover.width, cover.pix_fmt = *SIZE, "yuvj420p"
            cover.disposition = av.stream.Disposition.attached_pic
            heard = av.AudioFrame.from_ndarray(np.zeros((1, 4096), np.float32), format="fltp", layout="mono")
            heard.sample_rate = 48_000
            container.mux(sound.encode(heard))
            container.mux(sound.encode(None))
            container.mux(cover.encode(av.VideoFrame.from_ndarray(flat(SIZE, (9, 9, 9)), format="bgr24")))
            container.mux(cover.encode(None))
        assert "no film in it, sound only with a cover" in error_of(str(path))


class TestWhatIsNoFilm:
    @pytest.mark.parametrize("name", ["list.m3u8", "list.mp4", "list.ts"])
    def test_a_playlist_opens_no_other_file(self, tmp_path: Path, name: str) -> None:
        clip = write_clip(tmp_path / "secret.ts", [flat(SIZE, (1, 2, 3))] * 5)
        head = "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXT-X-MEDIA-SEQUENCE:0\n#EXTINF:1,\n"
        (tmp_path / name).write_text(f"{head}{clip}\n#EXT-X-ENDLIST\n")
        assert "is a playlist" in error_of(str(tmp_path / name))

    @pytest.mark.parametrize("name", ["list.ffconcat", "list.mp4"])
    def test_a_list_of_parts_opens_no_other_file(self, tmp_path: Path, name: str) -> None:
        clip = write_clip(tmp_path / "secret.mp4", [flat(SIZE, (1, 2, 3))] * 5)
        (tmp_path / name).write_text(f"ffconcat version 1.0\nfile '{clip}'\n")
        assert "is a playlist" in error_of(str(tmp_path / name))

    def test_a_drawing_has_its_own_words(self, tmp_path: Path) -> None:
        (tmp_path / "a.svg").write_text('<svg xmlns="http://www.w3.org/2000/svg" width="100" height="100"/>')
        assert "is a drawing (SVG)" in error_of(str(tmp_path / "a.svg"))

    def test_nothing_in_it(self, tmp_path: Path) -> None:
        (tmp_path / "a.mp4").touch()
        assert "is empty" in error_of(str(tmp_path / "a.mp4"))


def test_a_folder_or_a_file_may_be_called_by_a_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "2024").mkdir()
    assert cv2.imwrite("2024/a.png", flat(SIZE, (1, 2, 3)))
    source = open_source("2024", size=None)
    assert source.frame_count == 1
    source.close()
