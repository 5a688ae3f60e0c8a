"""The styles that come with the package: ONNX files with their manifests, and a thumbnail of what each paints."""

import difflib
from importlib.resources import files
from pathlib import Path

from artmirror.runtime.errors import ArtmirrorError
from artmirror.runtime.manifest import Manifest, read_manifest

DEFAULT_STYLE = "starry"


def styles_folder() -> Path:
    """Where the bundled styles lie: NAME.onnx, and NAME.jpg, a face in that style."""
    return Path(str(files("artmirror.runtime"))) / "styles"


def bundled_styles() -> dict[str, Path]:
    """Name -> ONNX file of every bundled style, sorted by name."""
    return {path.stem: path for path in sorted(styles_folder().glob("*.onnx"))}


def bundled_manifests() -> list[Manifest]:
    """The manifest of every bundled style, sorted by name."""
    return [read_manifest(path) for path in bundled_styles().values()]


def find_style(name: str) -> Path:
    """The ONNX file of a bundled style.

    Raises:
        ArtmirrorError: there is no style of that name; the near ones are named.
    """
    styles = bundled_styles()
    if name not in styles:
        near = difflib.get_close_matches(name.lower(), styles, n=3, cutoff=0.5)
        hint = f"did you mean {' or '.join(near)}?" if near else f"there are: {', '.join(styles)}"
        raise ArtmirrorError(f"no style is called {name!r}; {hint} (st-run --list-styles shows all)")
    return styles[name]
