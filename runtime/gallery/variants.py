"""One style in several qualities: starry.onnx, and beside it the lighter starry-lite.onnx and starry-nano.onnx.

Each may have a twin in INT8, for processors: starry-int8.onnx, starry-lite-int8.onnx; and one with a memory from frame
to frame, which may have a twin in INT8 too: starry-steady.onnx, starry-steady-int8.onnx.
"""

from pathlib import Path

from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.runtime.formats.kind import suffix_of

FULL = "full"
QUALITIES = (FULL, "lite", "nano")  # best first; the lighter ones are named as their presets of st-train


_INT8, _STEADY = "-int8", "-steady"  # in the names of twins


def quality_of(path: Path) -> str:
    """Which of `QUALITIES` a file's name says; a twin has that of the other."""
    return _split(_without_twin(path))[1]


def is_twin(path: Path) -> bool:
    """Whether a file's name says that it is another one in INT8, or with a memory."""
    return is_int8_twin(path) or _ends_with(path, _STEADY)


def is_int8_twin(path: Path) -> bool:
    """Whether a file's name says that it is another one in INT8."""
    return _ends_with(path, _INT8)


def int8_twin(path: Path) -> Path | None:
    """The same network in INT8, with a memory or without, where it lies beside the file."""
    return None if is_int8_twin(path) else _twin(path, _INT8)


def steady_twin(path: Path) -> Path | None:
    """The same style with a memory from frame to frame, where it lies beside the file."""
    return None if is_twin(path) else _twin(path, _STEADY)


def in_order(path: Path, *, steady: bool) -> dict[str, Path]:
    """What there is of a style in one quality, from the path without a twin's name, in the order in which it is tried.

    Args:
        steady: Whether those with a memory come first, or not at all.

    Returns:
        What a twin is, `steady`, `steady int8`, `int8` or nothing -> file.
    """
    found: dict[str, Path | None] = {}
    for kind, file in (("steady ", steady_twin(path) if steady else None), ("", path)):
        if file is not None:
            found |= {kind.strip(): file, f"{kind}int8": int8_twin(file)}
    return {kind: file for kind, file in found.items() if file is not None}


def steady_name(path: Path) -> str:
    """How that file is called."""
    return _named(path, _STEADY)


def _twin(path: Path, what: str) -> Path | None:
    twin = path.with_name(_named(path, what))
    return twin if twin.is_file() else None


def _without_twin(path: Path) -> Path:
    """The file that a twin is one of; any other file itself."""
    suffix = suffix_of(path)
    return path.with_name(path.name.removesuffix(suffix).removesuffix(_INT8).removesuffix(_STEADY) + suffix)


def _named(path: Path, what: str) -> str:
    suffix = suffix_of(path)
    return path.name.removesuffix(suffix) + what + suffix


def _ends_with(path: Path, what: str) -> bool:
    return path.name.removesuffix(suffix_of(path)).endswith(what)


def variant_path(path: Path, quality: str) -> Path:
    """Where the same style lies in another quality, from the path of any of its files; it need not be there."""
    style, _, suffix = _split(path)
    return path.with_name(style + ("" if quality == FULL else f"-{quality}") + suffix)


def variants(path: Path) -> dict[str, Path]:
    """Quality -> file of what is there of a style, the best first, from the path of any of its files."""
    paths = {quality: variant_path(path, quality) for quality in QUALITIES}
    return {quality: variant for quality, variant in paths.items() if variant.is_file()}


def encoder_path(network: Path) -> Path:
    """Where a network for many paintings has its encoder: `any.onnx`, `any-lite.plan` and twins share one."""
    plain = _without_twin(network)
    full = variant_path(plain.with_name(plain.name.removesuffix(suffix_of(plain)) + ".onnx"), FULL)
    return full.with_name(f"{full.stem}-encoder.onnx")


def find_variant(path: Path, quality: str) -> Path:
    """The file of a style in one quality, from the path of any of its files; a twin of that quality is taken as it is.

    Raises:
        ArtmirrorError: it is not there, but others of that style are; they are named.
    """
    if is_twin(path):
        if quality_of(path) == quality:
            return path
        path = _without_twin(path)
    there, wanted = variants(path), variant_path(path, quality)
    if there and quality not in there:
        checkpoint = wanted.name.removesuffix(_split(wanted)[2]) + ".pt"
        preset = "" if quality == FULL else f" --preset {quality}"
        raise ArtmirrorError(
            f"there is no {wanted}; of this style there is: {', '.join(there)}. To make {quality}: "
            f"st-train{preset} -o {checkpoint} with painting and photos, then st-export {checkpoint}"
        )
    return wanted


def _split(path: Path) -> tuple[str, str, str]:
    """Style, quality and suffix: starry-lite.ncnn.param is starry, lite and .ncnn.param."""
    suffix = suffix_of(path)
    stem = path.name.removesuffix(suffix)
    style, _, quality = stem.rpartition("-")
    return (style, quality, suffix) if style and quality in QUALITIES[1:] else (stem, FULL, suffix)
