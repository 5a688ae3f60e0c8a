"""The stage: every network of the show, compiled before it begins and kept, and the hand that changes the scene."""

import logging
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from artmirror.runtime.common.pixels import Size
from artmirror.runtime.engines.base import Engine, Look
from artmirror.runtime.engines.keep_colours import KeepColours
from artmirror.runtime.engines.open import open_for_show
from artmirror.runtime.engines.switching import SwitchingEngine
from artmirror.runtime.gallery.palette import Palette
from artmirror.runtime.gallery.quality import BUDGET_S, INT8_BACKENDS, MARGIN, measure_fps
from artmirror.runtime.gallery.variants import in_order, is_int8_twin
from artmirror.runtime.show.scenes import Programme, Scene
from artmirror.runtime.show.settings import Look as LookSettings

_log = logging.getLogger("artmirror.show")


class Stage:
    """Scenes and networks of one size. `look` is for the thread that submits; all else may come from any thread.

    Args:
        open_network: Opens one network for frames of `size`.
        around: Engines that go around it, such as a mask; the innermost first.

    Raises:
        ArtmirrorError: a network cannot be opened.
    """

    def __init__(
        self,
        programme: Programme,
        settings: LookSettings,
        size: Size,
        *,
        open_network: Callable[[Path], Engine] | None = None,
        around: Callable[[Engine], Engine] = lambda engine: engine,
        report: Callable[[str], None] = lambda line: None,
    ) -> None:
        self.programme, self._settings, self._size = programme, settings, size
        self._open_network = open_network or self._open_here
        self._remembers = open_network is None and settings.steady
        self._around = around
        self._levels = programme.qualities
        self._level = self._lowest_asked = 0
        self._scene = 0
        self.scenes = list(programme.scenes)
        self.revision = 0  # of the list of scenes
        self._engine: Engine | None = None
        self._colours: KeepColours | None = None
        paints = [scene.paint(level) for level in self._levels for scene in self.scenes]  # the first is shown first
        self.palette = Palette(paints, settings.strength, fade_s=settings.crossfade)
        self.open(report)

    @property
    def engine(self) -> Engine:
        """What the pipeline paints with."""
        assert self._engine is not None
        return self._engine

    @property
    def scene(self) -> Scene:
        """The one that is shown, or faded to."""
        return self.scenes[self._scene]

    @property
    def scene_index(self) -> int:
        """Its place in the playlist, from 0."""
        return self._scene

    @property
    def quality(self) -> str:
        """full, lite or nano."""
        return self._levels[self._level]

    @property
    def can_be_lighter(self) -> bool:
        """Whether there is a lighter quality than the present one."""
        return self._level + 1 < len(self._levels)

    @property
    def can_be_better(self) -> bool:
        """Whether there is a better quality that held the frame rate when the show began."""
        return self._level > self._lowest_asked

    def open(self, report: Callable[[str], None] = lambda line: None) -> None:
        """Compile all networks; once more after a failure.

        Raises:
            ArtmirrorError: one cannot be opened.
        """
        self.close()
        kinds = [in_order(path, steady=self._remembers) for path in self.programme.networks]
        with ExitStack() as opened:
            engines = []
            for number, path in enumerate(self.programme.networks, 1):
                report(f"{path.stem}: network {number} of {len(self.programme.networks)}")
                engine = self._open_network(next(iter(kinds[number - 1].values())))
                opened.callback(engine.close)
                engines.append(engine)
            # Where there is nothing lighter, nothing is measured.
            is_choice = len(self._levels) > 1 or any(len(files) > 1 for files in kinds)
            if self._settings.quality == "auto" and is_choice:
                self._level = self._lowest_asked = max(self._level, self._measured(engines, kinds, opened, report))
            opened.pop_all()
        self._colours = KeepColours(engines[0] if len(engines) == 1 else SwitchingEngine(engines))
        self._colours.on = self._settings.keep_colours
        self._engine = self._around(self._colours)
        self._apply()

    def look(self) -> Look:
        """Of the next frame."""
        return self.palette.look()

    def show(self, index: int) -> None:
        """Fade to a scene of the playlist; behind the last comes the first."""
        self._scene = index % len(self.scenes)
        self._apply()

    def add(self, scene: Scene) -> None:
        """One more scene, of networks that are there."""
        self.scenes.append(scene)
        self.revision += 1

    def lighter(self) -> bool:
        """Go down to the next quality; False where there is none."""
        return self._step(1)

    def better(self) -> bool:
        """Go up again; False where there is no better one that held the frame rate at the start."""
        return self.can_be_better and self._step(-1)

    def adjust(self, settings: LookSettings) -> None:
        """Take over what can change while it runs."""
        self._settings = settings
        self.palette.fade_s = settings.crossfade
        self.palette.set_strength(settings.strength)
        self.keep_colours = settings.keep_colours

    @property
    def keep_colours(self) -> bool:
        """Whether the camera's colours stay."""
        return self._colours is not None and self._colours.on

    @keep_colours.setter
    def keep_colours(self, on: bool) -> None:
        if self._colours is not None:
            self._colours.on = on

    def close(self) -> None:
        """Free all networks; never raises."""
        if self._engine is not None:
            self._engine.close()

    def _step(self, by: int) -> bool:
        if not 0 <= self._level + by < len(self._levels):
            return False
        self._level += by
        _log.warning("quality is %s now", self.quality)
        self._apply()
        return True

    def _apply(self) -> None:
        self.palette.show(self.scene.paint(self.quality))

    def _open_here(self, path: Path) -> Engine:
        return open_for_show(
            path, size=self._size, device=self._settings.device or None, threads=self._settings.threads or None
        ).engine

    def _measured(
        self,
        engines: list[Engine],
        kinds: list[dict[str, Path]],
        opened: ExitStack,
        report: Callable[[str], None],
    ) -> int:
        """The best level that holds the target here.

        Its networks are changed for those in INT8, and for those without a memory, where only they do.
        """
        for level, quality in enumerate(self._levels):
            first = self.scenes[0].paint(quality).network
            networks = {scene.paint(quality).network for scene in self.scenes}
            for place, (kind, file) in enumerate(kinds[first].items()):
                if place and is_int8_twin(file) and engines[first].describe().backend not in INT8_BACKENDS:
                    continue
                for number in networks if place else ():
                    files = kinds[number]
                    if kind in files and kind != next(iter(files)):  # which is open
                        _put(engines, number, partial(self._open_network, files[kind]), opened)
                if self._holds(engines[first], f"{quality} {kind}".strip(), report):
                    return level
        return len(self._levels) - 1

    def _holds(self, engine: Engine, name: str, report: Callable[[str], None]) -> bool:
        fps = measure_fps(engine, 1, BUDGET_S / len(self._levels))
        report(f"quality {name}: {fps:.0f} FPS measured, target {self._settings.target_fps:g}")
        return fps >= self._settings.target_fps * MARGIN


def _put(engines: list[Engine], number: int, open_one: Callable[[], Engine], opened: ExitStack) -> None:
    """Another engine in the place of one, which is closed first: both at once may be more than there is memory for."""
    engines[number].close()
    engines[number] = open_one()
    opened.callback(engines[number].close)
