"""Latency, bandwidth and all-reduce of one communicator: what OSU's micro-benchmarks are to MPI.

The same text runs over perdure, mpi4py and torch's gloo; `perdure bench comm` runs them one after the other and prints the ratios.

    perdure run benchmarks/comm.py --ranks 4
    mpirun -n 4 python benchmarks/comm.py mpi4py
    torchrun --nproc-per-node 4 benchmarks/comm.py gloo

Rank 0 prints one JSON object. Times are microseconds, medians over repetitions; the clock stops when all ranks are done.
Buffers are filled: memory that was never written costs nothing to read.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

SIZES = (8, 1024, 65_536, 1 << 20, 64 << 20)
REDUCED = (8, 1 << 20, 64 << 20)
REPETITIONS = 5


def rounds(nbytes: int) -> int:
    """More for short messages, so that one repetition takes milliseconds."""
    return 300 if nbytes <= 1024 else 60 if nbytes <= 65_536 else 15 if nbytes <= 1 << 20 else 1


class OverMpi:
    """perdure.MPI or mpi4py.MPI: the calls are the same."""

    def __init__(self, mpi: Any) -> None:
        self.comm = mpi.COMM_WORLD
        self.rank, self.size = self.comm.Get_rank(), self.comm.Get_size()
        self.barrier, self.filled = self.comm.Barrier, np.ones

    def ping_pong(self, mine: Any, theirs: Any) -> None:
        if self.rank == 0:
            self.comm.Send(mine, 1)
            self.comm.Recv(theirs, 1)
        elif self.rank == 1:
            self.comm.Recv(theirs, 0)
            self.comm.Send(mine, 0)

    def all_reduce(self, data: Any) -> Callable[[], None]:
        result = np.zeros_like(data)
        return lambda: self.comm.Allreduce(data, result)


class OverGloo:
    """torch.distributed."""

    def __init__(self) -> None:
        import torch
        import torch.distributed as dist

        dist.init_process_group("gloo")
        self.dist, self.torch = dist, torch
        self.rank, self.size = dist.get_rank(), dist.get_world_size()
        self.barrier = dist.barrier

    def filled(self, count: int, dtype: Any) -> Any:
        return self.torch.ones(count, dtype=self.torch.uint8 if dtype == np.uint8 else self.torch.float64)

    def ping_pong(self, mine: Any, theirs: Any) -> None:
        if self.rank == 0:
            self.dist.send(mine, 1)
            self.dist.recv(theirs, 1)
        elif self.rank == 1:
            self.dist.recv(theirs, 0)
            self.dist.send(mine, 0)

    def all_reduce(self, data: Any) -> Callable[[], None]:
        return lambda: self.dist.all_reduce(data)


def timed(over: Any, body: Callable[[], None], count: int) -> float:
    """Microseconds for one call of the body."""
    body()
    found = []
    for _ in range(REPETITIONS):
        over.barrier()
        began = time.perf_counter()
        for _ in range(count):
            body()
        over.barrier()
        found.append((time.perf_counter() - began) / count * 1e6)
    return statistics.median(found)


def measure(over: Any) -> dict[str, float]:
    """All figures."""
    figures = {}
    for nbytes in SIZES:
        mine, theirs = over.filled(nbytes, np.uint8), over.filled(nbytes, np.uint8)
        figures[f"one way, {nbytes} B"] = timed(over, lambda mine=mine, theirs=theirs: over.ping_pong(mine, theirs), rounds(nbytes)) / 2
    for nbytes in REDUCED:
        figures[f"all-reduce, {nbytes} B"] = timed(over, over.all_reduce(over.filled(nbytes // 8, np.float64)), rounds(nbytes))
    figures["barrier"] = timed(over, over.barrier, rounds(8))
    return figures


def run(library: str) -> None:
    """Measures on every rank; rank 0 prints."""
    if library == "gloo":
        over: Any = OverGloo()
    elif library == "mpi4py":
        from mpi4py import MPI

        over = OverMpi(MPI)
    else:
        from perdure import MPI

        over = OverMpi(MPI)
    figures = measure(over)
    if over.rank == 0:
        print("FIGURES " + json.dumps({"library": library, "ranks": over.size, "us": figures}), flush=True)


def main(job: Any) -> None:
    """The program under `perdure run`."""
    run("perdure")


if __name__ == "__main__":
    run(sys.argv[1])
