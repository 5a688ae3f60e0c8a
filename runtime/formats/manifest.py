"""The manifest: what an engine file says of itself. Written by export, checked by the runtime when it opens a file."""

import json
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, Self, get_args

from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.runtime.formats.onnx import read_onnx_metadata

FORMAT_VERSION = 1
METADATA_KEY = "artmirror"  # of the entry in ONNX metadata_props that holds the manifest as JSON

# What `PlanInfo` of plan.py adds, as it stands in files that are no plans: every kind of file has the same keys.
NO_PLAN: Mapping[str, Any] = {
    "library": None,
    "library_version": None,
    "targets": [],
    "min_size": None,
    "opt_size": None,
    "max_size": None,
    "version_compatible": False,
    "hardware_compatible": False,
    "onnx_sha256": None,
    "plan_sha256": None,
}

EnginePrecision = Literal["fp32", "fp16", "int8"]


@dataclass(frozen=True, slots=True)
class Manifest:
    """What is in an engine file of any kind: its network.

    `height` and `width` are None where it takes any size from `pixels.SMALLEST_SIDE` up, as an ONNX and ncnn's two
    files do, or, in a plan, those of a range.
    """

    name: str
    title: str
    artist: str
    year: str
    preset: str
    network: dict[str, Any]
    precision: EnginePrecision
    height: int | None
    width: int | None
    checkpoint_sha256: str
    steps: int
    graph_sha256: str  # of the graph's bytes, so that damage is noticed
    exporter: dict[str, str] = field(default_factory=dict)  # library -> version
    format_version: int = FORMAT_VERSION

    def to_json(self, plan: Mapping[str, Any] = NO_PLAN) -> str:
        """The manifest as one JSON object.

        Args:
            plan: The fields of a `PlanInfo`, which stand beside the network's.
        """
        return json.dumps({**asdict(self), **plan}, sort_keys=True)

    @classmethod
    def from_json(cls, text: str, source: str) -> Self:
        """Read and check a manifest.

        Args:
            source: The file's name, for errors.

        Raises:
            ArtmirrorError: the text is no manifest, or of a version that this runtime does not read.
        """
        again = "export it again with st-export"
        try:
            values = json.loads(text)
        except json.JSONDecodeError as error:
            raise ArtmirrorError(f"{source} has a damaged manifest ({error}); {again}") from None
        if not isinstance(values, dict) or values.get("format_version") != FORMAT_VERSION:
            found = values.get("format_version") if isinstance(values, dict) else None
            raise ArtmirrorError(
                f"{source} has manifest version {found}; this artmirror reads version {FORMAT_VERSION}: {again}"
            )
        known = {entry.name for entry in fields(cls)}
        # Files without the fields that have defaults are whole.
        wanted = {entry.name for entry in fields(cls) if entry.default is entry.default_factory is MISSING}
        missing = sorted(wanted - values.keys())
        if missing:
            raise ArtmirrorError(f"{source} has a manifest without {', '.join(missing)}; {again}")
        if values["precision"] not in get_args(EnginePrecision):
            raise ArtmirrorError(f"{source} has precision {values['precision']!r} in its manifest; {again}")
        return cls(**{key: value for key, value in values.items() if key in known})


def read_manifest(path: Path) -> Manifest:
    """Read the manifest of an ONNX file without loading the network.

    Raises:
        ArtmirrorError: the file is missing, no ONNX, cut off, damaged, or was not written by st-export.
    """
    metadata, graph_sha256 = read_onnx_metadata(path)
    if METADATA_KEY not in metadata:
        raise ArtmirrorError(
            f"{path} is an ONNX without artmirror's manifest; wanted a file written by st-export: "
            "export your checkpoint with st-export CHECKPOINT.pt"
        )
    manifest = Manifest.from_json(metadata[METADATA_KEY], str(path))
    if manifest.graph_sha256 != graph_sha256:
        raise ArtmirrorError(
            f"{path} is damaged: its network does not match the checksum in its manifest; "
            "export it again with st-export, or copy it again"
        )
    return manifest
