"""What is drawn over the picture: the title card, the countdown, the QR code, words for the attendant. As patches."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from artmirror.runtime.common.pixels import Pixels

Patch = NDArray[np.uint8]  # (h, w, 4) BGRA; alpha is not multiplied in

_DARK = (12, 12, 14, 205)  # RGBA of what stands behind words
_WHITE = (255, 255, 255, 255)
_GREY = (205, 205, 205, 255)
# With more scripts than Pillow's own font; the first that is there is taken.
_FONTS = (
    "/usr/share/fonts/opentype/noto/NotoSansCJK-Regular.ttc",
    "/usr/share/fonts/truetype/noto/NotoSans-Regular.ttf",
    "/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf",
)

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


@dataclass(frozen=True, slots=True)
class Words:
    """The lines of a card."""

    title: str
    artist: str = ""
    year: str = ""


def title_card(words: Words, picture: Pixels | None, height: int, most_width: int) -> Patch:
    """A painting's picture, its title, artist and year.

    Args:
        picture: (h, w, 3) uint8 BGR, or None.
        height: Of the card in pixels.
        most_width: Longer titles are set smaller, then cut.
    """
    pad = height // 8
    inner = height - 2 * pad
    thumbnail = None
    picture_width = 0
    if picture is not None:
        width = max(1, min(2 * inner, round(inner * picture.shape[1] / picture.shape[0])))
        method = cv2.INTER_AREA if picture.shape[0] > inner else cv2.INTER_CUBIC
        thumbnail = cv2.cvtColor(
            np.asarray(cv2.resize(picture, (width, inner), interpolation=method)), cv2.COLOR_BGR2RGB
        )
        picture_width = width + pad
    room = max(inner, most_width - picture_width - 2 * pad)
    title, title_font = _fitted(words.title, inner * 0.32, room)
    below, below_font = _fitted(", ".join(filter(None, (words.artist, words.year))), inner * 0.22, room)
    text_width = int(max(title_font.getlength(title), below_font.getlength(below)))
    card = Image.new("RGBA", (2 * pad + picture_width + text_width, height), (0, 0, 0, 0))
    draw = ImageDraw.Draw(card)
    draw.rounded_rectangle((0, 0, card.width - 1, height - 1), radius=pad, fill=_DARK)
    if thumbnail is not None:
        card.paste(Image.fromarray(thumbnail), (pad, pad))
    left = pad + picture_width
    if below:
        draw.text((left, height * 0.42), title, font=title_font, fill=_WHITE, anchor="lm")
        draw.text((left, height * 0.68), below, font=below_font, fill=_GREY, anchor="lm")
    else:
        draw.text((left, height * 0.5), title, font=title_font, fill=_WHITE, anchor="lm")
    return _bgra(card)


def message_card(lines: list[str], width: int, size: int) -> Patch:
    """Words in the middle of the screen; the first line is the largest.

    Args:
        size: Of the first line in pixels.
    """
    fitted = [_fitted(line, size if number == 0 else size * 0.6, width - 2 * size) for number, line in enumerate(lines)]
    step = size * 1.5
    card = Image.new("RGBA", (width, int(step * (len(lines) + 1))), (0, 0, 0, 0))
    draw = ImageDraw.Draw(card)
    draw.rounded_rectangle((0, 0, card.width - 1, card.height - 1), radius=size // 2, fill=_DARK)
    for number, (text, font) in enumerate(fitted):
        fill = _WHITE if number == 0 else _GREY
        draw.text((width / 2, step * (number + 1)), text, font=font, fill=fill, anchor="mm")
    return _bgra(card)


def countdown(number: int, side: int) -> Patch:
    """A large number in a ring."""
    card = Image.new("RGBA", (side, side), (0, 0, 0, 0))
    draw = ImageDraw.Draw(card)
    draw.ellipse((0, 0, side - 1, side - 1), fill=(12, 12, 14, 150), outline=_WHITE, width=max(2, side // 40))
    draw.text((side / 2, side / 2), str(number), font=_font(round(side * 0.6)), fill=_WHITE, anchor="mm")
    return _bgra(card)


def qr_card(address: str, lines: list[str], side: int) -> Patch:
    """A QR code of an address on white, with words under it."""
    import segno

    made = segno.make(address, error="m", micro=False)
    modules = np.array([list(row) for row in made.matrix_iter(border=4)], np.uint8)  # 1 is dark
    scale = max(1, side // modules.shape[0])
    code = np.kron(255 * (1 - modules), np.ones((scale, scale), np.uint8)).astype(np.uint8)
    width = code.shape[1]
    size = max(12, width // 11)
    height = code.shape[0] + int(size * 1.6 * len(lines)) + (size if lines else 0)
    card = Image.new("RGBA", (width, height), (255, 255, 255, 255))
    card.paste(Image.fromarray(code), (0, 0))
    draw = ImageDraw.Draw(card)
    for number, line in enumerate(lines):
        text, font = _fitted(line, size, width - 2 * size)
        draw.text(
            (width / 2, code.shape[0] + size * 1.6 * (number + 0.5)), text, font=font, fill=(0, 0, 0), anchor="mm"
        )
    return _bgra(card)


def _fitted(text: str, size: float, room: float) -> tuple[str, Font]:
    """A text and its font, smaller or cut where it is too long."""
    pixels = max(8, round(size))
    least = max(8, round(size * 0.6))
    while pixels > least and _font(pixels).getlength(text) > room:
        pixels -= 1
    font = _font(pixels)
    if font.getlength(text) > room:
        while text and font.getlength(text + "...") > room:
            text = text[:-1]
        text = text.rstrip() + "..."
    return text, font


@lru_cache(64)
def _font(pixels: int) -> Font:
    for name in _FONTS:
        if Path(name).is_file():
            return ImageFont.truetype(name, pixels)
    return ImageFont.load_default(pixels)


def _bgra(image: Image.Image) -> Patch:
    return np.asarray(cv2.cvtColor(np.asarray(image), cv2.COLOR_RGBA2BGRA), np.uint8)
