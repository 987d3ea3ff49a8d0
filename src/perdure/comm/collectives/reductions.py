"""Collectives that combine data. The order in which operands are combined depends on the ranks only, so the same size gives the same bits.

Short vectors: recursive doubling (Thakur, Rabenseifner, Gropp 2005), log2(n) steps. Long ones: Rabenseifner's reduce-scatter and all-gather
(2004), here with the pairwise exchange that MPICH uses for operations that do not commute: every rank combines one part of the vector, in
the order of ranks 0, 1, ..., n - 1. It takes the other ranks' parts in blocks that stay in the cache, straight out of their memory where
the transport can; over sockets the same blocks come out of the message. The bits are the same.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from perdure.comm.collectives.schedules import all_gather, gather, tree
from perdure.comm.collectives.window_setup import everybody
from perdure.comm.messaging.comm_state import Exchange
from perdure.comm.messaging.matching import Receive
from perdure.comm.messaging.operations import Schedule
from perdure.comm.messaging.shared_window import SharedWindow

Array = NDArray[Any]
Combine = Callable[[Array, Array, Array], Any]
"""(lower ranks' operand, higher ranks', where the result goes), each (n,) of one dtype."""
LONG_FROM_BYTES: Final = 16 * 1024
"""From here on moving fewer bytes beats fewer messages (not tuned: between MPICH's 2 KiB for C and what a frame costs in Python)."""
BLOCK_BYTES: Final = 256 * 1024
"""Of a part that is combined at once: three of them fit into a second-level cache of 1 MiB."""


def raw(array: Array) -> memoryview:
    """The bytes of a contiguous array (n,)."""
    return array.view(np.uint8).data if len(array) else memoryview(bytearray())


def _split(work: Array, parts: int) -> list[Array]:
    """As `numpy.array_split` does, without its general cases."""
    each, extra = divmod(len(work), parts)
    ends = [each * part + min(part, extra) for part in range(parts + 1)]
    return [work[ends[part] : ends[part + 1]] for part in range(parts)]


def all_reduce(x: Exchange, source: Array, out: Array, combine: Combine) -> Schedule:
    """Into `out` (n,), on all ranks. `source` may be `out`."""
    if x.size == 1 or out.nbytes < LONG_FROM_BYTES or len(out) < x.size:
        if source is not out:
            out[:] = source
        if x.size > 1:
            yield from _recursive_doubling(x, out, combine)
        return
    parts = _split(out, x.size)
    sends = yield from _combine_parts(x, parts if source is out else _split(source, x.size), parts[x.rank], combine)
    yield from all_gather(x, [raw(part) for part in parts])
    for send in sends:  # whoever passed on the result of its part had taken all operands of it
        x.engine.settle(send)
        yield send


def all_reduce_in_common(x: Exchange, window: SharedWindow, source: Array, out: Array, combine: Combine) -> Schedule:
    """`all_reduce` in memory that all ranks have mapped: each combines its part of all vectors where they lie, then copies the parts of
    the others. The order, and so the bits, are the same."""
    vectors = window.vectors(source)
    vectors[x.rank][:] = source
    yield from everybody(x, source.nbytes)
    operands = [_split(vector, x.size)[x.rank] for vector in vectors]
    own = operands[x.rank]
    block = max(1, BLOCK_BYTES // own.itemsize)
    scratch = np.empty(min(block, len(own)), own.dtype)
    for start in range(0, len(own), block):
        first, *rest = (operand[start : start + block] for operand in operands)
        total = first
        for operand in rest:
            result = own[start : start + block] if operand is rest[-1] else scratch[: len(first)]
            combine(total, operand, result)
            total = result
    yield from everybody(x, source.nbytes)
    for rank, target in enumerate(_split(out, x.size)):
        target[:] = _split(vectors[rank], x.size)[rank]


def reduce(x: Exchange, work: Array, combine: Combine, root: int) -> Schedule:
    """On `root`, in place; elsewhere `work` is overwritten."""
    if x.size == 1:
        return
    if work.nbytes < LONG_FROM_BYTES or len(work) < x.size:
        yield from _binomial(x, work, combine, root)
        return
    parts = _split(work, x.size)
    yield from reduce_scatter(x, parts, parts[x.rank], combine)
    rooms = [raw(part) for part in parts]
    yield from gather(x, None if x.rank == root else rooms[x.rank], rooms if x.rank == root else None, root)


def reduce_scatter(x: Exchange, parts: Sequence[Array], out: Array, combine: Combine) -> Schedule:
    """Part r of all ranks, combined, into `out` on rank r. `out` may be `parts[rank]`."""
    sends = yield from _combine_parts(x, parts, out, combine, answer=True)
    yield from sends


def _combine_parts(x: Exchange, parts: Sequence[Array], out: Array, combine: Combine, answer: bool = False) -> Schedule:
    """Returns the sends, which are still under way. `answer`: tells the others when their parts have been taken."""
    mine = parts[x.rank]
    wanted = {rank: x.receive(rank, None, hold=True) for rank in range(x.size) if rank != x.rank}
    sends = [x.send((x.rank + step) % x.size, raw(parts[(x.rank + step) % x.size])) for step in range(1, x.size)]
    yield from wanted.values()
    for one in wanted.values():
        x.check(one, mine.nbytes)
    block = max(1, BLOCK_BYTES // max(mine.itemsize, 1))
    scratch = np.empty((2, min(block, len(mine))), mine.dtype)
    for start in range(0, len(mine), block):
        yield from _combined(x, wanted, mine, start, min(block, len(mine) - start), scratch, out, combine)
    for one in wanted.values() if answer else ():
        x.engine.release(one)
    return sends


def _combined(
    x: Exchange, wanted: dict[int, Receive], mine: Array, start: int, count: int, scratch: Array, out: Array, combine: Combine
) -> Schedule:
    """One block of this rank's part, in the order of ranks."""
    total, incoming = scratch[0, :count], scratch[1, :count]
    own = mine[start : start + count]
    at = start * mine.itemsize
    for rank in range(x.size):
        operand = own
        if rank != x.rank:
            operand = total if rank == 0 else incoming
            if not x.engine.read(wanted[rank], at, raw(operand)):
                yield wanted[rank]
                x.engine.read(wanted[rank], at, raw(operand))
        if rank == 0:
            total = operand
        else:
            result = out[start : start + count] if rank == x.size - 1 else scratch[0, :count]
            combine(total, operand, result)
            total = result


def _recursive_doubling(x: Exchange, work: Array, combine: Combine) -> Schedule:
    """Ranks beyond the largest power of two fold into their left neighbours first, and get the result from them at the end."""
    power = 1 << (x.size.bit_length() - 1)
    extra = x.size - power
    incoming = np.empty_like(work)
    if x.rank < 2 * extra:
        if x.rank % 2:
            yield x.send(x.rank - 1, raw(work))
            last = x.receive(x.rank - 1, raw(work))
            yield last
            x.check(last, work.nbytes)
            return
        yield from _received(x, x.rank + 1, incoming)
        combine(work, incoming, work)
    place = x.rank // 2 if x.rank < 2 * extra else x.rank - extra
    distance = 1
    while distance < power:
        other = place ^ distance
        peer = 2 * other if other < extra else other + extra
        sent = x.send(peer, raw(work))
        yield from _received(x, peer, incoming)
        yield sent
        if place & distance:
            combine(incoming, work, work)
        else:
            combine(work, incoming, work)
        distance *= 2
    if x.rank < 2 * extra:
        yield x.send(x.rank + 1, raw(work))


def _binomial(x: Exchange, work: Array, combine: Combine, root: int) -> Schedule:
    """A binomial tree whose root is rank 0, so that a subtree holds consecutive ranks; the result goes on to `root`."""
    parent, children = tree(x.rank, x.size, 0)
    incoming = np.empty_like(work)
    for child in reversed(children):
        yield from _received(x, child, incoming)
        combine(work, incoming, work)
    if parent is not None:
        yield x.send(parent, raw(work))
    if root != 0 and x.rank == 0:
        yield x.send(root, raw(work))
    if root != 0 and x.rank == root:
        yield from _received(x, 0, work)


def _received(x: Exchange, source: int, into: Array) -> Schedule:
    wanted = x.receive(source, raw(into))
    yield wanted
    x.check(wanted, into.nbytes)


def scan(x: Exchange, work: Array, combine: Combine) -> Schedule:
    """Ranks 0 to this one, in place: a chain, so that the order is that of ranks for every operation."""
    if x.rank > 0:
        incoming = np.empty_like(work)
        yield from _received(x, x.rank - 1, incoming)
        combine(incoming, work, work)
    if x.rank + 1 < x.size:
        yield x.send(x.rank + 1, raw(work))


def exscan(x: Exchange, mine: Array, out: Array, combine: Combine) -> Schedule:
    """Ranks 0 to the one before this, into `out`; on rank 0 it stays as it is. `out` may be `mine`."""
    total = mine.copy()
    if x.rank > 0:
        incoming = np.empty_like(mine)
        yield from _received(x, x.rank - 1, incoming)
        combine(incoming, total, total)
        out[:] = incoming
    if x.rank + 1 < x.size:
        yield x.send(x.rank + 1, raw(total))
