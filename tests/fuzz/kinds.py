"""Kinds of files: how whole ones are made, how they are spoiled, and what of the project reads them.

A kind that carries a checksum is spoiled in two ways: as it is, which the checksum tells, and with the checksum made
right again, as somebody would who means harm.
"""

import hashlib
import io
import itertools
import json
import random
import shutil
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import click
import cv2
import numpy as np
import onnx
import torch
from click.testing import CliRunner

from artmirror.benchmarks.cli import main as st_bench
from artmirror.benchmarks.records.any import read_records
from artmirror.benchmarks.records.gpu import GpuSession, GpuTests, Row, read_gpu
from artmirror.benchmarks.records.speed import Ceilings, Sensed, Session
from artmirror.export.cli import main as st_export
from artmirror.export.to_onnx import onnx_of, save_onnx
from artmirror.export.trained import trained_of
from artmirror.runtime.common.pictures import read_picture
from artmirror.runtime.engines.base import stylize
from artmirror.runtime.engines.encoder import Encoder
from artmirror.runtime.engines.open import open_engine
from artmirror.runtime.formats.kind import read_any_manifest
from artmirror.runtime.formats.manifest import METADATA_KEY, read_manifest
from artmirror.runtime.formats.ncnn import MAGIC as NCNN_MAGIC
from artmirror.runtime.formats.ncnn import graph_sha256, ncnn_pair
from artmirror.runtime.formats.plan import MAGIC as PLAN_MAGIC
from artmirror.runtime.formats.plan import PlanInfo, read_plan, write_plan
from artmirror.runtime.frame import FrameSlot
from artmirror.runtime.gallery.bundled import find_style
from artmirror.runtime.gallery.paintings import choose
from artmirror.runtime.sources.open import open_source
from artmirror.train.checkpoint import StyleInfo, load_checkpoint, load_state, save_checkpoint, save_state
from artmirror.train.cli import main as st_train
from artmirror.train.collect.collection import Collection
from artmirror.train.collect.video_check import NotAVideoError, check_video
from artmirror.train.config import NetworkConfig, TrainConfig
from artmirror.train.many import ManyConfig, ManyModel, load_many, save_many
from artmirror.train.pairs.clips import ClipPairs
from artmirror.train.pairs.paintings import find_paintings
from artmirror.train.prepare.folder import is_complete
from artmirror.train.prepare.report import Report
from artmirror.train.prepare.video import VideoReader
from tests.export.conftest import make_checkpoint
from tests.fakes.benchmark_records import (
    make_environment,
    make_painter,
    make_record,
    make_round,
    make_start,
    make_start_record,
    make_temporal,
)
from tests.fakes.clip_dataset import panned_shot, write_dataset
from tests.fakes.counting_engine import make_manifest
from tests.fakes.media import noise, write_clip
from tests.fakes.tiny_many import styles, tiny_many, write_style
from tests.fakes.tiny_ncnn import tiny_ncnn
from tests.fuzz.mutations import spoiled_bytes, spoiled_json, spoiled_text, strange_value

SIZE = (64, 72)  # (H, W) of the frames that engines paint
_FEW = 30  # frames of a video that are read
_TINY = NetworkConfig(channels=(4, 6, 8), blocks=1)


class InternalError(Exception):
    """A command told an error that nobody had thought of."""


@dataclass(frozen=True)
class Kind:
    """A kind of file."""

    name: str
    spoil: Callable[[Path, random.Random], Path]  # writes a spoiled file into a folder, returns what to read
    read: Callable[[Path], object]


# Pictures and video


@cache
def _pictures() -> tuple[tuple[str, bytes], ...]:
    picture = noise((70, 90), 1)
    picture[:40] = 90
    alpha = np.dstack([picture, picture[..., 0]])
    made = [(suffix, cv2.imencode(suffix, picture)[1]) for suffix in (".png", ".jpg", ".webp", ".bmp", ".tif", ".gif")]
    made += [(".png", cv2.imencode(".png", alpha)[1]), (".tiff", cv2.imencode(".tif", picture.astype(np.uint16))[1])]
    return tuple((suffix, data.tobytes()) for suffix, data in made)


def _spoil_picture(folder: Path, rng: random.Random) -> Path:
    suffix, data = rng.choice(_pictures())
    spoiled = spoiled_bytes(data, rng)
    if suffix == ".png" and rng.random() < 0.4:  # any size, with the checksum that makes it believable
        chunk = b"IHDR" + b"".join(rng.choice((0, 1, 90, 32_000, 1 << 20, 1 << 31)).to_bytes(4, "big") for _ in "hw")
        chunk += data[24:29]
        spoiled = data[:12] + chunk + zlib.crc32(chunk).to_bytes(4, "big") + data[33:]
    path = folder / f"picture{suffix}"
    path.write_bytes(spoiled)
    return path


def _read_picture(path: Path) -> None:
    both = (lambda: read_picture(path), lambda: _read_source(path))
    _all_of(both)


@cache
def _videos() -> tuple[tuple[str, bytes], ...]:
    pictures = [noise((64, 80), index // 3) for index in range(9)]
    made = []
    for suffix, codec, sound_codec in (
        (".mp4", "libx264", "aac"),
        (".mov", "mpeg4", "pcm_s16le"),
        (".mkv", "libx264", "flac"),
        (".webm", "libvpx", "libopus"),
        (".avi", "mpeg4", "pcm_s16le"),
        (".ts", "mpeg2video", "mp2"),
    ):
        path = tiny_ncnn().parent / f"clip{suffix}"
        write_clip(path, pictures, codec=codec, sound_s=0.2, sound_codec=sound_codec, rotation=90)
        made.append((suffix, path.read_bytes()))
    return tuple(made)


def _spoil_video(folder: Path, rng: random.Random) -> Path:
    suffix, data = rng.choice(_videos())
    path = folder / f"clip{suffix}"
    path.write_bytes(spoiled_bytes(data, rng))
    return path


def _read_video(path: Path) -> None:
    def prepared() -> None:
        for _ in itertools.islice(VideoReader(path).frames(), _FEW):
            pass

    def collected() -> None:
        try:
            check_video(path)
        except NotAVideoError as error:
            raise click.ClickException(str(error)) from None

    _all_of((lambda: _read_source(path), prepared, collected))


def _read_source(path: Path) -> None:
    source = open_source(str(path), size=None)
    try:
        slot = FrameSlot(np.zeros((*source.size, 3), np.uint8), np.zeros((1, 1, 3), np.uint8))
        for _ in range(_FEW):
            if not source.read(slot):
                break
    finally:
        source.close()


# Engines


@cache
def _onnx_files() -> tuple[bytes, ...]:
    """Bundled ones, one with weights in FP16 and transposed convolutions, and one for many paintings."""
    path = tiny_ncnn().parent / "other.pt"
    checkpoint = make_checkpoint(replace(_TINY, upsampling="deconv", block_conv="separable", output="linear"))
    save_checkpoint(path, checkpoint)
    save_onnx(onnx_of(trained_of(checkpoint, path), fp16=True)[0], path.with_suffix(".onnx"))
    bundled = (find_style(name) for name in ("starry-nano", "starry-lite", "starry"))
    others = (path.with_suffix(".onnx"), tiny_many().with_suffix(".onnx"))
    return tuple(found.read_bytes() for found in (*bundled, *others))


def _field(number: int, content: bytes) -> bytes:
    """A field of bytes, as protobuf writes it."""
    head, length = bytes([number << 3 | 2]), len(content)
    while length > 127:
        head, length = head + bytes([length & 127 | 128]), length >> 7
    return head + bytes([length]) + content


def _spoil_onnx(folder: Path, rng: random.Random) -> Path:
    path = folder / "network.onnx"
    data = rng.choice(_onnx_files())
    kind = rng.random()
    if kind < 0.25:
        path.write_bytes(spoiled_bytes(data, rng))
        return path
    model = onnx.ModelProto.FromString(data)
    entry = model.metadata_props[0]
    text: str | bytes = entry.value
    graph = model.graph.SerializeToString()
    model.ClearField("graph")
    model.ClearField("metadata_props")
    if kind < 0.45:
        graph = spoiled_bytes(graph, rng)
    elif kind < 0.85:
        parsed = onnx.GraphProto.FromString(graph)
        for _ in range(rng.choice((1, 1, 2, 4))):
            _spoil_graph(parsed, rng)
        graph = parsed.SerializeToString()
    else:
        model.opset_import[0].version = rng.choice((-1, 0, 1, 7, 13, 21, 64, 100, 1 << 20, 1 << 40))
        model.ir_version = rng.choice((model.ir_version, 0, 1, 3, 1 << 40))
    values = json.loads(text) | {"graph_sha256": hashlib.sha256(graph).hexdigest()}
    text = spoiled_json(json.dumps(values), rng) if rng.random() < 0.2 else json.dumps(values).encode()
    metadata = _field(1, METADATA_KEY.encode()) + _field(2, text)
    path.write_bytes(model.SerializeToString() + _field(7, graph) + _field(14, metadata))
    return path


def _spoil_graph(graph: onnx.GraphProto, rng: random.Random) -> None:
    number = rng.choice((-1, 0, 1, 2, 7, 1000, 1 << 16, 1 << 30, 1 << 40, -(1 << 63), (1 << 63) - 1))
    node = rng.choice(graph.node)
    tensor = rng.choice(graph.initializer)
    attributes = [entry for each in graph.node for entry in each.attribute]
    match rng.randrange(11):
        case 0:
            node.op_type = rng.choice(("Loop", "If", "Expand", "Tile", "ConstantOfShape", "Conv", "Nothing", "Gather"))
        case 1 if attributes:
            attribute = rng.choice(attributes)
            attribute.i = number
            if attribute.ints:
                attribute.ints[rng.randrange(len(attribute.ints))] = number
        case 2 if tensor.dims:
            tensor.dims[rng.randrange(len(tensor.dims))] = number
        case 3:
            tensor.raw_data = spoiled_bytes(tensor.raw_data, rng) if tensor.raw_data else b"1234"
        case 4:
            tensor.data_type = rng.randrange(24)
        case 5 if node.input:
            node.input[rng.randrange(len(node.input))] = rng.choice(rng.choice(graph.node).output)
        case 6:
            graph.node.remove(node)
        case 7:
            graph.output[0].name = rng.choice(rng.choice(graph.node).output)
        case 8 if len(tensor.raw_data) >= 8 and tensor.data_type == onnx.TensorProto.INT64:
            values = np.frombuffer(tensor.raw_data, np.int64, len(tensor.raw_data) // 8).copy()
            values.flat[rng.randrange(values.size)] = number
            tensor.raw_data = values.tobytes()
        case 9:
            del tensor.dims[:]
            tensor.dims.extend(rng.choice(((1 << 31, 1 << 31), (1 << 20, 1 << 20, 1 << 20), (-1, -1), (1,) * 100)))
        case _:
            kind = onnx.TensorProto.FLOAT
            some = rng.choice([each for each in graph.initializer if each.data_type == kind and len(each.raw_data) > 3])
            floats = np.frombuffer(some.raw_data, np.float32, len(some.raw_data) // 4).copy()
            floats.flat[rng.randrange(floats.size)] = rng.choice((0, -1, 1e9, np.nan, np.inf, 64))
            some.raw_data = floats.tobytes()


def _read_engine(path: Path) -> None:
    """Open and paint a frame; every fourth ONNX by ONNX Runtime, each eighth is inspected and predicted too."""
    number = hashlib.sha256(path.read_bytes()).digest()[0]
    backend = None
    if path.suffix == ".onnx":
        backend = "onnxruntime" if number % 4 == 0 else "openvino"
    engine = open_engine(path, size=SIZE, backend=backend, threads=1)
    try:
        slot = engine.allocate(1)[0]
        slot.frame[:] = 100
        stylize(engine, slot)
        engine.describe()
    finally:
        engine.close()
    if number % 8 == 0:
        _command(st_export, "inspect", path)
        if path.suffix == ".onnx":
            _command(st_bench, "predict", path)


@cache
def _plan() -> tuple[bytes, bytes]:
    """The manifest and the engine."""
    path = tiny_ncnn().parent / "fake.plan"
    info = PlanInfo("tensorrt", "10.9.0", ["sm86"], (64, 64), (360, 640), (1080, 1920))
    write_plan(path, make_manifest("fake"), info, b"engine" * 40)
    data = path.read_bytes()
    start = len(PLAN_MAGIC) + 4
    length = int.from_bytes(data[start - 4 : start], "little")
    return data[start : start + length], data[start + length :]


def _spoil_plan(folder: Path, rng: random.Random) -> Path:
    text, engine = _plan()
    if rng.random() < 0.7:
        text = spoiled_json(text.decode(), rng)
    length = len(text).to_bytes(4, "little")
    if rng.random() < 0.2:
        length = rng.choice((0, 1, 1 << 20, (1 << 32) - 1)).to_bytes(4, "little")
    data = PLAN_MAGIC + length + text + engine
    path = folder / "network.plan"
    path.write_bytes(spoiled_bytes(data, rng) if rng.random() < 0.2 else data)
    return path


def _read_plan(path: Path) -> None:
    _all_of((lambda: read_any_manifest(path), lambda: read_plan(path), lambda: open_engine(path, size=SIZE)))
    _command(st_export, "inspect", path)


def _spoil_ncnn(folder: Path, rng: random.Random) -> Path:
    whole = rng.choice((tiny_ncnn(), tiny_many().with_suffix(".ncnn.param")))
    param = whole.read_bytes()
    content = ncnn_pair(whole)[1].read_bytes()
    tail = len(NCNN_MAGIC) + 4
    length = int.from_bytes(content[-tail : -tail + 4], "little")
    weights, text = content[: -tail - length], content[-tail - length : -tail]
    kind = rng.random()
    if kind < 0.6:
        param = spoiled_text(param.decode(), rng)
    if kind < 0.1:
        layers = rng.choice((0, 1, 10**6, 10**9, 1 << 33))
        param = whole.read_bytes().replace(b"\n40 42\n", f"\n{layers} {rng.choice((42, layers))}\n".encode())
    if 0.5 < kind < 0.8:
        weights = spoiled_bytes(weights, rng)
    values = json.loads(text) | {"graph_sha256": graph_sha256(param, weights)}
    text = spoiled_json(json.dumps(values), rng) if kind > 0.9 else json.dumps(values).encode()
    content = weights + text + len(text).to_bytes(4, "little") + NCNN_MAGIC
    if rng.random() < 0.1:
        content = spoiled_bytes(content, rng)
    (folder / "network.ncnn.bin").write_bytes(content)
    path = folder / "network.ncnn.param"
    path.write_bytes(param)
    return path


# Files of torch.save


@cache
def _checkpoints() -> dict[str, tuple[bytes, ...]]:
    folder = tiny_ncnn().parent / "checkpoints"
    folder.mkdir(exist_ok=True)
    save_checkpoint(folder / "tiny.pt", make_checkpoint(_TINY))
    config = TrainConfig(painting_path="a.png", photos_path="photos", network=_TINY)
    state = {"network": make_checkpoint(_TINY).weights, "scheduler": {"last_epoch": 3}}
    save_state(folder / "tiny.state.pt", style=StyleInfo("a"), config=config, step=3, state=dict(state))
    many = ManyConfig("paintings", "photos", network=_TINY)
    save_many(folder / "any.pt", ManyModel(_TINY), many.to_portable_dict(), 5)
    encoder = (folder / "any-encoder.pt").read_bytes()
    return {
        "checkpoint": ((folder / "tiny.pt").read_bytes(),),
        "state": ((folder / "tiny.state.pt").read_bytes(),),
        "many": ((folder / "any.pt").read_bytes(), encoder),
    }


def _spoil_torch(name: str) -> Callable[[Path, random.Random], Path]:
    def spoil(folder: Path, rng: random.Random) -> Path:
        data, *others = _checkpoints()[name]
        path = folder / ("tiny.state.pt" if name == "state" else "tiny.pt")
        if others:
            (folder / "tiny-encoder.pt").write_bytes(others[0])
        kind = rng.random()
        if kind < 0.25:
            path.write_bytes(spoiled_bytes(data, rng))
        elif kind < 0.5:
            path.write_bytes(_packed_again(data, rng))
        else:
            torch.save(_spoiled_tensors(torch.load(io.BytesIO(data), weights_only=True), rng), path)
        return path

    return spoil


def _deep_pickle(deep: int, key: bytes) -> bytes:
    """A checkpoint's dictionary, pickled, with lists nested below a key: no Python could pickle it."""
    words = b"".join(b"U" + bytes([len(word)]) + word for word in (b"kind", b"artmirror checkpoint"))
    version = b"U\x0eformat_versionK\x01"
    return b"\x80\x02}(" + words + version + b"U" + bytes([len(key)]) + key + b"]" * deep + b"a" * (deep - 1) + b"u."


_DEEP = [_deep_pickle(deep, key) for deep in (500, 100_000) for key in (b"training", b"weights", b"kind")]


def _packed_again(data: bytes, rng: random.Random) -> bytes:
    """The archive with one part spoiled and its checksums right, or packed so that it is larger than it looks."""
    content = io.BytesIO()
    bomb = rng.random() < 0.2
    with (
        zipfile.ZipFile(io.BytesIO(data)) as old,
        zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED if bomb else zipfile.ZIP_STORED) as new,
    ):
        names = old.namelist()
        chosen = rng.choice(names if rng.random() < 0.5 else [name for name in names if name.endswith(".pkl")])
        for name in names:
            part = old.read(name)
            if name == chosen:
                part = bytes(200_000_000) if bomb else spoiled_bytes(part, rng)
                if name.endswith(".pkl") and rng.random() < 0.2:
                    part = _DEEP[rng.randrange(len(_DEEP))]
            new.writestr(name, part)
    return content.getvalue()


def _spoiled_tensors(data: Any, rng: random.Random) -> Any:
    """Plain data and tensors with some changed."""
    holders = [data]
    tensors: list[tuple[Any, Any]] = []
    plain: list[tuple[Any, Any]] = []
    while holders:
        at = holders.pop()
        for key, value in at.items() if isinstance(at, dict) else enumerate(at):
            if isinstance(value, torch.Tensor):
                tensors.append((at, key))
            else:
                plain.append((at, key))
                if isinstance(value, dict | list):
                    holders.append(value)
    for _ in range(rng.choice((1, 1, 2, 4))):
        if rng.random() < 0.4 and tensors:
            at, key = rng.choice(tensors)
            at[key] = rng.choice(
                (
                    torch.zeros(3),
                    torch.zeros(1).expand(1 << 20, 1 << 20),
                    torch.zeros(0, 5),
                    torch.tensor(float("nan")),
                    torch.zeros(2, dtype=torch.complex64),
                    torch.eye(2).to_sparse(),
                    strange_value(rng),
                )
            )
        else:
            at, key = rng.choice([entry for entry in plain if not isinstance(entry[0], tuple)])
            if isinstance(at[key], dict | list) and rng.random() < 0.5:
                nested: Any = []
                for _ in range(rng.choice((10, 150))):
                    nested = [nested]
                at[key] = nested
            elif rng.random() < 0.2:
                del at[key]
                return data
            else:
                at[key] = rng.choice((strange_value(rng), 10**9, (10**9,) * 3, 1 << 62))
    return data


# Data


@cache
def _dataset() -> Path:
    folder = tiny_ncnn().parent / "dataset"
    write_dataset(folder, [panned_shot(12, 0), panned_shot(6, 1)], (1,))
    return folder


def _spoil_shard(folder: Path, rng: random.Random) -> Path:
    output = folder / "dataset"
    shutil.copytree(_dataset(), output)
    shard = output / "shard-000000.tar"
    shard.write_bytes(spoiled_bytes(shard.read_bytes(), rng))
    if rng.random() < 0.85:
        description = json.loads((output / "dataset.json").read_text())
        description["shards"][0]["sha256"] = hashlib.sha256(shard.read_bytes()).hexdigest()
        (output / "dataset.json").write_text(json.dumps(description))
    return output


def _spoil_dataset(folder: Path, rng: random.Random) -> Path:
    output = folder / "dataset"
    shutil.copytree(_dataset(), output)
    text = (output / "dataset.json").read_text()
    (output / "dataset.json").write_bytes(spoiled_json(text, rng))
    return output


def _read_shards(path: Path) -> None:
    def pairs(flow: str) -> None:
        config = TrainConfig(painting_path="a.png", clips_path=str(path), crop=64, flow=flow)  # type: ignore[arg-type]
        stream = ClipPairs(path, config)
        for index in range(3):
            stream[index]

    _all_of((lambda: pairs("dis"), lambda: pairs("stored")))


def _read_dataset(path: Path) -> None:
    _all_of((lambda: is_complete(path, _IDENTITY), lambda: _read_shards(path)))


_IDENTITY: dict[str, Any] = {"settings": {"size": [360, 640], "holdout": 0.0}, "clips_sha256": "0" * 64}


def _spoil_collected(folder: Path, rng: random.Random) -> Path:
    clip = {"url": "http://a.example/a.mp4", "file": "a.mp4", "bytes": 5, "sha256": "0" * 64, "etag": "x"}
    clip |= {"last_modified": "", "content_type": "video/mp4", "collected_at": "2026-01-01", "licence": "unknown"}
    part = {"url": "http://a.example/b.mp4", "file": "b.mp4", "bytes_expected": 9, "etag": "", "last_modified": ""}
    values = {"format_version": 1, "clips": [clip], "partial": [part | {"content_type": ""}]}
    (folder / "collected.json").write_bytes(spoiled_json(json.dumps(values), rng))
    (folder / "a.mp4.part").write_bytes(b"12345")
    return folder


def _read_collected(path: Path) -> None:
    found = Collection(path)
    for url in found.clips:
        found.is_there(url)
    found.free_name("a.mp4", "http://a.example/c.mp4")


def _spoil_report(folder: Path, rng: random.Random) -> Path:
    shot = {"name": "shot000000", "source": "a.mp4", "start_s": 0.0, "end_s": 1.0, "first_frame": 0, "frames": 25}
    shot |= {"motion_px": 2.0, "trust": 0.9, "luma": 99.0, "contrast": 30.0, "sharpness": None, "usable_frames": 20}
    shot |= {"margins": [0, 0, 0, 0.1], "chunks": 1, "frames_used": 16, "kept": True, "rule": "", "why": ""}
    source = {"name": "a.mp4", "bytes": 99, "digest": "d", "size": [640, 360], "fps": 25.0, "frames": 25}
    source |= {"remarks": ["x"], "error": "", "held_out": False}
    dropped = {**shot, "kept": False, "rule": "dark", "why": "dark: mean luma 3"}
    values = {"settings": {"size": [360, 640], "frames_per_chunk": 16}, "sources": [source], "shots": [shot, dropped]}
    values["summary"] = {"bytes": 5, "frames_held_out": 0}
    (folder / "report.json").write_bytes(spoiled_json(json.dumps(values), rng))
    return folder


def _read_report(path: Path) -> None:
    found = Report.read(path)
    found.summary()
    found.complaint()


def _spoil_paintings(folder: Path, rng: random.Random) -> Path:
    for name in ("a.png", "b.png"):
        cv2.imwrite(str(folder / name), noise((8, 8), 0))
    entries = [{"file": "a.png", "artist": "A"}, {"file": "b.png", "artist": None}, {"file": "c.png"}]
    (folder / "manifest.json").write_bytes(spoiled_json(json.dumps(entries), rng))
    return folder


def _spoil_style(folder: Path, rng: random.Random) -> Path:
    path = write_style(folder / "a.style", styles(1)[0], "A")
    path.write_bytes(spoiled_json(path.read_text(), rng))
    return path


def _read_style(path: Path) -> None:
    network = tiny_many().with_suffix(".onnx")
    choose(network, (str(path),), ()).paints(read_manifest(network))


def _spoil_encoder(folder: Path, rng: random.Random) -> Path:
    model = onnx.load(tiny_many().with_name("any-encoder.onnx"))
    path = folder / "any-encoder.onnx"
    if rng.random() < 0.4:
        path.write_bytes(spoiled_bytes(model.SerializeToString(), rng))
        return path
    entry = model.metadata_props[0]
    graph = onnx.GraphProto.FromString(model.graph.SerializeToString())
    for _ in range(rng.choice((1, 1, 2, 4))):
        _spoil_graph(graph, rng)
    model.graph.CopyFrom(graph)
    values = json.loads(entry.value) | {"graph_sha256": hashlib.sha256(graph.SerializeToString()).hexdigest()}
    entry.value = json.dumps(values)
    path.write_bytes(model.SerializeToString())
    return path


# Records


@cache
def _records() -> tuple[str, ...]:
    sensed = Sensed(10**9, 12.5, 60.0, None, None)
    speed = Session(
        make_environment(),
        (
            make_record(make_round(10.0, sensed=sensed), make_round(11.0)),
            make_record(make_round(20.0), scenario="live"),
        ),
        Ceilings(None, (1e10, 1.1e10), {"fp32": (1e11, 1.2e11)}),
        (make_start_record((make_start(900), make_start(950)), (make_start(300), make_start(320))),),
        ("transfers were not measured",),
    )
    rows = (Row("TensorRT FP16", "640x360", "huang", 1e9, 1e8, psnr_db=float("inf"), compute_ns=(10**6, 2 * 10**6)),)
    program = Row("st-run", "640x360", "huang", program_fps=60.0, program_latency_ms={"p50": 20.0})
    tests = GpuTests(3, ("test_x.py::test_y",), {"no TensorRT": 2}, 9.5)
    gpu = GpuSession(make_environment(), {"name": "a card"}, (*rows, program), {"fp16_flop_per_s": 1e14}, tests)
    temporal = make_temporal(make_painter("input", 0.1, 9.0), make_painter("starry", 0.2, 5.0))
    return speed.to_json(), temporal.to_json(), gpu.to_json()


def _spoil_record(folder: Path, rng: random.Random) -> Path:
    text = rng.choice(_records())
    (folder / "whole.json").write_text(text)
    path = folder / "record.json"
    path.write_bytes(spoiled_json(text, rng))
    return path


def _read_record(path: Path) -> None:
    whole = path.with_name("whole.json")
    if '"kind": "gpu"' in whole.read_text():
        from artmirror.benchmarks.gpu.table import markdown_record

        markdown_record(read_gpu(path))
        return
    if hashlib.sha256(path.read_bytes()).digest()[0] % 8 == 0:  # a page of figures takes its time
        _command(st_bench, "report", path, "-o", path.with_name("page.html"))
    _command(st_bench, "compare", whole, path)
    _command(st_bench, "compare", path, whole, "--fail-on-regression", "1%")
    _command(st_bench, "report", path, "-o", path.with_name("page.md"))
    read_records(path)


# Options


def _spoil_config(folder: Path, rng: random.Random) -> Path:
    lines = ["# options", 'painting = "a.jpg"', 'photos = "photos"', "steps = 400", "crop = 128", 'preset = "nano"']
    lines += ["network = []", "gap = [1, 2]", "learning-rate = 0.003", 'precision = "fp32"', "style-weight = 5.5"]
    path = folder / "options.toml"
    if rng.random() < 0.1:
        path.write_text("a = " + "[" * 100_000)
    else:
        path.write_bytes(spoiled_text("\n".join(lines), rng))
    return path


def _read_config(path: Path) -> None:
    _command(st_train, "--config", path, "--dry-run")


def _command(command: click.Command, *words: object) -> None:
    """Call a command; an error that it did not expect is our error."""
    done = CliRunner().invoke(command, [str(word) for word in words])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise InternalError(f"{command.name}: {done.exception!r}") from done.exception
    if "--debug shows where" in done.output or "Traceback" in done.output:
        raise InternalError(done.output[-300:])
    if done.exit_code not in (0, 1, 2, 3):
        raise InternalError(f"exit code {done.exit_code}")
    told = [line for line in done.output.splitlines() if line.startswith("Error: ")]
    if done.exit_code in (1, 2) and (not told or not done.output.rstrip().endswith(told[-1])):
        raise InternalError(f"exit code {done.exit_code}, and no line that says why at the end: {done.output[-300:]}")
    if done.exit_code in (1, 2):
        raise click.ClickException(told[-1])


def _all_of(calls: "tuple[Callable[[], object], ...]") -> None:
    """Call each; errors for a user end none of them, and the last is told."""
    told = None
    for call in calls:
        try:
            call()
        except click.ClickException as error:
            told = error
    if told is not None:
        raise told


def _kinds() -> Iterator[Kind]:
    yield Kind("picture", _spoil_picture, _read_picture)
    yield Kind("video", _spoil_video, _read_video)
    yield Kind("onnx", _spoil_onnx, _read_engine)
    yield Kind("plan", _spoil_plan, _read_plan)
    yield Kind("ncnn", _spoil_ncnn, _read_engine)
    yield Kind("checkpoint", _spoil_torch("checkpoint"), lambda path: load_checkpoint(path).stylizer())
    yield Kind("state", _spoil_torch("state"), load_state)
    yield Kind("many", _spoil_torch("many"), load_many)
    yield Kind("shard", _spoil_shard, _read_shards)
    yield Kind("dataset", _spoil_dataset, _read_dataset)
    yield Kind("collected", _spoil_collected, _read_collected)
    yield Kind("report", _spoil_report, _read_report)
    yield Kind("paintings", _spoil_paintings, find_paintings)
    yield Kind("style", _spoil_style, _read_style)
    yield Kind("encoder", _spoil_encoder, lambda path: Encoder(path).code(noise((40, 50), 0)))
    yield Kind("record", _spoil_record, _read_record)
    yield Kind("config", _spoil_config, _read_config)


KINDS = {kind.name: kind for kind in _kinds()}
