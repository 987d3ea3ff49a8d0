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

SIZES = (8, 128, 1024, 8192, 65_536, 256 << 10, 1 << 20, 8 << 20, 64 << 20)
REDUCED = (8, 1024, 8192, 65_536, 1 << 20, 8 << 20, 64 << 20)
WAIT_S = 2.0
"""Rank 0 does nothing for so long, and rank 1 waits for it."""
REPETITIONS = 5


def rounds(nbytes: int) -> int:
    """More for short messages, so that one repetition takes milliseconds."""
    return 300 if nbytes <= 1024 else 60 if nbytes <= 65_536 else 15 if nbytes <= 1 << 20 else 3 if nbytes <= 8 << 20 else 1


class OverMpi:
    """perdure.MPI or mpi4py.MPI: the calls are the same."""

    def __init__(self, mpi: Any) -> None:
        self.comm = mpi.COMM_WORLD
        self.rank, self.size = self.comm.Get_rank(), self.comm.Get_size()
        self.barrier, self.filled = self.comm.Barrier, np.ones
        self.send, self.recv = self.comm.Send, self.comm.Recv

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
        self.barrier, self.send, self.recv = dist.barrier, dist.send, dist.recv

    def filled(self, count: int, dtype: Any) -> Any:
        return self.torch.ones(count, dtype=self.torch.uint8 if dtype == np.uint8 else self.torch.float64)

    def all_reduce(self, data: Any) -> Callable[[], None]:
        return lambda: self.dist.all_reduce(data)


def ping_pong(over: Any, mine: Any, theirs: Any) -> None:
    """There and back, between ranks 0 and 1."""
    if over.rank == 0:
        over.send(mine, 1)
        over.recv(theirs, 1)
    elif over.rank == 1:
        over.recv(theirs, 0)
        over.send(mine, 0)


def waiting_cpu(over: Any) -> float:
    """Percent of a core that rank 1 uses, all its threads together, while it waits long in a receive. On rank 0."""
    mine, theirs = over.filled(1, np.float64), over.filled(1, np.float64)
    over.barrier()
    if over.rank == 0:
        time.sleep(WAIT_S)
        over.send(mine, 1)
        over.recv(theirs, 1)
    elif over.rank == 1:
        before, began = time.process_time(), time.perf_counter()
        over.recv(theirs, 0)
        mine[0] = (time.process_time() - before) / (time.perf_counter() - began) * 100
        over.send(mine, 0)
    return float(theirs[0])


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
        figures[f"one way, {nbytes} B"] = timed(over, lambda mine=mine, theirs=theirs: ping_pong(over, mine, theirs), rounds(nbytes)) / 2
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
    figures, cpu = measure(over), waiting_cpu(over)
    if over.rank == 0:
        print("FIGURES " + json.dumps({"library": library, "ranks": over.size, "us": figures, "waiting_cpu": cpu}), flush=True)


def main(job: Any) -> None:
    """The program under `perdure run`."""
    run("perdure")


if __name__ == "__main__":
    run(sys.argv[1])
