"""What a show is: one TOML file, checked to its last value before it begins. Mistakes are told with their lines."""

import re
import tomllib
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.runtime.common.option_types import SizeType
from artmirror.runtime.common.pixels import Size
from artmirror.runtime.common.plain_data import read_up_to
from artmirror.runtime.show.hours import Opening, parse_opening

_LARGEST_BYTES = 1_000_000
_UNITS_S = {"s": 1.0, "sec": 1.0, "second": 1.0, "min": 60.0, "minute": 60.0, "h": 3600.0, "hour": 3600.0}
_DURATION = re.compile(r"(\d+(?:\.\d+)?) *([a-z]+?)s?")
_CONTROL = re.compile("[\x00-\x1f\x7f]")


def _duration_s(value: Any) -> float:
    """A number of seconds, or a text with its unit: 90, "90 s", "1.5 min", "2 hours"."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError('wanted a number of seconds, or a text such as "2 min"')
    if isinstance(value, str):
        match = _DURATION.fullmatch(value.strip().lower())
        unit = None if match is None else _UNITS_S.get(match[2]) or _UNITS_S.get(match[2] + "s")
        if match is None or unit is None:
            raise ValueError(f'got {value!r}; wanted a number of seconds, or a text such as "90 s", "2 min", "1 h"')
        value = float(match[1]) * unit
    if not 0 <= value <= 10 * 366 * 86400:
        raise ValueError(f"got {value}; wanted a time from 0 to ten years")
    return float(value)


def _size(value: Any) -> Size:
    if isinstance(value, Size):
        return value
    try:
        return Size(*SizeType().convert(str(value), None, None))
    except Exception as error:  # click's own class for a wrong value
        raise ValueError(getattr(error, "message", str(error))) from None


def _printable(text: str) -> str:
    if _CONTROL.search(text):
        raise ValueError("a character in it cannot be printed")
    return text


Seconds = Annotated[float, BeforeValidator(_duration_s)]
FrameSize = Annotated[Size, BeforeValidator(_size)]  # "640x360" in the file
Text = Annotated[str, Field(max_length=300), AfterValidator(_printable)]
Rotation = Literal[0, 90, 180, 270]
Share = Annotated[float, Field(ge=0, le=1)]
Port = Annotated[int, Field(ge=0, le=65535)]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, arbitrary_types_allowed=True)


class Camera(_Table):
    """Where the visitor comes from."""

    sources: Annotated[list[Text], Field(min_length=1, max_length=16)] = ["0"]
    size: FrameSize | None = None  # asked of the camera, and of photos; None: as large as it is painted
    rotation: Rotation = 0  # clockwise, of a camera that hangs on its side
    mirror: bool = True
    denoise: bool = True  # takes out, over time, what a sensor in a dim hall adds


class Screen(_Table):
    """Where the picture goes."""

    show: bool = True  # false: outputs and remote alone
    monitor: Text | int = 0  # its number from 0, or a part of its name
    full_screen: bool = True
    size: FrameSize = Size(720, 1280)  # of the window, where it is no full screen
    rotation: Rotation = 0  # clockwise, of what is drawn
    fit: Literal["cover", "contain"] = "cover"


class Scene(_Table):
    """One painting of the playlist: one of `style`, `painting` and `mix`."""

    style: Text | None = None  # a bundled name, or FILE.style
    painting: Text | None = None  # a picture
    mix: dict[Text, Annotated[float, Field(gt=0, le=1000)]] | None = None  # styles and how much of each
    seconds: Seconds | None = None
    title: Text | None = None
    artist: Text | None = None
    year: Text | None = None

    @model_validator(mode="after")
    def _one(self) -> "Scene":
        if sum(value is not None for value in (self.style, self.painting, self.mix)) != 1 or self.mix == {}:
            raise ValueError("wanted exactly one of style, painting and mix")
        return self


class Playlist(_Table):
    """Which paintings, in which order, for how long."""

    styles: list[Text] = []  # bundled names, FILE.style, pictures, folders of pictures; none: all bundled ones
    every: Annotated[Seconds, Field(ge=1)] = 60.0
    shuffle: bool = False
    networks: Literal["many", "own"] = "many"  # one network for all, or each style's own where it has one


class Look(_Table):
    """How it is painted."""

    size: FrameSize = Size(360, 640)  # of the painted picture; portrait where the camera is turned
    strength: Share = 1.0
    crossfade: Annotated[Seconds, Field(le=60)] = 1.5
    keep_colours: bool = False
    quality: Literal["auto", "full", "lite", "nano"] = "auto"
    steady: bool = True  # with the last picture in mind, where a style has such a network
    target_fps: Annotated[float, Field(ge=1, le=240)] = 30.0
    threads: Annotated[int, Field(ge=0, le=256)] = 0  # of the processor; 0: the library chooses
    device: Text = ""  # as of st-run: cpu, cuda, vulkan ...; empty: chosen by the file


class Card(_Table):
    """The title card."""

    show: bool = True
    seconds: Seconds = 8.0  # 0: always there
    corner: Literal["bottom-left", "bottom-right", "top-left", "top-right"] = "bottom-left"


class Hours(_Table):
    """When the show is open; empty: always."""

    open: list[Annotated[Opening, BeforeValidator(parse_opening)]] = []


class Presence(_Table):
    """What happens where nobody stands before the camera."""

    after: Seconds = 0.0  # 0: nothing
    then: Literal["dim", "off"] = "dim"


class Mask(_Table):
    """Painting a part only."""

    paint: Literal["all", "person", "background"] = "all"
    model: Text = ""  # a file of st-show --get-mask-model; empty: where that puts it


class Photo(_Table):
    """A picture to take home."""

    allow: bool = True
    countdown: Annotated[int, Field(ge=0, le=10)] = 3
    shown: Seconds = 15.0  # how long the picture and its QR code stay on the screen
    kept: Annotated[Seconds, Field(ge=10, le=3600)] = 600.0  # in memory, then gone
    most: Annotated[int, Field(ge=1, le=200)] = 20  # photos at a time


class Output(_Table):
    """One more place for the painted picture."""

    to: Text
    segment: Seconds | None = None  # of a recording: a new file each so long
    rate: Annotated[float, Field(ge=1, le=240)] = 30.0


class Remote(_Table):
    """The page for the attendant."""

    show: bool = True
    address: Text = "127.0.0.1"
    port: Port = 8470
    hosts: list[Text] = []  # names under which the page may be asked for, beside this machine's own
    link: Text = ""  # the page's address from outside, such as http://mirror.local:8470; empty: found
    allow_paintings: bool = False
    preview_fps: Annotated[float, Field(ge=1, le=10)] = 8.0

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach it."""
        return self.address == "localhost" or (_is_ip(self.address) and ip_address(self.address).is_loopback)


class Controllers(_Table):
    """Other hands: OSC and MIDI."""

    osc_port: Port = 0  # 0: none
    osc_address: Text = "127.0.0.1"
    midi: Text = ""  # a part of the port's name; empty: none


class Settings(_Table):
    """A whole show."""

    title: Text = "artmirror"
    camera: Camera = Camera()
    screen: Screen = Screen()
    playlist: Playlist = Playlist()
    scene: list[Scene] = []
    look: Look = Look()
    card: Card = Card()
    hours: Hours = Hours()
    presence: Presence = Presence()
    mask: Mask = Mask()
    photo: Photo = Photo()
    output: Annotated[list[Output], Field(max_length=16)] = []
    remote: Remote = Remote()
    controllers: Controllers = Controllers()

    def needs_new_start(self, other: "Settings") -> bool:
        """Whether a change to `other` concerns what is opened once: cameras, screen, engines, outputs, doors."""
        parts = ("camera", "screen", "playlist", "scene", "mask", "output", "remote", "controllers")
        opened = ("size", "quality", "steady", "target_fps", "threads", "device")
        return (
            any(getattr(self, part) != getattr(other, part) for part in parts)
            or any(getattr(self.look, name) != getattr(other.look, name) for name in opened)
            or self.photo.allow != other.photo.allow
        )


def read_settings(path: Path) -> Settings:
    """Read and check a show's file.

    Raises:
        ArtmirrorError: it cannot be read, or something in it is wrong; every mistake is named with its line.
    """
    try:
        text = read_up_to(path, _LARGEST_BYTES).decode("utf-8")
        values = tomllib.loads(text)
    except OSError as error:
        raise ArtmirrorError(
            f"cannot read {path}: {error.strerror}; st-show --init {path.name} writes one to begin with"
        ) from None
    except (ValueError, RecursionError) as error:  # no TOML, or no UTF-8; says line and column itself
        raise ArtmirrorError(f"{path} is no TOML file: {error}") from None
    try:
        return Settings.model_validate(values)
    except ValidationError as error:
        lines = _Lines(text)
        told = sorted(
            {(lines.of(found["loc"]), _told(found["loc"], found["msg"], found["type"])) for found in error.errors()}
        )
        raise ArtmirrorError(f"{path}: " + "; ".join(f"line {line}: {text}" for line, text in told)) from None


def folder_of(path: Path) -> Path:
    """What relative paths in the file are relative to."""
    return path.resolve().parent


def _told(place: tuple[int | str, ...], message: str, kind: str) -> str:
    names = [f"[{part + 1}]" if isinstance(part, int) else str(part) for part in place if _is_of_the_file(part)]
    name = ".".join(names).replace(".[", "[")
    if kind == "extra_forbidden":
        table: Any = Settings
        for part in place[:-1]:
            table = _model_of(table, part)
        known = ", ".join(table.model_fields) if hasattr(table, "model_fields") else ""
        return f"{name} is no setting" + (f"; there are: {known}" if known else "")
    return f"{name}: {message.removeprefix('Value error, ')}" if name else message


def _is_of_the_file(part: int | str) -> bool:
    return isinstance(part, int) or (re.fullmatch(r"[\w-]+", part) is not None and part not in ("str", "int", "float"))


def _model_of(table: Any, part: int | str) -> Any:
    if isinstance(part, int) or not hasattr(table, "model_fields") or part not in table.model_fields:
        return table
    kind = table.model_fields[part].annotation
    inner = [found for found in get_args(kind) if hasattr(found, "model_fields")]
    return inner[0] if inner else kind


class _Lines:
    """Where in a TOML text a value stands: its key's line, else its table's."""

    def __init__(self, text: str) -> None:
        self._found: dict[tuple[int | str, ...], int] = {}
        counts: dict[str, int] = {}
        table: tuple[int | str, ...] = ()
        for number, line in enumerate(text.splitlines(), 1):
            if header := re.match(r"\s*(\[\[?)\s*([\w.\s\"'-]+?)\s*\]", line):
                name = tuple(part.strip().strip("\"'") for part in header[2].split("."))
                table = name
                if header[1] == "[[":
                    counts[name[0]] = counts.get(name[0], -1) + 1
                    table = (name[0], counts[name[0]])
                elif name[0] in counts:
                    table = (name[0], counts[name[0]], *name[1:])
                self._found.setdefault(table, number)
            elif key := re.match(r"\s*([\w.\"'-]+)\s*=", line):
                names = tuple(part.strip("\"'") for part in key[1].split("."))
                self._found.setdefault((*table, *names), number)

    def of(self, place: tuple[int | str, ...]) -> int:
        """The line of a value, from 1."""
        while place:
            if place in self._found:
                return self._found[place]
            place = place[:-1]
        return 1


def _is_ip(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True
