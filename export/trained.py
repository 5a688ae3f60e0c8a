"""What is exported: a checkpoint of one painting or of many, and what every file made from it says of itself."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np

from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.runtime.common.files import file_sha256
from artmirror.runtime.common.style_file import StyleFile, Vector, load_style
from artmirror.runtime.formats.manifest import EnginePrecision, Manifest, StyleInput
from artmirror.train.checkpoint import Checkpoint, StyleInfo, load_checkpoint
from artmirror.train.config import NetworkConfig
from artmirror.train.many import ManyModel, is_many, load_many_with_facts
from artmirror.train.networks.many_style import CODE_LENGTH, ManyStyle
from artmirror.train.networks.stylizer import Stylizer

MANY_TITLE = "Many paintings"
_SAMPLES = 8  # styles


@dataclass(frozen=True, slots=True)
class Trained:
    """A network from a checkpoint."""

    painter: Stylizer | ManyStyle  # on the CPU, in evaluation mode
    info: StyleInfo
    preset: str
    network: NetworkConfig
    steps: int
    sha256: str  # of the checkpoint's file
    style: StyleInput | None = None  # of a network for many paintings
    many: ManyModel | None = None  # that one with its encoder

    def manifest(self, *, precision: EnginePrecision, graph_sha256: str, libraries: Iterable[str]) -> Manifest:
        """The manifest of a graph of any height and width.

        Args:
            libraries: Packages that made the graph, for their versions.
        """
        return Manifest(
            **asdict(self.info),
            preset=self.preset,
            network=asdict(self.network),
            precision=precision,
            height=None,
            width=None,
            checkpoint_sha256=self.sha256,
            steps=self.steps,
            graph_sha256=graph_sha256,
            exporter={library: version(library) for library in ("artmirror", "torch", *libraries)},
            style=self.style,
        )


def load_trained(path: Path) -> Trained:
    """Open a checkpoint of either kind.

    Raises:
        ArtmirrorError: it is missing, damaged or none.
    """
    if not is_many(path):
        return trained_of(load_checkpoint(path), path)
    model, facts = load_many_with_facts(path)
    network = model.network
    return Trained(
        network.eval(),
        StyleInfo(path.stem, MANY_TITLE),
        facts.preset,
        network.config,
        facts.step,
        file_sha256(path),
        StyleInput(network.style_length, CODE_LENGTH, facts.code_space, facts.tuned_for),
        model,
    )


def trained_of(one: Checkpoint, path: Path) -> Trained:
    """A checkpoint of one painting that was read from `path`."""
    return Trained(one.stylizer(), one.style, one.preset, one.network, one.step, file_sha256(path))


def load_for_export(path: Path, style: Path | None) -> Trained:
    """As `load_trained`; with a style, as a network that has that one alone in it.

    Raises:
        ArtmirrorError: as of `load_trained` and `baked`, or the style cannot be read.
    """
    trained = load_trained(path)
    return trained if style is None else baked(trained, load_style(style), style)


def sample_styles(trained: Trained) -> list[Vector]:
    """Some styles to check a network with and to find ranges on, (S,) float32; none where it paints one painting.

    Random codes, and one of them with all scales and shifts changed.
    """
    if trained.many is None or trained.style is None:
        return []
    rng = np.random.default_rng(0)
    length, code_length = trained.style.length, trained.style.code_length
    styles = []
    for _ in range(_SAMPLES):
        vector = np.zeros(length, np.float32)
        # Codes are a tanh's: most of their numbers lie towards the ends.
        vector[:code_length] = np.tanh(rng.normal(0, 1, code_length))
        styles.append(vector)
    styles[-1][code_length:] = rng.normal(0, 0.1, length - code_length)
    return styles


def baked(trained: Trained, style: StyleFile, source: Path) -> Trained:
    """A network for many paintings as one that has a single painting in it.

    Args:
        source: The style's file, for errors.

    Raises:
        ArtmirrorError: the checkpoint is of one painting, or the style belongs to another network.
    """
    if trained.many is None or trained.style is None:
        raise ArtmirrorError(f"{trained.info.name}.pt paints one painting; a --style is for a network of many, any.pt")
    vector = style.vector_for(
        trained.style.tuned_for or trained.sha256, trained.style.code_space, trained.style.length, source
    )
    info = StyleInfo(style.name, style.title, style.artist, style.year)
    painter = trained.many.network.with_one_style(vector)
    return Trained(painter, info, trained.preset, trained.network, trained.steps, trained.sha256)
