"""Which TensorRT is taken, and what is said where none fits."""

import sys
from enum import IntEnum
from types import ModuleType, SimpleNamespace

import pytest

from artmirror.export.plan import library as tensorrt_library
from artmirror.export.plan.library import find_library, message_logger, progress_monitor
from artmirror.runtime.common.errors import ArtmirrorError


def module(name: str, version: str, targets: tuple[str, ...] = ()) -> ModuleType:
    made = ModuleType(name)
    made.__version__ = version
    if targets:
        made.ComputeCapability = IntEnum("ComputeCapability", ["NONE", "CURRENT", *targets])
    return made


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> dict[str, ModuleType]:
    modules: dict[str, ModuleType] = {}

    def find(name: str) -> ModuleType:
        if name not in modules:
            raise ModuleNotFoundError(name=name)
        return modules[name]

    monkeypatch.setattr(tensorrt_library, "import_module", find)
    return modules


def test_none_is_installed(installed: dict[str, ModuleType]) -> None:
    assert find_library() is None
    assert find_library("tensorrt", ["sm86"]) is None


def test_tensorrt_comes_first_and_rtx_builds_for_elsewhere(installed: dict[str, ModuleType]) -> None:
    installed["tensorrt"] = module("tensorrt", "11.0")
    installed["tensorrt_rtx"] = module("tensorrt_rtx", "1.7", ("SM86", "SM120"))
    for name, targets, expected in [
        (None, ["current"], "tensorrt"),
        ("tensorrt_rtx", ["current"], "tensorrt_rtx"),
        (None, ["sm86", "sm120"], "tensorrt_rtx"),
    ]:
        library = find_library(name, targets)
        assert library is not None
        assert library.name == expected
    assert library.targets == ("sm86", "sm120")
    with pytest.raises(ArtmirrorError, match=r"only for the GPU at hand.* pip install tensorrt-rtx-cu13"):
        find_library("tensorrt", ["sm86"])
    with pytest.raises(ArtmirrorError, match=r"does not build for sm99; its targets are sm86, sm120 and current"):
        find_library(None, ["sm99", "sm86"])


def test_one_that_does_not_load_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(name: str) -> ModuleType:
        raise ImportError("libnvinfer.so.10: cannot open shared object file\nmore")

    monkeypatch.setattr(tensorrt_library, "import_module", fail)
    with pytest.raises(ArtmirrorError, match=r"tensorrt is installed and does not load \(libnvinfer.*file\)") as caught:
        find_library()
    assert "\n" not in caught.value.message


def test_the_real_one() -> None:
    rtx = pytest.importorskip("tensorrt_rtx")
    library = find_library("tensorrt_rtx", ["sm75", "sm86", "sm89", "sm120"])
    assert library is not None
    assert library.version == rtx.__version__ == sys.modules["tensorrt_rtx"].__version__


def test_messages_are_kept_and_printed_on_demand(capsys: pytest.CaptureFixture[str]) -> None:
    severity = IntEnum("Severity", ["ERROR", "INFO", "VERBOSE"])
    trt = SimpleNamespace(ILogger=type("ILogger", (), {"ERROR": severity.ERROR, "VERBOSE": severity.VERBOSE}))
    logger = message_logger(trt, verbose=True)
    for level in severity:
        logger.log(level, f"a message of {level.name}")
    assert logger.errors == ["a message of ERROR"]
    assert capsys.readouterr().out == "error: a message of ERROR\ninfo: a message of INFO\n"


def test_a_library_without_progress() -> None:
    assert progress_monitor(SimpleNamespace(), SimpleNamespace()) is None  # type: ignore[arg-type]
