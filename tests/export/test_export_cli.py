"""`st-export` as a user types it."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from artmirror.export import parity
from artmirror.export.cli import main
from artmirror.runtime.formats.manifest import read_manifest
from artmirror.train.checkpoint import Checkpoint


def run(*arguments: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.stdout, result.stderr


def test_export_checks_and_names_the_next_step(tiny: Checkpoint, tiny_path: Path) -> None:
    code, out, err = run("--fp16", "--no-plan", tiny_path)
    assert code == 0, err
    output = tiny_path.with_suffix(".onnx")
    assert read_manifest(output).precision == "fp16"
    assert "onnxruntime" in out
    assert "dB" in out
    assert f"st-run --engine {output}" in out
    assert sorted(path.name for path in tiny_path.parent.iterdir()) == ["tiny.onnx", "tiny.pt"]


def test_verbose_names_nodes_and_reasons(tiny_path: Path) -> None:
    code, out, _ = run("--fp16", "--verbose", "--no-parity", "--no-plan", tiny_path)
    assert code == 0
    assert "InstanceNormalization" in out
    assert "overflow" in out


def test_a_file_that_differs_is_not_kept(tiny_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(parity.PSNR_FLOOR_DB, "fp32", 1000.0)
    code, _, err = run(tiny_path)
    assert code == 1
    assert "wanted at least 1000 dB" in err
    assert [path.name for path in tiny_path.parent.iterdir()] == ["tiny.pt"]


def test_user_mistakes_are_one_line(tiny_path: Path, tmp_path: Path) -> None:
    truncated = tmp_path / "cut.pt"
    truncated.write_bytes(tiny_path.read_bytes()[:-100])
    text = tmp_path / "text.pt"
    text.write_text("hello")
    for arguments, code, words in [
        ((tmp_path / "absent.pt",), 1, "does not exist"),
        ((truncated,), 1, "damaged"),
        ((text,), 1, "not a file of st-train"),
        ((tiny_path, "-o", tmp_path / "x.plan"), 2, "ends in .onnx"),
        ((tiny_path, "-o", tmp_path / "no" / "x.onnx"), 1, "cannot write"),
        ((tiny_path, "--pictures", tmp_path), 1, "a folder of pictures"),
        ((), 2, "Missing argument"),
    ]:
        found, _, err = run(*arguments)
        assert found == code, (arguments, err)
        assert words in err
        assert "Traceback" not in err
        if code == 1:
            assert len(err.strip().splitlines()) == 1


def test_help_has_an_example_and_version_is_told() -> None:
    code, out, _ = run("--help")
    assert code == 0
    assert "st-export --fp16 starry.pt" in out
    code, out, _ = run("--version")
    assert code == 0
    assert out.startswith("st-export, version ")


def test_the_checkpoint_is_not_written_over_through_a_link(tiny_path: Path, tmp_path: Path) -> None:
    link = tmp_path / "link.onnx"
    link.symlink_to(tiny_path)
    before = tiny_path.read_bytes()
    code, _, err = run(tiny_path, "-o", link, "--no-parity", "--no-plan")
    assert code == 1
    assert "is read and would be written over" in err
    assert tiny_path.read_bytes() == before


def test_an_output_that_is_a_link_stays_one(tiny_path: Path, tmp_path: Path) -> None:
    target, link = tmp_path / "real.onnx", tmp_path / "link.onnx"
    link.symlink_to(target)
    code, _, err = run(tiny_path, "-o", link, "--no-parity", "--no-plan")
    assert code == 0, err
    assert link.is_symlink()
    assert read_manifest(target).precision == "fp32"
