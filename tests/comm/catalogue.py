"""Every collective there is, with arguments that differ from rank to rank, and what a rank has of it afterwards."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from perdure import MPI
from perdure.comm import Communicator

Call = Callable[[Communicator, int], Any]
"""(communicator, count of doubles) -> what the rank has afterwards, to be compared with an undisturbed run."""
Arguments = tuple[str, tuple[Any, ...], Any]
"""The call's name in mpi4py, its arguments, and what holds the result afterwards."""


def mine(comm: Communicator, count: int) -> np.ndarray:
    """Doubles of this rank's own, whose sums are exact."""
    return np.arange(count, dtype=float) + 1000 * (comm.rank + 1)


def filled(count: int) -> np.ndarray:
    return np.full(count, -1.0)


def vector(comm: Communicator, count: int) -> tuple[list[int], list[int]]:
    """Counts that grow with the rank, and where each part begins."""
    counts = [count + rank for rank in range(comm.size)]
    return counts, [sum(counts[:rank]) for rank in range(comm.size)]


def _gatherv(comm: Communicator, n: int) -> Arguments:
    counts, starts = vector(comm, n)
    out = filled(sum(counts))
    return "Gatherv", (mine(comm, counts[comm.rank]), [out, (counts, starts), MPI.DOUBLE], 1), out


def _scatterv(comm: Communicator, n: int) -> Arguments:
    counts, starts = vector(comm, n)
    out = filled(counts[comm.rank])
    return "Scatterv", ([mine(comm, sum(counts)), (counts, starts), MPI.DOUBLE], out, 1), out


def _allgatherv(comm: Communicator, n: int) -> Arguments:
    counts, starts = vector(comm, n)
    out = filled(sum(counts))
    return "Allgatherv", (mine(comm, counts[comm.rank]), [out, (counts, starts), MPI.DOUBLE]), out


def _vectors(comm: Communicator, ranks: int, n: int) -> tuple[Any, Any, np.ndarray]:
    out = filled(ranks * n)
    parts = ([n] * ranks, [n * rank for rank in range(ranks)])
    return [mine(comm, ranks * n), parts, MPI.DOUBLE], [out, parts, MPI.DOUBLE], out


def _words(comm: Communicator, ranks: int, n: int) -> tuple[Any, Any, np.ndarray]:
    out = filled(ranks * n)
    parts = ([n] * ranks, [8 * n * rank for rank in range(ranks)])
    types = [MPI.DOUBLE] * ranks
    return [mine(comm, ranks * n), parts, types], [out, parts, types], out


def _with_result(name: str, out: np.ndarray, *arguments: Any) -> Arguments:
    return name, tuple(out if argument is ... else argument for argument in arguments), out


BUFFERS: dict[str, Callable[[Communicator, int], Arguments]] = {
    "Barrier": lambda c, n: ("Barrier", (), None),
    "Bcast": lambda c, n: _with_result("Bcast", mine(c, n) if c.rank == 1 else filled(n), ..., 1),
    "Gather": lambda c, n: _with_result("Gather", filled(n * c.size), mine(c, n), ..., 1),
    "Gatherv": _gatherv,
    "Scatter": lambda c, n: _with_result("Scatter", filled(n), mine(c, n * c.size), ..., 1),
    "Scatterv": _scatterv,
    "Allgather": lambda c, n: _with_result("Allgather", filled(n * c.size), mine(c, n), ...),
    "Allgatherv": _allgatherv,
    "Alltoall": lambda c, n: _with_result("Alltoall", filled(n * c.size), mine(c, n * c.size), ...),
    "Alltoallv": lambda c, n: ("Alltoallv", (both := _vectors(c, c.size, n))[:2], both[2]),
    "Alltoallw": lambda c, n: ("Alltoallw", (both := _words(c, c.size, n))[:2], both[2]),
    "Reduce": lambda c, n: _with_result("Reduce", filled(n), mine(c, n), ..., MPI.SUM, 1),
    "Allreduce": lambda c, n: _with_result("Allreduce", filled(n), mine(c, n), ...),
    "Allreduce in place": lambda c, n: _with_result("Allreduce", mine(c, n), MPI.IN_PLACE, ...),
    "Reduce_scatter_block": lambda c, n: _with_result("Reduce_scatter_block", filled(n), mine(c, n * c.size), ...),
    "Reduce_scatter": lambda c, n: _with_result("Reduce_scatter", filled(n + c.rank), mine(c, sum(vector(c, n)[0])), ..., vector(c, n)[0]),
    "Scan": lambda c, n: _with_result("Scan", filled(n), mine(c, n), ...),
    "Exscan": lambda c, n: _with_result("Exscan", filled(n), mine(c, n), ...),
}
NEIGHBOURS: dict[str, Callable[[Communicator, int], Arguments]] = {
    "Neighbor_allgather": lambda c, n: _with_result("Neighbor_allgather", filled(2 * n), mine(c, n), ...),
    "Neighbor_allgatherv": lambda c, n: ("Neighbor_allgatherv", (mine(c, n), (both := _vectors(c, 2, n))[1]), both[2]),
    "Neighbor_alltoall": lambda c, n: _with_result("Neighbor_alltoall", filled(2 * n), mine(c, 2 * n), ...),
    "Neighbor_alltoallv": lambda c, n: ("Neighbor_alltoallv", (both := _vectors(c, 2, n))[:2], both[2]),
    "Neighbor_alltoallw": lambda c, n: ("Neighbor_alltoallw", (both := _words(c, 2, n))[:2], both[2]),
}
OBJECTS: dict[str, Call] = {
    "barrier": lambda c, n: c.barrier(),
    "bcast": lambda c, n: c.bcast(mine(c, n) if c.rank == 1 else None, 1),
    "gather": lambda c, n: c.gather(mine(c, n), 1),
    "scatter": lambda c, n: c.scatter([mine(c, n)] * c.size if c.rank == 1 else None, 1),
    "allgather": lambda c, n: c.allgather(mine(c, n)),
    "alltoall": lambda c, n: c.alltoall([mine(c, n)] * c.size),
    "reduce": lambda c, n: c.reduce(mine(c, n), MPI.SUM, 1),
    "allreduce": lambda c, n: c.allreduce(mine(c, n)),
    "scan": lambda c, n: c.scan(mine(c, n)),
    "exscan": lambda c, n: c.exscan(mine(c, n)),
    "neighbor_allgather": lambda c, n: ring(c).neighbor_allgather(mine(c, n)),
    "neighbor_alltoall": lambda c, n: ring(c).neighbor_alltoall([mine(c, n)] * 2),
    "Split": lambda c, n: c.Split(c.rank % 2).allgather(c.rank),
    "Create_dist_graph": lambda c, n: c.Create_dist_graph([c.rank], [1], [(c.rank + 1) % c.size]).neighbor_allgather(c.rank),
}
"""Lower-case forms, and the constructors of communicators that communicate."""


def ring(comm: Communicator) -> Any:
    return comm.Create_cart([comm.size], periods=True)


def _blocking(prepare: Callable[[Communicator, int], Arguments], over: Callable[[Communicator], Any]) -> Call:
    def call(comm: Communicator, count: int) -> Any:
        name, arguments, out = prepare(comm, count)
        getattr(over(comm), name)(*arguments)
        return out

    return call


def _immediate(prepare: Callable[[Communicator, int], Arguments], over: Callable[[Communicator], Any]) -> Call:
    def call(comm: Communicator, count: int) -> Any:
        name, arguments, out = prepare(comm, count)
        getattr(over(comm), "I" + name[0].lower() + name[1:])(*arguments).Wait()
        return out

    return call


def _persistent(prepare: Callable[[Communicator, int], Arguments], over: Callable[[Communicator], Any]) -> Call:
    def call(comm: Communicator, count: int) -> Any:
        name, arguments, out = prepare(comm, count)
        request = getattr(over(comm), name + "_init")(*arguments)
        request.Start()
        request.Wait()
        return out

    return call


def _forms(names: Sequence[str], form: Callable[..., Call], label: str) -> dict[str, Call]:
    everything = {name: (prepare, ring) for name, prepare in NEIGHBOURS.items()} | {
        name: (prepare, lambda comm: comm) for name, prepare in BUFFERS.items()
    }
    return {f"{label}{name}": form(*everything[name]) for name in names}


UPPER: dict[str, Call] = _forms([*BUFFERS, *NEIGHBOURS], _blocking, "")
IMMEDIATE: dict[str, Call] = _forms([*BUFFERS, *NEIGHBOURS], _immediate, "I ")
PERSISTENT: dict[str, Call] = _forms([*BUFFERS, *NEIGHBOURS], _persistent, "init ")
ALL: dict[str, Call] = UPPER | IMMEDIATE | PERSISTENT | OBJECTS
SIZES: dict[str, tuple[int, ...]] = {
    "Barrier": (1,), "Bcast": (1, 70_000), "Allreduce": (1, 4096, 300_000), "Allreduce in place": (1, 4096), "Reduce": (1, 4096),
}  # fmt: skip
"""Counts of doubles: one for each algorithm that the sizes choose between; 300,000 is more than a stream of threads holds at once."""


def sizes(name: str) -> tuple[int, ...]:
    return SIZES.get(name.removeprefix("I ").removeprefix("init "), (1, 4096) if name[0] in "GSAERN" else (1,))
