"""What stands there is kept: inputs, finished films, and what a run that was cut short had recorded."""

import os
import signal
import subprocess
import sys
import time
from fractions import Fraction
from pathlib import Path

import cv2  # noqa: F401 - before PyAV, see runtime/common/video.py

# isort: split
import av
import numpy as np
import pytest

from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.runtime.common.files import claim_part, part_path
from artmirror.runtime.sinks.base import Sink, SinkFormat
from artmirror.runtime.sinks.open import open_sink
from artmirror.runtime.sources.open import open_source
from tests.fakes.media import (
    error_of_sink,
    flat,
    format_of,
    make_slot,
    noise,
    read_all,
    write_all,
    write_clip,
    write_picture,
)
from tests.places import ROOT

SIZE = (96, 128)
GREY = flat(SIZE, (90, 90, 90))


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def write_some(sink: Sink, count: int) -> None:
    slot = make_slot(SIZE)
    for slot.id in range(count):
        slot.media_time_s = slot.id * Fraction(1, 25)
        sink.write(slot)


class TestInputs:
    @pytest.mark.parametrize("link", ["itself", "symbolic", "hard"])
    @pytest.mark.parametrize("name", ["a.mp4", "a.png"])
    def test_are_not_written_over_by_any_name(self, tmp_path: Path, name: str, link: str) -> None:
        path = tmp_path / name
        if name.endswith("png"):
            write_picture(path, GREY)
        else:
            write_clip(path, [GREY] * 3)
        before = path.read_bytes()
        other = tmp_path / f"other{path.suffix}"
        if link == "symbolic":
            other.symlink_to(path)
        elif link == "hard":
            os.link(path, other)
        target = path if link == "itself" else other
        source = open_source(str(path), size=None)
        told = error_of_sink(str(target), format_of(files=source.files, rate=source.rate))
        assert "would be written over" in told
        assert path.read_bytes() == before

    @pytest.mark.parametrize("uri", ["{}/", "{}/a.png", "{}/*.png"])
    def test_a_folder_of_pictures_is_not_filled_with_painted_ones(self, tmp_path: Path, uri: str) -> None:
        folder = tmp_path / "photos"
        folder.mkdir()
        write_picture(folder / "a.png", GREY)
        (tmp_path / "link").symlink_to(folder)
        source = open_source(uri.format(folder), size=None)
        for output in (f"{folder}/", f"{tmp_path / 'link'}/"):
            assert "holds the pictures that are read" in error_of_sink(output, format_of(files=source.files, rate=None))

    def test_numbered_pictures_stop_before_the_one_that_is_read(self, tmp_path: Path) -> None:
        write_picture(tmp_path / "f_1.png", GREY)
        before = (tmp_path / "f_1.png").read_bytes()
        sink = open_sink(str(tmp_path / "f_%d.png"), format_of(files=(tmp_path / "f_1.png",)))
        with pytest.raises(ArtmirrorError, match="would be written over"):
            write_some(sink, 3)
        assert (tmp_path / "f_1.png").read_bytes() == before


class TestFinishedFiles:
    def test_a_link_stays_and_what_it_leads_to_is_replaced(self, tmp_path: Path) -> None:
        for name in ("a.mp4", "a.png"):
            target, link = tmp_path / f"real_{name}", tmp_path / name
            target.write_bytes(b"old")
            link.symlink_to(target)
            write_all(open_sink(str(link), format_of(frame_count=1)), [GREY])
            assert link.is_symlink()
            assert len(target.read_bytes()) > 100

    def test_a_whole_film_replaces_an_older_one(self, tmp_path: Path) -> None:
        write_all(open_sink(str(tmp_path / "a.mp4"), format_of()), [GREY] * 9)
        write_all(open_sink(str(tmp_path / "a.mp4"), format_of()), [GREY] * 3)
        assert names(tmp_path) == ["a.mp4"]
        assert open_source(str(tmp_path / "a.mp4"), size=None).frame_count == 3

    def test_one_that_is_not_whole_does_not(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        write_all(open_sink(str(tmp_path / "a.mp4"), format_of()), [GREY] * 9)
        for _ in range(2):
            sink = open_sink(str(tmp_path / "a.mp4"), format_of())
            write_some(sink, 4)
            sink.discard()
        assert names(tmp_path) == ["a.mp4", "a.unfinished-2.mp4", "a.unfinished.mp4"]
        assert open_source(str(tmp_path / "a.mp4"), size=None).frame_count == 9
        assert open_source(str(tmp_path / "a.unfinished.mp4"), size=None).frame_count == 4
        assert "is kept as it was; what there is of the new one is a.unfinished.mp4" in caplog.text

    def test_the_index_is_in_front(self, tmp_path: Path) -> None:
        write_all(open_sink(str(tmp_path / "a.mp4"), format_of()), [noise(SIZE, seed) for seed in range(30)])
        data = (tmp_path / "a.mp4").read_bytes()
        assert data.index(b"moov") < data.index(b"mdat")
        assert b"moof" not in data


RECORD = """
import sys, time
from fractions import Fraction
from pathlib import Path
from artmirror.runtime.sinks.base import SinkFormat
from artmirror.runtime.sinks.open import open_sink
from tests.fakes.media import make_slot, noise
sink = open_sink(sys.argv[1], SinkFormat((96, 128), Fraction(25), None, None))
slot = make_slot((96, 128))
for slot.id in range(400):
    slot.stylized[:] = noise((96, 128), slot.id % 9)
    slot.media_time_s = slot.id * Fraction(1, 25)
    sink.write(slot)
print("recorded", flush=True)
time.sleep(60)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="the signal is a matter of Unix")
@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.mov", "a.webm", "a.avi"])
def test_what_a_killed_run_recorded_can_be_played_and_is_found_again(
    tmp_path: Path, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / name
    with subprocess.Popen([sys.executable, "-c", RECORD, str(path)], stdout=subprocess.PIPE, cwd=ROOT) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"recorded\n"
        assert "is being written by another process" in error_of_sink(str(path), format_of())
        process.kill()
    write_all(open_sink(str(path), format_of()), [GREY] * 3)
    unfinished = f"a.unfinished{path.suffix}"
    assert names(tmp_path) == sorted([name, unfinished])
    assert unfinished in caplog.text
    with av.open(str(tmp_path / unfinished)) as container:
        count = 0
        try:
            for _ in container.decode(video=0):
                count += 1
        except av.FFmpegError:
            pass
    assert count >= 250  # of 400; what the encoder still held is lost


class TestParts:
    def test_the_same_output_twice_is_told(self, tmp_path: Path) -> None:
        first = open_sink(str(tmp_path / "a.mkv"), format_of())
        assert "named twice" in error_of_sink(str(tmp_path / "a.mkv"), format_of())
        write_some(first, 3)
        first.close()
        assert names(tmp_path) == ["a.mkv"]

    @pytest.mark.parametrize(
        "name", ["ü" * 123 + ".mp4", "n" * 251 + ".mkv", "n" * 251 + ".png", "100%d%s%.mp4", "a b'\"🎨.avi"]
    )
    def test_any_name_that_a_folder_takes(self, tmp_path: Path, name: str) -> None:
        write_all(open_sink(str(tmp_path / name), format_of(frame_count=1)), [GREY])
        assert names(tmp_path) == [name]

    def test_part_names_fit_into_a_folder_and_are_told_apart(self, tmp_path: Path) -> None:
        long, longer = tmp_path / ("x" * 251 + ".mp4"), tmp_path / ("x" * 250 + "y.mp4")
        assert len(os.fsencode(part_path(long).name)) <= 255
        assert part_path(long) != part_path(longer)
        assert claim_part(long).exists()
        assert claim_part(longer).exists()


class TestShape:
    @pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".mov", ".webm", ".avi"])
    def test_odd_sides_get_one_row_more_and_play_everywhere(
        self, tmp_path: Path, suffix: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        picture = flat((97, 131), (40, 90, 160))
        picture[:, -1] = (200, 40, 40)
        write_all(open_sink(str(tmp_path / f"a{suffix}"), format_of(size=(97, 131))), [picture] * 2)
        assert "131x97 becomes 132x98" in caplog.text
        with av.open(str(tmp_path / f"a{suffix}")) as container:
            frame = next(container.decode(video=0))
        assert (frame.format.name, frame.width, frame.height) == ("yuv420p", 132, 98)
        shown = frame.to_ndarray(format="bgr24")
        assert np.abs(shown[90, 131].astype(int) - (200, 40, 40)).max() < 30

    @pytest.mark.parametrize("suffix", [".mp4", ".webm", ".avi"])
    def test_sides_beyond_the_encoder_are_told_with_the_limit(self, tmp_path: Path, suffix: str) -> None:
        told = error_of_sink(str(tmp_path / f"a{suffix}"), format_of(size=(300, 20_000)))
        assert "20000x300 is too large" in told
        assert "--size" in told
        assert names(tmp_path) == []


def run_command(*arguments: object, **settings: object) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", "from artmirror.runtime.cli import main; main()", *map(str, arguments)]
    return subprocess.Popen(command, cwd=ROOT, **settings)  # type: ignore[call-overload,no-any-return]


class TestPipes:
    def test_a_film_goes_through_with_its_sound(self, tmp_path: Path) -> None:
        clip = write_clip(tmp_path / "in.mkv", [GREY] * 25, sound_s=1.0)
        options = ("--style", "starry", "--quality", "nano", "--strength", 0)
        with clip.open("rb") as given, (tmp_path / "out.mkv").open("wb") as taken:
            process = run_command(
                "--input",
                "-",
                "--output",
                "pipe:",
                *options,
                stdin=subprocess.PIPE,
                stdout=taken,
                stderr=subprocess.PIPE,
            )
            _, told = process.communicate(given.read(), timeout=60)
        assert process.returncode == 0, told
        assert b"25 frames" in told
        with av.open(str(tmp_path / "out.mkv")) as container:
            assert [stream.type for stream in container.streams] == ["video", "audio"]
            assert sum(1 for _ in container.decode(video=0)) == 25

    def test_bare_pixels(self, tmp_path: Path) -> None:
        clip = write_clip(tmp_path / "in.mp4", [GREY] * 4)
        options = ("--style", "starry", "--quality", "nano", "--strength", 0)
        process = run_command(
            "--input", clip, "-o", "pipe:raw", *options, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        pixels, told = process.communicate(timeout=60)
        assert process.returncode == 0, told
        assert np.abs(np.frombuffer(pixels, np.uint8).reshape(4, *SIZE, 3).astype(int) - 90).max() <= 6

    def test_a_reader_that_goes_away_is_no_error(self, tmp_path: Path) -> None:
        clip = write_clip(tmp_path / "in.mp4", [noise(SIZE, seed) for seed in range(120)])
        options = ("--style", "starry", "--quality", "nano")
        process = run_command("--input", clip, "-o", "pipe:", *options, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.read(1000)
        process.stdout.close()
        told = process.stderr.read()
        assert b"Traceback" not in told
        assert process.wait(60) == 0, told

    def test_what_is_piped_and_no_film_is_told(self, tmp_path: Path) -> None:
        process = run_command("--input", "-", "-o", "null:", stdin=subprocess.PIPE, stderr=subprocess.PIPE)
        _, told = process.communicate(b"hello" * 100, timeout=60)
        assert process.returncode == 1
        assert b"a pipe cannot be wound back" in told


@pytest.mark.skipif(sys.platform == "win32", reason="the signal is a matter of Unix")
def test_a_second_signal_ends_what_does_not_come_back() -> None:
    code = """
import ctypes
from artmirror.runtime.common import command
command._PATIENCE_S = 0.2
with command.StopOnSignals():
    print("ready", flush=True)
    library, mutex = ctypes.CDLL(None), ctypes.create_string_buffer(64)
    library.pthread_mutex_lock(mutex)
    library.pthread_mutex_lock(mutex)  # for ever; no signal ends it
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, cwd=ROOT) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        begun_s = time.monotonic()
        for _ in range(2):
            process.send_signal(signal.SIGTERM)
            time.sleep(0.2)
        assert process.wait(20) != 0
    assert time.monotonic() - begun_s < 10


def test_formats_name_no_file_by_default() -> None:
    assert SinkFormat(SIZE, None, None, None).files == ()


def test_pictures_are_read_back(tmp_path: Path) -> None:
    write_all(open_sink(f"{tmp_path}/", format_of(rate=None)), [GREY, GREY])
    assert len(read_all(open_source(str(tmp_path), size=None))[0]) == 2
