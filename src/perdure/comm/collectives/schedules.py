"""Collectives that move data, out of point-to-point messages.

Each is a generator: it yields what it must wait for. So the same text serves the blocking call, the non-blocking and the persistent one.
The algorithms follow Thakur, Rabenseifner, Gropp, *Optimization of collective communication operations in MPICH* (2005). Which one runs
depends on the sizes only (rule P4).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from perdure.comm.definitions.failures import ErrorClass, MPIException
from perdure.comm.messaging.comm_state import Exchange
from perdure.comm.messaging.operations import Schedule

SCATTER_FROM_BYTES: Final = 512 * 1024
"""From here on a broadcast scatters and then gathers: each rank sends and receives about twice the data, and not log2(n) times."""
DIRECT_UP_TO_RANKS: Final = 8
"""Up to here all ranks of an all-gather send to all others at once; beyond, a ring keeps every rank at two neighbours."""


def barrier(x: Exchange) -> Schedule:
    """Dissemination (Hensgen, Finkel, Manber 1988): after step k everybody has heard, through others, of 2^k ranks."""
    distance = 1
    while distance < x.size:
        wanted = x.receive((x.rank - distance) % x.size, None)
        yield x.send((x.rank + distance) % x.size, memoryview(b"."))
        yield wanted
        distance *= 2


def tree(rank: int, size: int, root: int) -> tuple[int | None, list[int]]:
    """The parent and the children of `rank` in a binomial tree, children with the largest subtree first."""
    relative = (rank - root) % size
    lowest = relative & -relative if relative else 1 << (size - 1).bit_length()
    parent = None if relative == 0 else (relative - lowest + root) % size
    children = []
    step = lowest >> 1
    while step:
        if relative + step < size:
            children.append((relative + step + root) % size)
        step >>= 1
    return parent, children


def broadcast(x: Exchange, buffer: memoryview, root: int) -> Schedule:
    """Small: binomial tree. Large: scatter, then all-gather (van de Geijn 1994)."""
    if len(buffer) >= SCATTER_FROM_BYTES and x.size > 2:
        parts = split(buffer, x.size)
        yield from scatter(x, parts if x.rank == root else None, None if x.rank == root else parts[x.rank], root)
        yield from all_gather(x, parts)
        return
    parent, children = tree(x.rank, x.size, root)
    if parent is not None:
        wanted = x.receive(parent, buffer)
        yield wanted
        x.check(wanted, len(buffer))
    sends = [x.send(child, buffer) for child in children]
    yield from sends


def broadcast_bytes(x: Exchange, data: memoryview | None, root: int) -> Schedule:
    """Binomial tree, for a message whose length only `root` knows. Returns it."""
    parent, children = tree(x.rank, x.size, root)
    if parent is not None:
        wanted = x.receive(parent, None)
        yield wanted
        data = wanted.data
    assert data is not None
    sends = [x.send(child, data) for child in children]
    yield from sends
    return data


def gather_bytes(x: Exchange, data: memoryview, root: int) -> Schedule:
    """Everybody sends to `root`, which has posted all receives. Returns them in the order of ranks there, an empty list elsewhere."""
    if x.rank != root:
        yield x.send(root, data)
        return []
    wanted = {rank: x.receive(rank, None) for rank in range(x.size) if rank != root}
    yield from wanted.values()
    return [data if rank == root else wanted[rank].data for rank in range(x.size)]


def scatter_bytes(x: Exchange, parts: Sequence[memoryview] | None, root: int) -> Schedule:
    """`root` sends everybody its part. Returns this rank's."""
    if parts is None:
        wanted = x.receive(root, None)
        yield wanted
        return wanted.data
    sends = [x.send(rank, part) for rank, part in enumerate(parts) if rank != root]
    yield from sends
    return parts[root]


def all_to_all_bytes(x: Exchange, parts: Sequence[memoryview]) -> Schedule:
    """Part r of every rank to rank r. Returns what came, in the order of ranks."""
    wanted = [x.receive(rank, None) for rank in range(x.size) if rank != x.rank]
    sends = [x.send((x.rank + step) % x.size, parts[(x.rank + step) % x.size]) for step in range(1, x.size)]
    yield from wanted
    yield from sends
    datas = [one.data for one in wanted]
    return [*datas[: x.rank], parts[x.rank], *datas[x.rank :]]


def gather(x: Exchange, mine: memoryview | None, rooms: Sequence[memoryview] | None, root: int) -> Schedule:
    """A part of each rank into `rooms` on `root`; `mine` None there: it lies in its room already."""
    if rooms is None:
        assert mine is not None
        yield x.send(root, mine)
        return
    wanted = [(rank, x.receive(rank, rooms[rank])) for rank in range(x.size) if rank != root]
    if mine is not None:
        _copy(x, rooms[root], mine)
    for rank, one in wanted:
        yield one
        x.check(one, len(rooms[rank]))


def scatter(x: Exchange, parts: Sequence[memoryview] | None, room: memoryview | None, root: int) -> Schedule:
    """A part for each rank, of `root`; `room` None there: its part stays where it is."""
    if parts is None:
        assert room is not None
        wanted = x.receive(root, room)
        yield wanted
        x.check(wanted, len(room))
        return
    sends = [x.send(rank, parts[rank]) for rank in range(x.size) if rank != root]
    if room is not None:
        _copy(x, room, parts[root])
    yield from sends


def all_gather(x: Exchange, rooms: Sequence[memoryview]) -> Schedule:
    """Each rank's own part lies in `rooms[rank]` already.

    Few ranks: to all others at once. Many: a ring, each passes on what it got last.
    """
    if x.size <= DIRECT_UP_TO_RANKS:
        wanted = [(rank, x.receive(rank, rooms[rank])) for rank in range(x.size) if rank != x.rank]
        sends = [x.send((x.rank + step) % x.size, rooms[x.rank]) for step in range(1, x.size)]
        for rank, one in wanted:
            yield one
            x.check(one, len(rooms[rank]))
        yield from sends
        return
    right, left = (x.rank + 1) % x.size, (x.rank - 1) % x.size
    for step in range(x.size - 1):
        give, take = (x.rank - step) % x.size, (x.rank - step - 1) % x.size
        incoming = x.receive(left, rooms[take])
        outgoing = x.send(right, rooms[give])
        yield incoming
        x.check(incoming, len(rooms[take]))
        yield outgoing


def all_to_all(x: Exchange, parts: Sequence[memoryview], rooms: Sequence[memoryview]) -> Schedule:
    """Part r of every rank to rank r.

    All receives are posted first. Sends begin with the next rank, so that no rank is asked by all at once.
    """
    wanted = [(rank, x.receive(rank, rooms[rank])) for rank in range(x.size) if rank != x.rank]
    sends = [x.send((x.rank + step) % x.size, parts[(x.rank + step) % x.size]) for step in range(1, x.size)]
    _copy(x, rooms[x.rank], parts[x.rank])
    for rank, one in wanted:
        yield one
        x.check(one, len(rooms[rank]))
    yield from sends


def neighbours(
    x: Exchange, sends: Sequence[tuple[int, int, memoryview]], receives: Sequence[tuple[int, int, memoryview | None]]
) -> Schedule:
    """(rank, channel, data or room) of each edge. An edge's channel tells it from others between the same two ranks. Returns what came."""
    base = x.tag * _CHANNELS
    wanted = [x.engine.receive(x.ranks[rank], x.context ^ _NEIGHBOURS, base + channel, room) for rank, channel, room in receives]
    under_way = [x.engine.send(x.ranks[rank], x.context ^ _NEIGHBOURS, base + channel, data) for rank, channel, data in sends]
    for one, (_, _, room) in zip(wanted, receives, strict=True):
        yield one
        if room is not None:
            x.check(one, len(room))
    yield from under_way
    return [one.data for one in wanted]


_CHANNELS: Final = 1 << 16
_NEIGHBOURS: Final = 1 << 40
"""A bit of the context that keeps messages along edges apart from those of other collectives."""


def split(buffer: memoryview, parts: int, unit: int = 1) -> list[memoryview]:
    """As `numpy.array_split` does, in whole units."""
    each, extra = divmod(len(buffer) // unit, parts)
    ends = [unit * (each * part + min(part, extra)) for part in range(parts + 1)]
    return [buffer[ends[part] : ends[part + 1]] for part in range(parts)]


def _copy(x: Exchange, room: memoryview, data: memoryview) -> None:
    if len(room) != len(data):
        raise MPIException(ErrorClass.TRUNCATE, f"rank {x.rank} sends itself {len(data)} bytes, and receives {len(room)}")
    room[:] = data
