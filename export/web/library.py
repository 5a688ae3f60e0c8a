"""ONNX Runtime Web, which paints in the browser: where its files come from, and that they are the right ones.

They are fetched when a site is made, not kept with the package: 40 MB for one release, the same for everybody.
"""

import gzip
import hashlib
import sys
import tarfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.runtime.common.files import cannot_write, write_whole
from artmirror.runtime.common.npm import archive_name, npm_archive

PACKAGE, VERSION = "onnxruntime-web", "1.30.0"
ARCHIVE = archive_name(PACKAGE, VERSION)
_PROVIDERS = {"wasm": "", "webgpu": ".asyncify"}
_SHA256 = {
    "ort.wasm.bundle.min.mjs": "11e64bd8ffe11bd1a2a2f0d6275fdfbbba7262f0b76b99b53d228a8a22ef3d90",
    "ort-wasm-simd-threaded.wasm": "3398c10d07d229bd91b364548e130e0e51a8e5704b88c7c083ebbeb78842dee2",
    "ort.webgpu.bundle.min.mjs": "0730816731ce2cdfb06f273da065d4a1c7091eb9d1756a83b2916c8a89d015e2",
    "ort-wasm-simd-threaded.asyncify.wasm": "39f9f0894d478800487ed9f7dbe92618498db320cf55c8e3d89adff8dce658da",
}
_LICENCE = """ONNX Runtime Web {version}, https://github.com/microsoft/onnxruntime

MIT License

Copyright (c) Microsoft Corporation

Permission is hereby granted, free of charge, to any person obtaining a copy
of this software and associated documentation files (the "Software"), to deal
in the Software without restriction, including without limitation the rights
to use, copy, modify, merge, publish, distribute, sublicense, and/or sell
copies of the Software, and to permit persons to whom the Software is
furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all
copies or substantial portions of the Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR
IMPLIED, INCLUDING BUT NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY,
FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE
AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER
LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM,
OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE
SOFTWARE.
"""


@dataclass(frozen=True, slots=True)
class Provider:
    """One way to compute: the script of the library for it, and the program that the script runs."""

    name: str  # wasm or webgpu
    script: str  # file name
    binary: str  # file name, packed with gzip
    files: dict[str, bytes]  # both, as they are to be served


def licence() -> bytes:
    """The library's licence, which travels with its files."""
    return _LICENCE.format(version=VERSION).encode()


def read_provider(name: str, place: Path | None) -> Provider:
    """Take the files of one provider, and compare them with the release that was tested.

    Args:
        name: `wasm` or `webgpu`; the native WebGPU provider, not the older one in JavaScript.
        place: npm's archive, the folder that it holds, or the folder `library` of a site; None fetches it, once.

    Raises:
        ArtmirrorError: they cannot be had, or are of another release.
    """
    script, binary = f"ort.{name}.bundle.min.mjs", f"ort-wasm-simd-threaded{_PROVIDERS[name]}.wasm"
    source = place or npm_archive(PACKAGE, VERSION)
    found = {file: _read(source, file) for file in (script, binary)}
    for file, content in found.items():
        if hashlib.sha256(content).hexdigest() != _SHA256[file]:
            raise ArtmirrorError(f"{file} of {source} is not that of {PACKAGE} {VERSION}: take that release")
    return Provider(name, script, f"{binary}.gz", {script: found[script], f"{binary}.gz": packed(found[binary])})


def packed(content: bytes) -> bytes:
    """As the page unpacks it; the same bytes every time."""
    return gzip.compress(content, 9, mtime=0)


def _read(source: Path, name: str) -> bytes:
    try:
        if source.is_dir():
            for path in (source / "dist" / name, source / name):
                if path.is_file():
                    return path.read_bytes()
            return gzip.decompress((source / f"{name}.gz").read_bytes())
        with tarfile.open(source) as archive:
            for member in archive:
                if PurePosixPath(member.name).parts[-2:] == ("dist", name):
                    file = archive.extractfile(member)
                    assert file is not None
                    return file.read()
    except (OSError, EOFError, tarfile.TarError) as error:
        if not isinstance(error, FileNotFoundError) or not source.exists():
            reason = getattr(error, "strerror", None) or error
            raise ArtmirrorError(
                f"cannot read {source} ({reason}); --web-library wants {ARCHIVE}, or the folder that it holds"
            ) from None
    without = "; --no-webgpu does without it" if ".asyncify" in name or ".webgpu" in name else ""
    raise ArtmirrorError(f"{source} holds no {name}; wanted {ARCHIVE} or the folder that it holds{without}")


def put_library(folder: Path) -> None:
    """Write the library's files into the folder `library` of a site that has none.

    Raises:
        ArtmirrorError: they cannot be had, or not be written.
    """
    content = {"LICENSE.txt": licence()}
    for name in _PROVIDERS:
        content |= read_provider(name, None).files
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, data in content.items():
            write_whole(folder / name, data)
    except OSError as error:
        raise cannot_write(folder, error) from None


if __name__ == "__main__":  # fetches it ahead, as `make test` does, or puts it into a site, as `make docs` does
    if sys.argv[1:]:
        put_library(Path(sys.argv[1]))
    else:
        npm_archive(PACKAGE, VERSION)
