"""A list of paintings, each trained by a resumable `st-train` of its own: several at a time, a GPU each."""

import os
import queue
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.runtime.common.pictures import picture_paths


@dataclass(frozen=True, slots=True)
class Training:
    """One painting and what becomes of it."""

    painting: Path
    output: Path

    @property
    def log(self) -> Path:
        """What st-train says."""
        return self.output.with_suffix(".log")


def trainings(folder: Path, output: Path, suffix: str) -> list[Training]:
    """Those of a folder of paintings.

    Raises:
        ArtmirrorError: there are none, or two of one name.
    """
    found = [Training(path, output / f"{path.stem}{suffix}") for path in picture_paths(folder)]
    names = [training.output.name for training in found]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ArtmirrorError(f"two paintings would become {twice}: rename one of them")
    return found


def run_trainings(
    wanted: Sequence[Training],
    arguments: Sequence[str],
    *,
    workers: int,
    gpus: Sequence[str],
    report: Callable[[Training, str], None],
    stop: Callable[[], bool],
) -> None:
    """Run st-train for each; one that was cut short goes on.

    Args:
        arguments: For st-train, beside painting and output.
        gpus: One for each worker, as CUDA counts them; none where there are none.
        report: Called with each that ended, and what is wrong with it or nothing.
    """
    waiting: queue.SimpleQueue[Training] = queue.SimpleQueue()
    for training in wanted:
        waiting.put(training)
    reporting = threading.Lock()

    def work(number: int) -> None:
        while not stop():
            try:
                training = waiting.get_nowait()
            except queue.Empty:
                return
            environment = dict(os.environ)
            if gpus:
                environment["CUDA_VISIBLE_DEVICES"] = gpus[number % len(gpus)]
            told = _train(training, arguments, environment, stop)
            with reporting:
                report(training, told)

    threads = [threading.Thread(target=work, args=(number,), daemon=True) for number in range(max(1, workers))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _train(training: Training, arguments: Sequence[str], environment: dict[str, str], stop: Callable[[], bool]) -> str:
    """What is wrong, or nothing."""
    program = Path(sys.executable).with_name("st-train")
    found = str(program) if program.is_file() else shutil.which("st-train")
    if found is None:
        return "there is no st-train: install it with pip install 'artmirror[train]'"
    training.output.parent.mkdir(parents=True, exist_ok=True)
    state = training.output.with_name(f"{training.output.stem}.state.pt")
    if training.output.is_file() and state.is_file():
        command = [found, "--resume", str(training.output)]
    else:
        command = [found, "--painting", str(training.painting), "-o", str(training.output), *arguments]
    with training.log.open("ab") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        while process.poll() is None:
            if stop():
                process.terminate()  # st-train saves where it is
            try:
                process.wait(0.3)
            except subprocess.TimeoutExpired:
                continue
    if process.returncode:
        lines = training.log.read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else f"st-train ended with {process.returncode}"
    return ""
