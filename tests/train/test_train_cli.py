"""`st-train` as its users meet it: help, options, errors of one line, Ctrl-C."""

import json
import os
import shlex
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner, Result
from rich.console import Console

from artmirror.train import cli
from artmirror.train import loop as loop_module
from artmirror.train.checkpoint import load_checkpoint, load_state, state_path
from artmirror.train.config import NETWORK_PRESETS, LossWeights, MotionConfig, TrainConfig
from artmirror.train.device import best_precision
from artmirror.train.loop import StepReport
from artmirror.train.progress import stop_after_step

Invoke = Callable[..., Result]


@pytest.fixture
def invoke() -> Invoke:
    return lambda *arguments: CliRunner().invoke(cli.main, [str(argument) for argument in arguments])


@pytest.fixture
def tiny(photos: Path, painting: Path, vgg_file: Path, tmp_path: Path) -> list[object]:
    """Return the arguments of a run as small as the options allow, into `tmp_path/run.pt`."""
    options = ["--painting", painting, "--photos", photos, "--vgg", vgg_file, "-o", tmp_path / "run.pt"]
    sizes = ["--crop", 64, "--painting-size", 64, "--pairs", 1, "--workers", 0, "--preview-every", 0]
    return [*options, *sizes, "--precision", "fp32"]


def _only_line(result: Result) -> str:
    """Return the line that an error printed, checking that it is all that was printed."""
    assert result.stdout == ""
    assert result.stderr.startswith("Error: "), result.stderr
    assert result.stderr.count("\n") == 1, result.stderr
    return result.stderr.removeprefix("Error: ").rstrip("\n")


def test_help_has_an_example_and_the_defaults(invoke: Invoke) -> None:
    for flag in ("-h", "--help"):
        result = invoke(flag)
        assert result.exit_code == 0
        assert "st-train --painting starry_night.jpg --photos photos/ -o starry.pt" in result.stdout
    told = " ".join(result.stdout.split())
    for option in ("--painting-size", "--temporal-weight", "--resume", "--dry-run", "--debug", "[default: huang]"):
        assert option in told


def test_help_does_not_wait_for_torch() -> None:
    program = "import sys, artmirror.train.cli; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_version(invoke: Invoke) -> None:
    assert invoke("--version").stdout == f"st-train, version {version('artmirror')}\n"


class TestDryRun:
    def test_defaults_are_those_of_the_configuration(self, invoke: Invoke) -> None:
        result = invoke("--painting", "art/starry.jpg", "--photos", "photos", "--dry-run")
        assert result.exit_code == 0
        told = json.loads(result.stdout)
        assert told.pop("style") == {"name": "starry", "title": "", "artist": "", "year": ""}
        assert told.pop("output") == "starry.pt"
        assert told["precision"] == best_precision(torch.device("cuda" if torch.cuda.is_available() else "cpu"))
        told["precision"] = "fp32"
        assert TrainConfig.from_dict(told) == TrainConfig(painting_path="art/starry.jpg", photos_path="photos")

    def test_a_saved_configuration_gives_the_same_run(self, invoke: Invoke, tmp_path: Path) -> None:
        file = tmp_path / "run.toml"
        words = f"--painting {tmp_path}/a.jpg --photos {tmp_path}/b -o {tmp_path}/c.pt --steps 11 --gap 2 --gap 5"
        words += " --crop 113 --learning-rate 0.0031"
        words += " --network channels=8,16,24 --network blocks=3 --precision fp32 --seed 21"
        saved = invoke(*words.split(), "--title", 'The "Starry" Night', "--save-config", file)
        assert f"st-train --config {file}" in saved.stdout
        told = invoke(*words.split(), "--title", 'The "Starry" Night', "--dry-run").stdout
        assert invoke("--config", file, "--dry-run").stdout == told
        refused = invoke("--config", file, "--resume", "c.pt")
        assert refused.stderr.endswith("--resume takes the interrupted run's configuration; leave out --config\n")
        assert json.loads(invoke("--config", file, "--steps", 12, "--dry-run").stdout)["steps"] == 12

    def test_a_saved_configuration_holds_what_auto_chose(self, invoke: Invoke, tmp_path: Path) -> None:
        file = tmp_path / "run.toml"
        assert invoke("--painting", "a.jpg", "--photos", "b", "--save-config", file).exit_code == 0
        told = json.loads(invoke("--painting", "a.jpg", "--photos", "b", "--dry-run").stdout)
        assert tomllib.loads(file.read_text())["precision"] == told["precision"]
        assert "\n# How it looks\npainting-size = 384\n" in file.read_text()

    def test_every_option_reaches_the_configuration(self, invoke: Invoke) -> None:
        options = (
            "--painting a.jpg --photos b --clips k --clip-share 0.3 --gap 2 --gap 5 --flow raft --flow-weights r.pth "
            "--vgg c.pth -o d/e.pt --name f --title g --artist h --year 1889 "
            "--preset johnson --steps 11 --pairs 12 --crop 113 --painting-size 114 --content-weight 15 "
            "--style-weight 16 --tv-weight 17 --temporal-weight 18 --temporal-ramp 0.4 --noise 0.19 "
            "--learning-rate 0.2 --precision fp16 --ema 0.9 --seed 21"
        )
        told = json.loads(invoke(*options.split(), "--dry-run").stdout)
        assert told.pop("style") == {"name": "f", "title": "g", "artist": "h", "year": "1889"}
        assert told.pop("output") == "d/e.pt"
        assert TrainConfig.from_dict(told) == TrainConfig(
            painting_path="a.jpg",
            photos_path="b",
            clips_path="k",
            clip_share=0.3,
            gaps=(2, 5),
            flow="raft",
            flow_weights_path="r.pth",
            vgg_path="c.pth",
            preset="johnson",
            network=NETWORK_PRESETS["johnson"],
            weights=LossWeights(15, 16, 17, 18),
            motion=MotionConfig(noise_std=0.19),
            steps=11,
            pairs=12,
            crop=113,
            painting_size=114,
            peak_learning_rate=0.2,
            temporal_ramp=0.4,
            precision="fp16",
            ema_decay=0.9,
            seed=21,
        )

    def test_the_name_names_the_output(self, invoke: Invoke) -> None:
        told = json.loads(invoke("--painting", "a.jpg", "--photos", "b", "--name", "night", "--dry-run").stdout)
        assert (told["output"], told["style"]["name"]) == ("night.pt", "night")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (
            "",
            "--painting and --photos or --clips missing; wanted a painting, and a folder of photos or a dataset "
            "of clips",
        ),
        ("--painting a.jpg", "--photos or --clips missing"),
        ("--painting a.jpg --clips b --gap 0", "'--gap': 0 is not in the range x>=1"),
        (
            "--painting a.jpg --clips b --flow lucas",
            "'--flow': 'lucas' is not one of 'dis', 'farneback', 'raft', 'stored'",
        ),
        ("--painting a.jpg --photos b -o c.onnx", "the output is c.onnx; wanted a name that ends in .pt"),
        ("--steps 0", "'--steps': 0 is not in the range x>=1"),
        ("--crop 63", "'--crop': 63 is not in the range"),
        ("--seed -1", "'--seed': -1 is not in the range"),
        ("--learning-rate 0", "'--learning-rate'"),
        ("--preset picasso", "'--preset': 'picasso' is not one of"),
        ("--precision int8", "'--precision': 'int8' is not one of"),
        ("--stile a.jpg", "No such option"),
        ("--resume a.pt --steps 5 --painting b.jpg", "leave out --painting, --steps"),
        ("--resume a.pt -o b.pt", "leave out --output"),
    ],
)
def test_wrong_usage_exits_with_2(invoke: Invoke, arguments: str, told: str) -> None:
    result = invoke(*arguments.split())
    assert result.exit_code == 2
    assert told in " ".join(result.stderr.split())
    assert "Traceback" not in result.output


class TestRuntimeErrors:
    @pytest.mark.parametrize(
        ("changes", "told"),
        [
            (
                ["--painting", "/absent.jpg"],
                "cannot read the picture /absent.jpg: No such file or directory; name a picture file",
            ),
            (["--painting", __file__], f"{__file__} is not a picture that can be read"),
            (["--photos", "/absent"], "folder of photos /absent does not exist; name one"),
            (["--photos", str(Path(__file__).parent)], "holds no photos; wanted"),
            (["--vgg", "/absent.pth"], "VGG-19 weights /absent.pth do not exist; fetch https://"),
            (["--vgg", __file__], "cannot be read as VGG-19 weights"),
            (["-o", "/absent/a.pt"], "the folder of /absent/a.pt does not exist; make it"),
            (["--precision", "fp16", "--device", "cpu"], "fp16 training needs a CUDA GPU; use --precision bf16"),
            (["--device", "toaster"], "there is no device 'toaster'; wanted cpu"),
            (["--learning-rate", "nan"], "learning rate nan"),
            (["--start-from", "/absent.pt"], "/absent.pt does not exist; wanted a file that st-train wrote"),
            (["--start-from", __file__], "is not a file of st-train, or it is damaged"),
        ],
    )
    def test_one_line_and_exit_code_1(self, invoke: Invoke, tiny: list[object], changes: list[str], told: str) -> None:
        result = invoke(*tiny, *changes, "--steps", 1)
        assert result.exit_code == 1
        assert told in _only_line(result)

    def test_an_unreadable_photo_is_named(self, invoke: Invoke, tiny: list[object], tmp_path: Path) -> None:
        (tmp_path / "photos").mkdir()
        (tmp_path / "photos" / "broken.jpg").write_bytes(b"no picture")
        result = invoke(*tiny, "--photos", tmp_path / "photos", "--steps", 1)
        assert result.exit_code == 1
        assert "photos/broken.jpg is not a picture" in _only_line(result)

    def test_nothing_to_resume(self, invoke: Invoke, tmp_path: Path) -> None:
        result = invoke("--resume", tmp_path / "absent.pt")
        assert result.exit_code == 1
        assert "absent.state.pt does not exist" in _only_line(result)

    def test_a_damaged_state(self, invoke: Invoke, tmp_path: Path) -> None:
        (tmp_path / "run.state.pt").write_bytes(b"PK\x03\x04 cut off")
        result = invoke("--resume", tmp_path / "run.pt")
        assert result.exit_code == 1
        assert "run.state.pt is not a file of st-train, or it is damaged" in _only_line(result)

    def test_debug_shows_where_it_happened(self, invoke: Invoke, tiny: list[object]) -> None:
        result = invoke(*tiny, "--painting", "/absent.jpg", "--debug")
        assert result.exit_code == 1
        assert "Traceback" in result.stderr
        assert "Error: cannot read the picture /absent.jpg" in result.stderr

    @pytest.mark.parametrize("debug", [False, True])
    def test_an_unexpected_error_is_one_line_too(
        self, invoke: Invoke, tiny: list[object], monkeypatch: pytest.MonkeyPatch, debug: bool
    ) -> None:
        def fail(*_: object, **__: object) -> None:
            raise RuntimeError("[enforce fail] not enough memory:\nyou tried to allocate 9 GB")

        monkeypatch.setattr(loop_module, "train", fail)
        result = invoke(*tiny, *(["--debug"] if debug else []))
        assert result.exit_code == 1
        reason = "RuntimeError: [enforce fail] not enough memory: you tried to allocate 9 GB"
        told = f"{reason}; --debug shows where it happened"
        if debug:
            assert "Traceback" in result.stderr
            assert result.stderr.endswith(f"Error: {told}\n")
        else:
            assert _only_line(result) == told


def test_a_run_writes_its_files_and_says_what_comes_next(invoke: Invoke, tiny: list[object], tmp_path: Path) -> None:
    events = tmp_path / "events"
    result = invoke(*tiny, "--preview-every", 2, "--steps", 2, "--title", "Stripes", "--tensorboard", events)
    assert result.exit_code == 0, result.output
    output = tmp_path / "run.pt"
    assert f"{output}: 2 steps; content " in result.stdout
    assert result.stdout.endswith(f"Next: st-export --fp16 {output}\n")
    assert "step 2/2 content " in result.stderr
    assert "s/step" in result.stderr
    written = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.p*") if path.parent != events)
    assert len(list(events.iterdir())) == 1
    assert written == ["run.previews", "run.previews/step_000002.png", "run.pt", "run.state.pt"]
    saved = load_checkpoint(output)
    assert (saved.style.name, saved.style.title, saved.preset, saved.step) == ("run", "Stripes", "huang", 2)
    again = invoke("--resume", output)
    assert again.exit_code == 0
    assert again.stdout == result.stdout


@pytest.mark.skipif(sys.platform == "win32", reason="os.kill means something else there")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_and_says_how_to_go_on(
    invoke: Invoke, tiny: list[object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    def send(report: StepReport) -> None:
        if report.step == 1:
            os.kill(os.getpid(), number)

    folder = tmp_path / "with a space"
    folder.mkdir()
    output = folder / "run.pt"
    before = signal.getsignal(number)
    with monkeypatch.context() as patch:
        patch.setattr(cli, "shown_by", lambda *_: send)
        result = invoke(*tiny, "-o", output, "--steps", 3)
    assert result.exit_code == 130
    assert result.stderr.splitlines() == [
        "stopping after this step ...",
        f"Stopped at step 2 of 3. Go on with: st-train --resume {shlex.quote(str(output))}",
    ]
    assert signal.getsignal(number) is before
    assert load_checkpoint(output).step == load_state(state_path(output))[2] == 2
    resumed = invoke("--resume", output, "--workers", 0, "--preview-every", 0)
    assert resumed.exit_code == 0, resumed.output
    assert load_checkpoint(output).step == 3


@pytest.mark.skipif(sys.platform == "win32", reason="os.kill means something else there")
def test_a_second_signal_stops_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    def signalled_twice() -> None:
        with stop_after_step(Console(stderr=True)) as stopping:
            assert not stopping()
            os.kill(os.getpid(), signal.SIGTERM)
            assert stopping()
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(SystemExit) as caught:
        signalled_twice()
    assert caught.value.code == 130
    assert "the steps since the last checkpoint are lost" in capsys.readouterr().err
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_without_torch_it_says_what_to_install(
    tiny: list[object], invoke: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    result = invoke(*tiny)
    assert result.exit_code == 1
    assert result.stderr == "Error: st-train needs the package torch; install it with pip install 'artmirror[train]'\n"


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="needs process groups")
def test_ctrl_c_on_a_real_run_with_a_worker(tiny: list[object], tmp_path: Path, invoke: Invoke) -> None:
    """Ctrl-C in a terminal reaches the process and its worker alike."""
    output = tmp_path / "run.pt"
    arguments: list[Any] = [*tiny, "--steps", 25, "--workers", 1, "--checkpoint-every", 1]
    process = subprocess.Popen(
        [sys.executable, "-c", "from artmirror.train.cli import main; main()", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        while not state_path(output).exists() and process.poll() is None:
            time.sleep(0.02)
        os.killpg(process.pid, signal.SIGINT)
        stdout, stderr = process.communicate(timeout=300)
    finally:
        process.kill()
    assert process.returncode == 130, stderr
    assert stdout == ""
    step = load_checkpoint(output).step
    assert 0 < step < 25
    assert stderr.splitlines() == [
        "stopping after this step ...",
        f"Stopped at step {step} of 25. Go on with: st-train --resume {output}",
    ]
    resumed = invoke("--resume", output, "--workers", 0, "--preview-every", 0)
    assert resumed.exit_code == 0, resumed.output
    assert load_checkpoint(output).step == 25
