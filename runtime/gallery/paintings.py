"""What a show paints with, as the command line names it: paintings, style files, bundled styles, and mixes of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.runtime.common.option_types import weighted
from artmirror.runtime.common.style_file import SUFFIX, StyleFile, Vector, load_style, stored
from artmirror.runtime.formats.kind import read_any_manifest
from artmirror.runtime.formats.manifest import Manifest
from artmirror.runtime.gallery.bundled import (
    DEFAULT_STYLE,
    bundled_manifests,
    bundled_style_files,
    bundled_styles,
    find_style,
    find_style_file,
    many_network,
)
from artmirror.runtime.gallery.palette import Paint
from artmirror.runtime.gallery.variants import encoder_path, int8_twin, steady_twin, variants


@dataclass(frozen=True, slots=True)
class Named:
    """A style and how much of it."""

    style: StyleFile
    source: str  # where it came from, for errors
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class Listed:
    """A bundled style, as lists show it."""

    name: str
    title: str
    artist: str
    year: str
    qualities: tuple[str, ...]


def listed() -> list[Listed]:
    """All bundled styles, sorted by name: those with a network of their own, and those of the network for many."""
    found = {
        manifest.name: Listed(
            manifest.name, manifest.title, manifest.artist, manifest.year, _qualities(find_style(manifest.name))
        )
        for manifest in bundled_manifests()
    }
    qualities = _qualities(many_network())
    for name, path in bundled_style_files().items():
        style = load_style(path)
        found.setdefault(name, Listed(name, style.title, style.artist, style.year, qualities))
    return [found[name] for name in sorted(found)]


def _qualities(path: Path) -> tuple[str, ...]:
    """What there is of a network; `int8` and `steady` where some of it is there in INT8, and with a memory, too."""
    there = variants(path)
    twins = {"int8": int8_twin, "steady": steady_twin}
    return (*there, *(name for name, twin_of in twins.items() if any(map(twin_of, there.values()))))


@dataclass(frozen=True, slots=True)
class Choice:
    """What was asked for."""

    engine: Path  # of any quality
    named: tuple[Named, ...] = ()  # the first is shown first
    mixed: bool = False  # all of them at once, by their weights

    def paints(self, manifest: Manifest) -> list[Paint]:
        """The styles for the network that was opened, the first as it is shown first, the bundled ones at the end.

        Raises:
            ArtmirrorError: one was made for another network, or this one paints a single painting, or there is none.
        """
        if manifest.style is None:
            if self.named:
                raise _alone(self.engine, manifest)
            return [Paint(manifest.title or manifest.name)]
        vectors = [_vector(named, manifest) for named in self.named]
        paints = [Paint(_title(named.style), vector) for named, vector in zip(self.named, vectors, strict=True)]
        if self.mixed:
            weights = np.array([named.weight for named in self.named], np.float32)
            mix = (np.stack(vectors) * (weights / weights.sum())[:, None]).sum(0)
            paints = [Paint(" + ".join(paint.title for paint in paints), mix)]
        names = {one.style.name for one in self.named}
        for name, path in bundled_style_files().items():
            style = _bundled_style(path)
            if name not in names and style.code_space == manifest.style.code_space:
                paints.append(Paint(_title(style), _vector(Named(style, str(path)), manifest)))
        if not paints:
            raise ArtmirrorError(
                f"{self.engine} paints many paintings: name one with --painting PICTURE, or a --style FILE.style"
            )
        return paints


_bundled_style = cache(load_style)  # asked for again with each picture of a folder


def choose(engine: Path | None, styles: Sequence[str], paintings: Sequence[Path]) -> Choice:
    """Find what the command line names.

    Args:
        engine: A network's file, or None for a bundled one.
        styles: Each NAME or FILE.style, with `:WEIGHT` behind it where they are to be mixed.
        paintings: Pictures, or folders of pictures.

    Raises:
        ArtmirrorError: something is missing or damaged.
    """
    try:
        wanted = [weighted(text) for text in styles]
    except ValueError as error:
        raise ArtmirrorError(str(error)) from None
    single = len(wanted) == 1 and wanted[0][1] is None and not wanted[0][0].endswith(SUFFIX)
    if engine is None and not paintings and (not wanted or single):
        name = wanted[0][0] if wanted else DEFAULT_STYLE
        if name in bundled_styles() or name not in bundled_style_files():
            return Choice(find_style(name))  # a network of its own, or an error that names the near ones
    network = many_network() if engine is None else engine
    named = [
        Named(load_style(Path(text)) if text.endswith(SUFFIX) else load_style(find_style_file(text)), text, weight or 1)
        for text, weight in wanted
    ]
    named += _encoded(network, paintings)
    return Choice(network, tuple(named), mixed=any(weight is not None for _, weight in wanted))


def _encoded(network: Path, paintings: Sequence[Path]) -> list[Named]:
    """The styles of pictures, by the network's encoder."""
    if not paintings:
        return []
    from artmirror.runtime.common.pictures import picture_paths, read_picture  # on use: most shows need none of it
    from artmirror.runtime.engines.encoder import Encoder

    if network.is_file():  # else it is another quality of the same style that is there
        manifest, _ = read_any_manifest(network)
        if manifest.style is None:
            raise _alone(network, manifest)
    files = [file for path in paintings for file in (picture_paths(path) if path.is_dir() else [path])]
    encoder = Encoder(encoder_path(network))
    space = encoder.manifest.code_space
    return [
        Named(StyleFile(file.stem, file.stem, "", "", space, stored(encoder.code(read_picture(file)))), str(file))
        for file in files
    ]


def _vector(named: Named, manifest: Manifest) -> Vector:
    assert manifest.style is not None
    want = manifest.style
    return named.style.vector_for(manifest.tuned_for, want.code_space, want.length, named.source)


def _alone(network: Path, manifest: Manifest) -> ArtmirrorError:
    return ArtmirrorError(
        f"{network} paints {manifest.title or manifest.name} alone; leave out --style and --painting, or name a "
        "network for many paintings"
    )


def _title(style: StyleFile) -> str:
    return style.title or style.name
