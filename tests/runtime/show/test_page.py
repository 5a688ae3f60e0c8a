"""The attendant's page in a real Chromium, and the screen under a real X server."""

import shutil
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from artmirror.runtime.common.pixels import Pixels
from tests.fakes.running_show import RunningShow, running_show
from tests.fakes.show_parts import wait_until
from tests.fakes.x_screen import XScreen, read_qr, wayland_screen, x_screen

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
PHONE, DESKTOP = (360, 740), (1280, 900)
# The picture of the mirror: how much of it is not black.
_LIT = """() => {
  const canvas = document.getElementById('preview');
  const pixels = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
  let sum = [0, 0, 0];
  for (let i = 0; i < pixels.length; i += 4) for (let c = 0; c < 3; c++) sum[c] += pixels[i + c];
  return sum.map((value) => value * 4 / pixels.length);
}"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    if CHROMIUM is None:
        pytest.skip("needs Chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def show(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningShow]:
    with running_show(tmp_path_factory.mktemp("page")) as running:
        yield running


def opened(browser: Any, show: RunningShow, size: tuple[int, int], **options: Any) -> Any:
    context = browser.new_context(viewport={"width": size[0], "height": size[1]}, **options)
    page = context.new_page()
    page.problems = []
    page.on("pageerror", lambda error: page.problems.append(str(error)))
    page.on("console", lambda message: page.problems.append(message.text) if message.type == "error" else None)
    page.goto(show.base)
    wait_running(page)
    wait_until(lambda: page.locator("#tiles button").count() == 2)
    return page


def wait_running(page: Any) -> None:
    """By looking from outside: the page's policy lets no string be run as a program."""
    wait_until(lambda: page.locator("#headline").count() > 0 and page.inner_text("#headline").startswith("Running"))


@pytest.mark.parametrize("size", [PHONE, DESKTOP])
@pytest.mark.parametrize("scheme", ["dark", "light"])
def test_it_fits_and_everybody_can_use_it(browser: Any, show: RunningShow, size: tuple[int, int], scheme: str) -> None:
    from axe_playwright_python.sync_playwright import Axe

    page = opened(browser, show, size, color_scheme=scheme)
    assert page.evaluate("document.documentElement.scrollWidth") <= size[0]
    page.click("summary")
    page.wait_for_selector("#figures dt")
    found = Axe().run(page).response["violations"]
    assert [(one["id"], one["impact"]) for one in found if one["impact"] in ("serious", "critical")] == []
    small = page.evaluate(
        "[...document.querySelectorAll('button, select')].filter((b) => b.offsetParent && b.offsetHeight < 44).length"
    )
    assert small == 0  # a thumb finds them
    assert page.problems == []
    page.context.close()


def test_a_tile_changes_the_mirror_and_the_preview_shows_it(browser: Any, show: RunningShow) -> None:
    page = opened(browser, show, PHONE)
    means = {}
    for key in ("starry", "wave"):
        page.click(f"#tiles button[data-key={key}]")
        page.wait_for_selector(f"#tiles button[data-key={key}][aria-current=true]")
        assert show.get("/api/state")["scene"] == key
        page.wait_for_timeout(2500)  # the fade
        means[key] = np.array(page.evaluate(_LIT))
    assert means["starry"].sum() > 30
    assert np.abs(means["starry"] - means["wave"]).max() > 15
    page.context.close()


def test_controls(browser: Any, show: RunningShow) -> None:
    page = opened(browser, show, DESKTOP)
    page.click("#hold")
    page.wait_for_selector("#hold[aria-pressed=true]")
    show.wait_for(held=True)
    page.click("#hold")
    page.wait_for_selector("#hold[aria-pressed=false]")
    page.focus("#strength")
    for _ in range(4):
        page.keyboard.press("ArrowLeft")
    show.wait_for(strength=0.8)
    page.evaluate("document.activeElement.blur()")
    before = show.get("/api/state")["scene"]
    page.locator("body").press("ArrowRight")
    wait_until(lambda: show.get("/api/state")["scene"] != before)
    page.click("summary")
    starts = _starts(show)
    page.locator("#restart").click()  # a tap is no hold
    page.wait_for_timeout(800)
    assert _starts(show) == starts
    page.locator("#restart").click(delay=2000)
    wait_until(lambda: _starts(show) == starts + 1)
    wait_running(page)
    page.context.close()


def _starts(show: RunningShow) -> float:
    lines = show.text_of("/metrics").splitlines()
    found = [float(line.split()[1]) for line in lines if line.startswith("artmirror_new_starts_total ")]
    return found[0] if found else -1


def test_the_page_says_that_it_lost_the_show_and_finds_it_again(browser: Any, tmp_path: Path) -> None:
    with running_show(tmp_path) as show:
        page = opened(browser, show, PHONE)
        assert show.stop() == 130
        page.wait_for_selector("#lost:not([hidden])")
        assert page.inner_text("#headline") == "No connection"
        show.start()
        page.wait_for_selector("#lost", state="hidden", timeout=20_000)
        wait_running(page)
        page.context.close()


def test_a_page_of_another_site_reaches_nothing(browser: Any, show: RunningShow) -> None:
    context = browser.new_context()
    page = context.new_page()
    page.route("http://evil.example/", lambda route: route.fulfill(body="<!doctype html><p>evil"))
    page.goto("http://evil.example/")
    before = show.get("/api/state")["switches"]
    told = page.evaluate(
        """async (base) => {
          const told = [];
          for (const type of ['application/json', 'text/plain']) {
            try {
              const headers = {'content-type': type};
              const answer = await fetch(base + '/api/next', {method: 'POST', body: '{}', headers});
              told.push(answer.status);
            } catch (error) { told.push('refused'); }
          }
          told.push(await new Promise((done) => {
            const socket = new WebSocket(base.replace('http', 'ws') + '/api/live');
            socket.onopen = () => done('open');
            socket.onerror = () => done('refused');
          }));
          return told;
        }""",
        show.base,
    )
    assert told == ["refused", "refused", "refused"]
    assert show.get("/api/state")["switches"] == before
    context.close()


def test_without_the_token_the_page_tells_how_to_get_it(browser: Any, tmp_path: Path) -> None:
    show = RunningShow(tmp_path, remote='address = "0.0.0.0"')
    show._paints = lambda: _answers(show.base)  # type: ignore[method-assign]  # its state is not told without a token
    try:
        show.start()
        page = browser.new_context(viewport={"width": 360, "height": 740}).new_page()
        page.goto(show.base)
        assert "st-show --link" in page.inner_text("body")
        token = next(tmp_path.rglob("artmirror/show.json")).read_text().split('"token": "')[1].split('"')[0]
        page.goto(f"{show.base}/join?token={token}")
        wait_running(page)
        assert page.url == f"{show.base}/"
        assert token not in page.evaluate("document.cookie")  # no script sees it
        page.context.close()
    finally:
        if show.process is not None:
            show.process.kill()
            show.process.wait(10)


def test_a_photo_s_page(browser: Any, show: RunningShow) -> None:
    from axe_playwright_python.sync_playwright import Axe

    show.post("/api/black", {"on": False})
    wait_until(lambda: show.get("/api/state")["camera_is_well"] and show.post("/api/photo") == 200)
    wait_until(lambda: show.get("/api/state")["photo"] == "shown")
    page = browser.new_context(viewport={"width": 360, "height": 740}).new_page()
    page.goto(f"{show.base}/photo/{'0' * 32}")
    assert "gone" in page.inner_text("h1")
    assert [one for one in Axe().run(page).response["violations"] if one["impact"] in ("serious", "critical")] == []
    page.context.close()


@pytest.mark.parametrize(("size", "rotation"), [((1080, 1920), 0), ((1920, 1080), 0), ((1080, 1920), 90)])
def test_a_real_screen(tmp_path: Path, size: tuple[int, int], rotation: int) -> None:
    """Landscape, a portrait screen, and a landscape one that hangs on its side."""
    with x_screen(tmp_path, size) as x:
        show = RunningShow(
            tmp_path,
            screen=f"rotation = {rotation}",
            size="160x96" if size[0] < size[1] and not rotation else "96x160",
        )
        show.environment |= {"SDL_VIDEODRIVER": "x11", "DISPLAY": x.display}
        try:
            show.start()
            _look_at(show, x, rotation)
            assert show.stop() == 130
        finally:
            if show.process is not None and show.process.poll() is None:
                show.process.kill()
                show.process.wait(10)


def test_a_wayland_screen(tmp_path: Path) -> None:
    with wayland_screen(tmp_path) as wayland:
        show = RunningShow(tmp_path, screen="full_screen = true")
        show.environment |= {"SDL_VIDEODRIVER": "wayland", **wayland.environment}
        try:
            show.start()
            assert "1920x1080 by wayland" in show.log
            wait_until(lambda: wayland.screenshot().mean() > 20)
            wait_until(lambda: float(wayland.screenshot()[940:1000, 43:53].mean()) < 80)  # the card
            show.post("/api/black", {"on": True})
            wait_until(lambda: wayland.screenshot().max() == 0)  # no cursor either
            assert show.stop() == 130
        finally:
            if show.process is not None and show.process.poll() is None:
                show.process.kill()
                show.process.wait(10)


def _look_at(show: RunningShow, x: XScreen, rotation: int) -> None:
    def upright() -> Pixels:
        shot = x.screenshot()
        return shot if not rotation else np.asarray(cv2.rotate(shot, cv2.ROTATE_90_COUNTERCLOCKWISE), np.uint8)

    def card_is_dark() -> bool:
        """The card lies at the bottom left, nearly black around its words."""
        shot = upright()
        height, width = shot.shape[:2]
        margin = round(min(height, width) * 0.04)
        corner = shot[height - margin - 60 : height - margin, margin : margin + 10]
        return float(corner.mean()) < 80

    wait_until(lambda: upright().mean() > 20)
    wait_until(card_is_dark)
    show.post("/api/photo")
    wait_until(lambda: show.get("/api/state")["photo"] == "shown")
    found: list[str] = []

    def code_is_read() -> bool:
        found[:] = [read_qr(upright())]
        return found[0].startswith(f"{show.base}/photo/")

    wait_until(code_is_read)
    assert show.text_of(found[0].removeprefix(show.base)).count("Your picture") >= 1
    show.post("/api/black", {"on": True})
    wait_until(lambda: upright().max() == 0)


def _answers(address: str) -> bool:
    try:
        urllib.request.urlopen(address, timeout=10).close()
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False
    return True
