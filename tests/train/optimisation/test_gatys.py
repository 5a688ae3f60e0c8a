"""A picture optimised: the gradient in tiles is that of the whole, the loss falls, the options do what they say."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2

# isort: split
import av
import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result

from artmirror.train.objective.losses import gram
from artmirror.train.objective.vgg import CONTENT_LAYER, STYLE_LAYERS, VggFeatures
from artmirror.train.optimisation import descent
from artmirror.train.optimisation.descent import Iteration, PaintWeights, shares, sizes
from artmirror.train.optimisation.gatys import paint, with_colours_of
from artmirror.train.optimisation.tiles import TiledFeatures
from artmirror.train.paint_cli import main
from tests.train.conftest import smooth_picture


def picture(height: int, width: int, seed: int) -> torch.Tensor:
    rgb = smooth_picture((height, width), seed).astype(np.float32) / 255
    return torch.from_numpy(rgb.transpose(2, 0, 1))[None]


def write_film(path: Path, count: int) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"crf": "10"})
        stream.width, stream.height, stream.pix_fmt = 120, 80, "yuv420p"
        wide = smooth_picture((80, 160), 3)
        for number in range(count):
            picture_now = np.ascontiguousarray(wide[:, number : number + 120])
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture_now, format="rgb24")))
        container.mux(stream.encode())


class TestTiles:
    @pytest.mark.parametrize("size", [(200, 456), (456, 200), (408, 440)])
    def test_losses_and_gradient_are_those_of_the_whole(self, random_vgg: VggFeatures, size: tuple[int, int]) -> None:
        photo, painting = picture(*size, 0), picture(160, 184, 1)
        noisy = (photo + 0.1 * torch.randn(photo.shape, generator=torch.Generator().manual_seed(0))).requires_grad_()
        wanted = {layer: gram(matrix)[0] for layer, matrix in random_vgg(painting).items()}
        seen, plain = random_vgg(noisy), random_vgg(photo)[CONTENT_LAYER]
        style = sum((gram(seen[layer])[0] - wanted[layer]).square().mean() for layer in STYLE_LAYERS)
        content = (seen[CONTENT_LAYER] - plain).square().mean()
        (slope,) = torch.autograd.grad(2 * content + 3 * style, noisy)
        tiled = TiledFeatures(random_vgg, 200 * 200)
        assert len(tiled.tiles(*size)) > 1
        losses, gradient = tiled.gradient(
            noisy.detach(), wanted, tiled.content(photo), 2.0, dict.fromkeys(STYLE_LAYERS, 3.0)
        )
        assert losses.content == pytest.approx(float(content.detach()), rel=1e-3)
        assert losses.style == pytest.approx(3 * float(style.detach()), rel=1e-3)
        assert (gradient - slope).abs().max() < 1e-3 * slope.abs().max()
        once = TiledFeatures(random_vgg, 10**9)
        assert len(once.tiles(*size)) == 1
        _, alone = once.gradient(noisy.detach(), wanted, once.content(photo), 2.0, dict.fromkeys(STYLE_LAYERS, 3.0))
        assert (alone - slope).abs().max() < 1e-4 * slope.abs().max()

    @pytest.mark.parametrize("side", [192, 200, 336, 337 // 8 * 8, 4096])
    def test_own_parts_cover_a_picture_once(self, random_vgg: VggFeatures, side: int) -> None:
        covered = np.zeros(side, int)
        for tile in TiledFeatures(random_vgg, 1).tiles(side, 64):
            length = tile.rows.stop - tile.rows.start
            start, stop, _ = tile.own_rows.indices(length)
            covered[tile.rows.start + start : tile.rows.start + stop] += 1
            assert tile.rows.start % 8 == start % 8 == 0
        assert (covered == 1).all()


class TestPainting:
    def test_the_loss_falls_and_pixels_stay_pixels(self, random_vgg: VggFeatures) -> None:
        steps: list[Iteration] = []
        painted = paint(
            picture(64, 72, 0),
            [(picture(80, 96, 1), 1.0)],
            random_vgg,
            weights=PaintWeights(),
            iterations=12,
            observe=steps.append,
        )
        totals = [step.losses["total"] for step in steps]
        assert totals[-1] < 0.5 * totals[0]
        assert steps[0].losses["content"] == pytest.approx(0, abs=1e-6)  # it begins with the photo
        assert steps[0].losses["style"] == pytest.approx(1, abs=1e-3)  # in units of an unpainted photo's
        assert painted.shape == (1, 3, 64, 72)
        assert 0 <= painted.min() <= painted.max() <= 1

    def test_the_loss_falls_as_that_of_a_plain_implementation(self, random_vgg: VggFeatures) -> None:
        """Gatys et al. 2016 written down at once: one sum of losses, torch's own gradient and L-BFGS."""
        photo, painting, count = picture(64, 72, 0), picture(64, 80, 1), 12
        steps: list[Iteration] = []
        weights = PaintWeights(content=1.0, style=100.0, total_variation=0.1)
        paint(photo, [(painting, 1.0)], random_vgg, weights=weights, iterations=count, observe=steps.append)

        with torch.no_grad():
            plain, seen = random_vgg(photo), random_vgg(painting)
        unit = {layer: (gram(plain[layer]) - gram(seen[layer])).square().mean() for layer in STYLE_LAYERS}
        pixels = photo.clone(memory_format=torch.contiguous_format).requires_grad_()
        optimizer = torch.optim.LBFGS([pixels], lr=1.0, max_iter=1, history_size=10)
        curve: list[float] = []

        def closure() -> torch.Tensor:
            optimizer.zero_grad()
            now = random_vgg(pixels)
            content = (now[CONTENT_LAYER] - plain[CONTENT_LAYER]).square().mean()
            style = sum((gram(now[layer]) - gram(seen[layer])).square().mean() / unit[layer] for layer in STYLE_LAYERS)
            across, down = pixels[..., 1:] - pixels[..., :-1], pixels[..., 1:, :] - pixels[..., :-1, :]
            outside = (pixels - pixels.clamp(0, 1)).square().mean()
            smooth = across.abs().mean() + down.abs().mean()
            total = content + 100 * style / len(STYLE_LAYERS) + 0.1 * smooth + 5000 * outside
            total.backward()
            curve.append(float(total.detach()))
            return total

        for _ in range(count):
            optimizer.step(closure)
        assert [step.losses["total"] for step in steps] == pytest.approx(curve[:count], rel=0.02)
        assert curve[count - 1] < 0.5 * curve[0]

    def test_a_painting_begun_as_itself_stays(self, random_vgg: VggFeatures) -> None:
        painting = picture(64, 64, 1)
        painted = paint(painting, [(painting, 1.0)], random_vgg, weights=PaintWeights(total_variation=0), iterations=3)
        torch.testing.assert_close(painted, painting, atol=2e-2, rtol=0)

    def test_a_mask_leaves_the_rest_alone(self, random_vgg: VggFeatures) -> None:
        photo, mask = picture(64, 64, 0), torch.zeros(1, 1, 64, 64)
        mask[..., :32] = 1
        painted = paint(photo, [(picture(64, 64, 1), 1.0)], random_vgg, weights=PaintWeights(), iterations=5, mask=mask)
        torch.testing.assert_close(painted[..., 32:], photo[..., 32:])
        assert (painted[..., :32] - photo[..., :32]).abs().mean() > 1e-3

    def test_from_coarse_to_fine(self, random_vgg: VggFeatures, monkeypatch: pytest.MonkeyPatch) -> None:
        assert sizes(256, 384) == [(256, 384)]
        assert sizes(2160, 3840) == [(272, 480), (544, 960), (1080, 1920), (2160, 3840)]
        assert sum(shares(200, 4)) == 200
        monkeypatch.setattr(descent, "_COARSEST", 64)
        seen: list[tuple[int, ...]] = []
        paint(
            picture(128, 128, 0),
            [(picture(80, 96, 1), 1.0)],
            random_vgg,
            weights=PaintWeights(),
            iterations=6,
            observe=lambda step: seen.append(tuple(step.picture.shape[2:])),
        )
        assert seen == [(64, 64)] * 4 + [(128, 128)] * 2

    def test_colours_have_the_moments_of_the_source(self) -> None:
        moved = with_colours_of(0.4 + 0.2 * picture(40, 50, 0), 0.3 + 0.3 * picture(60, 30, 5))
        wanted = 0.3 + 0.3 * picture(60, 30, 5)
        assert torch.allclose(moved.mean((2, 3)), wanted.mean((2, 3)), atol=1e-2)
        assert torch.allclose(torch.cov(moved.flatten(2)[0]), torch.cov(wanted.flatten(2)[0]), atol=2e-3)


class TestCommand:
    @pytest.fixture
    def photo(self, tmp_path: Path) -> Path:
        path = tmp_path / "photo.png"
        assert cv2.imwrite(str(path), smooth_picture((60, 90), 3))
        return path

    def invoke(self, *words: object) -> Result:
        return CliRunner().invoke(main, [str(word) for word in words], prog_name="st-paint")

    @pytest.mark.parametrize(
        "options",
        [(), ("--keep-colours", "luminance"), ("--keep-colours", "histogram"), ("--start-from", "noise")],
    )
    def test_a_picture_is_written(
        self, photo: Path, painting: Path, vgg_file: Path, tmp_path: Path, options: tuple[str, ...]
    ) -> None:
        output = tmp_path / "print.png"
        words = (photo, "--painting", painting, "--vgg", vgg_file, "--size", 96, "--iterations", 3, "-o", output)
        told = self.invoke(*words, *options, "--preview-every", 2)
        assert told.exit_code == 0, told.output
        found = cv2.imread(str(output))
        assert found.shape == (64, 96, 3)
        assert [path.name for path in (tmp_path / "print.previews").iterdir()] == ["iteration_00002.jpg"]
        assert not list(tmp_path.glob("*.state.pt"))
        if options[1:] == ("luminance",):
            plain = cv2.cvtColor(cv2.resize(cv2.imread(str(photo)), (96, 64)), cv2.COLOR_BGR2YCrCb).astype(int)
            assert np.abs(cv2.cvtColor(found, cv2.COLOR_BGR2YCrCb).astype(int) - plain)[..., 1:].mean() < 4

    @pytest.mark.parametrize("method", ["mrf", "semantic", "photo"])
    def test_the_other_masters_paint(
        self, photo: Path, painting: Path, vgg_file: Path, tmp_path: Path, method: str
    ) -> None:
        output, maps = tmp_path / "print.png", []
        for name in ("photo-map", "painting-map"):
            halves = np.zeros((40, 60, 3), np.uint8)
            halves[:, 30:] = 255
            assert cv2.imwrite(str(tmp_path / f"{name}.png"), halves)
            maps += [f"--{name}", tmp_path / f"{name}.png"] if method != "mrf" else []
        words = (photo, "--painting", painting, "--vgg", vgg_file, "--size", 96, "--iterations", 2, "-o", output)
        told = self.invoke(*words, "--method", method, *maps)
        assert told.exit_code == 0, told.output
        assert cv2.imread(str(output)).shape == (64, 96, 3)
        told = self.invoke(*words, "--method", method, *maps, "--memory", "1M")
        assert told.exit_code == 1
        assert "use a smaller --size or a larger --memory" in told.stderr

    def test_a_texture_of_any_size(self, painting: Path, vgg_file: Path, tmp_path: Path) -> None:
        output = tmp_path / "texture.png"
        words = ("--method", "texture", "--painting", painting, "--vgg", vgg_file, "--iterations", 2, "-o", output)
        told = self.invoke(*words, "--size", 70)
        assert told.exit_code == 0, told.output
        assert cv2.imread(str(output)).shape == (64, 64, 3)
        told = self.invoke(*words, "--size", 200, "--start-from", tmp_path / "texture.texture.pt")
        assert told.exit_code == 0, told.output
        assert cv2.imread(str(output)).shape == (192, 192, 3)
        wall = tmp_path / "wall.png"
        told = self.invoke(*words[:-1], wall, "--size", 64, "--start-from", tmp_path / "texture.texture.pt")
        assert told.exit_code == 0, told.output
        assert "texture.texture.pt" in told.stdout.replace("\n", "")  # the one that there is
        assert "wall.texture.pt" not in told.stdout
        told = self.invoke(*words, "--start-from", painting)
        assert told.exit_code == 1
        assert "Traceback" not in told.output

    def test_a_film_keeps_its_times_and_goes_on(self, painting: Path, vgg_file: Path, tmp_path: Path) -> None:
        film, output = tmp_path / "film.mp4", tmp_path / "painted.mp4"
        write_film(film, 5)
        words = (film, "--painting", painting, "--vgg", vgg_file, "--size", 96, "--iterations", 2)
        words += ("--frame-iterations", 1, "-o", output)
        told = self.invoke(*words, "--keep-frames", "--keep-colours", "luminance")
        assert told.exit_code == 0, told.output
        assert "96x64, 5 frames" in told.stdout
        frames = sorted((tmp_path / "painted.frames" / "pass_1").iterdir())
        assert len(frames) == 5
        with av.open(str(output)) as container:
            times = [picture.time for picture in container.decode(video=0)]
        assert times == pytest.approx([number / 25 for number in range(5)], abs=1e-3)
        assert not list(tmp_path.glob("*.state.pt"))

    def test_a_stopped_film_goes_on(self, painting: Path, vgg_file: Path, tmp_path: Path) -> None:
        film, output = tmp_path / "film.mp4", tmp_path / "painted.mp4"
        write_film(film, 4)
        words = [str(film), "--painting", str(painting), "--vgg", str(vgg_file), "--size", "96", "--iterations", "40"]
        words += ["--frame-iterations", "40", "-o", str(output)]
        command = [sys.executable, "-m", "artmirror.train.paint_cli", *words]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as running:
            first = tmp_path / "painted.frames" / "pass_1" / "frame_000000.png"
            deadline_s = time.monotonic() + 120
            while not first.is_file() and running.poll() is None and time.monotonic() < deadline_s:
                time.sleep(0.02)
            running.send_signal(signal.SIGINT)
            _, told = running.communicate(timeout=120)
        assert running.returncode == 130, told
        assert "Go on with --resume" in told
        kept = first.read_bytes()
        found = self.invoke(*words, "--resume", "--keep-frames")
        assert found.exit_code == 0, found.output
        assert first.read_bytes() == kept
        assert len(list(first.parent.iterdir())) == 4

    def test_a_network_paints_the_start(self, photo: Path, painting: Path, vgg_file: Path, tmp_path: Path) -> None:
        from artmirror.runtime.gallery.bundled import find_style

        words = (photo, "--painting", painting, "--vgg", vgg_file, "--size", 96, "--iterations", 1)
        told = self.invoke(*words, "--start-from", find_style("starry-nano"), "-o", tmp_path / "a.png")
        assert told.exit_code == 0, told.output
        told = self.invoke(*words, "--start-from", tmp_path / "none.onnx", "-o", tmp_path / "b.png")
        assert told.exit_code == 1
        assert "cannot paint the start: cannot read" in told.stderr

    def test_mistakes_are_one_line(self, photo: Path, painting: Path, vgg_file: Path, tmp_path: Path) -> None:
        base = ("--vgg", vgg_file, "--size", 64, "--iterations", 1)
        for words, code, expected in [
            ((photo,), 2, "Missing option '--painting'"),
            ((photo, "--painting", f"{painting}:0"), 2, "a number above 0"),
            ((photo, "--painting", painting, "-o", tmp_path / "a.xyz"), 2, "wanted a name in"),
            ((photo, "--painting", painting, "-o", tmp_path / "no" / "a.png"), 1, "does not exist"),
            ((photo, "--painting", painting, "-o", photo), 1, "photo.png"),
            ((tmp_path / "none.png", "--painting", painting), 1, "none.png"),
            ((photo, "--painting", painting, "--resume"), 1, "state.pt"),
            (("--painting", painting), 2, "name the photo or film"),
            ((photo, "--painting", painting, "--method", "texture"), 2, "takes no photo"),
            ((photo, "--painting", painting, "--method", "semantic"), 2, "needs --photo-map and --painting-map"),
            ((photo, "--painting", painting, "--photo-map", photo), 2, "go together"),
            ((photo, "--painting", painting, "--painting", painting, "--method", "mrf"), 2, "takes one painting"),
            ((tmp_path / "a.mp4", "--painting", painting, "--mask", photo), 2, "without --mask"),
            ((tmp_path / "a.mp4", "--painting", painting, "-o", tmp_path / "a.png"), 2, "wanted a name in"),
            ((tmp_path / "a.mp4", "--painting", painting), 1, "a.mp4"),
        ]:
            told = self.invoke(*words, *base)
            assert told.exit_code == code, (words, told.output)
            assert expected in told.stderr
            assert "Traceback" not in told.output
