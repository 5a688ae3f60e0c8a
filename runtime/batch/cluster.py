"""The same tasks on a Ray cluster: Ray Core, files by a shared folder or a storage, never through its object store."""

import logging
import os
from collections.abc import Callable, Sequence
from typing import Any

from artmirror.runtime.batch.processes import TRIES, Report
from artmirror.runtime.batch.tasks import BatchSettings, Task
from artmirror.runtime.batch.work import Done, paint
from artmirror.runtime.common.errors import ArtmirrorError

_AHEAD = 2  # tasks waiting for each that runs
_WAIT_S = 0.5


class RayRunner:
    """Tasks on a cluster. A node that is killed costs its tasks one try.

    Args:
        address: `ray://host:10001`, `host:6379`, or `auto` for the cluster that this machine belongs to.
        gpus: Share of a GPU for each task; 0 for none.

    Raises:
        ArtmirrorError: Ray is not installed, or there is no cluster.
    """

    def __init__(self, settings: BatchSettings, address: str, *, gpus: float = 0.0) -> None:
        os.environ["RAY_USAGE_STATS_ENABLED"] = "0"  # nothing is reported to anybody
        os.environ.setdefault("RAY_AUTH_MODE", "token")  # else whoever reaches the port runs programs there
        try:
            import ray
        except ImportError:
            raise ArtmirrorError(
                "--ray needs the package ray; install it with pip install 'artmirror[cluster]'"
            ) from None
        self._ray: Any = ray
        self._settings = settings
        if not ray.is_initialized():
            try:
                ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, configure_logging=False)
            except Exception as error:  # Ray has many classes
                raise ArtmirrorError(f"there is no Ray cluster at {address}: {error}") from None
        threads = settings.threads or 1
        # Killed workers and nodes are counted here, not by Ray: so that a file that kills its worker is named.
        self._paint = ray.remote(num_cpus=threads, num_gpus=gpus, max_retries=0)(paint)

    def run(self, tasks: Sequence[Task], report: Report, stop: Callable[[], bool]) -> None:
        """See `processes.Runner`."""
        ray = self._ray
        waiting = [(task, 1) for task in reversed(tasks)]
        running: dict[Any, tuple[Task, int]] = {}
        while (waiting or running) and not stop():
            cpus = int(ray.cluster_resources().get("CPU", 1))
            while waiting and len(running) < cpus * _AHEAD:
                task, tries = waiting.pop()
                running[self._paint.remote(task, self._settings)] = (task, tries)
            ready, _ = ray.wait(list(running), num_returns=1, timeout=_WAIT_S)
            for reference in ready:
                task, tries = running.pop(reference)
                found = self._result(reference)
                if isinstance(found, str) and tries < TRIES:
                    waiting.append((task, tries + 1))
                else:
                    report(task, found, tries)
        for reference in running:  # after a stop
            ray.cancel(reference, force=True)

    def _result(self, reference: Any) -> Done | str:
        ray = self._ray
        try:
            found: Done = ray.get(reference)
            return found
        except ray.exceptions.RayTaskError as error:
            cause = error.cause
            return str(cause.message) if isinstance(cause, ArtmirrorError) else f"{type(cause).__name__}: {cause}"
        except ray.exceptions.RayError as error:
            return f"its worker or node was lost: {type(error).__name__}"
