"""A small network with random weights in ncnn's two files, and whether Vulkan is here."""

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from artmirror.runtime.engines.vulkan_device import vulkan_devices

_folder = TemporaryDirectory(prefix="tiny_ncnn")


@cache
def tiny_ncnn() -> Path:
    """The .ncnn.param, converted once for all tests, which leave it alone."""
    # Imported here, since tests in another process (`cuda_driver.elsewhere`) shall not wait for torch.
    from artmirror.export.to_ncnn import write_ncnn_of
    from artmirror.export.trained import trained_of
    from artmirror.train.checkpoint import save_checkpoint
    from artmirror.train.config import NetworkConfig
    from tests.export.conftest import make_checkpoint

    checkpoint = make_checkpoint(NetworkConfig(channels=(4, 6, 8), blocks=1))
    folder = Path(_folder.name)
    save_checkpoint(folder / "tiny.pt", checkpoint)
    write_ncnn_of(trained_of(checkpoint, folder / "tiny.pt"), folder / "tiny.ncnn.param", fp16=False)
    return folder / "tiny.ncnn.param"


def need_vulkan() -> None:
    """Skip the test where no driver shows a device, not even in software."""
    if not vulkan_devices():
        pytest.skip("no Vulkan device; Debian's mesa-vulkan-drivers brings one in software")
