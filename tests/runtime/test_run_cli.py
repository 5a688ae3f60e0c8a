"""`st-run` as a user types it: real engine, real files."""

import json
import os
import signal
import subprocess
import sys
import time
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest

from artmirror.runtime.gallery.bundled import find_style
from artmirror.runtime.sources.open import open_source
from tests.fakes.media import clip_pictures, noise, read_all, sound_packets, write_clip, write_picture
from tests.fakes.st_run import one_line_of, run
from tests.fakes.tiny_many import styles, tiny_many, write_style

PROGRAM = Path(sys.executable).with_name("st-run")


def test_video_keeps_frames_rate_size_and_sound(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "in.mp4", clip_pictures(20), rate=Fraction(30000, 1001), sound_s=0.6)
    out = tmp_path / "out.mp4"
    code, stdout, err = run("--style", "starry", "--input", clip, "--output", out, "--json")
    assert code == 0, err
    record = json.loads(stdout.splitlines()[-1])
    assert set(record) >= {
        "frames_in", "frames_out", "frames_dropped", "fps", "engine_fps", "latency_ms", "peak_rss_bytes",
        "engine", "backend", "device", "size",
    }  # fmt: skip
    assert (record["frames_in"], record["frames_out"], record["frames_dropped"]) == (20, 20, 0)
    assert set(record["latency_ms"]) == {"p50", "p95", "p99"}
    assert record["size"] == "128x96"
    assert stdout.startswith("20 frames at 128x96: ")
    painted = open_source(str(out), size=None)
    assert painted.rate == Fraction(30000, 1001)
    assert painted.size == (96, 128)
    assert len(read_all(painted)[0]) == 20
    assert sound_packets(out) == sound_packets(clip)


def test_several_sinks_get_the_same(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "in.mp4", clip_pictures(5))
    code, _, err = run(
        "--input", clip, "--output", tmp_path / "a.mp4", "--output", f"{tmp_path}/frames/", "--output", "null:"
    )
    assert code == 0, err
    assert len(list((tmp_path / "frames").iterdir())) == 5
    assert (tmp_path / "a.mp4").is_file()


def test_strength_and_mirror(tmp_path: Path) -> None:
    source = write_picture(tmp_path / "in.png", noise((70, 91), 0))
    out = tmp_path / "out.png"
    assert run("--input", source, "--output", out, "--strength", "0", "--mirror")[0] == 0
    assert (cv2.imread(str(out)) == cv2.imread(str(source))[:, ::-1]).all()


@pytest.mark.parametrize("kind", ["grey", "rgba", "16-bit"])
def test_every_kind_of_picture_is_painted(tmp_path: Path, kind: str) -> None:
    colour = noise((80, 97), 1)
    picture = {
        "grey": colour[..., 0],
        "rgba": np.dstack([colour, np.full(colour.shape[:2], 128, np.uint8)]),
        "16-bit": colour.astype(np.uint16) * 257,
    }[kind]
    source = write_picture(tmp_path / "in.png", picture)
    out = tmp_path / "out.png"
    code, _, err = run("--input", source, "--output", out)
    assert code == 0, err
    painted = cv2.imread(str(out), cv2.IMREAD_UNCHANGED)
    assert painted.shape == (80, 97, 3)
    assert painted.dtype == np.uint8


def test_size_scales(tmp_path: Path) -> None:
    source = write_picture(tmp_path / "in.png", np.zeros((1, 1, 3), np.uint8))
    assert "1x1" in one_line_of(1, "--input", source, "--output", tmp_path / "out.png")
    assert run("--input", source, "--output", tmp_path / "out.png", "--size", "65x66")[0] == 0
    assert cv2.imread(str(tmp_path / "out.png")).shape == (66, 65, 3)


def test_both_back_ends(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "in.mp4", clip_pictures(3))
    for backend in ("openvino", "onnxruntime"):
        code, stdout, err = run("--input", clip, "--output", "null:", "--json", "--backend", backend)
        assert code == 0, err
        assert json.loads(stdout.splitlines()[-1])["backend"] == backend


def test_live_counts_every_frame() -> None:
    code, stdout, err = run("--input", "synthetic:320x240@200", "--max-frames", "60", "--output", "null:", "--json")
    assert code == 0, err
    record = json.loads(stdout.splitlines()[-1])
    assert record["frames_in"] == 60
    assert record["frames_in"] == record["frames_out"] + record["frames_dropped"]
    assert record["deepest_queue"] <= 1


def test_a_cut_off_video_is_kept_and_told(tmp_path: Path) -> None:
    clip = write_clip(
        tmp_path / "in.mp4", [noise((96, 128), seed) for seed in range(30)], options={"movflags": "+faststart"}
    )
    clip.write_bytes(clip.read_bytes()[: clip.stat().st_size * 2 // 3])
    out = tmp_path / "out.mp4"
    line = one_line_of(1, "--input", clip, "--output", out)
    assert "cut off" in line
    assert 5 < len(read_all(open_source(str(out), size=None))[0]) < 30


def test_user_mistakes_are_one_line(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "in.mp4", clip_pictures(3))
    garbage = tmp_path / "garbage.onnx"
    garbage.write_bytes(b"no network at all")
    cut = tmp_path / "cut.onnx"
    cut.write_bytes(find_style("starry").read_bytes()[:9999])
    text = tmp_path / "text.mp4"
    text.write_text("no video")
    null = ("--output", "null:")
    for arguments, words in [
        (("--input", tmp_path / "absent.mp4", *null), "absent.mp4"),
        (("--input", "", *null), "an empty name does not exist"),
        (("--input", text, *null), "text.mp4"),
        (("--camera", "97", *null), "camera"),
        (("--input", clip, "--engine", tmp_path / "absent.onnx", *null), "absent.onnx"),
        (("--input", clip, "--engine", garbage, *null), "no ONNX"),
        (("--input", clip, "--engine", cut, *null), "cut off"),
        (("--input", clip, "--style", "stary", *null), "did you mean starry"),
        (("--input", clip, "--output", tmp_path / "no" / "out.mp4"), "no"),
        (("--input", clip, "--output", tmp_path / "out.xyz"), "names no sink"),
    ]:
        line = one_line_of(1, *arguments)
        assert words in line, line


def test_usage_mistakes_exit_with_2(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    clip = write_clip(tmp_path / "in.mp4", clip_pictures(3))
    for arguments, words in [
        ((), "no display"),
        (("--camera", "0", "--input", clip), "one source"),
        (("--input", clip), "no display"),
        (("--output", tmp_path / "a.mp4", "--output", tmp_path / "x" / ".." / "a.mp4"), "named twice"),
        (("--json", "--output", "pipe:"), "leave out one"),
        (("--camera", "/dev/null"), "/dev/video0"),
        (("--input", clip, "--size", "10x10"), "640x360"),
        (("--input", clip, "--strength", "2"), "strength"),
        (("--nonsense",), "nonsense"),
    ]:
        assert words in one_line_of(2, *arguments)


def test_debug_shows_where_an_error_came_from(tmp_path: Path) -> None:
    code, _, err = run("--input", tmp_path / "absent.mp4", "--output", "null:", "--debug")
    assert code == 1
    assert "Traceback" in err


def test_help_version_and_styles() -> None:
    code, out, _ = run("--help")
    assert code == 0
    assert "st-run --style wave --camera 1" in out
    assert run("--version")[1].startswith("st-run, version ")
    code, out, _ = run("--list-styles")
    assert code == 0
    assert "The Starry Night" in out


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_close_the_file_playable(tmp_path: Path, number: signal.Signals) -> None:
    out = tmp_path / "out.mp4"
    process = subprocess.Popen(
        [PROGRAM, "--input", "synthetic:128x96@30", "--output", out, "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    while " on openvino " not in process.stderr.readline():  # the line at start: the engine is ready
        assert process.poll() is None
    time.sleep(1.0)
    process.send_signal(number)
    stdout, err = process.communicate(timeout=30)
    assert process.returncode == 130, err
    assert "Traceback" not in err
    record = json.loads(stdout.splitlines()[-1])
    assert record["frames_out"] > 0
    assert len(read_all(open_source(str(out), size=None))[0]) == record["frames_out"]
    assert [path.name for path in tmp_path.iterdir()] == ["out.mp4"]


def test_the_compiled_network_is_cached(tmp_path: Path) -> None:
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path)}
    command = [PROGRAM, "--input", "synthetic:64x64", "--max-frames", "1", "--output", "null:"]
    subprocess.run(command, env=environment, check=True, capture_output=True)
    assert list((tmp_path / "artmirror" / "openvino").iterdir())


def test_a_start_loads_no_more_than_a_show_needs() -> None:
    code = "import sys, artmirror.runtime.cli; assert not {'rich', 'cv2', 'av', 'openvino'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("backend", ["openvino", "onnxruntime"])
def test_no_library_reports_to_its_maker(backend: str, tmp_path: Path) -> None:
    """Both leave an id in the home folder when they do, and OpenVINO its module in the process."""
    code = (
        "import sys\n"
        "from artmirror.runtime.cli import main\n"
        f"main(['--backend={backend}', '--input=synthetic:64x64', '--max-frames=1', '--output=null:'], "
        "standalone_mode=False)\n"
        "assert {'openvino', 'onnxruntime'} & set(sys.modules)\n"
        "assert not sys.modules.get('openvino_telemetry')\n"
    )
    dropped = {"CI", "TF_BUILD", "JENKINS_URL", "XDG_CACHE_HOME", "ORT_DISABLE_TELEMETRY"}  # they silence it too
    environment = {name: value for name, value in os.environ.items() if name not in dropped} | {"HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    left = {path.relative_to(tmp_path).parts[:2] for path in tmp_path.rglob("*") if path.is_file()}
    assert left <= {(".cache", "artmirror")}


class TestAnyPainting:
    """`--painting`, `--style FILE`, mixes and `--keep-colours`, with a tiny network for many paintings."""

    NETWORK = tiny_many().with_suffix(".onnx")

    def painted(self, folder: Path, *options: object) -> np.ndarray:
        write_picture(folder / "in.png", noise((70, 90), 0))
        code, _, err = run("--engine", self.NETWORK, "--input", folder / "in.png", "-o", folder / "out.png", *options)
        assert code == 0, err
        return cv2.imread(str(folder / "out.png")).astype(int)

    def test_pictures_of_every_kind_are_paintings(self, tmp_path: Path) -> None:
        kinds = {
            "photo.jpg": noise((120, 90), 1),
            "grey.png": np.tile(np.arange(80, dtype=np.uint8), (60, 1)),
            "one_colour.png": np.full((40, 40, 3), (10, 200, 30), np.uint8),
            "three_pixels.png": noise((1, 3), 2),
            "transparent.png": np.dstack([noise((50, 60), 3), np.zeros((50, 60), np.uint8)]),
        }
        found = {}
        for name, pixels in kinds.items():
            assert cv2.imwrite(str(tmp_path / name), pixels)
            found[name] = self.painted(tmp_path, "--painting", tmp_path / name)
        assert np.abs(found["photo.jpg"] - found["one_colour.png"]).mean() > 0.5

    def test_what_is_no_painting_is_told(self, tmp_path: Path) -> None:
        write_picture(tmp_path / "in.png", noise((70, 90), 0))
        (tmp_path / "text.jpg").write_text("no picture")
        (tmp_path / "empty").mkdir()
        base = ("--engine", self.NETWORK, "--input", tmp_path / "in.png", "-o", "null:")
        for painting, words in [
            ("none.jpg", "none.jpg"),
            ("text.jpg", "text.jpg is not a picture"),
            ("empty", "a folder of pictures"),
        ]:
            assert words in one_line_of(1, *base, "--painting", tmp_path / painting)
        assert "name one with --painting" in one_line_of(1, *base)
        assert "alone; leave out" in one_line_of(
            1, "--engine", find_style("starry-nano"), "--painting", tmp_path / "in.png", *base[2:]
        )

    def test_styles_are_mixed(self, tmp_path: Path) -> None:
        first, second = styles(2)
        files = [write_style(tmp_path / f"{name}.style", vector) for name, vector in (("a", first), ("b", second))]
        alone = [self.painted(tmp_path, "--style", file) for file in files]
        mixed = self.painted(tmp_path, "--style", f"{files[0]}:0.5", "--style", f"{files[1]}:0.5")
        assert min(np.abs(mixed - one).mean() for one in alone) > 0.5
        assert (self.painted(tmp_path, "--style", f"{files[0]}:2") == alone[0]).all()

    def test_colours_are_kept(self, tmp_path: Path) -> None:
        style = write_style(tmp_path / "a.style", styles(1)[0])
        plain, kept = (self.painted(tmp_path, "--style", style, *more) for more in ((), ("--keep-colours",)))
        camera = cv2.imread(str(tmp_path / "in.png"))

        def chroma(picture: np.ndarray) -> np.ndarray:
            return cv2.cvtColor(picture.astype(np.uint8), cv2.COLOR_BGR2YCrCb)[..., 1:].astype(int)

        assert np.abs(chroma(kept) - chroma(camera)).mean() < np.abs(chroma(plain) - chroma(camera)).mean() / 2
