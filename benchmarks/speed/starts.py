"""Starts of an engine in fresh processes: cold, and with what the library compiled and kept."""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from artmirror.benchmarks.records.measuring import Stopped
from artmirror.benchmarks.records.speed import Start
from artmirror.benchmarks.speed.gpu_sensors import open_gpus
from artmirror.benchmarks.speed.rounds import Starts
from artmirror.benchmarks.speed.start_probe import Moments, Request
from artmirror.runtime.common.errors import ArtmirrorError

_PROBE = "artmirror.benchmarks.speed.start_probe"
_POLL_S = 0.1


class StartUp:
    """Keeps the Protocol `rounds.Starter` with processes that run `start_probe`."""

    def __init__(self, request: Request) -> None:
        """Start what `request` says."""
        self._request = request
        self.frames = request.frames
        self._gpus = open_gpus()

    def run(self, should_stop: Callable[[], bool]) -> Starts:
        """Start with an empty folder for caches, and again with what is in it then. The user's own is not touched.

        Raises:
            ArtmirrorError: the engine failed in its process.
            Stopped: `should_stop` said so.
        """
        with tempfile.TemporaryDirectory(prefix="artmirror-start-") as name:
            folder = Path(name)
            cold = self._start(folder, should_stop)
            # Ours, and the kernels that CUDA compiled for this GPU; libraries write there what is no cache too.
            kept = [path for name in ("artmirror", "cuda") for path in (folder / name).rglob("*") if path.is_file()]
            return Starts(cold, self._start(folder, should_stop), sum(path.stat().st_size for path in kept))

    def _start(self, caches: Path, should_stop: Callable[[], bool]) -> Start:
        places = {"XDG_CACHE_HOME": str(caches), "CUDA_CACHE_PATH": str(caches / "cuda")}
        command = [sys.executable, "-P", "-m", _PROBE, json.dumps(asdict(self._request))]  # as if installed: no "."
        used_bytes = None if self._gpus is None else self._gpus.used_bytes()
        started_ns = time.monotonic_ns()
        with subprocess.Popen(
            command, env=os.environ | places, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as process:
            output, errors = _wait(process, should_stop)
        if process.returncode != 0:
            if should_stop():  # Ctrl-C in a terminal ends both processes
                raise Stopped
            lines = [line for line in errors.splitlines() if line.strip()] or [f"exit code {process.returncode}"]
            raise ArtmirrorError(f"{Path(self._request.path).name} failed in a process of its own: {lines[-1]}")
        return _stages(started_ns, used_bytes, Moments(**json.loads(output.splitlines()[-1])))


def _wait(process: "subprocess.Popen[str]", should_stop: Callable[[], bool]) -> tuple[str, str]:
    while True:
        try:
            return process.communicate(timeout=_POLL_S)
        except subprocess.TimeoutExpired:
            if should_stop():
                process.kill()
                raise Stopped from None


def _stages(started_ns: int, used_bytes: int | None, moments: Moments) -> Start:
    """The stages of one start, and what it took of GPUs on which `used_bytes` were in use before."""
    used_now_bytes = moments.device_used_bytes
    return Start(
        interpreter_ns=moments.first_line_ns - started_ns,
        import_ns=moments.imported_ns - moments.first_line_ns,
        read_ns=moments.read_ns - moments.imported_ns,
        compile_ns=moments.compiled_ns - moments.read_ns,
        first_frame_ns=moments.painted_ns - moments.compiled_ns,
        peak_rss_bytes=moments.peak_rss_bytes,
        device_bytes=None if used_bytes is None or used_now_bytes is None else used_now_bytes - used_bytes,
    )
