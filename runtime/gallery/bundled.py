"""The styles that come with the package: ONNX files with their manifests, and a thumbnail of what each paints."""

import difflib
from collections.abc import Iterable
from importlib.resources import files
from pathlib import Path

from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.runtime.formats.manifest import Manifest, read_manifest
from artmirror.runtime.gallery.variants import FULL, in_order, is_twin, quality_of, variants

DEFAULT_STYLE = "starry"


def paintings_folder() -> Path:
    """Where the network for many paintings lies, with its lighter variants and its encoder, and NAME.style of each."""
    return Path(str(files("artmirror.runtime"))) / "paintings"


def many_network() -> Path:
    """The bundled network for many paintings."""
    return paintings_folder() / "any.onnx"


def bundled_style_files() -> dict[str, Path]:
    """Name -> style file of every painting that the network for many paintings has a style of, sorted by name."""
    return {path.stem: path for path in sorted(paintings_folder().glob("*.style"))}


def find_style_file(name: str) -> Path:
    """The style file of a bundled style.

    Raises:
        ArtmirrorError: there is none of that name; the near ones are named.
    """
    known = bundled_style_files()
    if name not in known:
        raise _unknown(name, list(known))
    return known[name]


def find_network(name: str) -> Path:
    """A bundled network: of one style, as `find_style`, or the one for many paintings and its variants, `any`.

    Raises:
        ArtmirrorError: there is none of that name.
    """
    many = _by_name(variants(many_network()).values())
    return many[name] if name in many else find_style(name)


def styles_folder() -> Path:
    """Where the bundled styles lie: NAME.onnx and its lighter variants, and NAME.jpg, a face in that style."""
    return Path(str(files("artmirror.runtime"))) / "styles"


def _networks() -> list[Path]:
    return [path for path in sorted(styles_folder().glob("*.onnx")) if not is_twin(path)]


def bundled_styles() -> dict[str, Path]:
    """Name -> ONNX file of every bundled style in full quality, sorted by name."""
    return {path.stem: path for path in _networks() if quality_of(path) == FULL}


def bundled_manifests() -> list[Manifest]:
    """The manifest of every bundled style, sorted by name."""
    return [read_manifest(path) for path in bundled_styles().values()]


def find_style(name: str) -> Path:
    """The ONNX file of a bundled style, or of a variant of one: `starry`, `starry-lite`.

    Raises:
        ArtmirrorError: there is no style of that name; the near ones are named.
    """
    styles = bundled_styles()
    known = _by_name(path for style in styles.values() for path in variants(style).values())
    if name not in known:
        raise _unknown(name, sorted({*styles, *bundled_style_files()}))
    return known[name]


def _by_name(networks: Iterable[Path]) -> dict[str, Path]:
    """Those and their twins."""
    return {file.stem: file for path in networks for file in in_order(path, steady=True).values()}


def _unknown(name: str, known: list[str]) -> ArtmirrorError:
    near = difflib.get_close_matches(name.lower(), known, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}?" if near else f"there are: {', '.join(known)}"
    return ArtmirrorError(f"no style is called {name!r}; {hint} (st-run --list-styles shows all)")
