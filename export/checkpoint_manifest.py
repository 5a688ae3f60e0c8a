"""What every file that is made from a checkpoint says of itself."""

from collections.abc import Iterable
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

from artmirror.runtime.common.files import file_sha256
from artmirror.runtime.formats.manifest import EnginePrecision, Manifest
from artmirror.train.checkpoint import Checkpoint


def manifest_of(
    checkpoint: Checkpoint, path: Path, *, precision: EnginePrecision, graph_sha256: str, libraries: Iterable[str]
) -> Manifest:
    """The manifest of a graph of any height and width.

    Args:
        path: The file that `checkpoint` came from, for its SHA-256.
        libraries: Packages that made the graph, for their versions.
    """
    return Manifest(
        **asdict(checkpoint.style),
        preset=checkpoint.preset,
        network=asdict(checkpoint.network),
        precision=precision,
        height=None,
        width=None,
        checkpoint_sha256=file_sha256(path),
        steps=checkpoint.step,
        graph_sha256=graph_sha256,
        exporter={library: version(library) for library in ("artmirror", "torch", *libraries)},
    )
