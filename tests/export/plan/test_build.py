"""Real plans built by `tensorrt_rtx`, which needs no GPU for that, and the builder's calls on a stand-in `tensorrt`."""

import hashlib
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from artmirror.export.plan import build as engine_from_onnx
from artmirror.export.plan import layers as plan_layers
from artmirror.export.plan.build import BuildOptions, BuildReport, build_plan, plan_obstacle
from artmirror.export.plan.layers import PlanLayers, layers_of_text, read_layers
from artmirror.export.plan.library import Library, find_library
from artmirror.export.to_onnx import onnx_of, save_onnx
from artmirror.export.trained import trained_of
from artmirror.runtime.common.cache import cache_folder
from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.runtime.engines.cuda_device import Gpu, current_gpu
from artmirror.runtime.engines.memory import INPUTS, OUTPUT
from artmirror.runtime.formats.manifest import METADATA_KEY
from artmirror.runtime.formats.plan import SizeRange, read_plan
from artmirror.train.config import NetworkConfig
from tests.export.conftest import make_checkpoint
from tests.fakes.tensorrt_builder import make_tensorrt
from tests.fakes.tiny_memory import tiny_memory

CONVOLUTIONS = 8  # of the network below
RANGE = SizeRange((64, 64), (360, 640), (1080, 1920))
H200 = Gpu("NVIDIA H200", (9, 0))


class Steps:
    """A build's progress, remembered; stops the build after so many steps."""

    def __init__(self, stop_after: int | None = None) -> None:
        self.phases: list[str] = []
        self.open: set[str] = set()
        self.steps = 0
        self._stop_after = stop_after

    def start(self, phase: str, parent: str | None, steps: int) -> None:
        self.phases.append(phase)
        self.open.add(phase)

    def advance(self, phase: str, step: int) -> bool:
        self.steps += 1
        return self._stop_after is None or self.steps < self._stop_after

    def finish(self, phase: str) -> None:
        self.open.discard(phase)


def one(height: int, width: int) -> SizeRange:
    return SizeRange((height, width), (height, width), (height, width))


@pytest.fixture(scope="module")
def rtx() -> Library:
    pytest.importorskip("tensorrt_rtx")
    library = find_library("tensorrt_rtx")
    assert library is not None
    return library


@pytest.fixture(scope="module")
def onnx_files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("onnx")
    checkpoint = make_checkpoint(NetworkConfig(channels=(4, 6, 8), blocks=1))
    (folder / "x.pt").write_bytes(b"")
    for precision in ("fp32", "fp16"):
        model, _ = onnx_of(trained_of(checkpoint, folder / "x.pt"), fp16=precision == "fp16")
        save_onnx(model, folder / f"{precision}.onnx")
    return {precision: folder / f"{precision}.onnx" for precision in ("fp32", "fp16")}


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def build(
    onnx_path: Path, plan_path: Path, library: Library, options: BuildOptions, gpu: Gpu | None = None
) -> BuildReport:
    return build_plan(onnx_path, plan_path, options, library=library, gpu=gpu, progress=Steps())


def tensor_of_text(engine: bytes, name: str) -> tuple[str, str]:
    found = re.search(
        rb'tensor=\{ [^\n]*?dims=\{ ([^}]*) \}[^\n]*? name="%s\.1"[^\n]*? type=(\w+) \}' % name.encode(), engine
    )
    assert found, name
    return found[1].decode(), found[2].decode()


@pytest.mark.parametrize(
    ("precision", "targets", "sizes"),
    [
        ("fp32", ("sm75",), one(360, 640)),
        ("fp16", ("sm86",), one(360, 640)),
        ("fp16", ("sm89",), one(361, 643)),
        ("fp32", ("sm120",), one(361, 643)),
        ("fp16", ("sm75", "sm86", "sm120"), one(64, 96)),
        ("fp16", ("sm86",), RANGE),
        ("fp32", ("sm120",), RANGE),
    ],
    ids=str,
)
def test_plans_for_gpus_elsewhere(
    rtx: Library,
    onnx_files: dict[str, Path],
    tmp_path: Path,
    precision: str,
    targets: tuple[str, ...],
    sizes: SizeRange,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(plan_layers, "current_gpu", lambda: None)  # also where one of the targets is at hand
    path = tmp_path / "x.plan"
    report = build(onnx_files[precision], path, rtx, BuildOptions(sizes, targets))
    manifest, info, data = read_plan(path)
    assert (manifest, info) == (report.manifest, report.info)
    assert (manifest.precision, info.targets) == (precision, list(targets))
    assert (info.library, info.library_version) == ("tensorrt_rtx", rtx.version)
    assert info.onnx_sha256 == hashlib.sha256(onnx_files[precision].read_bytes()).hexdigest()
    fixed = sizes.smallest == sizes.largest
    assert (manifest.height, manifest.width) == (sizes.best if fixed else (None, None))
    ranged = (info.min_size, info.opt_size, info.max_size)
    assert ranged == ((None,) * 3 if fixed else sizes.as_tuple())

    engine = bytes(data)
    for name in ("frame", "stylized"):
        shape, kind = tensor_of_text(engine, name)
        assert kind == "uint8"
        if fixed:
            assert shape == f"1 {sizes.best[0]} {sizes.best[1]} 3"
        else:
            assert re.fullmatch(r'1 "\w+\.1" "\w+\.1" 3', shape)
    assert tensor_of_text(engine, "strength") == ("1", "float")
    accelerators = re.search(rb"accelerators=\{([^}]*)\}", engine)
    assert accelerators
    assert set(accelerators[1].decode().split()) == set(targets)

    assert (report.convolutions, report.read_back, report.source) == (CONVOLUTIONS, CONVOLUTIONS, "program text")
    layers = layers_of_text(engine)
    convolutions = [layer for layer in layers if layer.operation == "corrltn"]
    assert [layer.precision for layer in convolutions] == [precision] * CONVOLUTIONS
    assert {node for layer in layers for node in layer.nodes} >= {"node_tanh", "node_instance_norm", "node_pad"}


@pytest.mark.parametrize("sizes", [one(361, 643), RANGE], ids=str)
def test_plans_of_networks_with_a_memory(
    rtx: Library, tmp_path: Path, sizes: SizeRange, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan_layers, "current_gpu", lambda: None)
    build(tiny_memory().with_suffix(".onnx"), tmp_path / "x.plan", rtx, BuildOptions(sizes, ("sm86",)))
    manifest, _, data = read_plan(tmp_path / "x.plan")
    assert manifest.has_memory
    for name in ("frame", *INPUTS, OUTPUT, "stylized"):
        assert tensor_of_text(bytes(data), name)[1] == "uint8"


@pytest.mark.parametrize("sizes", [one(361, 643), RANGE], ids=str)
@pytest.mark.parametrize(
    ("changes", "convolutions"), [({"fold": 2}, 6), ({"fold": 4}, 5), ({"fold": 4, "block_conv": "separable"}, 7)]
)
def test_plans_of_folded_networks(
    rtx: Library,
    tmp_path: Path,
    changes: dict[str, Any],
    convolutions: int,
    sizes: SizeRange,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(plan_layers, "current_gpu", lambda: None)
    checkpoint = make_checkpoint(NetworkConfig(channels=(4, 6, 8), blocks=1, padding="replicate", **changes))
    (tmp_path / "x.pt").write_bytes(b"")
    model, _ = onnx_of(trained_of(checkpoint, tmp_path / "x.pt"), fp16=True)
    save_onnx(model, tmp_path / "x.onnx")
    report = build(tmp_path / "x.onnx", tmp_path / "x.plan", rtx, BuildOptions(sizes, ("sm86",)))
    assert (report.convolutions, report.read_back) == (convolutions, convolutions)
    engine = bytes(read_plan(tmp_path / "x.plan")[2])
    assert tensor_of_text(engine, "frame")[1] == tensor_of_text(engine, "stylized")[1] == "uint8"
    layers = layers_of_text(engine)
    assert {layer.precision for layer in layers if layer.operation == "corrltn"} == {"fp16"}
    assert {node for layer in layers for node in layer.nodes} >= {"node_pixel_shuffle", "node_tanh", "node_round_1"}


def test_plans_of_rtx_take_no_memory_by_themselves(
    rtx: Library, onnx_files: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else one with a range of sizes does while it runs, and cannot be captured as a CUDA graph."""
    configure = engine_from_onnx._configure

    def look(*given: Any) -> None:
        assert configure(*given).get_flag(rtx.trt.BuilderFlag.REQUIRE_USER_ALLOCATION)
        raise ArtmirrorError("seen")  # the build itself takes long

    monkeypatch.setattr(engine_from_onnx, "_configure", look)
    with pytest.raises(ArtmirrorError, match="seen"):
        build(onnx_files["fp16"], tmp_path / "x.plan", rtx, BuildOptions(RANGE, ("sm86",)))


def test_a_plan_in_another_precision_is_an_error(
    rtx: Library, onnx_files: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The ONNX is FP32 and says FP16: what came out is told, and nothing is written."""
    manifest = engine_from_onnx.read_manifest(onnx_files["fp32"])
    monkeypatch.setattr(engine_from_onnx, "read_manifest", lambda path: replace(manifest, precision="fp16"))
    path, options = tmp_path / "x.plan", BuildOptions(one(64, 96), ("sm86",))
    with pytest.raises(ArtmirrorError, match=r"parsed node_conv2d, .* as FP32, though .*fp32\.onnx says FP16"):
        build(onnx_files["fp32"], path, rtx, options)
    half = rtx.trt.DataType.HALF  # as if only the engine had been changed
    monkeypatch.setattr(engine_from_onnx, "_convolutions", lambda network, trt: {"node_conv2d": half})
    with pytest.raises(
        ArtmirrorError, match=r"1 of 1 convolutions \(node_conv2d, ...\) in fp32 where fp16 was asked for"
    ):
        build(onnx_files["fp32"], path, rtx, options)
    assert not path.exists()


def test_without_a_readable_plan_nothing_is_claimed(
    rtx: Library, onnx_files: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_from_onnx, "read_layers", lambda engine, library: PlanLayers((), ""))
    report = build(onnx_files["fp16"], tmp_path / "x.plan", rtx, BuildOptions(one(64, 96), ("sm86",)))
    assert (report.convolutions, report.read_back, report.source) == (CONVOLUTIONS, 0, "")


def test_progress_is_told_and_can_stop_the_build(rtx: Library, onnx_files: dict[str, Path], tmp_path: Path) -> None:
    steps, path, options = Steps(), tmp_path / "x.plan", BuildOptions(one(64, 96), ("sm86",))
    build_plan(onnx_files["fp16"], path, options, library=rtx, gpu=None, progress=steps)
    assert steps.phases[0] == "Building engine"
    assert steps.steps > 10
    assert steps.open == set()
    path.unlink()
    with pytest.raises(ArtmirrorError, match=r"did not build x\.plan"):
        build_plan(onnx_files["fp16"], path, options, library=rtx, gpu=None, progress=Steps(stop_after=20))
    assert not path.exists()


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (BuildOptions(one(63, 96), ("sm86",)), "at least 64x64"),
        (BuildOptions(SizeRange((64, 64), (32, 640), (64, 640)), ("sm86",)), "smallest first"),
        (BuildOptions(SizeRange((128, 128), (64, 64), (128, 128)), ("sm86",)), "smallest first"),
        (BuildOptions(one(64, 96), ("sm86",), hardware_compatible=True), "no hardware-compatible plans; name the GPUs"),
        (BuildOptions(one(64, 96), ("sm86",), version_compatible=True), "no version-compatible plans; leave out"),
        (BuildOptions(one(720, 1280), ("sm86",), workspace_mib=1), "did not build x.plan"),
    ],
)
def test_what_does_not_fit_is_refused(
    rtx: Library, onnx_files: dict[str, Path], tmp_path: Path, options: BuildOptions, complaint: str
) -> None:
    path = tmp_path / "x.plan"
    with pytest.raises(ArtmirrorError, match=complaint) as caught:
        build(onnx_files["fp16"], path, rtx, options)
    assert "\n" not in caught.value.message
    assert not path.exists()


def test_no_gpu_and_no_target_is_one_line(rtx: Library, onnx_files: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(
        ArtmirrorError, match="no GPU here to build a plan for; for one elsewhere add --target, which takes sm75"
    ):
        build(onnx_files["fp16"], tmp_path / "x.plan", rtx, BuildOptions(one(64, 96)))
    assert plan_obstacle(rtx, None, ("current", "sm86"))
    assert plan_obstacle(rtx, None, ("sm86",)) is None
    # TensorRT for RTX has no kernels for data-centre cards; another TensorRT has.
    assert "NVIDIA H200 is sm90; pip install tensorrt" in str(plan_obstacle(rtx, H200, ("current",)))
    assert plan_obstacle(rtx, Gpu("GeForce RTX 3060", (8, 6)), ("current",)) is None
    assert plan_obstacle(rtx, H200, ("sm86",)) is None
    assert "pip install tensorrt or pip install tensorrt-rtx-cu13" in str(plan_obstacle(None, H200, ("current",)))
    assert plan_obstacle(None, H200, ("sm86",), "tensorrt") == "tensorrt is not installed; pip install tensorrt"


def test_an_onnx_of_fixed_size_takes_no_other(
    rtx: Library, onnx_files: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = replace(engine_from_onnx.read_manifest(onnx_files["fp32"]), height=360, width=640)
    monkeypatch.setattr(engine_from_onnx, "read_manifest", lambda path: manifest)
    with pytest.raises(ArtmirrorError, match=r"fixed to 640x360; a plan of it cannot be for 96x64"):
        build(onnx_files["fp32"], tmp_path / "x.plan", rtx, BuildOptions(one(64, 96), ("sm86",)))


def test_a_graph_that_the_library_cannot_read_is_one_line(rtx: Library, tmp_path: Path) -> None:
    import onnx
    from onnx import TensorProto, helper

    from artmirror.runtime.formats.onnx import parse_onnx_metadata
    from tests.fakes.engine import make_manifest

    frame = helper.make_tensor_value_info("frame", TensorProto.UINT8, [1, "h", "w", 3])
    out = helper.make_tensor_value_info("stylized", TensorProto.UINT8, [1, "h", "w", 3])
    node = helper.make_node("Transpose", ["frame"], ["stylized"], name="the_node", perm=[0, 1])
    model = helper.make_model(
        helper.make_graph([node], "g", [frame], [out]), opset_imports=[helper.make_opsetid("", 20)]
    )
    _, checksum = parse_onnx_metadata(memoryview(model.SerializeToString()))
    model.metadata_props.add(key=METADATA_KEY, value=make_manifest(graph_sha256=checksum).to_json())
    path = tmp_path / "odd.onnx"
    onnx.save(model, path)
    with pytest.raises(ArtmirrorError, match=r"cannot read .*odd\.onnx: .*") as caught:
        build(path, tmp_path / "odd.plan", rtx, BuildOptions(one(64, 96), ("sm86",)))
    assert "\n" not in caught.value.message


def test_a_damaged_onnx_is_refused(rtx: Library, onnx_files: dict[str, Path], tmp_path: Path) -> None:
    path = tmp_path / "cut.onnx"
    path.write_bytes(onnx_files["fp16"].read_bytes()[:-300])
    with pytest.raises(ArtmirrorError, match=r"cut\.onnx"):
        build(path, tmp_path / "cut.plan", rtx, BuildOptions(one(64, 96), ("sm86",)))


@pytest.mark.gpu
@pytest.mark.skipif(current_gpu() is None, reason="no GPU")
def test_a_plan_for_the_gpu_at_hand(rtx: Library, onnx_files: dict[str, Path], tmp_path: Path) -> None:
    gpu = current_gpu()
    assert gpu
    report = build(onnx_files["fp16"], tmp_path / "x.plan", rtx, BuildOptions(one(64, 96)), gpu)
    assert report.info.targets == [gpu.name]
    assert report.read_back == CONVOLUTIONS
    assert read_layers(read_plan(tmp_path / "x.plan")[2], rtx).source == "engine inspector"


@pytest.fixture
def h200(monkeypatch: pytest.MonkeyPatch) -> Gpu:
    monkeypatch.setattr(plan_layers, "current_gpu", lambda: H200)
    return H200


@pytest.mark.parametrize("flag", [True, False], ids=["with the flag", "strongly typed always"])
def test_what_tensorrt_is_told(onnx_files: dict[str, Path], tmp_path: Path, h200: Gpu, flag: bool) -> None:
    trt = make_tensorrt(strongly_typed_flag=flag)
    library = Library("tensorrt", "10.9.0", trt)
    options = BuildOptions(RANGE, version_compatible=True, hardware_compatible=True, workspace_mib=512)
    report = build(onnx_files["fp16"], tmp_path / "x.plan", library, options, h200)
    config = trt.calls.config
    assert trt.calls.network_flags == (1 << 4 if flag else 0)
    assert config.flags == {"VERSION_COMPATIBLE"}
    assert config.hardware_compatibility_level == "AMPERE_PLUS"
    assert config.limits == {"WORKSPACE": 512 << 20}
    assert config.profiles == [{"frame": ((1, 64, 64, 3), (1, 360, 640, 3), (1, 1080, 1920, 3))}]
    assert not hasattr(config, "num_compute_capabilities")
    info = report.info
    assert (info.targets, info.version_compatible, info.hardware_compatible) == (
        ["NVIDIA H200"],
        True,
        True,
    )
    assert (report.read_back, report.source) == (1, "engine inspector")


def test_the_timing_cache_is_kept(onnx_files: dict[str, Path], tmp_path: Path, h200: Gpu) -> None:
    library = Library("tensorrt", "10.9.0", make_tensorrt(strongly_typed_flag=True))
    for times in (1, 2):
        build(onnx_files["fp16"], tmp_path / "x.plan", library, BuildOptions(RANGE), h200)
        (path,) = cache_folder().iterdir()
        assert path.name.endswith("-tensorrt-10.9.0-NVIDIA_H200.timing")
        assert path.read_bytes() == b"+" * times


@pytest.mark.parametrize("size_decides", [False, True])
@pytest.mark.parametrize("description", ["Float", "Row major linear FP32", "Channel major FP32 format"])
def test_fp32_from_the_inspector_is_an_error(
    onnx_files: dict[str, Path], tmp_path: Path, h200: Gpu, description: str, size_decides: bool
) -> None:
    trt = make_tensorrt(strongly_typed_flag=True, built_as=description, size_decides=size_decides)
    library = Library("tensorrt", "10.9.0", trt)
    with pytest.raises(ArtmirrorError, match="in fp32 where fp16 was asked for"):
        build(onnx_files["fp16"], tmp_path / "x.plan", library, BuildOptions(RANGE), h200)
    assert not (tmp_path / "x.plan").exists()
