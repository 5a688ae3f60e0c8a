"""Outputs beside the screen: none slows the show, each comes back."""

import threading
import time
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.runtime.common.pixels import Size
from artmirror.runtime.frame import FrameSlot
from artmirror.runtime.show import outputs as module
from artmirror.runtime.show.outputs import Output, open_output
from artmirror.runtime.show.preview import Preview
from artmirror.runtime.show.settings import Output as OutputSettings
from tests.fakes.show_parts import Clock, wait_until

SIZE = Size(64, 96)


def frame(number: int, period_ns: int = 33_333_333) -> FrameSlot:
    slot = FrameSlot(np.zeros((*SIZE, 3), np.uint8), np.full((*SIZE, 3), number % 256, np.uint8), number)
    slot.captured_ns = 1_000_000_000 + number * period_ns
    return slot


class Sink:
    def __init__(self, gate: threading.Event | None = None, fail: bool = False) -> None:
        self.levels: list[int] = []
        self.closed = self.discarded = False
        self._gate, self._fail = gate, fail

    def write(self, slot: FrameSlot) -> bool:
        if self._gate is not None:
            self._gate.wait(10)
        if self._fail:
            raise ArtmirrorError("the disk is full")
        self.levels.append(int(slot.stylized[0, 0, 0]))
        return True

    def close(self) -> None:
        self.closed = True

    def discard(self) -> None:
        self.discarded = True


def test_a_slow_output_drops_and_does_not_slow_the_show() -> None:
    gate = threading.Event()
    sink = Sink(gate)
    output = Output("slow", SIZE, 30, lambda: sink)
    output.offer(frame(0))
    time.sleep(0.1)
    began_s = time.monotonic()
    for number in range(1, 50):
        output.offer(frame(number))
    assert time.monotonic() - began_s < 1
    gate.set()
    output.close()
    assert sink.levels[0] == 0
    assert len(sink.levels) <= 2
    assert output.dropped >= 47
    assert sink.closed


def test_frames_that_come_too_fast_are_thinned_out() -> None:
    sink = Sink()
    output = Output("10 FPS", SIZE, 10, lambda: sink)
    for number in range(31):
        output.offer(frame(number))
        time.sleep(0.005)
    output.close()
    assert 9 <= len(sink.levels) <= 12


def test_a_broken_output_is_opened_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_RETRY_S", (0.0,))
    sinks = [Sink(fail=True), Sink()]
    opened = iter(sinks)
    output = Output("disk", SIZE, 30, lambda: next(opened))
    number = 0

    def offered() -> bool:
        nonlocal number
        number += 1
        output.offer(frame(number))
        return len(sinks[1].levels) > 2

    wait_until(offered)
    assert output.failures == 1
    assert output.problem == ""
    output.close()
    assert sinks[0].discarded
    assert sinks[1].closed


def test_recordings_come_in_segments_that_play(tmp_path: Path) -> None:
    now = Clock()
    settings = OutputSettings(to="show.mp4", segment=2.0)
    output = open_output(settings, SIZE, tmp_path)
    output._clock_s = now
    for number in range(20):
        now.now_s += 0.5
        output.offer(frame(number, 500_000_000))
        wait_until(lambda: output.written > number)  # noqa: B023 - asked at once
    output.close()
    films = sorted(tmp_path.glob("show-*.mp4"))
    assert len(films) == 5
    count = 0
    for film in films:
        with av.open(str(film)) as container:
            count += sum(1 for _ in container.decode(video=0))
    assert count == 20


@pytest.mark.parametrize(("to", "segment"), [("window:", None), ("pipe:", None), ("rtsp://a/b", 3.0), ("null:", 3.0)])
def test_what_is_no_output_is_told(to: str, segment: float | None, tmp_path: Path) -> None:
    with pytest.raises(ArtmirrorError):
        open_output(OutputSettings(to=to, segment=segment), SIZE, tmp_path)


def test_a_preview_is_made_only_while_somebody_looks() -> None:
    clock = Clock()
    preview = Preview(8, clock)
    preview.offer(frame(1))
    assert preview.jpeg(0) is None  # and this asks
    preview.offer(frame(2))
    found = preview.jpeg(0)
    assert found is not None
    number, jpeg = found
    assert jpeg[:2] == b"\xff\xd8"
    assert preview.jpeg(number) is None
    preview.offer(frame(3))
    assert preview.jpeg(number) is None  # too soon
    clock.now_s += 0.2
    preview.offer(frame(4))
    assert preview.jpeg(number) is not None
    clock.now_s += 10
    preview.offer(frame(5))
    assert preview.jpeg(number + 1) is None  # nobody looked for a while


def decoded(address: str, found: list[Any], options: dict[str, str], count: int = 5) -> None:
    try:
        with av.open(address, options=options) as container:
            for picture in container.decode(video=0):
                found.append(picture.to_ndarray(format="bgr24"))
                if len(found) >= count:
                    return
    except av.FFmpegError as error:
        found.append(error)


@pytest.mark.parametrize("kind", ["udp", "tcp", "rtsp"])
def test_streams_reach_a_real_receiver(kind: str, tmp_path: Path) -> None:
    from artmirror.benchmarks.studies.soak import free_port

    port = free_port()
    address = {"udp": f"udp://127.0.0.1:{port}", "tcp": f"tcp://127.0.0.1:{port}", "rtsp": f"rtsp://127.0.0.1:{port}/a"}
    listening = {"udp": f"udp://127.0.0.1:{port}?timeout=20000000", "tcp": f"tcp://127.0.0.1:{port}?listen=1"}
    options = {"rtsp_flags": "listen", "listen_timeout": "20"} if kind == "rtsp" else {}
    found: list[Any] = []
    receiver = threading.Thread(target=decoded, args=(listening.get(kind, address[kind]), found, options), daemon=True)
    receiver.start()
    time.sleep(0.5)
    output = open_output(OutputSettings(to=address[kind]), SIZE, tmp_path)
    number = 0
    end_s = time.monotonic() + 30
    while receiver.is_alive() and time.monotonic() < end_s:
        output.offer(frame(min(number, 200)))
        number += 1
        time.sleep(0.02)
    output.close()
    assert len(found) >= 5, output.problem
    assert all(picture.shape == (*SIZE, 3) for picture in found)


def test_hls_is_a_list_that_plays(tmp_path: Path) -> None:
    (tmp_path / "live").mkdir()
    output = open_output(OutputSettings(to="live/mirror.m3u8"), SIZE, tmp_path)
    for number in range(150):
        output.offer(frame(number))
        wait_until(lambda: output.written + output.dropped > number)  # noqa: B023 - asked at once
    output.close()
    assert output.problem == ""
    found: list[Any] = []
    decoded(str(tmp_path / "live" / "mirror.m3u8"), found, {}, 100)
    assert len(found) >= 60


def test_a_server_that_is_not_there_is_told(tmp_path: Path) -> None:
    from artmirror.benchmarks.studies.soak import free_port

    output = open_output(OutputSettings(to=f"rtsp://127.0.0.1:{free_port()}/a"), SIZE, tmp_path)
    output.offer(frame(0))
    wait_until(lambda: output.problem != "")
    assert "is the server there?" in output.problem
    output.close()
