"""Triton's model repository: its schema, and a stand-in that reads the same configuration."""

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
from click.testing import CliRunner

from artmirror.export.cli import main as st_export
from artmirror.export.serving.triton import write_model_repository
from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.runtime.common.style_file import load_style
from artmirror.runtime.engines.base import Look, stylize
from artmirror.runtime.engines.open import open_engine
from artmirror.runtime.formats.manifest import read_manifest
from artmirror.runtime.gallery.bundled import find_network, find_style, find_style_file

_TYPES = {"TYPE_UINT8": np.uint8, "TYPE_FP32": np.float32}


def configured(folder: Path) -> Any:
    """The configuration as Triton's own protobuf reads it."""
    model_config = pytest.importorskip("tritonclient.grpc.model_config_pb2")
    text_format = pytest.importorskip("google.protobuf.text_format")
    return text_format.Parse((folder / "config.pbtxt").read_text(), model_config.ModelConfig())


class StandIn:
    """ONNX Runtime behind what the configuration says, warmed up as it says; refuses what it does not."""

    def __init__(self, folder: Path) -> None:
        self.config = configured(folder)
        assert self.config.backend == "onnxruntime"
        self.session = ort.InferenceSession(str(folder / "1" / "model.onnx"), providers=["CPUExecutionProvider"])
        for warm_up in self.config.model_warmup:
            given = {}
            for name, value in warm_up.inputs.items():
                kind = _TYPES[
                    type(self.config)
                    .DESCRIPTOR.file.enum_types_by_name["DataType"]
                    .values_by_number[value.data_type]
                    .name
                ]
                given[name] = np.zeros(list(value.dims), kind)
            self.infer(given)

    def infer(self, given: dict[str, Any]) -> Any:
        wanted = {entry.name: list(entry.dims) for entry in self.config.input}
        assert set(given) == set(wanted)
        for name, value in given.items():
            assert len(value.shape) == len(wanted[name])
            assert all(want in (-1, have) for have, want in zip(value.shape, wanted[name], strict=True))
        (found,) = self.session.run([entry.name for entry in self.config.output], given)
        return found


@pytest.mark.parametrize("name", ["starry-nano", "any"])
def test_a_server_that_reads_it_paints_the_same(name: str, tmp_path: Path) -> None:
    (written,) = write_model_repository([find_network(name)], tmp_path, instances=3, sizes=[(64, 96)])
    server = StandIn(written.folder)
    assert server.config.name == name == written.name
    assert server.config.instance_group[0].count == 3
    assert [warm_up.name for warm_up in server.config.model_warmup] == ["96x64"]
    manifest = read_manifest(find_network(name))
    frame = np.random.default_rng(0).integers(0, 256, (70, 90, 3), np.uint8)
    given: dict[str, Any] = {"frame": frame[None], "strength": np.full(1, 0.7, np.float32)}
    style = None
    if manifest.style is not None:
        file = load_style(find_style_file("wave"))
        style = file.vector_for(manifest.checkpoint_sha256, manifest.style.code_space, manifest.style.length, "wave")
        given["style"] = style
    engine = open_engine(find_network(name), size=(70, 90), backend="onnxruntime")
    slot = engine.allocate(1)[0]
    slot.frame[:] = frame
    stylize(engine, slot, Look(0.7, style))
    assert (server.infer(given)[0] == slot.stylized).all()


def test_models_are_added_and_replaced(tmp_path: Path) -> None:
    done = CliRunner().invoke(st_export, ["--triton", str(tmp_path), "starry-nano", "wave-nano"])
    assert done.exit_code == 0, done.output
    assert "tritonserver --model-repository=" in done.output
    write_model_repository([find_style("starry-nano")], tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["starry-nano", "wave-nano"]
    assert not list(tmp_path.rglob("*.part*"))


def test_what_is_no_file_of_ours_is_told(tmp_path: Path) -> None:
    (tmp_path / "a.onnx").write_bytes(b"nothing")
    with pytest.raises(ArtmirrorError):
        write_model_repository([tmp_path / "a.onnx"], tmp_path / "models")
    done = CliRunner().invoke(st_export, ["--triton", str(tmp_path), "a.pt"])
    assert done.exit_code == 2
    assert "export it first" in done.output
