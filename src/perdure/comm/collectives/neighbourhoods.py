"""From the arguments of a neighbourhood collective to its schedule. See `plans`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from perdure.comm.collectives.plans import Plan, Rooms
from perdure.comm.collectives.schedules import neighbours
from perdure.comm.datatypes.buffers import TypedBuffer, block, vector, vector_w
from perdure.comm.definitions.constants import PROC_NULL
from perdure.comm.definitions.failures import ErrorClass, MPIException, ValueException
from perdure.comm.messaging.operations import Schedule
from perdure.comm.messaging.topologies import Grid

if TYPE_CHECKING:
    from perdure.comm.messaging.comm_state import CommState


def edges(m: CommState) -> tuple[list[int], list[int]]:
    """(ranks that this one receives from, ranks that it sends to). `MPI.Exception`: the communicator has no topology."""
    if m.topology is None:
        raise MPIException(ErrorClass.TOPOLOGY, "this communicator has no topology")
    return m.topology.edges(m.rank)


def allgather(m: CommState, sendbuf: Any, recvbuf: Any, *, v: bool = False) -> Plan:
    """MPI_Neighbor_allgather, MPI_Neighbor_allgatherv."""
    sources, destinations = edges(m)
    mine = block(sendbuf, writable=False)
    targets = _parts(recvbuf, len(sources), "v" if v else "", writable=True)

    def schedule() -> Schedule:
        rooms = Rooms(targets)
        yield from _along(m, sources, destinations, [mine.out()] * len(destinations), rooms.views)
        rooms.put()

    return schedule


def alltoall(m: CommState, sendbuf: Any, recvbuf: Any, form: str = "") -> Plan:
    """MPI_Neighbor_alltoall, MPI_Neighbor_alltoallv ("v"), MPI_Neighbor_alltoallw ("w")."""
    sources, destinations = edges(m)
    parts = _parts(sendbuf, len(destinations), form, writable=False)
    targets = _parts(recvbuf, len(sources), form, writable=True)

    def schedule() -> Schedule:
        rooms = Rooms(targets)
        yield from _along(m, sources, destinations, [part.out() for part in parts], rooms.views)
        rooms.put()

    return schedule


def objects(m: CommState, parts: Sequence[memoryview]) -> Schedule:
    """One object's bytes to each neighbour. Returns theirs."""
    sources, destinations = edges(m)
    if len(parts) != len(destinations):
        raise ValueException(ErrorClass.ARG, f"expecting {len(destinations)} items, got {len(parts)}")
    found = yield from _along(m, sources, destinations, parts, [None] * len(sources))
    return [_NONE if part is None else part for part in found]


def _along(
    m: CommState, sources: Sequence[int], destinations: Sequence[int], parts: Sequence[memoryview], rooms: Sequence[memoryview | None]
) -> Schedule:
    """Edges to PROC_NULL carry nothing. Several edges between the same two ranks keep their order.

    On a grid, what goes to the higher neighbour arrives there as from the lower one; so an edge's channel is its direction, as its
    receiver sees it.
    """
    grid = isinstance(m.topology, Grid)
    outward = [
        (rank, edge ^ 1 if grid else list(destinations[:edge]).count(rank), part)
        for edge, (rank, part) in enumerate(zip(destinations, parts, strict=True)) if rank != PROC_NULL
    ]  # fmt: skip
    inward = [
        (rank, edge if grid else list(sources[:edge]).count(rank), room)
        for edge, (rank, room) in enumerate(zip(sources, rooms, strict=True)) if rank != PROC_NULL
    ]  # fmt: skip
    came = iter((yield from neighbours(m.exchange(), outward, inward)))
    return [None if rank == PROC_NULL else next(came) for rank in sources]


def _parts(message: Any, count: int, form: str, *, writable: bool) -> list[TypedBuffer]:
    if form:
        many = (vector if form == "v" else vector_w)(message, writable=writable, blocks=count)
        return [many[index] for index in range(count)]
    one = block(message, writable=writable, blocks=count)
    if count < 2:
        return [one] * count
    step = one.count * one.type.map.extent
    return [TypedBuffer(one.memory[index * step :], one.count, one.type).check() for index in range(count)]


_NONE = memoryview(b"N.")
"""The pickle of None: what comes from PROC_NULL."""
