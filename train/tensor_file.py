"""Files of torch.save, opened so that they can do no harm: plain data, and no more of it than the file is large."""

import warnings
import zipfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

LARGEST_FILE_BYTES = 1_000_000_000
LARGEST_PICKLE_BYTES = 16_000_000  # of what is no tensor: names, shapes, the configuration
MOST_ENTRIES = 20_000  # parts of the archive, a tensor each


class UnsafeFile(Exception):
    """It would take more memory or time than weights do; the message says why."""


def load_tensors(path: Path, *, archive: bool = False) -> Any:
    """What torch.save wrote: tensors and plain data, on the CPU.

    Args:
        archive: It has to be a zip archive, as torch.save has written since 1.6; sums of its content are checked.

    Raises:
        UnsafeFile: it is beyond the limits of this module.
        Exception: it is damaged, or would run code; nearly any kind.
    """
    size = path.stat().st_size
    if size > LARGEST_FILE_BYTES:
        raise UnsafeFile(f"{size / 1e6:.0f} MB, at most {LARGEST_FILE_BYTES / 1e6:.0f} MB is wanted")
    if archive or zipfile.is_zipfile(path):
        _check_archive(path, size)
    with warnings.catch_warnings(action="ignore"):  # of damage, in pages, before the error
        data = torch.load(path, map_location="cpu", weights_only=True)
    _check_tensors(data)
    return data


def told_of(error: Exception) -> str:
    """Why `load_tensors` did not, in a few words: most of torch's own are pages."""
    return str(error) if isinstance(error, UnsafeFile) else type(error).__name__


def _check_archive(path: Path, size: int) -> None:
    """Read the directory of the archive before anything that it holds.

    torch.save packs nothing, so what is unpacked is as large as the file; and it writes sums of the content, which
    torch.load does not look at.
    """
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
        unpacked = sum(entry.file_size for entry in entries)
        if len(entries) > MOST_ENTRIES:
            raise UnsafeFile(f"{len(entries)} parts, at most {MOST_ENTRIES} are wanted")
        if unpacked > size or any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
            raise UnsafeFile(f"packed: {size / 1e6:.1f} MB would become {unpacked / 1e6:.1f} MB")
        if any(entry.file_size > LARGEST_PICKLE_BYTES for entry in entries if entry.filename.endswith(".pkl")):
            raise UnsafeFile(f"more than {LARGEST_PICKLE_BYTES / 1e6:.0f} MB beside its tensors")
        if archive.testzip() is not None:
            raise zipfile.BadZipFile


def _check_tensors(data: Any) -> None:
    """See that no tensor has more elements than bytes are there for: copied, such a one could fill all memory."""
    waiting, seen = [data], set[int]()
    while waiting:
        value = waiting.pop()
        if isinstance(value, Tensor):
            if value.layout != torch.strided or value.is_quantized or value.device.type != "cpu":
                raise UnsafeFile("a tensor of another kind than st-train writes")
            if value.numel() * value.element_size() > value.untyped_storage().nbytes():
                raise UnsafeFile(f"a tensor of shape {tuple(value.shape)} with fewer values")
        elif isinstance(value, dict | list | tuple | set) and id(value) not in seen:
            seen.add(id(value))
            waiting += [*value.keys(), *value.values()] if isinstance(value, dict) else value
