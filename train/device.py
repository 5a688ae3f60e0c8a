"""Where a run computes, and in what precision that place is fast."""

import torch

from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.train.config import Precision

# Instructions that multiply bf16; without them it is converted to float32 and back, which is slower than float32.
_CPU_BF16 = ("amx_bf16", "avx512_bf16", "sve_bf16", "bf16")


def find_device(name: str, local_rank: int = 0) -> torch.device:
    """The device of this process: "auto" is a GPU where there is one, "cuda" the GPU numbered `local_rank`.

    Args:
        name: cpu, cuda, cuda:1, ... or auto.
        local_rank: Number of this process among those of the run on this machine.

    Raises:
        ArtmirrorError: there is no such device.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError:
        raise ArtmirrorError(f"there is no device {name!r}; wanted cpu, cuda, cuda:1, ... or auto") from None
    if device.type != "cuda":
        return device
    if not torch.cuda.is_available():
        raise ArtmirrorError("no CUDA GPU is there (torch.cuda.is_available() is false); use --device cpu")
    device = torch.device("cuda", local_rank if device.index is None else device.index)
    count = torch.cuda.device_count()
    if device.index >= count:
        raise ArtmirrorError(
            f"there is no {device}; the CUDA GPUs are numbered 0 to {count - 1}, and every process needs its own"
        )
    return device


def best_precision(device: torch.device) -> Precision:
    """What trains fastest on a device: bf16 where the hardware multiplies it, else fp16 on a GPU and fp32 on a CPU."""
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
    capabilities = torch.cpu.get_capabilities()
    return "bf16" if any(capabilities.get(name) for name in _CPU_BF16) else "fp32"
