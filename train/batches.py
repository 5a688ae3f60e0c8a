"""Training pairs in batches, from processes that load them ahead of the training step and end with it."""

import signal
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import Any

import cv2
from torch.utils.data import DataLoader, Dataset

from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.train.config import TrainConfig
from artmirror.train.distributed import Group


def batches(
    pairs: Dataset[Any], config: TrainConfig, group: Group, *, workers: int, done: int
) -> Generator[Any, None, None]:
    """This process's share of every step's pairs or sequences, from the step after `done` to the last: step s has
    those from s * config.pairs onwards, and each process takes a stretch of them. Close it to end the workers.

    Raises:
        ArtmirrorError: a picture cannot be read, or a worker died.
    """
    share = group.share(config.pairs)
    begin = done * config.pairs + group.rank * share
    loader = DataLoader(
        pairs,
        batch_sampler=[list(range(i, i + share)) for i in range(begin, config.steps * config.pairs, config.pairs)],
        num_workers=workers,
        pin_memory=group.device.type == "cuda",
        worker_init_fn=_start_worker,
        # OpenCV and a running OpenMP do not survive a fork.
        multiprocessing_context="spawn" if workers else None,
    )
    with _signals_held():
        loaded = iter(loader)
    failure = None
    try:
        yield from loaded
    except ArtmirrorError as error:  # a worker's comes wrapped in its traceback
        failure = ArtmirrorError(error.message.rpartition("ArtmirrorError: ")[2].strip())
    except RuntimeError as error:
        failure = ArtmirrorError(f"a process that loads photos died: {error}; try --workers 0".replace("\n", " "))
    if failure is not None:
        # Raised with nothing that holds the loader: whoever keeps the error would keep its processes alive.
        del loaded, loader
        raise failure


def _start_worker(_: int) -> None:
    cv2.setNumThreads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # where there are no signal masks


@contextmanager
def _signals_held() -> Iterator[None]:
    """Start processes inside: they inherit the mask. Ctrl-C reaches the whole group; the main process decides."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
