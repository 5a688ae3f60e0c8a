"""What `st-run --device` can name on this machine."""

from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.runtime.engines.cuda_device import PycudaMissing, gpu_names
from artmirror.runtime.engines.vulkan_device import NO_DRIVER, vulkan_devices


def list_devices() -> tuple[list[tuple[str, str, str]], list[str]]:
    """Every device with its name for --device, its own name and the back ends that run on it; and what is missing."""
    rows = [("cpu", "processor", "openvino, onnxruntime, ncnn")]
    missing = []
    try:
        names = gpu_names()
    except PycudaMissing as error:
        names = []
        missing.append(error.message)
    rows += [
        (f"cuda:{number}", name, "tensorrt, onnxruntime, onnxruntime-tensorrt") for number, name in enumerate(names)
    ]
    try:
        found = vulkan_devices()
        rows += [(f"vulkan:{device.number}", f"{device.name} ({device.kind})", "ncnn") for device in found]
        if not found:
            missing.append(NO_DRIVER)
    except ArtmirrorError as error:
        missing.append(error.message)
    return rows, missing
