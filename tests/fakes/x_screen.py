"""Screens without a monitor: Xvfb, whose pixels lie in a file, and weston."""

import os
import shutil
import struct
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
import pytest

from artmirror.runtime.common.pixels import Pixels


class XScreen:
    """A running Xvfb."""

    def __init__(self, display: str, pixels: Path) -> None:
        self.display, self._pixels = display, pixels

    def screenshot(self) -> Pixels:
        """What is on it, (H, W, 3) uint8 BGR; the file is in X's window dump format."""
        content = self._pixels.read_bytes()
        head = struct.unpack(">25I", content[:100])
        size, width, height, bits, line, colours = head[0], head[4], head[5], head[11], head[12], head[19]
        assert bits == 32
        pixels = np.frombuffer(content, np.uint8, line * height, size + colours * 12)
        return np.ascontiguousarray(pixels.reshape(height, line // 4, 4)[:, :width, :3])


@contextmanager
def x_screen(folder: Path, size: tuple[int, int] = (1080, 1920)) -> Iterator[XScreen]:
    """Run one of `size` (H, W); skips where there is no Xvfb."""
    program = shutil.which("Xvfb")
    if program is None:
        pytest.skip("needs Xvfb")
    read, number = folder / "display", ""
    with read.open("wb") as told:
        process = subprocess.Popen(
            [
                program,
                "-displayfd",
                "1",
                "-screen",
                "0",
                f"{size[1]}x{size[0]}x24",
                "-nolisten",
                "tcp",
                "-fbdir",
                folder,
            ],
            stdout=told,
            stderr=subprocess.DEVNULL,
        )
    try:
        end_s = time.monotonic() + 20
        while not (number := read.read_text().strip()) and time.monotonic() < end_s:
            time.sleep(0.05)
        yield XScreen(f":{number}", folder / "Xvfb_screen0")
    finally:
        process.terminate()
        process.wait(10)


def read_qr(picture: Pixels) -> str:
    """The text of a QR code somewhere in a picture; empty where there is none."""
    text, _, _ = cv2.QRCodeDetector().detectAndDecode(picture)
    return text


@contextmanager
def wayland_screen(folder: Path, size: tuple[int, int] = (1080, 1920)) -> Iterator["WaylandScreen"]:
    """Run weston without a monitor, of `size` (H, W); skips where there is none."""
    program = shutil.which("weston")
    if program is None:
        pytest.skip("needs weston")
    runtime = folder / "wayland"
    runtime.mkdir(mode=0o700)
    environment = {**os.environ, "XDG_RUNTIME_DIR": str(runtime)}
    process = subprocess.Popen(
        [
            program,
            "--backend=headless-backend.so",
            f"--width={size[1]}",
            f"--height={size[0]}",
            "--use-pixman",
            "--socket=mirror",
            "--debug",
            "--idle-time=0",
        ],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        end_s = time.monotonic() + 20
        while not (runtime / "mirror").exists() and time.monotonic() < end_s:
            time.sleep(0.05)
        yield WaylandScreen({"WAYLAND_DISPLAY": "mirror", "XDG_RUNTIME_DIR": str(runtime)}, folder)
    finally:
        process.terminate()
        process.wait(10)


class WaylandScreen:
    """A running weston."""

    def __init__(self, environment: dict[str, str], folder: Path) -> None:
        self.environment, self._folder = environment, folder

    def screenshot(self) -> Pixels:
        """What is on it, (H, W, 3) uint8 BGR."""
        subprocess.run(
            ["weston-screenshooter"], cwd=self._folder, env={**os.environ, **self.environment}, timeout=20, check=True
        )
        newest = max(self._folder.glob("wayland-screenshot-*.png"), key=lambda path: path.stat().st_mtime_ns)
        return np.asarray(cv2.imread(str(newest)), np.uint8)
