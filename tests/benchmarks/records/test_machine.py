"""What Linux' files tell of processor, limits and sensors, from files written here."""

import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from artmirror.benchmarks.records.environment import read_environment
from artmirror.benchmarks.records.machine import Gpu, read_core_limit, read_gpus, read_memory_bytes, read_processor
from artmirror.benchmarks.records.speed import Sensed
from artmirror.benchmarks.speed.gpu_sensors import open_gpus
from artmirror.benchmarks.speed.notes import sensor_notes
from artmirror.benchmarks.speed.sensors import Sensors
from artmirror.benchmarks.speed.summary import hottest_c, power_w
from tests.fakes.benchmark_records import make_record, make_round

CPUINFO = """processor : 0
model name : Some Processor 9000
cpu MHz : 2400.5
flags : fpu avx2 avx512f avx512_bf16 hypervisor

processor : 1
model name : Some Processor 9000
cpu MHz : 2600.5
flags : fpu avx2 avx512f avx512_bf16 hypervisor
"""


def write(root: Path, **files: str | int) -> Path:
    """Write files; `__` in a name is a slash, `_C_` a colon."""
    for name, text in files.items():
        path = root / name.replace("__", "/").replace("_C_", ":")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{text}\n")
    return root


def test_processor(tmp_path: Path) -> None:
    found = read_processor(write(tmp_path, proc__cpuinfo=CPUINFO))
    assert (found.model, found.clock_mhz, found.virtual) == ("Some Processor 9000", 2500, True)
    assert found.features == ("avx2", "avx512f", "avx512_bf16")
    assert (found.governor, found.clock_max_mhz) == (None, None)
    folder = "sys__devices__system__cpu__cpu0__cpufreq__"
    write(tmp_path, **{f"{folder}scaling_governor": "powersave", f"{folder}cpuinfo_max_freq": 3_400_000})
    found = read_processor(tmp_path)
    assert (found.governor, found.clock_max_mhz) == ("powersave", 3400)


def test_an_arm_board_has_other_words(tmp_path: Path) -> None:
    found = read_processor(write(tmp_path, proc__cpuinfo="processor : 0\nFeatures : fp asimd i8mm\n"))
    assert (found.model, found.features, found.virtual, found.clock_mhz) == (None, ("asimd", "i8mm"), None, None)


def test_no_files_tell_nothing(tmp_path: Path) -> None:
    found = read_processor(tmp_path)
    assert (found.model, found.features, found.virtual) == (None, (), None)
    assert read_memory_bytes(tmp_path) is None
    assert read_core_limit(tmp_path) is None
    reading = Sensors(tmp_path).read()
    assert (reading.energy_uj, reading.hottest_c) == ((), None)


def test_memory_and_limit(tmp_path: Path) -> None:
    write(tmp_path, proc__meminfo="MemTotal: 1000 kB\nMemFree: 1 kB")
    (tmp_path / "sys/fs/cgroup").mkdir(parents=True)
    assert read_memory_bytes(tmp_path) == 1_024_000
    (tmp_path / "sys/fs/cgroup/cpu.max").write_text("150000 100000\n")
    assert read_core_limit(tmp_path) == 1.5
    (tmp_path / "sys/fs/cgroup/cpu.max").write_text("max 100000\n")
    assert read_core_limit(tmp_path) is None


def test_gpus_are_what_the_drivers_program_prints(tmp_path: Path) -> None:
    assert read_gpus(str(tmp_path / "no-program")) == ()
    program = tmp_path / "smi"
    program.write_text("#!/bin/sh\necho 'GeForce 940M, 391.35, 2048 MiB, 135 MHz, 1176 MHz'\n")
    program.chmod(0o755)
    assert read_gpus(str(program)) == (Gpu("GeForce 940M", "391.35", "2048 MiB", "135 MHz", "1176 MHz"),)
    program.write_text("#!/bin/sh\necho no driver\nexit 9\n")
    assert read_gpus(str(program)) == ()


def test_this_machine_can_be_told_from_others() -> None:
    environment = read_environment()
    assert environment.cpu
    assert environment.memory_bytes is None or environment.memory_bytes > 100e6


def package(root: Path, number: int, energy_uj: int) -> None:
    folder = f"sys__class__powercap__intel-rapl_C_{number}__"
    values = {"name": f"package-{number}", "energy_uj": energy_uj, "max_energy_range_uj": 10_000_000}
    write(root, **{folder + name: value for name, value in values.items()})


def test_energy_is_the_difference_of_all_packages(tmp_path: Path) -> None:
    package(tmp_path, 0, 1_000_000)
    package(tmp_path, 1, 9_000_000)
    write(tmp_path, **{"sys__class__powercap__intel-rapl_C_0_C_0__name": "core"})
    sensors = Sensors(tmp_path)
    before = sensors.read()
    package(tmp_path, 0, 3_000_000)
    package(tmp_path, 1, 500_000)  # went round
    sensed = sensors.between(before, sensors.read())
    assert sensed.energy_j == pytest.approx(2 + 1.5)
    assert sensed.duration_ns > 0


def test_temperature_is_the_processors_hottest(tmp_path: Path) -> None:
    zone = "sys__class__thermal__thermal_zone0__"
    write(tmp_path, **{f"{zone}type": "cpu-thermal", f"{zone}temp": 51_000})
    assert Sensors(tmp_path).read().hottest_c == 51
    chip, disk = "sys__class__hwmon__hwmon0__", "sys__class__hwmon__hwmon1__"
    write(tmp_path, **{f"{chip}name": "coretemp", f"{chip}temp1_input": 61_500, f"{chip}temp2_input": 58_000})
    write(tmp_path, **{f"{disk}name": "nvme", f"{disk}temp1_input": 80_000})
    assert Sensors(tmp_path).read().hottest_c == 61.5


def test_power_is_energy_over_time() -> None:
    rounds = [
        make_round(10, sensed=Sensed(2_000_000_000, 30.0, 60.0)),
        make_round(10, sensed=Sensed(10**9, 30.0, 70.0)),
    ]
    record = make_record(*rounds)
    assert power_w(record) == pytest.approx(20)
    assert hottest_c(record) == 70
    assert sensor_notes([record]) == ["processor with starry openvino bf16 640x360 engine: 20.0 W, 70 °C"]


class FakeNvml:
    """As much of the module `pynvml` as is asked; each GPU is (energy in mJ or None, degrees, bytes in use)."""

    NVML_TEMPERATURE_GPU = 0

    class NVMLError(Exception):
        pass

    def __init__(self, *gpus: tuple[int | None, int, int]) -> None:
        self.gpus = list(gpus)

    def nvmlInit(self) -> None:
        pass

    def nvmlDeviceGetCount(self) -> int:
        return len(self.gpus)

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:
        return index

    def nvmlDeviceGetTotalEnergyConsumption(self, handle: int) -> int:
        energy_mj = self.gpus[handle][0]
        if energy_mj is None:
            raise self.NVMLError("Not Supported")
        return energy_mj

    def nvmlDeviceGetTemperature(self, handle: int, sensor: int) -> int:
        assert sensor == self.NVML_TEMPERATURE_GPU
        return self.gpus[handle][1]

    def nvmlDeviceGetMemoryInfo(self, handle: int) -> SimpleNamespace:
        return SimpleNamespace(used=self.gpus[handle][2])


def test_gpus_tell_energy_temperature_and_memory_of_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nvml = FakeNvml((1000, 50, 300), (2000, 61, 400))
    monkeypatch.setitem(sys.modules, "pynvml", nvml)  # type: ignore[arg-type]
    gpus = open_gpus()
    assert gpus is not None
    assert gpus.used_bytes() == 700
    sensors = Sensors(tmp_path, gpus)
    before = sensors.read()
    nvml.gpus = [(1500, 55, 300), (12_000, 70, 400)]
    sensed = sensors.between(before, sensors.read())
    assert (sensed.gpu_energy_j, sensed.gpu_hottest_c) == (pytest.approx(10.5), 70)
    assert (sensed.energy_j, sensed.hottest_c) == (None, None)
    record = make_record(make_round(10, sensed=replace(sensed, duration_ns=10**9)))
    assert power_w(record, gpu=True) == pytest.approx(10.5)
    assert sensor_notes([record]) == ["GPU with starry openvino bf16 640x360 engine: 10.5 W, 70 °C"]


def test_a_gpu_that_counts_no_energy_tells_the_rest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", FakeNvml((None, 50, 300)))  # type: ignore[arg-type]
    sensors = Sensors(tmp_path, open_gpus())
    sensed = sensors.between(sensors.read(), sensors.read())
    assert (sensed.gpu_energy_j, sensed.gpu_hottest_c) == (None, 50)


def test_no_gpu_no_driver_and_no_library_are_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", FakeNvml())  # type: ignore[arg-type]
    assert open_gpus() is None
    without_driver = FakeNvml((1, 1, 1))

    def fail() -> None:
        raise without_driver.NVMLError("Driver Not Loaded")

    monkeypatch.setattr(without_driver, "nvmlInit", fail)
    monkeypatch.setitem(sys.modules, "pynvml", without_driver)  # type: ignore[arg-type]
    assert open_gpus() is None
    monkeypatch.setitem(sys.modules, "pynvml", None)  # type: ignore[arg-type]
    assert open_gpus() is None


def test_absent_sensors_are_stated() -> None:
    silent = make_record(make_round(10, sensed=Sensed(10**9, None, None)))
    assert (power_w(silent), hottest_c(silent)) == (None, None)
    assert sensor_notes([silent]) == ["this system tells neither power nor temperature of the processor"]
    assert sensor_notes([make_record(make_round(10))]) == []  # version 1 did not ask
