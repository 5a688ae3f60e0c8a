"""What the remote understands: its requests and answers, typed. `remote` serves it."""

from pydantic import BaseModel, ConfigDict, Field

from artmirror.runtime.show.camera import CameraState
from artmirror.runtime.show.director import Phase
from artmirror.runtime.show.health import memory_bytes, temperature_c
from artmirror.runtime.show.performance import Opened


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class Nothing(_Model):
    """An empty object."""


class ShowRequest(_Model):
    """Which painting."""

    key: str = Field(min_length=1, max_length=300)


class LookRequest(_Model):
    """How it is painted; what is missing stays."""

    strength: float | None = Field(None, ge=0, le=1)
    keep_colours: bool | None = None


class SwitchRequest(_Model):
    """On or off."""

    on: bool


class CameraRequest(_Model):
    """Which camera, from 0."""

    index: int = Field(ge=0, le=15)


class Done(_Model):
    """Whether it was done."""

    done: bool
    why: str = ""


class SceneInfo(_Model):
    """A painting of the playlist."""

    key: str
    title: str
    artist: str
    year: str
    has_picture: bool


class OutputInfo(_Model):
    """One of the outputs."""

    name: str
    written: int
    dropped: int
    problem: str


class State(_Model):
    """Everything that the page shows."""

    title: str
    headline: str  # one line for a person
    is_well: bool
    phase: str
    fps: float
    camera: str
    camera_is_well: bool
    camera_index: int
    cameras: list[str]
    scene: str  # key of the painting
    scene_title: str
    strength: float
    keep_colours: bool
    held: bool
    black: bool
    photo: str
    photo_allowed: bool
    quality: str
    latency_ms: float
    frames: int
    switches: int
    photos: int
    camera_losses: int
    engine_failures: int
    memory_mb: float
    temperature_c: float | None
    outputs: list[OutputInfo]
    settings_problem: str
    paintings_allowed: bool
    playlist: int  # changes where the list of paintings does


_PHASES = {
    Phase.RUNNING: "Running",
    Phase.CLOSED: "Closed now",
    Phase.AWAY: "Nobody is there",
    Phase.BLACK: "Black",
    Phase.NO_CAMERA: "No camera",
}


def state_of(opened: Opened) -> State:
    """The state of a show that runs."""
    director, counters = opened.director, opened.counters
    source, stage = director.source, director.stage
    phase = director.phase
    fps = opened.painted.fps
    camera_is_well = source.state is CameraState.OK
    camera = "camera ok" if camera_is_well else f"camera {source.state.value}"
    running = phase in (Phase.RUNNING, Phase.AWAY)
    headline = ", ".join([_PHASES[phase], *([f"{fps:.0f} FPS"] if running else []), camera])
    problem = counters.settings_problem or next((output.problem for output in opened.outputs if output.problem), "")
    return State(
        title=opened.settings.title,
        headline=headline,
        is_well=camera_is_well and not problem,
        phase=phase.value,
        fps=round(fps, 1),
        camera=source.state.value,
        camera_is_well=camera_is_well,
        camera_index=source.index,
        cameras=source.labels,
        scene=stage.scene.key,
        scene_title=stage.scene.title,
        strength=stage.palette.strength,
        keep_colours=stage.keep_colours,
        held=director.held,
        black=director.is_black,
        photo=director.photo_step.value,
        photo_allowed=director.booth is not None,
        quality=stage.quality,
        latency_ms=round(counters.latency_ms, 1),
        frames=counters.painted,
        switches=director.switches,
        photos=director.photos,
        camera_losses=source.losses,
        engine_failures=counters.engine_failures,
        memory_mb=round(memory_bytes() / 1e6, 1),
        temperature_c=temperature_c(),
        outputs=[
            OutputInfo(name=one.name, written=one.written, dropped=one.dropped, problem=one.problem)
            for one in opened.outputs
        ],
        settings_problem=counters.settings_problem,
        paintings_allowed=opened.settings.remote.allow_paintings,
        playlist=stage.revision,
    )


def scenes_of(opened: Opened) -> list[SceneInfo]:
    """The playlist."""
    return [
        SceneInfo(
            key=scene.key,
            title=scene.title,
            artist=scene.artist,
            year=scene.year,
            has_picture=scene.picture is not None,
        )
        for scene in opened.director.stage.scenes
    ]
