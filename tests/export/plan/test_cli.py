"""`st-export` with a plan, and `st-export inspect`, as a user types them."""

import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from artmirror.export import cli
from artmirror.export.cli import main
from artmirror.export.plan import layers as plan_layers
from artmirror.export.plan import library as tensorrt_library
from artmirror.runtime.engines.cuda_device import current_gpu
from artmirror.runtime.formats.plan import read_plan_manifest

no_gpu = pytest.mark.skipif(current_gpu() is not None, reason="there is a GPU")


def run(*arguments: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(main, [str(argument) for argument in arguments], env={"COLUMNS": "160"})
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.stdout, result.stderr


@pytest.fixture
def no_tensorrt(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> None:
        raise ModuleNotFoundError(name=name)

    monkeypatch.setattr(tensorrt_library, "import_module", absent)


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_onnx_plan_and_what_is_in_them(tiny_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("tensorrt_rtx")
    monkeypatch.setattr(plan_layers, "current_gpu", lambda: None)  # also where one of the targets is at hand
    arguments = ("--fp16", "--no-parity", "--target", "sm86", "--target", "sm75", "--target", "sm86", "--size", "96x64")
    code, out, err = run(*arguments, tiny_path)
    assert (code, err) == (0, "")
    plan = tiny_path.with_suffix(".plan")
    assert files(tiny_path.parent) == ["tiny.onnx", "tiny.plan", "tiny.pt"]
    assert read_plan_manifest(plan)[1].targets == ["sm86", "sm75"]
    assert "10 convolutions in fp16 (10 of 10 read back from its program text)" in out
    assert f"st-run --engine {plan}" in out

    code, out, err = run("inspect", plan)
    assert (code, err) == (0, "")
    for words in (
        "A Tiny Picture",
        '["sm86", "sm75"]',
        "corrltn",
        "program text",
        "graph at 96x64",
        "GMAC",
        "MB moved",
    ):
        assert words in out, words
    plan_costs = out.partition("graph at 96x64")[2]
    code, out, err = run("inspect", "--size", "96x64", tiny_path.with_suffix(".onnx"))
    assert (code, err) == (0, "")
    assert out.partition("graph at 96x64")[2] == plan_costs
    code, out, _ = run("inspect", "--verbose", plan)
    assert code == 0
    assert "node_instance_norm" in out
    assert "1x8x16x24" in out

    code, _, err = run("inspect", "--size", "128x64", plan)
    assert code == 1
    assert "takes 96x64 to 96x64, not 128x64" in err
    plan.write_bytes(plan.read_bytes()[:-1])
    code, _, err = run("inspect", plan)
    assert code == 1
    assert "cut off or damaged" in err


def test_a_plan_from_an_onnx(tiny_path: Path) -> None:
    pytest.importorskip("tensorrt_rtx")
    assert run("--no-parity", "--no-plan", tiny_path)[0] == 0
    onnx_path = tiny_path.with_suffix(".onnx")
    code, out, err = run(
        "--target", "sm120", "--min-size", "64x64", "--opt-size", "96x64", "--max-size", "128x96", onnx_path
    )
    assert (code, err) == (0, "")
    assert "64x64 to 128x96, best at 96x64" in out
    manifest, info = read_plan_manifest(tiny_path.with_suffix(".plan"))
    assert (manifest.precision, manifest.height) == ("fp32", None)
    assert (info.min_size, info.opt_size, info.max_size) == ((64, 64), (64, 96), (96, 128))
    for arguments in (("--fp16",), ("--no-plan",), ("-o", "x.onnx")):
        code, _, err = run(*arguments, onnx_path)
        assert code == 2
        assert "only a plan beside it can be built" in err


@pytest.mark.usefixtures("no_tensorrt")
def test_without_tensorrt_the_onnx_is_written(tiny_path: Path) -> None:
    code, _, err = run("--no-parity", tiny_path)
    assert code == 0
    assert len(err.splitlines()) == 1
    assert "pip install tensorrt or pip install tensorrt-rtx-cu13" in err
    assert files(tiny_path.parent) == ["tiny.onnx", "tiny.pt"]
    (tiny_path.parent / "tiny.onnx").unlink()
    code, _, err = run("--plan", "--no-parity", tiny_path)
    assert code == 1
    assert "pip install tensorrt" in err
    assert files(tiny_path.parent) == ["tiny.pt"]
    code, _, err = run("--trt-library", "tensorrt", "--no-parity", tiny_path)
    assert code == 1
    assert err.strip() == "Error: tensorrt is not installed; pip install tensorrt"
    assert files(tiny_path.parent) == ["tiny.pt"]
    code, _, err = run("--no-plan", "--no-parity", tiny_path)
    assert (code, err) == (0, "")


@no_gpu
def test_without_a_gpu_the_onnx_is_written(tiny_path: Path) -> None:
    pytest.importorskip("tensorrt_rtx")
    code, _, err = run("--no-parity", tiny_path)
    assert code == 0
    assert len(err.splitlines()) == 1
    assert "no GPU here" in err
    assert "--target, which takes sm75" in err
    code, _, err = run("--plan", "--no-parity", tiny_path)
    assert code == 1
    assert len(err.splitlines()) == 1


def test_a_signal_stops_the_build(tiny_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("tensorrt_rtx")
    monkeypatch.setattr(cli.BuildBars, "stopped", property(lambda bars: True))
    code, _, err = run("--no-parity", "--target", "sm86", "--size", "96x64", tiny_path)
    assert (code, err) == (130, "")
    assert files(tiny_path.parent) == ["tiny.onnx", "tiny.pt"]


def test_user_mistakes_are_one_line(tiny_path: Path, tmp_path: Path) -> None:
    pytest.importorskip("tensorrt_rtx")
    text = tmp_path / "text.plan"
    text.write_text("hello")
    for arguments, code, words in [
        (("--target", "rtx3060", tiny_path), 2, "wanted current, or sm and a number"),
        (("--target", "sm99", tiny_path), 1, "does not build for sm99"),
        (("--target", "sm86", "--target", "current", tiny_path), 2, "--target current goes alone"),
        (("--size", "640x360", "--max-size", "640x360", tiny_path), 2, "take either"),
        (("--size", "10x10", tiny_path), 2, "at least 64"),
        (("--min-size", "640x360", "--max-size", "320x200", tiny_path), 2, "smallest first"),
        (("--trt-library", "tensorflow", tiny_path), 2, "tensorflow"),
        (("--workspace", "0", tiny_path), 2, "0"),
        (("--target", "sm86", tmp_path / "absent.onnx"), 1, "No such file"),
        (("inspect",), 2, "Missing argument"),
        (("inspect", tmp_path / "absent.plan"), 1, "No such file"),
        (("inspect", tmp_path / "absent.onnx"), 1, "No such file"),
        (("inspect", text), 1, "no plan with artmirror's manifest"),
        (("inspect", tiny_path), 1, "no ONNX file"),
    ]:
        found, _, err = run(*arguments)
        assert found == code, (arguments, err)
        assert words in err, (arguments, err)
        assert "Traceback" not in err
        if code == 1:
            assert len(err.strip().splitlines()) == 1
    assert files(tmp_path) == ["text.plan", "tiny.pt"]


def test_help_of_both_commands() -> None:
    code, out, _ = run("--help")
    assert code == 0
    assert re.match(r"Usage: \S+ \[OPTIONS\] CHECKPOINT\n", out)
    assert "st-export --fp16 starry.pt" in out
    assert "st-export inspect starry.plan" in out
    assert "--target" in out
    code, out, _ = run("inspect", "--help")
    assert code == 0
    assert "inspect [OPTIONS] FILE" in out
    assert "st-export inspect --size 1280x720 starry.plan" in out
    assert run()[0] == 2
