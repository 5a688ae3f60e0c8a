"""The processes of one run: a single one, or as many as torchrun started, on one machine or several."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel

from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.train.device import find_device

_VARIABLES = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")  # torchrun sets them all


class PeerError(ArtmirrorError):
    """Another process of the same run failed, and tells why; this one ends in silence."""


def is_first_process() -> bool:
    """Whether this process is the one that speaks and writes for its run."""
    return not _launched() or os.environ["RANK"] == "0"


@dataclass(frozen=True, slots=True)
class Group:
    """This process among those of its run. What it exchanges are small numbers on the CPU, but for the gradients."""

    device: torch.device  # this process's own
    rank: int = 0
    size: int = 1
    local_rank: int = 0  # among those on this machine

    @property
    def first(self) -> bool:
        """Whether this process writes the files."""
        return self.rank == 0

    def share(self, pairs: int) -> int:
        """How many of a step's pairs are this process's.

        Raises:
            ArtmirrorError: they cannot be shared out evenly; the mean over processes would not be that over pairs.
        """
        if pairs % self.size:
            raise ArtmirrorError(
                f"{pairs} pairs a step for {self.size} processes; wanted a multiple of {self.size}: change --pairs"
            )
        return pairs // self.size

    def parallel(self, network: nn.Module) -> nn.Module:
        """The network as every process trains it: with the first one's weights, and gradients averaged over all."""
        if self.size == 1:
            return network
        return DistributedDataParallel(network, device_ids=[self.device] if self.device.type == "cuda" else None)

    @contextmanager
    def together(self) -> Iterator[None]:
        """What fails in one process fails in all. Every process must come by; exchanges nothing else inside.

        Raises:
            ArtmirrorError: the block's own, in the first of the processes where it failed.
            PeerError: in the others.
        """
        failure: ArtmirrorError | None = None
        try:
            yield
        except ArtmirrorError as error:
            failure = error
        if self.size > 1:
            failed = torch.tensor(self.size if failure is None else self.rank)
            distributed.all_reduce(failed, distributed.ReduceOp.MIN)
            if failed.item() not in (self.rank, self.size):
                raise PeerError(f"process {failed.item()} of this run failed, and says why")
        if failure is not None:
            raise failure

    def mean(self, values: Sequence[float]) -> list[float]:
        """The mean over the processes of each value."""
        if self.size == 1:
            return list(values)
        sums = torch.tensor(values, dtype=torch.float64)
        distributed.all_reduce(sums)
        return [float(value) / self.size for value in sums]

    def any(self, flag: bool) -> bool:
        """Whether the flag is up in any process."""
        return max(self.mean([flag])) > 0

    def firsts(self, value: Any) -> Any:
        """The first process's value, in every process."""
        if self.size == 1:
            return value
        values = [value]
        distributed.broadcast_object_list(values, src=0, device=torch.device("cpu"))
        return values[0]


@contextmanager
def open_group(device: str) -> Iterator[Group]:
    """Find the other processes: by torchrun's variables in the environment; without them there are none.

    Args:
        device: As for `find_device`. With several processes it names a kind: each takes the GPU of its local rank.

    Raises:
        ArtmirrorError: no such device, or one for all; or the processes do not find each other.
    """
    if not _launched():
        yield Group(find_device(device))
        return
    rank, size, local_rank = (int(os.environ[name]) for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"))
    if size > 1 and ":" in device:
        raise ArtmirrorError(f"{size} processes cannot share {device}; use --device {device.partition(':')[0]}")
    own = find_device(device, local_rank)
    if own.type == "cuda":
        torch.cuda.set_device(own)
    try:
        distributed.init_process_group("cpu:gloo,cuda:nccl" if own.type == "cuda" else "gloo")
    except (RuntimeError, ValueError) as error:
        place = f"{os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']}"
        raise ArtmirrorError(
            f"the {size} processes could not meet at {place} ({str(error).splitlines()[0]}); "
            "choose another --master-port of torchrun, or look whether the first machine can be reached"
        ) from error
    try:
        yield Group(own, rank, size, local_rank)
    finally:
        distributed.destroy_process_group()


def _launched() -> bool:
    return all(name in os.environ for name in _VARIABLES)
