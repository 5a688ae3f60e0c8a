"""Which back end opens a file, why, and what happens where a plan does not fit."""

import hashlib
import logging
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from click.testing import CliRunner

from artmirror.runtime.cli import main
from artmirror.runtime.common.errors import ArtmirrorError, CannotRunHere
from artmirror.runtime.engines import rebuild
from artmirror.runtime.engines.cuda_device import open_device
from artmirror.runtime.engines.open import choose_backend, open_engine, open_for_show
from artmirror.runtime.engines.rebuild import PlanMismatch, rebuild_advice, rebuild_command, rebuild_plan
from artmirror.runtime.engines.vulkan_device import vulkan_devices
from artmirror.runtime.formats.manifest import read_manifest
from artmirror.runtime.gallery.bundled import find_style
from tests.fakes.cuda_driver.gpu import SimulatedGpu
from tests.fakes.st_run import one_line_of, run
from tests.fakes.tensorrt_runtime import Bench, write_fake_plan
from tests.runtime.engines.test_ncnn import DISCRETE, install_devices

SIZE = (64, 96)
PLAN, ONNX, NCNN = Path("starry.plan"), Path("starry.onnx"), Path("starry.ncnn.param")


@pytest.mark.parametrize(
    ("path", "backend", "device", "chosen", "reason"),
    [
        (ONNX, None, None, ("openvino", "cpu", 0), "fastest"),
        (ONNX, None, "cpu", ("openvino", "cpu", 0), "fastest"),
        (ONNX, "onnxruntime", None, ("onnxruntime", "cpu", 0), "--backend onnxruntime"),
        (ONNX, "onnxruntime", "cuda", ("onnxruntime", "cuda", 0), "--backend onnxruntime"),
        (ONNX, None, "cuda:2", ("onnxruntime", "cuda", 2), "--device cuda:2"),
        (ONNX, "onnxruntime-tensorrt", None, ("onnxruntime-tensorrt", "cuda", 0), "--backend"),
        (PLAN, None, None, ("tensorrt", "cuda", 0), "starry.plan is a TensorRT plan"),
        (PLAN, "tensorrt", "cuda:1", ("tensorrt", "cuda", 1), "plan"),
    ],
)
def test_choice(path: Path, backend: str | None, device: str | None, chosen: tuple[Any, ...], reason: str) -> None:
    choice = choose_backend(path, backend, device)
    assert (choice.backend, choice.device, choice.ordinal) == chosen
    assert reason in choice.reason


@pytest.mark.parametrize(
    ("path", "backend", "device", "words"),
    [
        (PLAN, "openvino", None, "not for --backend openvino; use the .onnx"),
        (PLAN, None, "cpu", "not for --device cpu; use the .onnx"),
        (ONNX, "tensorrt", None, "is no plan"),
        (ONNX, "openvino", "cuda", "runs on cpu, not on cuda"),
        (ONNX, "onnxruntime-tensorrt", "cpu", "runs on cuda, not on cpu"),
        (ONNX, None, "gpu", "wanted cpu, cuda, cuda:N, vulkan"),
        (ONNX, None, "cuda:", "wanted cpu, cuda, cuda:N, vulkan"),
        (ONNX, None, "cuda:x", "wanted cpu, cuda, cuda:N, vulkan"),
        (ONNX, None, "cpu:0", "wanted cpu, cuda, cuda:N, vulkan"),
        (ONNX, None, "vulkan:", "wanted cpu, cuda, cuda:N, vulkan"),
        (ONNX, None, "vulkan", "no .ncnn.param, which --device vulkan wants: .* st-export --ncnn"),
        (ONNX, "ncnn", None, "no .ncnn.param, which --backend ncnn wants"),
        (ONNX, "openvino", "vulkan", "--device vulkan is for ncnn, not for --backend openvino"),
        (NCNN, "openvino", None, "starry.ncnn.param is ncnn's, not for --backend openvino"),
        (NCNN, None, "cuda:1", "runs on vulkan or cpu, not on cuda:1"),
    ],
)
def test_what_does_not_go_together(path: Path, backend: str | None, device: str | None, words: str) -> None:
    with pytest.raises(ArtmirrorError, match=words):
        choose_backend(path, backend, device)


def place_onnx(plan: Path) -> dict[str, Any]:
    """Put a bundled style beside the plan; returns what the manifest of a plan of it says."""
    onnx = plan.with_suffix(".onnx")
    onnx.write_bytes(find_style("starry").read_bytes())
    manifest = read_manifest(onnx)
    return {"checkpoint_sha256": manifest.checkpoint_sha256, "precision": manifest.precision}


class TestAdvice:
    """How a plan that does not fit is built again; nothing is opened."""

    @pytest.fixture(autouse=True)
    def install(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setitem(sys.modules, "tensorrt", ModuleType("tensorrt"))
        self.plan = tmp_path / "starry.plan"

    def test_the_command_that_builds_it_again(self) -> None:
        write_fake_plan(self.plan)
        command = rebuild_command(self.plan)
        sizes = "--min-size 64x64 --opt-size 640x360 --max-size 2000x2000"
        assert (
            " ".join(command)
            == f"st-export --plan --trt-library tensorrt --fp16 {sizes} {self.plan.with_suffix('.pt')}"
        )
        fixed = {"height": 360, "width": 640, "min_size": None, "opt_size": None, "max_size": None}
        write_fake_plan(self.plan, precision="fp32", **fixed)
        command = rebuild_command(self.plan)
        build = "st-export --plan --trt-library tensorrt --size 640x360"
        assert " ".join(command) == f"{build} {self.plan.with_suffix('.pt')}"
        onnx = self.plan.with_suffix(".onnx")
        onnx.write_bytes(b"")  # then nothing needs to be exported
        write_fake_plan(self.plan, **fixed)
        assert " ".join(rebuild_command(self.plan)) == f"{build} {onnx}"

    def test_the_very_file_or_the_same_checkpoint_will_do(self) -> None:
        of_starry = place_onnx(self.plan)
        onnx = self.plan.with_suffix(".onnx")
        checksum = hashlib.sha256(onnx.read_bytes()).hexdigest()
        write_fake_plan(self.plan, onnx_sha256=checksum)
        assert rebuild_advice(self.plan).startswith("this builds it again: st-export --plan ")
        write_fake_plan(self.plan, onnx_sha256="2" * 64, **of_starry)
        assert rebuild_advice(self.plan).startswith("this builds it again: st-export --plan ")
        onnx.unlink()
        self.plan.with_suffix(".pt").write_bytes(b"weights")
        assert "starry.pt is not what starry.plan was built from" in rebuild_advice(self.plan)
        write_fake_plan(self.plan, checkpoint_sha256=hashlib.sha256(b"weights").hexdigest())
        assert rebuild_advice(self.plan).startswith("this builds it again: st-export --plan ")

    def test_st_export_knows_the_options(self) -> None:
        from artmirror.export.cli import main as export_main

        write_fake_plan(self.plan)
        result = CliRunner().invoke(export_main, rebuild_command(self.plan)[1:])
        assert result.exit_code == 1, result.output  # the checkpoint is not there; 2 would be: no such option
        self.plan.with_suffix(".onnx").write_bytes(b"")
        result = CliRunner().invoke(export_main, rebuild_command(self.plan)[1:])
        assert result.exit_code == 1, result.output


@pytest.mark.simulated_gpu
class TestPlan:
    @pytest.fixture(autouse=True)
    def simulate(self, gpu: SimulatedGpu, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        self.gpu = gpu
        (tmp_path / "cache").mkdir()
        self.trt = Bench(gpu, monkeypatch, tmp_path / "cache").trt
        self.plan = tmp_path / "starry.plan"

    def open(self, **changes: Any) -> None:
        write_fake_plan(self.plan, **changes)
        open_engine(self.plan, size=SIZE).close()

    def test_a_range_of_sizes(self) -> None:
        write_fake_plan(self.plan, max_size=[100, 200])
        open_engine(self.plan, size=(100, 200)).close()
        for size in [(101, 200), (100, 201)]:
            with pytest.raises(ArtmirrorError, match=r"starry.plan takes 64x64 to 200x100: use --size"):
                open_engine(self.plan, size=size)

    def test_one_size(self) -> None:
        fixed = {"height": 64, "width": 96, "min_size": None, "opt_size": None, "max_size": None}
        self.open(**fixed)
        with pytest.raises(ArtmirrorError, match="fixed to 96x64"):
            open_engine(self.plan, size=(96, 64))

    def test_another_version(self) -> None:
        self.open(library_version="10.9.0.1")  # the build number changes no format
        for built in ("10.8.0.34", "11.0.0.1", "10.9.1"):
            with pytest.raises(PlanMismatch, match=f"built by tensorrt {built}, and 10.9.0.34 is installed here"):
                self.open(library_version=built)
        for built in ("10.3.0", "9.3.0"):
            self.open(library_version=built, version_compatible=True)
        for built in ("10.10.0", "11.0.0"):
            with pytest.raises(PlanMismatch):
                self.open(library_version=built, version_compatible=True)

    def test_another_gpu(self) -> None:
        self.open(targets=["sm75", "sm86"])
        self.open(targets=["Simulated GPU"])
        self.open(targets=["NVIDIA H200"], hardware_compatible=True)  # of Ampere, as the one here
        for targets in (["sm80"], ["sm120"], ["NVIDIA H200"]):
            with pytest.raises(PlanMismatch, match=r"the GPU here is Simulated GPU \(sm86\)"):
                self.open(targets=targets)
        self.gpu.set(capability=75)
        open_device.cache_clear()
        with pytest.raises(PlanMismatch, match=r"the GPU here is Simulated GPU \(sm75\)"):
            self.open(targets=["NVIDIA H200"], hardware_compatible=True)

    def test_another_library(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "tensorrt_rtx", None)
        rtx = {"library": "tensorrt_rtx", "library_version": "1.7.1.116"}
        words = r"built by tensorrt_rtx, which is not installed: pip install tensorrt-rtx-cu13==1.7.1.116"
        with pytest.raises(PlanMismatch, match=f"{words}, or build it for tensorrt$"):
            self.open(**rtx)
        assert "--trt-library" not in rebuild_command(self.plan)
        monkeypatch.setitem(sys.modules, "tensorrt", None)
        with pytest.raises(CannotRunHere, match=f"{words}$") as caught:
            self.open(**rtx)
        assert not isinstance(caught.value, PlanMismatch)  # nothing here builds it

    def test_refused_by_the_library(self) -> None:
        self.trt.deserialize_error = "expecting version 240 got 239"
        with pytest.raises(PlanMismatch, match=r"tensorrt 10.9.0.34 refuses the plan.*expecting version 240 got 239"):
            self.open()

    def test_a_plan_alone_is_an_error_with_the_command(self) -> None:
        write_fake_plan(self.plan, library_version="10.1.0")
        with pytest.raises(
            ArtmirrorError, match="this builds it again: st-export --plan --trt-library tensorrt --fp16"
        ):
            open_for_show(self.plan, size=SIZE)

    def test_an_onnx_beside_it_is_used_with_a_warning(self, caplog: pytest.LogCaptureFixture) -> None:
        write_fake_plan(self.plan, library_version="10.1.0", **place_onnx(self.plan))
        with caplog.at_level(logging.WARNING):
            opened = open_for_show(self.plan, size=SIZE)
        assert opened.path == self.plan.with_suffix(".onnx")
        assert opened.engine.describe().backend == "openvino"
        assert opened.reason == "starry.plan cannot run here"
        (record,) = caplog.records
        for words in ("built by tensorrt 10.1.0", "st-export --plan", "Going on slower, with starry.onnx on the CPU"):
            assert words in record.getMessage()
        opened.engine.close()
        for asked in ({"backend": "tensorrt"}, {"device": "cuda"}):  # then nothing else will do
            with pytest.raises(ArtmirrorError, match=r"10\.1\.0"):
                open_for_show(self.plan, size=SIZE, **asked)

    def test_another_network_beside_it_is_neither_used_nor_built(self, monkeypatch: pytest.MonkeyPatch) -> None:
        of_starry = place_onnx(self.plan)
        write_fake_plan(self.plan, library_version="10.1.0", **{**of_starry, "checkpoint_sha256": "1" * 64})
        words = (
            r"starry\.onnx is not what starry\.plan was built from \(Fake, huang, fp\d\d\): it is The Starry Night, "
        )
        monkeypatch.setattr(rebuild.subprocess, "run", lambda *_, **__: pytest.fail("it was built"))
        for asked in ({}, {"rebuild": True}):
            with pytest.raises(ArtmirrorError, match=words) as caught:
                open_for_show(self.plan, size=SIZE, **asked)
            assert "this builds it again" not in caught.value.message
            assert f"st-export --plan {self.plan.with_suffix('.onnx')}" in caught.value.message

    def test_another_precision_beside_it_is_used_and_not_built(self, caplog: pytest.LogCaptureFixture) -> None:
        of_starry = place_onnx(self.plan)
        other = "fp32" if of_starry["precision"] == "fp16" else "fp16"
        write_fake_plan(self.plan, library_version="10.1.0", **{**of_starry, "precision": other})
        with pytest.raises(ArtmirrorError, match=r"is not what starry\.plan was built from"):
            open_for_show(self.plan, size=SIZE, rebuild=True)
        caplog.clear()
        opened = open_for_show(self.plan, size=SIZE)
        opened.engine.close()
        assert opened.path == self.plan.with_suffix(".onnx")
        assert "is not what starry.plan was built from" in caplog.text

    def test_damage_is_never_a_reason_to_fall_back(self) -> None:
        self.plan.with_suffix(".onnx").write_bytes(find_style("starry").read_bytes())
        write_fake_plan(self.plan)
        self.plan.write_bytes(self.plan.read_bytes()[:-3])
        with pytest.raises(ArtmirrorError, match="damaged"):
            open_for_show(self.plan, size=SIZE)

    def test_rebuild_runs_st_export_and_opens_the_new_plan(
        self, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        write_fake_plan(self.plan, library_version="10.1.0", checkpoint_sha256=hashlib.sha256(b"").hexdigest())
        with pytest.raises(ArtmirrorError, match=r"without .*starry\.onnx or .*starry\.pt"):
            open_for_show(self.plan, size=SIZE, rebuild=True)
        self.plan.with_suffix(".pt").write_bytes(b"")
        asked: list[list[str]] = []

        class Done:
            returncode = 0

        def build(command: list[str], check: bool) -> Done:
            asked.append(command)
            write_fake_plan(self.plan, checkpoint_sha256=hashlib.sha256(b"").hexdigest())
            return Done()

        monkeypatch.setattr(rebuild.subprocess, "run", build)
        opened = open_for_show(self.plan, size=SIZE, rebuild=True)
        assert opened.engine.describe().backend == "tensorrt"
        assert Path(asked[0][0]).name == "st-export"
        assert asked[0][1:5] == ["--plan", "--trt-library", "tensorrt", "--fp16"]
        opened.engine.close()
        Done.returncode = 1
        with pytest.raises(ArtmirrorError, match="failed; what it said stands above"):
            rebuild_plan(self.plan)
        monkeypatch.setattr(rebuild.shutil, "which", lambda *args, **kwargs: None)
        with pytest.raises(ArtmirrorError, match=r"pip install 'artmirror\[export\]'"):
            rebuild_plan(self.plan)

    def test_st_run_says_what_was_chosen_and_why(self) -> None:
        write_fake_plan(self.plan)
        code, _, err = run(
            "--engine", self.plan, "--input", "synthetic:96x64", "--max-frames", "5", "--output", "null:"
        )
        assert code == 0, err
        expected = "Fake at 96x64 on tensorrt (tensorrt 10.9.0.34, Simulated GPU, fp16, no CUDA graph: "
        assert err.startswith(expected), err
        assert err.rstrip().endswith(": starry.plan is a TensorRT plan")

    def test_st_run_ends_in_one_line_when_the_gpu_goes(self, tmp_path: Path) -> None:
        write_fake_plan(self.plan)
        self.trt.execute_error = "Cuda Runtime (unspecified launch failure)"
        out = tmp_path / "out.mp4"
        line = one_line_of(1, "--engine", self.plan, "--input", "synthetic:96x64", "--output", out)
        assert "Simulated GPU failed or was lost" in line
        assert not out.exists()

    def test_without_pycuda_it_is_named(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "pycuda.driver", None)
        write_fake_plan(self.plan)
        line = one_line_of(1, "--engine", self.plan, "--input", "synthetic:96x64", "--output", "null:")
        assert "pycuda" in line

    def test_devices_are_listed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        install_devices(monkeypatch, ("GeForce 940M", DISCRETE))
        vulkan_devices.cache_clear()
        code, out, err = run("--list-devices")
        assert (code, err) == (0, "")
        assert "cuda:0" in out
        assert self.gpu.name in out
        assert "vulkan:0" in out
        assert "GeForce 940M (discrete GPU)" in out
        monkeypatch.setitem(sys.modules, "pycuda.driver", None)
        code, out, err = run("--list-devices")
        assert code == 0
        assert "cuda:0" not in out
        assert "pip install 'artmirror[cuda]'" in " ".join(err.split())
        vulkan_devices.cache_clear()


def test_help_names_the_options() -> None:
    assert {"--backend", "--device", "--rebuild"} <= {name for parameter in main.params for name in parameter.opts}
