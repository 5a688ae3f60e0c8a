"""The page for browsers: what is in it, and what a real Chromium paints with it."""

import base64
import gzip
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import pytest
from click.testing import CliRunner

from artmirror.export.cli import main as st_export
from artmirror.export.web import library as library_module
from artmirror.export.web.library import PACKAGE, VERSION, Provider, read_provider
from artmirror.export.web.network import read_network
from artmirror.export.web.site import MOST_BYTES, build_site
from artmirror.runtime.common.cache import cache_folder
from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.runtime.common.npm import archive_name
from artmirror.runtime.common.pixels import Pixels
from artmirror.runtime.engines.base import Look, stylize
from artmirror.runtime.engines.open import open_engine
from artmirror.runtime.formats.manifest import read_manifest
from artmirror.runtime.gallery.bundled import find_style
from tests.fakes.show_parts import wait_until
from tests.fakes.static_site import static_site

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
STYLES = ("starry-nano", "wave-nano")


def need_library() -> None:
    if not (cache_folder() / archive_name(PACKAGE, VERSION)).is_file():
        pytest.skip(f"needs {PACKAGE}: python -m artmirror.export.web.library")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    need_library()
    folder = tmp_path_factory.mktemp("web") / "site"
    done = CliRunner().invoke(st_export, ["--web", *STYLES, "-o", str(folder)])
    assert done.exit_code == 0, done.output
    assert "python -m http.server" in done.output
    return folder


def empty(name: str) -> Provider:
    return Provider(name, f"{name}.mjs", f"{name}.wasm.gz", {f"{name}.mjs": b"", f"{name}.wasm.gz": b""})


def test_a_network_for_browsers_has_no_fp16_and_paints_the_same() -> None:
    path = find_style("starry")
    data, manifest = read_network(path)
    model = onnx.load_from_string(data)
    assert any(tensor.data_type == onnx.TensorProto.FLOAT16 for tensor in onnx.load(path).graph.initializer)
    assert not any(tensor.data_type == onnx.TensorProto.FLOAT16 for tensor in model.graph.initializer)
    assert manifest.name == "starry"


def test_it_stays_a_file_of_ours(tmp_path: Path) -> None:
    data, manifest = read_network(find_style("starry-nano"))
    path = tmp_path / "starry-nano.onnx"
    path.write_bytes(data)
    assert read_manifest(path) == manifest
    frame = np.random.default_rng(0).integers(0, 256, (70, 90, 3), np.uint8)
    painted = []
    for file in (path, find_style("starry-nano")):
        engine = open_engine(file, size=(70, 90), backend="onnxruntime")
        slot = engine.allocate(1)[0]
        slot.frame[:] = frame
        stylize(engine, slot)
        painted.append(slot.stylized.astype(int))
        engine.close()
    assert np.abs(painted[0] - painted[1]).max() <= 1


def test_the_index_names_what_is_there(tmp_path: Path) -> None:
    build_site([find_style("starry"), find_style("wave")], tmp_path / "site", [empty("wasm")])
    index = json.loads((tmp_path / "site" / "site.json").read_text())
    assert [style["title"] for style in index["styles"]] == ["The Starry Night", "The Great Wave off Kanagawa"]
    for style in index["styles"]:
        assert (style["fine"]["preset"], style["fast"]["preset"]) == ("huang", "nano")
        for quality in ("fine", "fast"):
            network = gzip.decompress((tmp_path / "site" / style[quality]["file"]).read_bytes())
            onnx.checker.check_model(onnx.load_from_string(network))
            check = gzip.decompress((tmp_path / "site" / style[quality]["check"]).read_bytes())
            assert len(check) == index["check"]["height"] * index["check"]["width"] * 3
        assert cv2.imread(str(tmp_path / "site" / style["picture"])).shape == (192, 192, 3)
    assert 0 < index["most_bytes"] < MOST_BYTES


def test_a_site_is_replaced_and_another_folder_is_not(tmp_path: Path) -> None:
    style = find_style("starry-nano")
    build_site([style], tmp_path / "site", [empty("wasm")])
    (tmp_path / "site" / "old").write_text("")
    build_site([style], tmp_path / "site", [empty("wasm")])
    assert not (tmp_path / "site" / "old").exists()
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "letter.txt").write_text("dear")
    with pytest.raises(ArtmirrorError, match="is no site"):
        build_site([style], mine, [empty("wasm")])
    assert (mine / "letter.txt").exists()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--web", "starry"], "name it with -o FOLDER"),
        (["--web", "--fp16", "starry", "-o", "x"], "leave out --fp16"),
        (["--web", "mine.pt", "-o", "x"], "export it first"),
        (["--web", "stary", "-o", "x"], "did you mean starry"),
        (["a.pt", "b.pt"], "several only with --web and --triton"),
    ],
)
def test_mistakes_get_one_line(
    arguments: list[str], told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(st_export, arguments)
    assert done.exit_code in (1, 2)
    assert told in done.output
    assert "Traceback" not in done.output


def test_another_release_of_the_library_is_refused(tmp_path: Path) -> None:
    (tmp_path / "dist").mkdir()
    for name in library_module._SHA256:
        (tmp_path / "dist" / name).write_bytes(b"other")
    with pytest.raises(ArtmirrorError, match="take that release"):
        read_provider("wasm", tmp_path)
    shutil.rmtree(tmp_path / "dist")
    with pytest.raises(ArtmirrorError, match="holds no"):
        read_provider("wasm", tmp_path)


def camera_film(path: Path) -> None:
    """What Chromium's fake camera shows: 640x360, smooth, without edges that a codec would move."""
    rows, columns = np.mgrid[0:360, 0:640].astype(np.float32)
    with path.open("wb") as film:
        film.write(b"YUV4MPEG2 W640 H360 F30:1 Ip A1:1 C420jpeg\n")
        for number in range(30):
            luma = 128 + 90 * np.sin(columns / 60 + number / 5) * np.cos(rows / 50)
            blue = 128 + 60 * np.sin(rows[::2, ::2] / 70)
            red = 128 + 60 * np.cos(columns[::2, ::2] / 90)
            film.write(b"FRAME\n" + b"".join(np.uint8(plane).tobytes() for plane in (luma, blue, red)))


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    if CHROMIUM is None:
        pytest.skip("needs Chromium")
    from playwright.sync_api import sync_playwright

    film = tmp_path_factory.mktemp("camera") / "camera.y4m"
    camera_film(film)
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(
            executable_path=CHROMIUM,
            args=[
                "--no-sandbox",
                "--use-fake-ui-for-media-stream",
                "--use-fake-device-for-media-stream",
                f"--use-file-for-fake-video-capture={film}",
            ],
        )
        yield opened
        opened.close()


def opened_page(browser: Any, address: str, **options: Any) -> Any:
    page = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **options}).new_page()
    page.problems = []
    page.on("pageerror", lambda error: page.problems.append(str(error)))
    page.goto(address)
    return page


def frames(page: Any) -> int:
    return int(page.get_attribute("#view", "data-frames") or 0)


def painted(page: Any) -> Pixels:
    """The canvas, (H, W, 3) uint8 BGR."""
    data = page.evaluate("document.getElementById('view').toDataURL('image/png')")
    content = np.frombuffer(base64.b64decode(data.partition(",")[2]), np.uint8)
    return np.asarray(cv2.imdecode(content, cv2.IMREAD_COLOR), np.uint8)


@pytest.mark.parametrize("isolated", [False, True])
def test_it_paints_the_camera(browser: Any, site: Path, isolated: bool) -> None:
    with static_site(site, isolated=isolated) as (address, asked):
        page = opened_page(browser, address)
        wait_until(lambda: frames(page) > 1, 60)  # the sample
        threads = "one thread" if not isolated else "threads"
        assert threads in page.inner_text("#provider")
        page.click("#camera")
        wait_until(lambda: page.get_attribute("#camera", "aria-pressed") == "true", 30)
        before = frames(page)
        wait_until(lambda: frames(page) > before + 3, 60)
        assert painted(page).std() > 20
        assert page.problems == []
        assert not [path for path in asked if "webgpu" in path]  # software WebGPU is not taken, and not loaded
        page.context.close()


def test_pixels_are_those_of_python(browser: Any, site: Path, tmp_path: Path) -> None:
    """A picture as a file, without scaling: browser and Python paint the same, to one level."""
    picture = cv2.GaussianBlur(np.random.default_rng(0).integers(0, 256, (203, 310, 3), np.uint8), (0, 0), 4)
    picture = cv2.normalize(picture, None, 0, 255, cv2.NORM_MINMAX)
    cv2.imwrite(str(tmp_path / "picture.png"), picture)
    with static_site(site) as (address, _):
        page = opened_page(browser, address)
        wait_until(lambda: frames(page) > 0, 60)
        for name in STYLES:
            page.click(f"#styles button[data-name={name}]")
            wait_until(lambda: (page.get_attribute("#view", "data-painted") or "").startswith(name), 60)  # noqa: B023
            page.set_input_files("#file", str(tmp_path / "picture.png"))
            wait_until(lambda: page.evaluate("document.getElementById('view').width") == 310, 60)
            engine = open_engine(find_style(name), size=(203, 310), backend="onnxruntime")
            slot = engine.allocate(1)[0]
            slot.frame[:] = picture
            for strength in (1, 0.5):
                page.evaluate(
                    "(value) => { const s = document.getElementById('strength'); s.value = value;"
                    " s.dispatchEvent(new Event('input')); }",
                    strength * 100,
                )
                shown = f" {strength}"  # the frame before may still be under way
                wait_until(lambda: (page.get_attribute("#view", "data-painted") or "").endswith(shown), 60)  # noqa: B023
                stylize(engine, slot, Look(strength))
                assert np.abs(painted(page).astype(int) - slot.stylized).max() <= 1
            engine.close()
            page.click("#sample")
            wait_until(lambda: page.evaluate("document.getElementById('view').width") != 310, 60)
        page.context.close()


def test_a_wrong_picture_is_found_out(browser: Any, site: Path, tmp_path: Path) -> None:
    """The check frame's right answer is changed: no provider is trusted, and the page says so."""
    broken = tmp_path / "site"
    shutil.copytree(site, broken)
    index = json.loads((broken / "site.json").read_text())
    check = broken / index["styles"][0]["fast"]["check"]
    wrong = np.frombuffer(gzip.decompress(check.read_bytes()), np.uint8).copy()
    wrong[100:400] ^= 0x80
    check.write_bytes(gzip.compress(wrong.tobytes()))
    with static_site(broken) as (address, _):
        page = opened_page(browser, address)
        wait_until(lambda: "cannot be painted here" in page.inner_text("#message"), 60)
        assert "wrong by up to 128 of 255" in page.inner_text("#message")
        page.click(f"#styles button[data-name={STYLES[1]}]")  # another one still can
        wait_until(lambda: frames(page) > 1, 60)
        page.context.close()


def test_without_a_camera_it_says_what_to_do(browser: Any, site: Path) -> None:
    with static_site(site) as (address, _):
        page = browser.new_context().new_page()
        page.add_init_script(
            "navigator.mediaDevices.getUserMedia = () => Promise.reject(new DOMException('', 'NotFoundError'));"
        )
        page.goto(address)
        wait_until(lambda: frames(page) > 0, 60)
        page.click("#camera")
        wait_until(lambda: "No camera was found" in page.inner_text("#message"))
        page.context.close()


@pytest.mark.parametrize("size", [(360, 740), (1280, 900)])
def test_it_fits_and_everybody_can_use_it(browser: Any, site: Path, size: tuple[int, int]) -> None:
    from axe_playwright_python.sync_playwright import Axe

    with static_site(site) as (address, _):
        page = opened_page(browser, address, viewport={"width": size[0], "height": size[1]})
        wait_until(lambda: frames(page) > 0, 60)
        assert page.evaluate("document.documentElement.scrollWidth") <= size[0]
        found = [one for one in Axe().run(page).response["violations"] if one["impact"] in ("serious", "critical")]
        assert [(one["id"], [node["target"] for node in one["nodes"]]) for one in found] == []
        with page.expect_download() as saved:
            page.click("#save")
        assert saved.value.suggested_filename == f"{STYLES[0]}.png"
        page.context.close()


def test_nothing_goes_to_another_host(browser: Any, site: Path) -> None:
    with static_site(site) as (address, _):
        page = browser.new_context().new_page()
        hosts: set[str] = set()
        page.on("request", lambda request: hosts.add(request.url.split("/")[2] if "//" in request.url else ""))
        page.goto(address)
        wait_until(lambda: frames(page) > 1, 60)
        assert hosts <= {address.split("/")[2], ""}
        page.context.close()
