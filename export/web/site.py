"""starry.onnx -> site/: a folder of files that any web server can serve, and that needs nothing else."""

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort

from artmirror.export.web.library import VERSION, Provider, licence, packed
from artmirror.export.web.network import read_network
from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.runtime.common.files import cannot_write, part_path
from artmirror.runtime.common.fit import place
from artmirror.runtime.common.pictures import encode_picture, read_picture
from artmirror.runtime.common.pixels import Pixels
from artmirror.runtime.formats.manifest import Manifest
from artmirror.runtime.gallery.variants import variants

MOST_BYTES = 16_000_000  # that a visitor may load who looks at everything
FORMAT_VERSION = 1  # of site.json
_PAGE = ("index.html", "page.css", "page.js", "painter.js")
_INDEX = "site.json"
_CHECK_SIZE = (102, 134)  # (H, W), no multiple of the strides: the crop is checked too
_TILE_SIDE = 192  # pixels
_HEADERS = """/*
  Cross-Origin-Opener-Policy: same-origin
  Cross-Origin-Embedder-Policy: require-corp
"""  # read by some static hosts; with them the page may use threads


@dataclass(frozen=True, slots=True)
class Site:
    """What was written."""

    styles: tuple[str, ...]
    folder_bytes: int
    most_bytes: dict[str, int]  # provider -> what a visitor loads who looks at every style


def build_site(styles: Sequence[Path], output: Path, providers: Sequence[Provider]) -> Site:
    """Write a page that paints a camera in the browser.

    Of each style the file that is named is painted where there is WebGPU, and the lightest variant beside it elsewhere.

    Args:
        styles: ONNX files of st-export, in the order of the page.
        output: The folder; a site that is there already is replaced, another folder is not touched.
        providers: The files of the library.

    Raises:
        ArtmirrorError: a style cannot be used, the site gets too large, or the folder cannot be written.
    """
    _check_replaceable(output)
    content, index = _contents(styles, providers)
    shared = sum(len(data) for name, data in content.items() if not name.startswith(("library/", "styles/")))
    shared += sum(len(data) for name, data in content.items() if name.endswith(".jpg") and name.startswith("styles/"))
    most = {}
    for provider in providers:
        quality = "fine" if provider.name == "webgpu" else "fast"
        networks = {name for style in index["styles"] for name in style[quality].values() if name in content}
        most[provider.name] = shared + sum(map(len, provider.files.values())) + sum(len(content[n]) for n in networks)
    for name, size in most.items():
        if size > MOST_BYTES:
            raise ArtmirrorError(
                f"a visitor with {name} would load {size / 1e6:.1f} MB, more than {MOST_BYTES / 1e6:.0f}: leave out "
                "some styles"
            )
    index["most_bytes"] = max(most.values())
    content[_INDEX] = json.dumps(index, indent=1, ensure_ascii=False).encode()
    _write(output, content)
    return Site(tuple(style["name"] for style in index["styles"]), sum(map(len, content.values())), most)


def _contents(styles: Sequence[Path], providers: Sequence[Provider]) -> tuple[dict[str, bytes], dict[str, Any]]:
    own = Path(str(files("artmirror.export"))) / "web"
    photo = Path(str(files("artmirror.train"))) / "pictures" / "astronaut.jpg"
    content = {name: (own / name).read_bytes() for name in _PAGE}
    content |= {"_headers": _HEADERS.encode(), "sample.jpg": photo.read_bytes(), "library/LICENSE.txt": licence()}
    for provider in providers:
        content |= {f"library/{name}": data for name, data in provider.files.items()}
    picture = read_picture(photo)
    check, tile = np.empty((*_CHECK_SIZE, 3), np.uint8), np.empty((_TILE_SIDE, _TILE_SIDE, 3), np.uint8)
    place(picture, False, check)
    place(picture, False, tile)
    content["check.gz"] = packed(check.tobytes())
    index: dict[str, Any] = {
        "format_version": FORMAT_VERSION,
        "library": {
            "version": VERSION,
            **{
                each.name: {"script": f"library/{each.script}", "binary": f"library/{each.binary}"}
                for each in providers
            },
        },
        "check": {"frame": "check.gz", "height": _CHECK_SIZE[0], "width": _CHECK_SIZE[1]},
        "sample": "sample.jpg",
        "styles": [],
    }
    for path in styles:
        fast_path = list(variants(path).values())[-1] if variants(path) else path
        networks: dict[Path, dict[str, str]] = {}
        manifest = None
        for quality, file in (("fine", path), ("fast", fast_path)):
            if file in networks:
                continue
            data, found = read_network(file)
            manifest = manifest or found
            name = f"styles/{file.stem}"
            if f"{name}.onnx.gz" in content:
                raise ArtmirrorError(f"two styles are called {file.stem}; give one of them another name")
            session = ort.InferenceSession(data, providers=["CPUExecutionProvider"])
            content[f"{name}.onnx.gz"] = packed(data)
            content[f"{name}.check.gz"] = packed(_paint(session, check).tobytes())
            networks[file] = {
                "file": f"{name}.onnx.gz",
                "check": f"{name}.check.gz",
                "preset": found.preset,
                "quality": quality,
            }
            if quality == "fine":
                content[f"styles/{path.stem}.jpg"] = bytes(encode_picture(_paint(session, tile), ".jpg", 85))
        assert manifest is not None
        index["styles"].append(_entry(path, manifest, networks[path], networks[fast_path]))
    return content, index


def _entry(path: Path, manifest: Manifest, fine: dict[str, str], fast: dict[str, str]) -> dict[str, Any]:
    return {
        "name": path.stem,
        "title": manifest.title or manifest.name,
        "artist": manifest.artist,
        "year": manifest.year,
        "picture": f"styles/{path.stem}.jpg",
        "fine": fine,
        "fast": fast,
    }


def _paint(session: Any, frame: Pixels) -> Pixels:
    given = {"frame": frame[None], "strength": np.ones(1, np.float32)}
    (painted,) = session.run(None, {value.name: given[value.name] for value in session.get_inputs()})
    return np.ascontiguousarray(painted[0])


def _check_replaceable(output: Path) -> None:
    if output.exists() and not (output / _INDEX).is_file() and (not output.is_dir() or any(output.iterdir())):
        raise ArtmirrorError(f"{output} is there and is no site of st-export --web: name a new folder with -o")


def _write(output: Path, content: dict[str, bytes]) -> None:
    """The whole folder under a temporary name, then in the place of the old one."""
    output = Path(output.absolute())
    part, old = part_path(output), part_path(output.with_name(f"{output.name}.old"))
    try:
        for name, data in content.items():
            (part / name).parent.mkdir(parents=True, exist_ok=True)
            (part / name).write_bytes(data)
        if output.exists():
            output.rename(old)
        part.rename(output)
    except OSError as error:
        raise cannot_write(output, error) from None
    finally:
        shutil.rmtree(part, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)
