"""What a frame costs, the machine's roofs, and the share of them that is reached."""

from pathlib import Path
from types import SimpleNamespace

import onnx
import pytest
from onnx import helper

from artmirror.benchmarks.records.speed import Ceilings, Session
from artmirror.benchmarks.speed import ceilings
from artmirror.benchmarks.speed.ceilings import measure_ceilings
from artmirror.benchmarks.speed.summary import reached
from artmirror.benchmarks.speed.table import roof_notes, roofs_grid
from artmirror.benchmarks.speed.workload import Workload, read_workload
from artmirror.export.cost import graph_cost
from artmirror.runtime.common.errors import ArtmirrorError
from tests.fakes.benchmark_records import make_environment, make_record, make_round
from tests.fakes.tiny_networks import write_network
from tests.places import STARRY

ROOFS = Ceilings(2, (9e9, 10e9), {"fp32": (90e9, 100e9), "bf16": (300e9,)})


class TestWorkload:
    def test_a_convolution_in_closed_form(self, tmp_path: Path) -> None:
        """3 to 8 channels, 3x3, a halved picture; the ReLU behind it is free."""
        convolution = helper.make_node("Conv", ["x", "w"], ["z"], strides=[2, 2], pads=[1, 1, 1, 1])
        path = write_network(tmp_path / "a.onnx", convolution, helper.make_node("Relu", ["z"], ["y"]), w=(8, 3, 3, 3))
        found = read_workload(path, (64, 80))
        assert found.macs == 32 * 40 * 8 * 3 * 3 * 3
        assert found.values_moved == 64 * 80 * 3 + 8 * 3 * 3 * 3 + 32 * 40 * 8
        assert found.frame_bytes == 2 * 64 * 80 * 3

    def test_groups_and_transposed_convolutions(self, tmp_path: Path) -> None:
        depthwise = helper.make_node("Conv", ["x", "w"], ["z"], group=3, pads=[1, 1, 1, 1])
        upwards = helper.make_node("ConvTranspose", ["z", "v"], ["y"], strides=[2, 2])
        path = write_network(tmp_path / "a.onnx", depthwise, upwards, w=(3, 1, 3, 3), v=(3, 5, 2, 2))
        assert read_workload(path, (64, 80)).macs == 64 * 80 * 3 * 9 + 64 * 80 * 3 * 5 * 4

    def test_the_bundled_network_costs_what_export_counts(self) -> None:
        found, counted = read_workload(STARRY, (360, 640)), graph_cost(onnx.load(STARRY), (360, 640))
        assert found.macs == counted.macs
        moved = found.bytes_moved("fp32")
        assert moved is not None
        assert 0.5 * counted.bytes_moved < moved < counted.bytes_moved  # less, since export fuses nothing

    def test_a_memory_is_counted(self) -> None:
        found = read_workload(STARRY.with_name("starry-steady.onnx"), (360, 640))
        assert found.macs > read_workload(STARRY, (360, 640)).macs

    def test_bytes_go_by_precision(self) -> None:
        workload = Workload(1, 1000, 60)
        assert [workload.bytes_moved(name) for name in ("fp32", "bf16", "int4")] == [4060, 2060, None]

    def test_what_cannot_be_read_is_one_line(self, tmp_path: Path) -> None:
        path = tmp_path / "no.onnx"
        path.write_bytes(b"nothing")
        with pytest.raises(ArtmirrorError, match="cannot count the operations of") as caught:
            read_workload(path, (64, 80))
        assert "\n" not in caught.value.message


def test_every_roof_is_measured_in_every_round(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ceilings, "MATRIX_SIDE", 128)
    monkeypatch.setattr(ceilings, "COPY_BYTES", 1 << 20)
    found = measure_ceilings(1, 3)
    assert found.threads == 1
    for values in (found.copy_bytes_per_s, *found.product_flop_per_s.values()):
        assert len(values) == 3
        assert min(values) > 1e6
    assert "fp32" in found.product_flop_per_s
    assert len(measure_ceilings(None, 3, lambda: True).copy_bytes_per_s) == 1


def test_bf16_that_is_forbidden_has_no_roof(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where ONEDNN_MAX_CPU_ISA holds a processor to AVX2, which still says that it has bf16."""

    class Core:
        def get_property(self, device: str, name: str) -> list[str]:
            return ["FP32", "BF16"]

    def compiled(core: Core, precision: str, threads: int | None) -> SimpleNamespace:
        if precision == "bf16":
            raise RuntimeError("could not create a primitive descriptor")
        return SimpleNamespace(infer=lambda given: None)

    monkeypatch.setattr(ceilings, "COPY_BYTES", 1 << 20)
    monkeypatch.setattr(ceilings, "shared_core", Core)
    monkeypatch.setattr(ceilings, "_compile_product", compiled)
    assert set(measure_ceilings(1, 1).product_flop_per_s) == {"fp32"}


def test_share_of_the_nearer_roof() -> None:
    """At 100 FPS: 0.4 GMAC are 80 GFLOP/s of 300; 50 MB are 5 GB/s of 10."""
    record = make_record(make_round(10), macs=400_000_000, bytes_moved=50_000_000)
    found = reached(record, ROOFS)
    assert found is not None
    assert (found.flop_per_s, found.bytes_per_s) == pytest.approx((80e9, 5e9))
    assert (found.bound, found.share) == ("memory", pytest.approx(0.5))
    found = reached(make_record(make_round(10), macs=400_000_000, bytes_moved=50_000_000, precision="fp32"), ROOFS)
    assert found is not None
    assert (found.bound, found.share) == ("arithmetic", pytest.approx(0.8))


def test_no_share_of_what_nobody_measured() -> None:
    assert reached(make_record(make_round(10)), ROOFS) is None
    assert reached(make_record(make_round(10), macs=1, bytes_moved=1, precision="int8"), ROOFS) is None


def test_table_and_notes() -> None:
    engine = make_record(make_round(10), macs=400_000_000, bytes_moved=50_000_000)
    pipeline = make_record(make_round(10), macs=400_000_000, bytes_moved=50_000_000, scenario="pipeline")
    session = Session(make_environment(), (engine, pipeline), ROOFS)
    assert roofs_grid(session).rows == (("starry", "openvino bf16", "0.40", "50", "80", "5.0", "memory", "50%"),)
    lines = roof_notes(ROOFS)
    assert lines[0] == "roofs measured here: copy 10.0 GB/s, fp32 product 100 GFLOP/s, bf16 product 300 GFLOP/s"
    assert "(copy, fp32)" in lines[1]
    assert not any("busy" in line for line in roof_notes(Ceilings(2, (9.9e9, 10e9), {"fp32": (1e11,)})))
