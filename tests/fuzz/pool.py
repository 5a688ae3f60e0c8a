"""Workers with limits: a worker that hangs, takes too much memory or dies is told, and another takes its place."""

import json
import os
import queue
import selectors
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.places import ROOT

LONGEST_S = 20.0
START_S = 100.0  # more for the first of a kind: a process makes whole files then, and loads its libraries
MOST_BYTES = 2_000_000_000  # of memory that a worker holds
PROGRAM = ("-m", "tests.fuzz.worker")


@dataclass(frozen=True)
class Result:
    """What became of one input."""

    kind: str
    number: int
    fault: str  # empty where it was read, or refused in one line
    seconds: float = 0.0
    told: str = ""  # to a user; empty where nothing was wrong with the input


class Worker:
    """One process and what it prints."""

    def __init__(self, program: Sequence[str] = PROGRAM) -> None:
        self._log = tempfile.TemporaryFile()  # noqa: SIM115  # as long as the process
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONFAULTHANDLER": "1"}
        self._process = subprocess.Popen(
            [sys.executable, *program],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
        )
        self._seen: set[str] = set()  # kinds

    def run(self, kind: str, number: int) -> Result:
        """Ask for one input. After a fault of the process itself the worker is of no more use: see `is_dead`."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with tempfile.TemporaryDirectory(prefix="fuzz") as folder, selectors.DefaultSelector() as selector:
            try:
                self._process.stdin.write(f"{kind} {number} {folder}\n".encode())
                self._process.stdin.flush()
            except BrokenPipeError:
                return Result(kind, number, f"crash: {self._end()}")
            selector.register(self._process.stdout, selectors.EVENT_READ)
            limit_s = LONGEST_S + (0 if kind in self._seen else START_S)
            self._seen.add(kind)
            started_s = time.monotonic()
            while not selector.select(0.05):
                seconds = time.monotonic() - started_s
                held = self._held_bytes()
                if seconds > limit_s or held > MOST_BYTES:
                    self._process.kill()
                    told = f"{held / 1e9:.1f} GB" if held > MOST_BYTES else f"{seconds:.0f} s"
                    return Result(kind, number, f"more than is allowed: {told}; {self._end()}", seconds)
            line = self._process.stdout.readline()
            if not line:
                return Result(kind, number, f"crash: {self._end()}")
            answer = json.loads(line)
            slow = f"{answer['seconds']:.0f} s" if answer["seconds"] > LONGEST_S else ""
            return Result(kind, number, answer["fault"] or slow, answer["seconds"], answer["told"])

    @property
    def is_dead(self) -> bool:
        """Whether it can be asked no more."""
        return self._process.poll() is not None

    def close(self) -> None:
        """Let it end."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._log.close()

    def _held_bytes(self) -> int:
        try:
            return int(Path(f"/proc/{self._process.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        except (OSError, IndexError):
            return 0

    def _end(self) -> str:
        """How it ended, and the last that it printed."""
        code = self._process.wait()
        self._log.seek(0)
        return f"exit {code}, {self._log.read()[-1500:].decode(errors='replace')}"


def run_all(inputs: Iterable[tuple[str, int]], jobs: int, observe: Callable[[Result], None]) -> None:
    """Read all inputs, each a kind and a number, in `jobs` processes."""
    waiting: queue.SimpleQueue[tuple[str, int]] = queue.SimpleQueue()
    for entry in inputs:
        waiting.put(entry)
    lock = threading.Lock()

    def work() -> None:
        worker = Worker()
        try:
            while True:
                try:
                    kind, number = waiting.get_nowait()
                except queue.Empty:
                    return
                result = worker.run(kind, number)
                with lock:
                    observe(result)
                if worker.is_dead:
                    worker.close()
                    worker = Worker()
        finally:
            worker.close()

    threads = [threading.Thread(target=work) for _ in range(jobs)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
