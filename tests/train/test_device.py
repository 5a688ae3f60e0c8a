"""Where a run computes."""

import pytest
import torch

from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.train.config import Precision
from artmirror.train.device import best_precision, find_device


def _with_gpus(monkeypatch: pytest.MonkeyPatch, count: int, bf16: bool = False) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: bf16 or including_emulation)


def test_a_gpu_is_taken_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    _with_gpus(monkeypatch, 0)
    assert find_device("auto") == torch.device("cpu")
    _with_gpus(monkeypatch, 2)
    assert find_device("auto", local_rank=1) == torch.device("cuda", 1)
    assert find_device("cuda", local_rank=1) == torch.device("cuda", 1)
    assert find_device("cuda:0", local_rank=1) == torch.device("cuda", 0)
    assert find_device("cpu", local_rank=1) == torch.device("cpu")


def test_more_processes_than_gpus_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    _with_gpus(monkeypatch, 2)
    with pytest.raises(ArtmirrorError, match="there is no cuda:2; the CUDA GPUs are numbered 0 to 1"):
        find_device("cuda", local_rank=2)


@pytest.mark.parametrize(
    ("capabilities", "precision"),
    [
        ({"avx2": True, "avx512_f": True, "avx512_bf16": False}, "fp32"),
        ({"avx512_bf16": True}, "bf16"),
        ({"amx_bf16": True}, "bf16"),
        ({"architecture": "aarch64", "neon": True}, "fp32"),
        ({"architecture": "aarch64", "bf16": True}, "bf16"),
    ],
)
def test_a_cpu_takes_bf16_where_it_multiplies_it(
    monkeypatch: pytest.MonkeyPatch, capabilities: dict[str, object], precision: Precision
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    assert best_precision(torch.device("cpu")) == precision


@pytest.mark.parametrize(("bf16", "precision"), [(True, "bf16"), (False, "fp16")])
def test_a_gpu_takes_bf16_where_it_is_not_emulated(
    monkeypatch: pytest.MonkeyPatch, bf16: bool, precision: Precision
) -> None:
    _with_gpus(monkeypatch, 1, bf16)
    assert best_precision(torch.device("cuda", 0)) == precision
