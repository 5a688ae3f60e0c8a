"""From video files to a dataset: measure every file once, choose shots, write their frames as shards.

A run that was killed goes on: measurements and finished shards are kept under `DATASET/.prepare` until all is done, and
`dataset.json` is written last. Threads share the work, since OpenCV and FFmpeg do it outside Python's lock; what is
written does not depend on their number.
"""

import hashlib
import json
import shutil
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict
from itertools import groupby
from pathlib import Path
from typing import Any

import cv2

from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.runtime.common.files import cannot_write, claimed, write_whole
from artmirror.runtime.common.pixels import Pixels, Size
from artmirror.train.prepare.files import ClipFile, find_videos
from artmirror.train.prepare.folder import (
    DATASET_FILE,
    HOLDOUT_FOLDER,
    IDENTITY_FILE,
    STATE_FOLDER,
    PrepareConfig,
    clear,
    identify,
    is_complete,
)
from artmirror.train.prepare.measure import Measurement, measure
from artmirror.train.prepare.report import Report, Source, write_report
from artmirror.train.prepare.shards import FORMAT_VERSION, Sample, ShardFolder, encoded_chunk
from artmirror.train.prepare.shots import Chunk, Shot, chunks_of, find_shots, hold_out, without_duplicates
from artmirror.train.prepare.video import VideoReader, filled

Observe = Callable[[str, int, int], None]  # what is done, how much of it, of how much


def prepare(
    clips: Sequence[Path],
    output: Path,
    config: PrepareConfig,
    *,
    workers: int = 1,
    dry_run: bool = False,
    overwrite: bool = False,
    observe: Observe = lambda what, done, total: None,
) -> Report:
    """Make the dataset in the folder `output`, or go on where an earlier run of the same was stopped.

    Args:
        clips: Video files, and folders that are searched below.
        dry_run: Measure and report only. The measurements are kept, so that the next run is quicker.
        overwrite: Remove a dataset of other settings or clips first.

    Raises:
        ArtmirrorError: nothing is usable, the folder holds a dataset of other settings, or cannot be written.
    """
    files = find_videos(clips)
    identity = identify(files, config)
    if overwrite:
        clear(output)
    state = output / STATE_FOLDER
    if is_complete(output, identity):
        shutil.rmtree(state, ignore_errors=True)  # a run that was killed at its very end has left it
        return Report.read(output)
    try:
        state.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write(output, error) from None
    with claimed(state / "prepare"), _one_thread_each():
        sources, shots = _judge(files, state, config, workers, observe)
        chunks = [chunk for shot in shots for chunk in chunks_of(shot, config.rules, config.frames_per_chunk)]
        held = _held_out(sources, chunks, config)
        report = Report.of(sources, shots, chunks, held, asdict(config))
        write_report(output, report, shots)
        if not chunks:
            raise ArtmirrorError(f"none of {len(files)} file(s) gave a usable shot: {report.complaint()}")
        if dry_run:
            return report
        write_whole(state / IDENTITY_FILE, json.dumps(identity).encode())
        written = 0
        parts = [(output, "train", [chunk for chunk in chunks if chunk.source not in held])]
        if held:
            parts.append((output / HOLDOUT_FOLDER, "holdout", [chunk for chunk in chunks if chunk.source in held]))
        descriptions: list[tuple[Path, bytes]] = []
        for folder, notes, wanted in parts:
            shards = ShardFolder(folder, state / notes)
            shards.write(
                _samples(wanted[shards.chunks :], files, sources, config, workers),
                len(wanted),
                config.shard_bytes,
                lambda done, before=written: observe("writing chunks", before + done, len(chunks)),  # type: ignore[misc]
            )
            written += len(wanted)
            report = report.with_bytes(sum(record.bytes for record in shards.finished))
            descriptions.append((folder, _description(shards, wanted, sources, config, identity)))
        write_report(output, report, shots)
        for folder, description in reversed(descriptions):
            write_whole(folder / DATASET_FILE, description)
    shutil.rmtree(state, ignore_errors=True)
    return report


def _judge(
    files: Sequence[ClipFile], state: Path, config: PrepareConfig, workers: int, observe: Observe
) -> tuple[list[Source], list[Shot]]:
    sources: list[Source] = []
    shots: list[Shot] = []
    for index, (file, measured) in enumerate(zip(files, _measured(files, state, workers, observe), strict=True)):
        if isinstance(measured, ArtmirrorError):
            sources.append(Source(file.name, file.bytes, file.digest, error=measured.message))
            continue
        sources.append(
            Source(
                file.name,
                file.bytes,
                file.digest,
                size=measured.size,
                fps=round(measured.fps, 4),
                frames=len(measured.time_s),
                remarks=measured.remarks,
            )
        )
        shots += find_shots(measured, index, len(shots), config.size, config.rules)
    return sources, without_duplicates(shots)


def _measured(
    files: Sequence[ClipFile], state: Path, workers: int, observe: Observe
) -> Iterator[Measurement | ArtmirrorError]:
    """Measure all files, or read what an earlier run found; in order, one in memory at a time."""
    by_digest = {file.digest: file for file in files}  # copies are measured once
    expected = {digest: _expected_frames(file.path) for digest, file in by_digest.items()}
    done = dict.fromkeys(by_digest, 0)
    stopping = threading.Event()

    def measure_file(file: ClipFile) -> ArtmirrorError | None:
        def progress(frames: int) -> None:
            if stopping.is_set():
                raise _Stopped
            done[file.digest] = min(frames, expected[file.digest])
            observe("measuring frames", sum(done.values()), sum(expected.values()))

        if _read_measurement(_measurement_path(state, file)) is None:
            try:
                found = measure(file.path, progress)
            except ArtmirrorError as error:
                return error
            write_whole(_measurement_path(state, file), found.to_bytes())
        progress(expected[file.digest])
        return None

    with ThreadPoolExecutor(workers) as pool:
        try:
            results = {digest: pool.submit(measure_file, file) for digest, file in by_digest.items()}
            for file in files:
                error = results[file.digest].result()
                found = None if error else _read_measurement(_measurement_path(state, file))
                yield error or found or ArtmirrorError(f"the measurement of {file.path} cannot be read back; run again")
        finally:
            stopping.set()  # after Ctrl-C the threads end at their next frames
            pool.shutdown(cancel_futures=True)


class _Stopped(Exception):
    """The run is being interrupted."""


def _samples(
    chunks: Sequence[Chunk], files: Sequence[ClipFile], sources: Sequence[Source], config: PrepareConfig, workers: int
) -> Iterator[Sample]:
    """Decode and encode chunks: this thread decodes, others encode; only a few chunks are in memory."""

    def encode(chunk: Chunk, frames: Sequence[Pixels]) -> Sample:
        source = sources[chunk.source]
        about = {
            "source": source.name,
            "shot": chunk.shot,
            "first_frame": chunk.first_frame,
            "fps": source.fps,
            "frames": chunk.frames,
            "motion_px": chunk.motion_px,
        }
        return encoded_chunk(chunk.key, frames, about, config.flow)

    pending: deque[Future[Sample]] = deque()
    with ThreadPoolExecutor(workers) as pool:
        for source, wanted in groupby(chunks, key=lambda chunk: chunk.source):
            for chunk, frames in _decoded(files[source].path, list(wanted), config.size):
                pending.append(pool.submit(encode, chunk, frames))
                if len(pending) > workers:
                    yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()


def _decoded(path: Path, chunks: Sequence[Chunk], size: Size) -> Iterator[tuple[Chunk, list[Pixels]]]:
    """The frames of chunks, which follow one another in the file.

    The file is decoded from its beginning, as it was when it was measured: after a seek, not every format gives the
    same frames.
    """
    waiting = deque(chunks)
    frames: list[Pixels] = []
    for index, frame in enumerate(VideoReader(path).frames()):
        chunk = waiting[0]
        if index < chunk.first_frame:
            continue
        frames.append(filled(frame, size, chunk.margins))
        if len(frames) == chunk.frames:
            yield chunk, frames
            waiting.popleft()
            frames = []
            if not waiting:
                return
    raise ArtmirrorError(f"{path} has become shorter since it was measured; run again with --overwrite")


def _held_out(sources: Sequence[Source], chunks: Sequence[Chunk], config: PrepareConfig) -> set[int]:
    frames = [0] * len(sources)
    for chunk in chunks:
        frames[chunk.source] += chunk.frames
    # By the checksum of its name a source is drawn as if by lot, and the same way in every run.
    order = sorted(range(len(sources)), key=lambda index: hashlib.sha256(sources[index].name.encode()).digest())
    held = hold_out(frames, order, config.holdout)
    if config.holdout and chunks and not held:
        raise ArtmirrorError("only one file has usable shots, and --holdout keeps whole files apart; give more clips")
    return held


def _description(
    shards: ShardFolder,
    chunks: Sequence[Chunk],
    sources: Sequence[Source],
    config: PrepareConfig,
    identity: dict[str, Any],
) -> bytes:
    used = sorted({chunk.source for chunk in chunks})
    description = {
        "format_version": FORMAT_VERSION,
        "width": config.size.width,
        "height": config.size.height,
        "frames_per_chunk": config.frames_per_chunk,
        "shards": [
            {"file": record.file, "sha256": record.sha256, "chunks": record.chunks} for record in shards.finished
        ],
        "sources": [
            {
                "name": sources[index].name,
                "bytes": sources[index].bytes,
                "fps": sources[index].fps,
                "chunks": sum(chunk.source == index for chunk in chunks),
            }
            for index in used
        ],
        **identity,
    }
    return json.dumps(description, indent=1).encode()


def _measurement_path(state: Path, file: ClipFile) -> Path:
    return state / f"measured-{file.digest[:32]}.npz"


def _read_measurement(path: Path) -> Measurement | None:
    try:
        return Measurement.from_bytes(path.read_bytes())
    except Exception:  # a damaged file may raise nearly anything; it is measured again
        return None


def _expected_frames(path: Path) -> int:
    try:
        return VideoReader(path).expected_frames
    except ArtmirrorError:  # told when it is measured
        return 0


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """Let OpenCV use one thread: its DIS flow differs with their number, and the workers share the cores already."""
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(before)
