"""Where data sets keep their frames, flows and occlusion masks: finding and reading them.

Sources: MPI-Sintel (Butler et al. 2012), Middlebury (Baker et al. 2011), KITTI (Geiger et al. 2012, Menze and Geiger
2015), each as its archives unpack.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from artmirror.benchmarks.temporal.metric import Flow, Mask, visible_by_truth
from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.runtime.common.flow import read_flow
from artmirror.runtime.common.pictures import natural_order, picture_paths, read_picture

_SINTEL_PASSES = ("clean", "final")


@dataclass(frozen=True, slots=True)
class TruthFiles:
    """The files that tell the motion from one frame to the next."""

    flow: Path
    occlusion: Path | None = None  # a picture, white where the next frame hides what this one shows
    flow_knows_occlusions: bool = False  # it is marked as unknown there

    @property
    def occlusions(self) -> bool:
        """Whether somebody says what is hidden."""
        return self.occlusion is not None or self.flow_knows_occlusions

    def read(self) -> tuple[Flow, Mask]:
        """Read the flow and where it can be trusted.

        Raises:
            ArtmirrorError: the mask cannot be read, or has another size than the flow.
            ArtmirrorError: the flow cannot be read.
        """
        flow, valid = read_flow(self.flow)
        occluded: Mask | None = None
        if self.occlusion is not None:
            mask = read_picture(self.occlusion)
            if mask.shape[:2] != flow.shape[:2]:
                raise ArtmirrorError(
                    f"{self.occlusion} is {mask.shape[1]}x{mask.shape[0]}, its flow is "
                    f"{flow.shape[1]}x{flow.shape[0]}; wanted are masks of the same size"
                )
            occluded = mask[..., 0] > 127
        return flow, visible_by_truth(flow, valid, occluded)


@dataclass(frozen=True, slots=True)
class Scene:
    """Frames of one shot, and what is known of their motion."""

    name: str
    frames: Sequence[Path]
    truths: Mapping[Path, TruthFiles] = field(default_factory=dict)  # by the earlier frame


def find_scenes(folder: Path) -> list[Scene]:
    """The scenes with ground truth in `folder`; none where it is laid out in no known way.

    Raises:
        ArtmirrorError: the layout is known, but files are missing.
    """
    if (folder / "training").is_dir():  # as KITTI's and Sintel's archives unpack
        folder = folder / "training"
    layouts: tuple[Callable[[Path], list[Scene]], ...] = (_kitti, _middlebury, _sintel, _side_by_side)
    for layout in layouts:
        scenes = layout(folder)
        if scenes:
            return scenes
    return []


def _kitti(folder: Path) -> list[Scene]:
    """`image_2/000000_10.png`, `_11.png` (2015; `colored_0` or `image_0` in 2012), `flow_noc` or `flow_occ`."""
    flows = next((folder / name for name in ("flow_noc", "flow_occ") if (folder / name).is_dir()), None)
    frames = next((folder / name for name in ("image_2", "colored_0", "image_0") if (folder / name).is_dir()), None)
    if flows is None or frames is None:
        return []
    scenes = []
    for flow in natural_order(list(flows.glob("*_10.png"))):
        first, second = frames / flow.name, frames / flow.name.replace("_10.", "_11.")
        truth = TruthFiles(flow, flow_knows_occlusions=flows.name == "flow_noc")
        scenes.append(_checked(Scene(flow.stem.removesuffix("_10"), [first, second], {first: truth})))
    return scenes


def _middlebury(folder: Path) -> list[Scene]:
    """`other-data/NAME/frame10.png` and `frame11.png`, `other-gt-flow/NAME/flow10.flo`; occlusions are not given."""
    scenes = []
    for flow in natural_order(list((folder / "other-gt-flow").glob("*/flow10.flo"))):
        frames = folder / "other-data" / flow.parent.name
        first, second = frames / "frame10.png", frames / "frame11.png"
        scenes.append(_checked(Scene(flow.parent.name, [first, second], {first: TruthFiles(flow)})))
    return scenes


def _sintel(folder: Path) -> list[Scene]:
    """`clean/NAME/frame_0001.png`, `flow/NAME/frame_0001.flo`, `occlusions/NAME/frame_0001.png`.

    `folder` is the root (then `clean` is taken), or `clean` or `final`, or one scene of those.
    """
    if folder.parent.name in _SINTEL_PASSES:
        scenes = [folder]
    else:
        render = folder if folder.name in _SINTEL_PASSES else folder / "clean"
        scenes = [entry for entry in natural_order(list(render.glob("*"))) if entry.is_dir()]
    found = []
    for scene in scenes:
        flows = scene.parents[1] / "flow" / scene.name
        occlusions = scene.parents[1] / "occlusions" / scene.name
        if flows.is_dir():
            name = f"{scene.parent.name}/{scene.name}"
            found.append(_numbered(name, picture_paths(scene), flows, occlusions, "frame"))
    return found


def _side_by_side(folder: Path) -> list[Scene]:
    """`frame_0001.png`, `frame_0001.flo` and, where it is known, `occlusion_0001.png` in one folder.

    Or two pictures and a flow from the first to the second, whatever they are called.
    """
    flows = list(folder.glob("*.flo"))
    if not flows:
        return []
    frames = [path for path in picture_paths(folder) if not path.name.startswith("occlusion")]
    if len(frames) == 2 and len(flows) == 1 and flows[0].stem not in [path.stem for path in frames]:
        return [Scene(folder.name, frames, {frames[0]: TruthFiles(flows[0])})]
    return [_numbered(folder.name, frames, folder, folder, "occlusion")]


def _numbered(name: str, frames: Sequence[Path], flows: Path, occlusions: Path, occlusion_word: str) -> Scene:
    """A scene whose flows are called as the earlier frame, and masks too but for the word before the number.

    Raises:
        ArtmirrorError: a flow lacks one of its two frames.
    """
    truths = {}
    places = {path.stem: index for index, path in enumerate(frames)}
    for flow in natural_order(list(flows.glob("*.flo"))):
        index, number = places.get(flow.stem), _number(flow)
        if index is None:
            raise ArtmirrorError(f"{flow} has no frame: {flow.stem}.png is missing beside {frames[0]}")
        if index + 1 == len(frames) or _number(frames[index + 1]) != number + 1:
            raise ArtmirrorError(f"{flow} leads to a frame that is missing: number {number + 1}, after {frames[index]}")
        occlusion = occlusions / f"{flow.stem.replace('frame', occlusion_word)}.png"
        truths[frames[index]] = TruthFiles(flow, occlusion if occlusion.is_file() else None)
    return Scene(name, frames, truths)


def _number(path: Path) -> int:
    digits = re.findall(r"\d+", path.stem)
    if not digits:
        raise ArtmirrorError(f"{path} has no number in its name, so nobody knows the next frame; wanted frame_0001 ...")
    return int(digits[-1])


def _checked(scene: Scene) -> Scene:
    for path in scene.frames:
        if not path.is_file():
            raise ArtmirrorError(f"{path} is missing; {scene.name} has ground truth for it")
    return scene
