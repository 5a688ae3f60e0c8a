"""What lies on the screen: canvas, cards, presenter."""

import cv2
import numpy as np
import pytest

from artmirror.runtime.common.pictures import encode_picture
from artmirror.runtime.common.pixels import Pixels, Size
from artmirror.runtime.gallery.palette import Paint
from artmirror.runtime.show.canvas import Canvas, Overlay
from artmirror.runtime.show.cards import Words, countdown, message_card, qr_card, title_card
from artmirror.runtime.show.director import Phase, PhotoStep, View
from artmirror.runtime.show.photo import Photo
from artmirror.runtime.show.presenter import Presenter
from artmirror.runtime.show.scenes import Scene
from artmirror.runtime.show.screen import NoScreen
from artmirror.runtime.show.settings import Settings
from tests.fakes.show_parts import FakeScreen
from tests.fakes.x_screen import read_qr


def corners(size: tuple[int, int]) -> Pixels:
    """A picture whose top left quarter is red, the rest blue."""
    picture = np.zeros((*size, 3), np.uint8)
    picture[:] = (255, 0, 0)
    picture[: size[0] // 2, : size[1] // 2] = (0, 0, 255)
    return picture


def is_red(pixel: Pixels) -> bool:
    return int(pixel[2]) > 200 and int(pixel[0]) < 50


@pytest.mark.parametrize(("rotation", "corner"), [(0, (0, 0)), (90, (0, -1)), (180, (-1, -1)), (270, (-1, 0))])
def test_turning_takes_the_top_left_corner_along(rotation: int, corner: tuple[int, int]) -> None:
    size = Size(108, 192)
    frame = corners((192, 108) if rotation in (90, 270) else (108, 192))
    shown = Canvas(size, rotation).draw(frame, [])
    assert shown.shape == (*size, 3)
    for place in ((0, 0), (0, -1), (-1, 0), (-1, -1)):
        assert is_red(shown[place]) is (place == corner)


def test_cover_cuts_and_contain_leaves_bars() -> None:
    frame = np.full((90, 90, 3), 200, np.uint8)
    assert Canvas(Size(90, 160), fit="cover").draw(frame, []).min() == 200
    shown = Canvas(Size(90, 160), fit="contain").draw(frame, [])
    assert shown[:, :35].max() == 0
    assert shown[:, -35:].max() == 0
    assert shown[:, 40:120].min() == 200


@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
@pytest.mark.parametrize("anchor", ["bottom-left", "bottom-right", "top-left", "top-right", "centre"])
def test_overlays_lie_where_they_should_for_who_stands_before_it(rotation: int, anchor: str) -> None:
    canvas = Canvas(Size(200, 300), rotation)
    patch = np.full((20, 40, 4), 255, np.uint8)
    shown = canvas.draw(None, [Overlay(patch, anchor)])  # type: ignore[arg-type]
    upright = shown
    for _ in range((360 - rotation) % 360 // 90):
        upright = cv2.rotate(upright, cv2.ROTATE_90_CLOCKWISE)
    assert upright.shape[:2] == canvas.upright
    rows, columns = np.nonzero(upright[:, :, 0])
    assert (np.ptp(rows) + 1, np.ptp(columns) + 1) == (20, 40)
    middle = rows.mean() / upright.shape[0], columns.mean() / upright.shape[1]
    for share, low, high in ((middle[0], "top", "bottom"), (middle[1], "left", "right")):
        if anchor == "centre":
            assert share == pytest.approx(0.5, abs=0.02)
        else:
            assert bool(share < 0.5) is (low in anchor)
            assert bool(share > 0.5) is (high in anchor)


def test_opacity_and_brightness() -> None:
    canvas = Canvas(Size(100, 100))
    frame = np.full((100, 100, 3), 100, np.uint8)
    patch = np.zeros((100, 100, 4), np.uint8)
    patch[:] = (200, 200, 200, 255)
    assert canvas.draw(frame, [Overlay(patch, "centre", 0.5)])[50, 50, 0] == 150
    assert canvas.draw(frame, [], 0.5)[50, 50, 0] == 50
    assert canvas.draw(frame, [], 0.0).max() == 0


def test_an_overlay_larger_than_the_screen_is_cut() -> None:
    patch = np.full((500, 500, 4), 255, np.uint8)
    assert Canvas(Size(100, 80)).draw(None, [Overlay(patch, "bottom-right")]).min() == 255


@pytest.mark.parametrize(
    "text", ["x", "A title that is much longer than any wall would have room for, really", "", "Café 北斎"]
)
def test_cards_have_their_height_and_stay_in_their_width(text: str) -> None:
    picture = np.full((300, 200, 3), 90, np.uint8)
    card = title_card(Words(text, "An artist", "1889"), picture, 120, 500)
    assert card.shape[0] == 120
    assert card.shape[1] <= 500
    assert card[:, :, 3].max() > 200
    assert title_card(Words(text), None, 120, 500).shape[1] <= 500
    assert message_card([text, "more"], 400, 30).shape[1] == 400


def test_a_qr_code_is_read_back() -> None:
    address = "http://192.168.178.20:8470/photo/0123456789abcdef0123456789abcdef"
    card = qr_card(address, ["Scan it to take your picture home.", "It is deleted after 10 minutes."], 400)
    assert read_qr(card[:, :, :3].copy()) == address


def test_countdowns_differ() -> None:
    assert not (countdown(3, 200) == countdown(2, 200)).all()


def scene() -> Scene:
    picture = np.zeros((80, 120, 3), np.uint8)
    picture[:] = (10, 200, 30)
    return Scene("a", "A title", "An artist", "1889", picture, 60, {"full": Paint("A title")})


def view(**changes: object) -> View:
    values: dict[str, object] = {
        "phase": Phase.RUNNING,
        "brightness": 1.0,
        "card": 0.0,
        "countdown": 0,
        "flash": 0.0,
        "photo": None,
        "photo_step": PhotoStep.NONE,
    }
    return View(**{**values, **changes})  # type: ignore[arg-type]


def present(view: View, picture: Pixels | None, link: str = "") -> Pixels:
    screen = FakeScreen((540, 960))
    presenter = Presenter(screen, Settings(), lambda photo: link)
    assert presenter.present(picture, view, scene(), "lost: check its cable")
    return screen.shown[-1]


FRAME = np.full((180, 320, 3), 128, np.uint8)


def test_a_plain_picture_fills_the_screen() -> None:
    assert (present(view(), FRAME) == 128).all()


def test_the_card_shows_the_painting() -> None:
    shown = present(view(card=1.0), FRAME)
    assert (shown[:270] == 128).all()  # it lies at the bottom
    green = (shown.astype(int) == (10, 200, 30)).all(axis=2)
    assert green.sum() > 500


def test_without_a_camera_the_painting_hangs_there() -> None:
    shown = present(view(phase=Phase.NO_CAMERA), None)
    assert (shown.astype(int) == (10, 200, 30)).all(axis=2).sum() > 10_000


@pytest.mark.parametrize("phase", [Phase.CLOSED, Phase.BLACK])
def test_black_is_black(phase: Phase) -> None:
    assert present(view(phase=phase, card=1.0), FRAME).max() == 0


def test_the_photo_stays_beside_its_code() -> None:
    mine = np.full((180, 320, 3), 40, np.uint8)
    photo = Photo("0" * 32, bytes(encode_picture(mine, ".jpg")), "A title", 0)
    shown = present(view(photo=photo, photo_step=PhotoStep.SHOWN), FRAME, "http://mirror.local/photo/" + "0" * 32)
    assert read_qr(shown) == "http://mirror.local/photo/" + "0" * 32
    assert abs(int(shown[5, 5, 0]) - 40) <= 2


def test_countdown_and_flash() -> None:
    assert not (present(view(countdown=2), FRAME) == 128).all()
    assert (present(view(flash=1.0), FRAME) == 255).all()


def test_nothing_is_drawn_for_a_screen_that_nobody_sees(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = NoScreen(Settings().screen)
    presenter = Presenter(screen, Settings())
    monkeypatch.setattr(Canvas, "draw", lambda *_: pytest.fail("drawn"))
    assert presenter.present(FRAME, view(card=1.0), scene())


def test_another_screen_in_the_middle_of_it() -> None:
    screen = FakeScreen((180, 320))
    presenter = Presenter(screen, Settings())
    presenter.present(FRAME, view(card=1.0), scene())
    screen.size = Size(320, 180)
    assert presenter.present(FRAME, view(card=1.0), scene())
    assert screen.shown[-1].shape == (320, 180, 3)
