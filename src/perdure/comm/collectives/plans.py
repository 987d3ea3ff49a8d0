"""From the arguments of a collective call to its schedule: what is sent, where it is received, and what must be copied back afterwards.

One method for each collective; its blocking, non-blocking and persistent forms run what it gives.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from perdure.comm.collectives import reductions, schedules
from perdure.comm.collectives.ops import Op, combiner
from perdure.comm.collectives.window_setup import RANKS_MAX, meet
from perdure.comm.datatypes.buffers import Blocks, TypedBuffer, block, is_in_place, vector, vector_w
from perdure.comm.definitions.constants import IN_PLACE, PROC_NULL
from perdure.comm.definitions.failures import ErrorClass, ValueException
from perdure.comm.messaging.operations import Schedule, drive
from perdure.comm.messaging.shared_window import HALF_BYTES

if TYPE_CHECKING:
    from perdure.comm.messaging.comm_state import CommState, Exchange

Plan = Callable[[], Schedule]
"""Makes the schedule. The arguments were checked already; a persistent call makes it again and again."""


class Rooms:
    """Where parts are received: in place, or in memory of their own from which `put` copies them."""

    def __init__(self, parts: list[TypedBuffer]) -> None:
        self._parts = parts
        self.views = [part.room() for part in parts]

    def put(self) -> None:
        """After the last part is there."""
        for part, view in zip(self._parts, self.views, strict=True):
            part.put(view)

    def fill(self, index: int) -> None:
        """What the program has there becomes a part that was received."""
        part = self._parts[index]
        if not part.dense:
            self.views[index][:] = part.out()


def barrier(m: CommState) -> Plan:
    """MPI_Barrier."""
    return lambda: schedules.barrier(m.exchange())


def bcast(m: CommState, buf: Any, root: int) -> Plan:
    """MPI_Bcast."""
    m.root(root)
    sends = m.rank == root
    one = block(buf, writable=not sends)

    def schedule() -> Schedule:
        data = one.out() if sends else one.room()
        yield from schedules.broadcast(m.exchange(), data, root)
        if not sends:
            one.put(data)

    return schedule


def gather(m: CommState, sendbuf: Any, recvbuf: Any, root: int, *, v: bool = False) -> Plan:
    """MPI_Gather, MPI_Gatherv."""
    m.root(root)
    if m.rank != root:
        mine = block(sendbuf, writable=False)
        return lambda: schedules.gather(m.exchange(), mine.out(), None, root)
    own = None if is_in_place(sendbuf) else block(sendbuf, writable=False)
    targets = _parts(recvbuf, m.size, v=v, writable=True)

    def schedule() -> Schedule:
        rooms = Rooms(targets)
        if own is None:
            rooms.fill(root)
        yield from schedules.gather(m.exchange(), None if own is None else own.out(), rooms.views, root)
        rooms.put()

    return schedule


def scatter(m: CommState, sendbuf: Any, recvbuf: Any, root: int, *, v: bool = False) -> Plan:
    """MPI_Scatter, MPI_Scatterv."""
    m.root(root)
    target = None if m.rank == root and is_in_place(recvbuf) else block(recvbuf, writable=True)
    sources = _parts(sendbuf, m.size, v=v, writable=False) if m.rank == root else None

    def schedule() -> Schedule:
        room = None if target is None else target.room()
        parts = None if sources is None else [source.out() for source in sources]
        yield from schedules.scatter(m.exchange(), parts, room, root)
        if target is not None and room is not None:
            target.put(room)

    return schedule


def allgather(m: CommState, sendbuf: Any, recvbuf: Any, *, v: bool = False) -> Plan:
    """MPI_Allgather, MPI_Allgatherv."""
    targets = _parts(recvbuf, m.size, v=v, writable=True)
    own = None if is_in_place(sendbuf) else block(sendbuf, writable=False)
    if own is not None and own.nbytes != targets[m.rank].nbytes:
        raise ValueException(
            ErrorClass.COUNT,
            f"rank {m.rank}: the receive buffer must hold {m.size} times the {own.nbytes} bytes that are sent, "
            f"and has {targets[m.rank].nbytes} for this rank",
        )

    def schedule() -> Schedule:
        rooms = Rooms(targets)
        if own is None:
            rooms.fill(m.rank)
        else:
            rooms.views[m.rank][:] = own.out()
        yield from schedules.all_gather(m.exchange(), rooms.views)
        rooms.put()

    return schedule


def alltoall(m: CommState, sendbuf: Any, recvbuf: Any, form: str = "") -> Plan:
    """MPI_Alltoall, MPI_Alltoallv ("v"), MPI_Alltoallw ("w")."""
    targets = _parts(recvbuf, m.size, v=form == "v", w=form == "w", writable=True)
    sources = None if is_in_place(sendbuf) else _parts(sendbuf, m.size, v=form == "v", w=form == "w", writable=False)

    def schedule() -> Schedule:
        rooms = Rooms(targets)
        parts = [memoryview(bytes(target.out())) for target in targets] if sources is None else [source.out() for source in sources]
        yield from schedules.all_to_all(m.exchange(), parts, rooms.views)
        rooms.put()

    return schedule


# ---- reductions -------------------------------------------------------------------------------------------------------------


def allreduce(m: CommState, sendbuf: Any, recvbuf: Any, op: Op, *, blocking: bool = False) -> Plan:
    """MPI_Allreduce. One that is `blocking` is the only one of its kind at a time, so it may use memory that the members share."""
    target = block(recvbuf, writable=True)
    source = target if is_in_place(sendbuf) else _alike(block(sendbuf, writable=False), target)
    combine = combiner(op, target, m.engine)

    def schedule() -> Schedule:
        out = target.array()
        vector, x = out if source is target else source.array(), m.exchange()
        shared = (yield from _common(m, x, out)) if blocking else None
        if shared is None:
            yield from reductions.all_reduce(x, vector, out, combine)
        else:
            yield from reductions.all_reduce_in_common(x, shared, vector, out, combine)
        _put_back(target, out)

    return schedule


def _common(m: CommState, x: Exchange, vector: reductions.Array) -> Schedule:
    """The members' common memory, if they can have it and the vector is one that it is good for: the same answer on all of them."""
    if not (reductions.LONG_FROM_BYTES <= vector.nbytes <= HALF_BYTES and 1 < x.size <= min(RANKS_MAX, len(vector))):
        return None
    if not m.has_met and m.engine.traffic.on_one_host(m.ranks):
        m.shared_window = yield from meet(x)
    m.has_met = True
    return m.shared_window


def reduce(m: CommState, sendbuf: Any, recvbuf: Any, op: Op, root: int) -> Plan:
    """MPI_Reduce."""
    m.root(root)
    target = block(recvbuf, writable=True, rank=0 if m.rank == root else PROC_NULL)
    in_place = m.rank == root and is_in_place(sendbuf)
    source = target if in_place else block(sendbuf, writable=False)
    if m.rank == root and not in_place:
        _alike(source, target)
    combine = combiner(op, source, m.engine)

    def schedule() -> Schedule:
        work = source.array().copy()
        yield from reductions.reduce(m.exchange(), work, combine, root)
        if m.rank == root:
            _put_all(target, work)

    return schedule


def reduce_scatter_block(m: CommState, sendbuf: Any, recvbuf: Any, op: Op) -> Plan:
    """MPI_Reduce_scatter_block."""
    in_place = is_in_place(sendbuf)
    target = block(recvbuf, writable=True, blocks=m.size if in_place else 0)
    if in_place:
        source = TypedBuffer(target.memory, target.count * m.size, target.type).check()
    else:
        source = block(sendbuf, writable=False, blocks=m.size)
        _alike(source, target)
        source = TypedBuffer(source.memory, source.count * m.size, source.type).check()
    return _scattered(m, source, target, [target.count] * m.size, combiner(op, target, m.engine))


def reduce_scatter(m: CommState, sendbuf: Any, recvbuf: Any, recvcounts: Any, op: Op) -> Plan:
    """MPI_Reduce_scatter. `recvcounts` must be given when it is in place."""
    in_place = is_in_place(sendbuf)
    target = block(recvbuf, writable=True)
    source = target if in_place else block(sendbuf, writable=False)
    if recvcounts is None:
        if in_place:
            raise ValueException(ErrorClass.ARG, "Reduce_scatter in place needs recvcounts")
        counts = np.empty(m.size, np.int64)
        counts[m.rank] = target.count
        drive(m.engine, allgather(m, IN_PLACE, counts)())
        recvcounts = counts.tolist()
    counts_list = [int(count) for count in recvcounts]
    if len(counts_list) != m.size:
        raise ValueException(ErrorClass.ARG, f"expecting {m.size} items, got {len(counts_list)}")
    if source.type is not target.type:
        raise ValueException(ErrorClass.TYPE, "mismatch in send and receive MPI datatypes")
    if source.count != sum(counts_list):
        raise ValueException(ErrorClass.COUNT, f"mismatch in send count {source.count} and sum(counts) {sum(counts_list)}")
    if not in_place and target.count != counts_list[m.rank]:
        raise ValueException(ErrorClass.COUNT, f"mismatch in receive count {target.count} and counts[{m.rank}] {counts_list[m.rank]}")
    return _scattered(m, source, TypedBuffer(target.memory, counts_list[m.rank], target.type), counts_list, combiner(op, target, m.engine))


def _scattered(m: CommState, source: TypedBuffer, target: TypedBuffer, counts: list[int], combine: Any) -> Plan:
    def schedule() -> Schedule:
        whole = source.array()
        parts = np.split(whole, np.cumsum(counts)[:-1])
        out = np.empty(counts[m.rank], whole.dtype)
        if m.size == 1:
            out[:] = whole
        else:
            yield from reductions.reduce_scatter(m.exchange(), parts, out, combine)
        _put_all(target, out)

    return schedule


def scan(m: CommState, sendbuf: Any, recvbuf: Any, op: Op, *, exclusive: bool = False) -> Plan:
    """MPI_Scan, MPI_Exscan."""
    target = block(recvbuf, writable=True)
    source = target if is_in_place(sendbuf) else _alike(block(sendbuf, writable=False), target)
    combine = combiner(op, target, m.engine)

    def schedule() -> Schedule:
        out = target.array()
        if exclusive:
            yield from reductions.exscan(m.exchange(), source.array(), out, combine)
        else:
            if source is not target:
                out[:] = source.array()
            yield from reductions.scan(m.exchange(), out, combine)
        _put_back(target, out)

    return schedule


# ---- helpers ------------------------------------------------------------------------------------------------------------------


def _parts(message: Any, size: int, *, writable: bool, v: bool = False, w: bool = False) -> list[TypedBuffer]:
    """One block for each rank."""
    if w or v:
        many: Blocks = vector_w(message, writable=writable, blocks=size) if w else vector(message, writable=writable, blocks=size)
        return [many[index] for index in range(size)]
    one = block(message, writable=writable, blocks=size)
    if size == 1:
        return [one]
    step = one.count * one.type.map.extent
    return [TypedBuffer(one.memory[index * step :], one.count, one.type).check() for index in range(size)]


def _alike(source: TypedBuffer, target: TypedBuffer) -> TypedBuffer:
    if source.type is not target.type:
        raise ValueException(ErrorClass.TYPE, "mismatch in send and receive MPI datatypes")
    if source.count != target.count:
        raise ValueException(ErrorClass.COUNT, f"mismatch in send count {source.count} and receive count {target.count}")
    return source


def _put_back(target: TypedBuffer, out: Any) -> None:
    """`out` came from `target.array()`: the same memory, unless the datatype has gaps."""
    if not target.dense:
        target.put(reductions.raw(out))


def _put_all(target: TypedBuffer, work: Any) -> None:
    if target.dense:
        target.memory[: work.nbytes] = work.view(np.uint8)
    else:
        target.put(reductions.raw(work))
