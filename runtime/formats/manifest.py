"""The manifest: what an engine file says of itself. Written by export, checked by the runtime when it opens a file."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from msgspec import Meta

from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.runtime.common.plain_data import Whole, fitted, parse_json, version_of
from artmirror.runtime.formats.onnx import read_onnx_metadata

FORMAT_VERSION = 1
LONGEST_MANIFEST = 1 << 20  # bytes; a longer one is a damaged length
LONGEST_SIDE = 1 << 15  # pixels of a frame
_AGAIN = "export it again with st-export"
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
Side = Annotated[int, Meta(ge=1, le=LONGEST_SIDE)]  # pixels
LONGEST_STYLE = 1 << 16  # numbers
StyleLength = Annotated[int, Meta(ge=1, le=LONGEST_STYLE)]


@dataclass(frozen=True, slots=True)
class StyleInput:
    """What a network for many paintings wants in `style`: a code, then what is added to each scale and each shift."""

    length: StyleLength  # of all of it, S
    code_length: StyleLength
    code_space: str  # networks and encoders with the same one understand each other's codes
    tuned_for: str = ""  # SHA-256 of the checkpoint whose tuned styles fit this network; empty: its own


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
    height: Side | None
    width: Side | None
    checkpoint_sha256: str
    steps: Whole
    graph_sha256: str  # of the graph's bytes, so that damage is noticed
    exporter: dict[str, str] = field(default_factory=dict)  # library -> version
    style: StyleInput | None = None  # None: the network paints one painting, its own
    format_version: int = FORMAT_VERSION

    @property
    def style_length(self) -> int:
        """How many numbers the network takes in `style`; 0 where it takes none."""
        return 0 if self.style is None else self.style.length

    @property
    def has_memory(self) -> bool:
        """Whether the network takes its own last picture (`previous`, `mask`), and gives it (`painted`)."""
        return self.network.get("memory") is True

    @property
    def tuned_for(self) -> str:
        """The checkpoint whose tuned styles fit this network."""
        return (self.style and self.style.tuned_for) or self.checkpoint_sha256

    def to_json(self, plan: Mapping[str, Any] = NO_PLAN) -> str:
        """The manifest as one JSON object.

        Args:
            plan: The fields of a `PlanInfo`, which stand beside the network's.
        """
        values = asdict(self)
        if self.style is None:
            del values["style"]
        return json.dumps({**values, **plan}, sort_keys=True)

    @classmethod
    def from_json(cls, text: bytes | str, source: str) -> Self:
        """Read and check a manifest.

        Args:
            source: The file's name, for errors.

        Raises:
            ArtmirrorError: the text is no manifest, or of a version that this runtime does not read.
        """
        return cls.from_values(parsed_manifest(text, source), source)

    @classmethod
    def from_values(cls, values: Any, source: str) -> Self:
        """As `from_json`, of JSON that was taken apart."""
        found = version_of(values)
        if found != FORMAT_VERSION:
            raise ArtmirrorError(
                f"{source} has manifest version {found}; this artmirror reads version {FORMAT_VERSION}: {_AGAIN}"
            )
        try:
            manifest = fitted(values, cls)
            style = manifest.style
            if style is not None and style.code_length > style.length:
                raise ValueError(f"a code of {style.code_length} in a style of {style.length} numbers")
        except ValueError as error:
            raise damaged_manifest(source, error) from None
        return manifest


def damaged_manifest(source: str, error: ValueError) -> ArtmirrorError:
    """What to tell of a manifest that is not as it was written."""
    return ArtmirrorError(f"{source} has a damaged manifest ({error}); {_AGAIN}")


def parsed_manifest(text: bytes | str, source: str) -> Any:
    """A manifest's JSON, taken apart and not checked.

    Raises:
        ArtmirrorError: it is none.
    """
    try:
        if len(text) > LONGEST_MANIFEST:
            raise ValueError(f"it is longer than {LONGEST_MANIFEST} bytes")
        return parse_json(text)
    except ValueError as error:
        raise damaged_manifest(source, error) from None


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
