"""Tasks by processes of this machine: each worker is a process, and its death costs one task one try."""

import multiprocessing
import queue
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Protocol

from artmirror.runtime.batch.tasks import BatchSettings, Task
from artmirror.runtime.batch.work import Done, paint
from artmirror.runtime.common.errors import ArtmirrorError

TRIES = 3  # of a file that fails

Report = Callable[[Task, "Done | str", int], None]  # task, what came of it or what is wrong, tries


class Runner(Protocol):
    """A way to run tasks."""

    def run(self, tasks: Sequence[Task], report: Report, stop: Callable[[], bool]) -> None:
        """Run all, in any order; `report` is called for each that ended, by one thread at a time."""
        ...


class ProcessRunner:
    """Several processes. Each has an executor of one worker, so that a worker that is killed takes nothing along.

    Args:
        workers: How many.
    """

    def __init__(self, settings: BatchSettings, workers: int) -> None:
        self._settings, self._workers = settings, workers

    def run(self, tasks: Sequence[Task], report: Report, stop: Callable[[], bool]) -> None:
        """See `Runner`."""
        waiting: queue.SimpleQueue[tuple[Task, int]] = queue.SimpleQueue()
        for task in tasks:
            waiting.put((task, 1))
        left = [len(tasks)]
        reporting = threading.Lock()

        def ended(task: Task, found: Done | str, tries: int) -> None:
            with reporting:
                left[0] -= 1
                report(task, found, tries)

        threads = [
            threading.Thread(target=self._work, args=(waiting, left, ended, stop), daemon=True)
            for _ in range(max(1, min(self._workers, len(tasks))))
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _work(
        self,
        waiting: "queue.SimpleQueue[tuple[Task, int]]",
        left: list[int],
        ended: Report,
        stop: Callable[[], bool],
    ) -> None:
        executor = self._executor()
        try:
            while left[0] > 0 and not stop():
                try:
                    task, tries = waiting.get(timeout=0.1)
                except queue.Empty:
                    continue  # another worker may fail, and its task come back
                try:
                    found: Done | str = executor.submit(paint, task, self._settings).result()
                except BrokenProcessPool:
                    found = "its process was killed (too little memory?)"
                    executor.shutdown(wait=False)
                    executor = self._executor()
                except ArtmirrorError as error:
                    found = str(error.message)
                except Exception as error:  # a defect, or a library's own: it must not end the others
                    found = f"{type(error).__name__}: {error}"
                if isinstance(found, str) and tries < TRIES and not stop():
                    waiting.put((task, tries + 1))
                else:
                    ended(task, found, tries)
        finally:
            executor.shutdown(wait=True, cancel_futures=True)

    def _executor(self) -> ProcessPoolExecutor:
        # Spawned, not forked: libraries with threads do not survive a fork.
        return ProcessPoolExecutor(max_workers=1, mp_context=multiprocessing.get_context("spawn"))
