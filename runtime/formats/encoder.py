"""The encoder's file, NAME-encoder.onnx: a picture in, the code of its style out; and what it says of itself.

picture (in)   uint8    (1, H, W, 3)   one BGR picture, its shorter side scaled to `fit.PAINTING_SIDE`
code (out)     float32  (C)            the first C numbers of a network's input `style`
"""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.runtime.common.plain_data import fitted, parse_json, version_of
from artmirror.runtime.formats.manifest import StyleLength, damaged_manifest
from artmirror.runtime.formats.onnx import read_onnx_metadata

FORMAT_VERSION = 1
ENCODER_KEY = "artmirror_encoder"  # of the entry in ONNX metadata_props that holds the manifest as JSON
SMALLEST_PAINTING = 32  # pixels of a side


@dataclass(frozen=True, slots=True)
class EncoderManifest:
    """What an encoder says of itself."""

    name: str  # of the network that it was trained with
    code_length: StyleLength
    code_space: str  # of the networks that understand its codes
    checkpoint_sha256: str
    graph_sha256: str  # of the graph's bytes, so that damage is noticed
    exporter: dict[str, str] = field(default_factory=dict)  # library -> version
    format_version: int = FORMAT_VERSION

    def to_json(self) -> str:
        """The manifest as one JSON object."""
        return json.dumps(asdict(self), sort_keys=True)


def read_encoder_manifest(path: Path) -> EncoderManifest:
    """Read what an encoder says of itself without loading it.

    Raises:
        ArtmirrorError: the file is missing, damaged, or no encoder of st-export.
    """
    metadata, graph_sha256 = read_onnx_metadata(path)
    if ENCODER_KEY not in metadata:
        raise ArtmirrorError(f"{path} is no encoder; wanted NAME-encoder.onnx, as st-export writes it beside NAME.onnx")
    try:
        values = parse_json(metadata[ENCODER_KEY])
        if version_of(values) != FORMAT_VERSION:
            raise ValueError(f"version {version_of(values)}, version {FORMAT_VERSION} is read here")
        manifest = fitted(values, EncoderManifest)
    except ValueError as error:
        raise damaged_manifest(str(path), error) from None
    if manifest.graph_sha256 != graph_sha256:
        raise ArtmirrorError(f"{path} is damaged: it does not match the checksum in its manifest; copy it again")
    return manifest
