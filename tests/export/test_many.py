"""The network for many paintings: its two files, and one of its styles as a network of its own."""

import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from click.testing import CliRunner

from artmirror.export.cli import main
from artmirror.export.trained import baked, load_trained, sample_styles
from artmirror.export.video_filter import VideoFilter
from artmirror.runtime.common.style_file import load_style
from artmirror.runtime.engines.base import Look, stylize
from artmirror.runtime.engines.open import open_engine
from artmirror.runtime.formats.encoder import read_encoder_manifest
from artmirror.runtime.formats.manifest import read_manifest
from artmirror.train.many import ManyConfig, ManyModel, encoder_path, save_many
from artmirror.train.pairs.base import own_pictures
from tests.fakes.tiny_many import CONFIG, styles, tiny_many, write_style


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    for path in (tiny_many(), encoder_path(tiny_many())):
        shutil.copy(path, tmp_path)
    return tmp_path / "any.pt"


def run(*arguments: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.stdout, result.stderr


def test_the_contract() -> None:
    path = tiny_many().with_suffix(".onnx")
    graph = onnx.load(path).graph
    style = read_manifest(path).style
    assert style is not None
    assert [entry.name for entry in graph.input] == ["frame", "strength", "style"]
    assert [dim.dim_value for dim in graph.input[2].type.tensor_type.shape.dim] == [style.length]
    assert style.length == 128 + 2 * sum((4, 6, 8, 8, 8, 6, 4))
    encoder = path.with_name("any-encoder.onnx")
    graph = onnx.load(encoder).graph
    assert [entry.name for entry in (*graph.input, *graph.output)] == ["picture", "code"]
    manifest = read_encoder_manifest(encoder)
    assert (manifest.code_length, manifest.code_space) == (128, style.code_space)


@pytest.mark.parametrize("options", [(), ("--fp16",), ("--ncnn",), ("--int8", "--photos", own_pictures())])
def test_export_is_checked_in_several_styles(checkpoint: Path, options: tuple[object, ...]) -> None:
    code, out, err = run(*options, *(() if "--ncnn" in options else ("--no-plan",)), checkpoint)
    assert code == 0, out + err
    assert "dB" in out
    made = {path.name for path in checkpoint.parent.iterdir()} - {"any.pt", "any-encoder.pt"}
    if "--ncnn" in options:
        assert made == {"any.ncnn.param", "any.ncnn.bin"}
    else:
        assert made == {"any.onnx", "any-encoder.onnx"}
        assert "--painting" in out


def test_a_style_in_a_network_of_its_own_paints_the_same(checkpoint: Path, tmp_path: Path) -> None:
    vector = styles(2)[1]
    style = write_style(tmp_path / "mine.style", vector, "My Painting")
    code, out, err = run("--style", style, "--no-plan", checkpoint)
    assert code == 0, err
    assert "My Painting" in out
    path = tmp_path / "mine.onnx"
    manifest = read_manifest(path)
    assert (manifest.name, manifest.title, manifest.style) == ("mine", "My Painting", None)
    assert not (tmp_path / "mine-encoder.onnx").exists()
    rng = np.random.default_rng(0)
    frame = np.kron(rng.integers(0, 255, (8, 9, 3), np.uint8), np.ones((9, 9, 1), np.uint8))
    results = []
    for file, look in ((path, Look()), (tiny_many().with_suffix(".onnx"), Look(1.0, vector))):
        engine = open_engine(file, size=frame.shape[:2], full_precision=True)
        (slot,) = engine.allocate(1)
        slot.frame[:] = frame
        stylize(engine, slot, look)
        results.append(slot.stylized.astype(int))
    assert np.abs(results[0] - results[1]).mean() < 0.1  # the style file holds half precision


def test_the_filter_paints_in_the_style_that_it_is_given() -> None:
    trained = load_trained(tiny_many())
    video_filter = VideoFilter(trained.painter)
    frame = torch.randint(0, 255, (1, 70, 80, 3), dtype=torch.uint8)
    first, second, *_ = (torch.from_numpy(style) for style in sample_styles(trained))
    with torch.no_grad():
        assert not torch.equal(*(video_filter(frame, torch.ones(1), style) for style in (first, second)))


def test_mistakes_are_one_line(checkpoint: Path, tmp_path: Path) -> None:
    style = write_style(tmp_path / "mine.style", styles(1)[0])
    other = tmp_path / "other.style"
    other.write_text(style.read_text().replace('"code_space": "', '"code_space": "0'))
    looking = tmp_path / "looking.pt"
    save_many(looking, ManyModel(CONFIG), ManyConfig("a", "b", network=CONFIG).to_portable_dict(), 1)
    alone = tmp_path / "alone.pt"
    shutil.copy(checkpoint, alone)
    for arguments, words in [
        (("--style", other, checkpoint), "was made for another network"),
        (("--style", tmp_path / "none.style", checkpoint), "cannot read"),
        ((looking,), "looks through VGG-19"),
        ((alone,), "alone-encoder.pt"),
    ]:
        code, _, err = run("--no-plan", *arguments)
        assert code == 1, arguments
        assert words in err
        assert len(err.strip().splitlines()) == 1
    trained = load_trained(checkpoint)
    assert baked(trained, load_style(style), style).style is None
