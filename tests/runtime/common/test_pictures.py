"""Picture files: colours, orientation, transparency, animation, and what is refused before it takes memory."""

import io
import struct
import zlib
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageCms

from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.runtime.common.pictures import decode_picture, look_at, read_animation, read_picture
from artmirror.runtime.sources.open import open_source
from tests.fakes.media import read_all

ORIENTATION = 0x0112
# A rough P3: D50-adapted primaries (Display P3's), the curve of sRGB.
P3_PRIMARIES = ((0.5151, 0.2412, -0.0011), (0.2919, 0.6922, 0.0419), (0.1571, 0.0666, 0.7841))


def corner(mode: str = "RGB") -> Image.Image:
    """40 x 30 pixels, one corner red or dark: all eight ways to turn it can be told apart."""
    pixels = np.full((30, 40, 3), 255, np.uint8)
    pixels[:10, :20] = (220, 30, 30)
    return Image.fromarray(pixels).convert(mode)


def written(path: Path, image: Image.Image, **settings: Any) -> Path:
    image.save(path, **settings)
    return path


def display_p3() -> bytes:
    """A profile with the primaries of Display P3, put together from the format's own tables."""

    def tag(kind: bytes, body: bytes) -> bytes:
        return kind + bytes(4) + body

    def xyz(values: tuple[float, ...]) -> bytes:
        return tag(b"XYZ ", b"".join(struct.pack(">i", round(value * 65536)) for value in values))

    curve = tag(
        b"para",
        struct.pack(">HH5i", 3, 0, *(round(v * 65536) for v in (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045))),
    )
    text = tag(b"mluc", struct.pack(">II2s2sII", 1, 12, b"en", b"US", 4, 28) + "P3".encode("utf-16-be"))
    tags = {
        b"desc": text,
        b"wtpt": xyz((0.9642, 1.0, 0.8249)),
        **{name: xyz(primary) for name, primary in zip((b"rXYZ", b"gXYZ", b"bXYZ"), P3_PRIMARIES, strict=True)},
        **dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve),
    }
    table, body = b"", b""
    start = 128 + 4 + 12 * len(tags)
    for name, content in tags.items():
        content += bytes(-len(content) % 4)
        table += name + struct.pack(">II", start + len(body), len(content))
        body += content
    head = struct.pack(
        ">I4sI4s4s4s12x4s4s4s",
        start + len(body),
        b"test",
        0x04000000,
        b"mntr",
        b"RGB ",
        b"XYZ ",
        b"acsp",
        b"APPL",
        bytes(4),
    )
    head += bytes(68 - len(head)) + struct.pack(">iii", round(0.9642 * 65536), 65536, round(0.8249 * 65536))
    return head + bytes(128 - len(head)) + struct.pack(">I", len(tags)) + table + body


class TestColours:
    @pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.tif", "a.webp"])
    def test_a_wide_profile_is_converted(self, tmp_path: Path, name: str) -> None:
        flat = Image.new("RGB", (64, 64), (200, 60, 50))
        path = written(tmp_path / name, flat, icc_profile=display_p3(), **({"quality": 100} if name != "a.png" else {}))
        assert np.abs(read_picture(path)[30, 30, ::-1].astype(int) - (219, 41, 39)).max() <= 4

    def test_a_profile_of_srgb_changes_nothing(self, tmp_path: Path) -> None:
        profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
        pixels = np.random.default_rng(1).integers(0, 256, (30, 40, 3), np.uint8)
        path = written(tmp_path / "a.png", Image.fromarray(pixels), icc_profile=profile)
        assert np.array_equal(read_picture(path)[..., ::-1], pixels)

    @pytest.mark.parametrize("profile", [b"nonsense", display_p3()[:200], display_p3().replace(b"RGB ", b"CMYK")])
    def test_a_damaged_profile_says_nothing(self, tmp_path: Path, profile: bytes) -> None:
        path = written(tmp_path / "a.png", Image.new("RGB", (64, 64), (200, 60, 50)), icc_profile=profile)
        assert read_picture(path)[30, 30, ::-1].tolist() == [200, 60, 50]

    @pytest.mark.parametrize("name", ["a.jpg", "a.tif"])
    def test_inks_become_light(self, tmp_path: Path, name: str) -> None:
        path = written(tmp_path / name, Image.new("CMYK", (64, 64), (0, 255, 255, 0)))
        assert np.abs(read_picture(path)[30, 30, ::-1].astype(int) - (255, 0, 0)).max() <= 30

    @pytest.mark.parametrize("mode", ["L", "P", "1", "I;16"])
    def test_few_and_deep_greys(self, tmp_path: Path, mode: str) -> None:
        grey = np.full((64, 64), 255 if mode == "1" else 130, np.uint8)
        image = Image.fromarray(grey.astype(np.uint16) * 257) if mode == "I;16" else Image.fromarray(grey).convert(mode)
        assert read_picture(written(tmp_path / "a.png", image))[30, 30].tolist() == [grey[0, 0]] * 3

    def test_grey_with_a_profile(self, tmp_path: Path) -> None:
        profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()  # for another kind of picture
        path = written(tmp_path / "a.png", Image.new("L", (64, 64), 90), icc_profile=profile)
        assert read_picture(path)[3, 3].tolist() == [90, 90, 90]


class TestOrientation:
    @pytest.mark.parametrize("orientation", range(1, 9))
    @pytest.mark.parametrize(
        ("name", "mode"),
        [
            ("a.jpg", "RGB"),
            ("g.jpg", "L"),
            ("c.jpg", "CMYK"),
            ("a.png", "RGB"),
            ("a.png", "RGBA"),
            ("a.png", "L"),
            ("a.png", "LA"),
            ("a.png", "P"),
            ("a.tif", "RGB"),
            ("a.webp", "RGB"),
            ("a.webp", "RGBA"),
        ],
    )
    def test_every_kind_is_turned_upright(self, tmp_path: Path, name: str, mode: str, orientation: int) -> None:
        upright = np.asarray(corner("RGB"))
        stored = Image.fromarray(upright)
        undone = {1: None, 2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}[orientation]  # the transposition that EXIF undoes
        if undone is not None:
            stored = stored.transpose(Image.Transpose(undone))
        exif = Image.Exif()
        exif[ORIENTATION] = orientation
        path = written(
            tmp_path / name, stored.convert(mode), exif=exif, **({"lossless": True} if name == "a.webp" else {})
        )
        got = read_picture(path)
        assert got.shape == (30, 40, 3)
        light = got.mean(2) > 170
        assert not light[:8, :18].any()
        assert light[12:].all()
        assert light[:, 22:].all()

    def test_nonsense_is_upright(self, tmp_path: Path) -> None:
        exif = Image.Exif()
        exif[ORIENTATION] = 77
        assert read_picture(written(tmp_path / "a.jpg", corner(), exif=exif)).shape == (30, 40, 3)


class TestTransparency:
    @pytest.mark.parametrize("kind", ["RGBA", "LA", "P", "P with alphas", "RGB with a colour", "webp", "tif"])
    def test_shows_white(self, tmp_path: Path, kind: str) -> None:
        pixels = np.zeros((64, 64, 4), np.uint8)
        pixels[:, :32] = (0, 0, 0, 255)
        image = Image.fromarray(pixels)
        path, settings = tmp_path / {"webp": "a.webp", "tif": "a.tif"}.get(kind, "a.png"), {}
        if kind == "LA":
            image = image.convert("LA")
        elif kind.startswith("P"):
            image = Image.fromarray((pixels[..., 3] == 0).astype(np.uint8), "P")
            image.putpalette([0, 0, 0, 9, 9, 9])
            settings = {"transparency": bytes([255, 0]) if "alphas" in kind else 1}
        elif kind.startswith("RGB "):
            image = Image.fromarray(np.where(pixels[..., 3:] > 0, 0, 7).repeat(3, 2).astype(np.uint8))
            settings = {"transparency": (7, 7, 7)}
        got = read_picture(written(path, image, **settings))
        assert got[30, 10].tolist() == [0, 0, 0]
        assert got[30, 50].tolist() == [255, 255, 255]


class TestPhones:
    """HEIC is read only here; a file of a phone's kind is kept as bytes by `tests/fakes/phone.py`."""

    def test_avif(self, tmp_path: Path) -> None:
        got = read_picture(written(tmp_path / "a.avif", corner(), quality=95))
        assert got.shape == (30, 40, 3)
        assert np.abs(got[4, 8, ::-1].astype(int) - (220, 30, 30)).max() <= 20

    def test_an_avif_with_a_wide_profile_is_converted(self, tmp_path: Path) -> None:
        flat = Image.new("RGB", (64, 64), (200, 60, 50))
        path = written(tmp_path / "a.avif", flat, icc_profile=display_p3(), quality=100)
        assert np.abs(read_picture(path)[30, 30, ::-1].astype(int) - (219, 41, 39)).max() <= 6


class TestAnimation:
    @pytest.mark.parametrize("suffix", [".webp", ".png", ".avif", ".gif"])
    def test_is_a_film_with_its_own_delays(self, tmp_path: Path, suffix: str) -> None:
        shades = [Image.new("RGB", (64, 64), (shade,) * 3) for shade in (10, 120, 240)]
        path = tmp_path / f"a{suffix}"
        shades[0].save(path, save_all=True, append_images=shades[1:], duration=[100, 200, 500], loop=0)
        found = list(read_animation(path))
        assert [delay_s for _, delay_s in found] == [Fraction(1, 10), Fraction(1, 5), Fraction(1, 2)]
        assert [int(picture[3, 3, 0]) for picture, _ in found] == pytest.approx([10, 120, 240], abs=4)
        source = open_source(str(path), size=None)
        assert source.frame_count in (3, None)
        pictures, times = read_all(source)
        assert times == [0, Fraction(1, 10), Fraction(3, 10)]
        assert pictures[2].mean() == pytest.approx(240, abs=4)

    def test_in_a_folder_it_is_its_first_picture(self, tmp_path: Path) -> None:
        shades = [Image.new("RGB", (64, 64), (shade,) * 3) for shade in (10, 240)]
        shades[0].save(tmp_path / "a.webp", save_all=True, append_images=shades[1:], duration=100, lossless=True)
        pictures, times = read_all(open_source(str(tmp_path), size=None))
        assert (len(pictures), times) == (1, [None])
        assert pictures[0].mean() == pytest.approx(10, abs=2)

    def test_a_delay_that_nobody_could_see_is_a_tenth_of_a_second(self, tmp_path: Path) -> None:
        shades = [Image.new("RGB", (64, 64), (shade,) * 3) for shade in (10, 240)]
        shades[0].save(tmp_path / "a.webp", save_all=True, append_images=shades[1:], duration=1, lossless=True)
        assert {delay_s for _, delay_s in read_animation(tmp_path / "a.webp")} == {Fraction(1, 10)}


def png_head(width: int, height: int) -> bytes:
    """A PNG of that size with hardly anything in it."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    )


class TestRefusals:
    def test_a_vast_picture_is_refused_by_its_head(self, tmp_path: Path) -> None:
        path = tmp_path / "vast.png"
        path.write_bytes(png_head(32_000, 32_000))
        with pytest.raises(ArtmirrorError, match=r"32000x32000, 1024 megapixels; at most 200"):
            read_picture(path)
        with pytest.raises(ArtmirrorError, match="at most 1 are taken"):
            decode_picture(np.frombuffer(png_head(2000, 1000), np.uint8), "a", most_pixels=1_000_000)

    @pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.webp", "a.tif", "a.bmp", "a.avif"])
    @pytest.mark.parametrize("share", [0.02, 0.5, 0.9])
    def test_a_file_that_is_cut_off_is_told(self, tmp_path: Path, name: str, share: float) -> None:
        pixels: NDArray[np.uint8] = np.random.default_rng(2).integers(0, 256, (120, 160, 3), np.uint8)
        whole = written(tmp_path / name, Image.fromarray(pixels)).read_bytes()
        (tmp_path / name).write_bytes(whole[: int(len(whole) * share)])
        with pytest.raises(ArtmirrorError, match=r"cut off|cannot be read here"):
            read_picture(tmp_path / name)

    def test_a_jpeg_that_is_cut_off_is_told_though_a_small_copy_is_whole(self, tmp_path: Path) -> None:
        small, large = io.BytesIO(), io.BytesIO()
        corner().save(small, "JPEG")
        Image.fromarray(np.random.default_rng(2).integers(0, 256, (120, 160, 3), np.uint8)).save(large, "JPEG")
        copy = b"\xff\xe1" + struct.pack(">H", len(small.getvalue()) + 2) + small.getvalue()
        data = b"\xff\xd8" + copy + large.getvalue()[2:]
        assert decode_picture(np.frombuffer(data, np.uint8), "a").shape == (120, 160, 3)
        with pytest.raises(ArtmirrorError, match="cut off"):
            decode_picture(np.frombuffer(data[:-3000], np.uint8), "a")

    @pytest.mark.parametrize(
        ("content", "told"),
        [
            (b"", "is empty"),
            (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "is a drawing"),
            (b"ID3\x04" + bytes(300), "is a film or sound"),
            (b"\x00\x00\x00\x18ftypmp42" + bytes(300), "is a film or sound"),
            (b"\x00\x00\x00\x18ftypheic" + bytes(300), "is HEIC"),
            (b"hello" * 30, "another format under this name"),
        ],
    )
    def test_what_is_no_picture_has_its_own_words(self, content: bytes, told: str) -> None:
        with pytest.raises(ArtmirrorError, match=told) as error:
            decode_picture(np.frombuffer(content, np.uint8), "a.png")
        assert "\n" not in error.value.message


def test_ordinary_pictures_are_read_exactly_as_opencv_reads_them(tmp_path: Path) -> None:
    pixels = cv2.resize(
        np.random.default_rng(4).integers(0, 256, (9, 12, 3), np.uint8), (160, 120), interpolation=cv2.INTER_CUBIC
    )
    for name in ("a.jpg", "a.png", "a.bmp", "a.tif", "a.webp"):
        assert cv2.imwrite(str(tmp_path / name), pixels)
        assert np.array_equal(read_picture(tmp_path / name), cv2.imread(str(tmp_path / name)))


def test_the_head_tells_size_turn_and_number(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    data = np.fromfile(written(tmp_path / "a.jpg", corner(), exif=exif), np.uint8)
    head = look_at(data, "a")
    assert (head.width, head.height, head.orientation, head.pictures, head.is_plain) == (40, 30, 6, 1, True)
