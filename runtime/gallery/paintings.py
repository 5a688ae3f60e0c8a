"""What a show paints with, as the command line names it: paintings, style files, bundled styles, and mixes of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.runtime.common.style_file import SUFFIX, StyleFile, Vector, load_style, stored
from artmirror.runtime.formats.encoder import encoder_path
from artmirror.runtime.formats.kind import read_any_manifest
from artmirror.runtime.formats.manifest import Manifest
from artmirror.runtime.gallery.bundled import (
    DEFAULT_STYLE,
    bundled_style_files,
    bundled_styles,
    find_style,
    find_style_file,
    many_network,
)
from artmirror.runtime.gallery.palette import Paint


@dataclass(frozen=True, slots=True)
class Named:
    """A style and how much of it."""

    style: StyleFile
    source: str  # where it came from, for errors
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class Choice:
    """What was asked for."""

    engine: Path  # of any quality
    shown: tuple[Named, ...] = ()  # mixed, as long as nobody asks for another
    others: tuple[Named, ...] = ()  # what one can go on to

    def paints(self, manifest: Manifest) -> list[Paint]:
        """The styles for the network that was opened, the first as it is shown first.

        Raises:
            ArtmirrorError: one was made for another network.
        """
        if manifest.style is None:
            return [Paint(manifest.title or manifest.name)]
        shown = [_vector(named, manifest) for named in self.shown]
        weights = np.array([named.weight for named in self.shown], np.float32)
        mix = (np.stack(shown) * (weights / weights.sum())[:, None]).sum(0)
        title = " + ".join(_title(named.style) for named in self.shown)
        others = [Paint(_title(named.style), _vector(named, manifest)) for named in self.others]
        return [Paint(title, mix), *others]


def choose(engine: Path | None, styles: Sequence[str], paintings: Sequence[Path]) -> Choice:
    """Find what the command line names.

    Args:
        engine: A network's file, or None for a bundled one.
        styles: Each NAME or FILE.style, with `:WEIGHT` behind it where they are to be mixed.
        paintings: Pictures, or folders of pictures.

    Raises:
        ArtmirrorError: something is missing, damaged, or they do not go together.
    """
    wanted = [_weighted(text) for text in styles]
    single = len(wanted) == 1 and not paintings and wanted[0][1] is None and not wanted[0][0].endswith(SUFFIX)
    if engine is None and (not wanted or single) and not paintings:
        name = wanted[0][0] if wanted else DEFAULT_STYLE
        if name in bundled_styles() or name not in bundled_style_files():
            return Choice(find_style(name))  # a network of its own, or an error that names the near ones
    network = many_network() if engine is None else engine
    if engine is not None:
        manifest, _ = read_any_manifest(engine)
        if manifest.style is None:
            if wanted or paintings:
                raise ArtmirrorError(
                    f"{engine} paints {manifest.title or manifest.name} alone; leave out --style and --painting, or "
                    "name a network for many paintings"
                )
            return Choice(engine)
    named = [
        Named(load_style(Path(text)) if text.endswith(SUFFIX) else load_style(find_style_file(text)), text, weight or 1)
        for text, weight in wanted
    ]
    named += _encoded(network, paintings)
    bundled = _bundled_for(network, named)
    if not named:
        if not bundled:
            raise ArtmirrorError(f"{network} paints many paintings: name one with --painting, or a --style FILE.style")
        named, bundled = bundled[:1], bundled[1:]
    if any(weight is not None for _, weight in wanted):
        return Choice(network, tuple(named), tuple(bundled))
    return Choice(network, tuple(named[:1]), (*named[1:], *bundled))


def _weighted(text: str) -> tuple[str, float | None]:
    """NAME:0.7 -> NAME and 0.7."""
    name, colon, number = text.rpartition(":")
    try:
        weight = float(number)
    except ValueError:
        return text, None
    if not colon or not name:
        return text, None
    if not 0 < weight < np.inf:
        raise ArtmirrorError(f"got the weight {number} of the style {name}; wanted a number above 0, as in {name}:0.7")
    return name, weight


def _encoded(network: Path, paintings: Sequence[Path]) -> list[Named]:
    """The styles of pictures, by the network's encoder."""
    if not paintings:
        return []
    from artmirror.runtime.common.pictures import picture_paths, read_picture  # on use: most shows need none of it
    from artmirror.runtime.engines.encoder import Encoder

    files = [file for path in paintings for file in (picture_paths(path) if path.is_dir() else [path])]
    encoder = Encoder(encoder_path(network))
    space = encoder.manifest.code_space
    return [
        Named(StyleFile(file.stem, file.stem, "", "", space, stored(encoder.code(read_picture(file)))), str(file))
        for file in files
    ]


def _bundled_for(network: Path, named: Sequence[Named]) -> list[Named]:
    """The bundled styles that the network understands, without those that are named."""
    manifest, _ = read_any_manifest(network)
    names = {one.style.name for one in named}
    files = bundled_style_files()
    found = [Named(load_style(path), str(path)) for name, path in files.items() if name not in names]
    return [one for one in found if manifest.style is not None and one.style.code_space == manifest.style.code_space]


def _vector(named: Named, manifest: Manifest) -> Vector:
    assert manifest.style is not None
    want = manifest.style
    return named.style.vector_for(manifest.checkpoint_sha256, want.code_space, want.length, named.source)


def _title(style: StyleFile) -> str:
    return style.title or style.name
