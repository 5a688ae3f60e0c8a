"""The scenes of a show: each painting of the playlist, with what its card tells and how each network paints it."""

import logging
import random
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.runtime.common.pictures import decode_picture, is_picture, picture_paths, read_picture
from artmirror.runtime.common.pixels import Pixels
from artmirror.runtime.common.style_file import SUFFIX, StyleFile, load_style, stored
from artmirror.runtime.engines.encoder import Encoder
from artmirror.runtime.formats.kind import read_any_manifest
from artmirror.runtime.gallery.bundled import bundled_style_files, bundled_styles, many_network
from artmirror.runtime.gallery.paintings import Choice, Named, choose, listed
from artmirror.runtime.gallery.palette import Paint
from artmirror.runtime.gallery.variants import FULL, QUALITIES, encoder_path, quality_of, variants
from artmirror.runtime.show.settings import Scene as SceneSettings
from artmirror.runtime.show.settings import Settings

_log = logging.getLogger("artmirror.show")

CARD_SIDE = 512  # pixels of the longer side of a painting that is kept for cards and tiles


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """One painting of the show."""

    key: str  # its name for the remote and OSC; no two are the same
    title: str
    artist: str
    year: str
    picture: Pixels | None  # (h, w, 3) uint8 BGR, small
    seconds: float
    paints: dict[str, Paint]  # quality -> how the network of that quality paints it; the best first

    def paint(self, quality: str) -> Paint:
        """In a quality, or in the best one where it has no other."""
        return self.paints.get(quality, self.best)

    @property
    def best(self) -> Paint:
        """In the best quality."""
        return next(iter(self.paints.values()))


@dataclass(frozen=True, slots=True)
class Programme:
    """All scenes in their order, and the networks that they need, each once."""

    scenes: list[Scene]
    networks: list[Path]  # `Paint.network` counts them

    @property
    def qualities(self) -> list[str]:
        """Those that some scene has, the best first."""
        return [quality for quality in QUALITIES if any(quality in scene.paints for scene in self.scenes)]


def read_programme(settings: Settings, folder: Path) -> Programme:
    """Find everything that a show paints with.

    Args:
        folder: Of the show's file, which its paths are relative to.

    Raises:
        ArtmirrorError: a style or a picture is missing or damaged. One of many pictures in a folder is left out only.
    """
    return _Finder(settings, folder).programme()


class _Finder:
    def __init__(self, settings: Settings, folder: Path) -> None:
        self._settings, self._folder = settings, folder
        self._networks: list[Path] = []
        self._scenes: list[Scene] = []

    def programme(self) -> Programme:
        playlist = self._settings.playlist
        for text in playlist.styles:
            self._add(text, SceneSettings(style=text))
        for scene in self._settings.scene:
            named = scene.style or scene.painting
            if named is not None:
                self._add(named, scene)
            else:
                self._add_mix(scene)
        if not self._scenes and not playlist.styles and not self._settings.scene:
            own = playlist.networks == "own"
            for style in listed():
                if (style.name in bundled_styles()) if own else (style.name in bundled_style_files()):
                    self._add(style.name, SceneSettings(style=style.name))
        if not self._scenes:
            raise ArtmirrorError("the playlist holds no painting that can be shown: name one in [playlist] styles")
        if playlist.shuffle:
            random.shuffle(self._scenes)
        return Programme(self._scenes, self._networks)

    def _add(self, text: str, scene: SceneSettings) -> None:
        """A style's name, a style file, a picture, or a folder of both."""
        path = self._path(text)
        if path.is_dir():
            files = sorted(path.glob(f"*{SUFFIX}"))
            if any(is_picture(file) for file in path.iterdir()):
                files += picture_paths(path)
            if not files:
                raise ArtmirrorError(f"{path} holds no picture and no {SUFFIX} file: put paintings into it")
            for file in files:
                try:
                    self._add(str(file), scene)
                except ArtmirrorError as error:
                    _log.warning("%s is left out: %s", file.name, error.message)
        elif text.endswith(SUFFIX):
            self._add_style(choose(many_network(), [str(path)], []), load_style(path), scene)
        elif path.is_file():
            self._add_painting(path, scene)
        elif text in bundled_styles() and (
            self._settings.playlist.networks == "own" or text not in bundled_style_files()
        ):
            self._add_own(text, scene)
        else:
            choice = choose(many_network(), [text], [])
            self._add_style(choice, choice.named[0].style, scene)

    def _add_style(self, choice: Choice, style: StyleFile, scene: SceneSettings) -> None:
        picture = None
        if style.thumbnail:
            picture = _small(decode_picture(np.frombuffer(style.thumbnail, np.uint8), style.name))
        self._append(style.name, style.title or style.name, style.artist, style.year, picture, scene, choice)

    def _add_painting(self, path: Path, scene: SceneSettings) -> None:
        choice = choose(many_network(), [], [path])
        title = path.stem.replace("_", " ").replace("-", " ").strip()
        self._append(path.stem, title, "", "", _small(read_picture(path)), scene, choice)

    def _add_mix(self, scene: SceneSettings) -> None:
        assert scene.mix is not None
        names = [str(self._path(name)) if name.endswith(SUFFIX) else name for name in scene.mix]
        weights = scene.mix.values()
        choice = choose(many_network(), [f"{name}:{weight}" for name, weight in zip(names, weights, strict=True)], [])
        title = " + ".join(named.style.title or named.style.name for named in choice.named)
        self._append("-".join(named.style.name for named in choice.named), title, "", "", None, scene, choice)

    def _add_own(self, name: str, scene: SceneSettings) -> None:
        choice = choose(None, [name], [])
        manifest, _ = read_any_manifest(choice.engine)
        file = bundled_style_files().get(name)
        thumbnail = load_style(file).thumbnail if file else b""
        picture = _small(decode_picture(np.frombuffer(thumbnail, np.uint8), name)) if thumbnail else None
        self._append(name, manifest.title or name, manifest.artist, manifest.year, picture, scene, choice)

    def _append(
        self,
        name: str,
        title: str,
        artist: str,
        year: str,
        picture: Pixels | None,
        scene: SceneSettings,
        choice: Choice,
    ) -> None:
        wanted = self._settings.look.quality
        there = variants(choice.engine)
        paints: dict[str, Paint] = {}
        for quality, path in there.items():
            if wanted not in ("auto", quality) and not (quality == FULL and wanted not in there):
                continue
            manifest, _ = read_any_manifest(path)
            if path not in self._networks:
                self._networks.append(path)
            paint = choice.paints(manifest)[0]
            paints[quality] = Paint(scene.title or title, paint.style, self._networks.index(path))
        taken = {one.key for one in self._scenes}
        key = next(key for n in range(1, 10_000) if (key := name if n == 1 else f"{name}-{n}") not in taken)
        self._scenes.append(
            Scene(
                key,
                scene.title or title,
                artist if scene.artist is None else scene.artist,
                year if scene.year is None else scene.year,
                picture,
                scene.seconds or self._settings.playlist.every,
                paints,
            )
        )

    def _path(self, text: str) -> Path:
        return self._folder / Path(text).expanduser()


def scene_of_picture(picture: Pixels, key: str, title: str, programme: Programme, seconds: float) -> Scene:
    """A scene for a picture that came while the show runs, by the networks for any painting that are there.

    Raises:
        ArtmirrorError: there is none of them.
    """
    network = many_network()
    there = [path for path in programme.networks if path in variants(network).values()]
    if not there:
        raise ArtmirrorError("this show paints with networks of single paintings; it takes no others")
    encoder = Encoder(encoder_path(network))
    style = StyleFile(key, title, "", "", encoder.manifest.code_space, stored(encoder.code(picture)))
    paints = {}
    for path in there:
        manifest, _ = read_any_manifest(path)
        paint = Choice(path, (Named(style, key),)).paints(manifest)[0]
        paints[quality_of(path)] = Paint(title, paint.style, programme.networks.index(path))
    return Scene(key, title, "", "", _small(picture), seconds, paints)


def _small(picture: Pixels) -> Pixels:
    scale = CARD_SIDE / max(picture.shape[:2])
    if scale >= 1:
        return picture
    size = (max(1, round(picture.shape[1] * scale)), max(1, round(picture.shape[0] * scale)))
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)
