"""Collective operations out of point-to-point messages (Thakur, Rabenseifner, Gropp, *Optimization of collective communication
operations in MPICH*, 2005).

The algorithm depends on the operation, the dtype, the count and the size only (rule P4), and each fixes in which order operands are
combined; so the same size gives the same bits.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from perdure.comm.engine import Engine, Receive, Send, finish
from perdure.comm.ops import Op
from perdure.comm.values import as_bytes
from perdure.errors import UsageError

Array = NDArray[Any]
RING_FROM_BYTES: Final = 64 * 1024
"""From here on a ring moves fewer bytes through each rank than a tree; below, its 2 (n - 1) steps cost more than they save."""


@dataclass(slots=True)
class Exchange:
    """The messages of one collective call: a tag of its own, so that it meets no other."""

    engine: Engine
    context: int
    tag: int

    @property
    def rank(self) -> int:
        """This rank."""
        return self.engine.rank

    @property
    def size(self) -> int:
        """How many ranks there are."""
        return self.engine.size

    def start_send(self, to: int, data: memoryview) -> Send:
        """A message under way."""
        return self.engine.send(to, self.context, self.tag, data)

    def send(self, to: int, data: memoryview) -> None:
        """Blocks until the kernel has the bytes."""
        message = self.start_send(to, data)
        self.engine.wait(lambda: message.done)

    def start_receive(self, source: int, buffer: memoryview | None) -> Receive:
        """A receive under way."""
        return self.engine.receive(source, self.context, self.tag, buffer)

    def receive(self, source: int, buffer: memoryview | None) -> memoryview:
        """Blocks until the message is here."""
        return self.finish(self.start_receive(source, buffer))

    def finish(self, wanted: Receive) -> memoryview:
        """Blocks until a receive is done. A message of another size than the buffer means that ranks do not agree."""
        self.engine.wait(lambda: wanted.done)
        data = finish(wanted)
        if wanted.buffer is not None and len(data) != len(wanted.buffer):
            raise UsageError(
                f"rank {wanted.key[0]} takes part in a collective with {len(data)} bytes where rank {self.rank} has {len(wanted.buffer)}"
            )
        return data

    def swap(self, to: int, data: memoryview, source: int, buffer: memoryview) -> None:
        """Sends and receives at the same time."""
        incoming = self.start_receive(source, buffer)
        outgoing = self.start_send(to, data)
        self.engine.wait(lambda: outgoing.done)
        self.finish(incoming)


def barrier(x: Exchange) -> None:
    """Dissemination (Hensgen, Finkel, Manber 1988): after step k everybody has heard, through others, of 2^k ranks."""
    distance = 1
    while distance < x.size:
        x.swap((x.rank + distance) % x.size, memoryview(b"."), (x.rank - distance) % x.size, memoryview(bytearray(1)))
        distance *= 2


def _tree(rank: int, size: int, root: int) -> tuple[int | None, list[int]]:
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


def broadcast(x: Exchange, buffer: memoryview, root: int) -> None:
    """Binomial tree."""
    parent, children = _tree(x.rank, x.size, root)
    if parent is not None:
        x.receive(parent, buffer)
    sends = [x.start_send(child, buffer) for child in children]
    x.engine.wait(lambda: all(send.done for send in sends))


def broadcast_bytes(x: Exchange, data: memoryview | None, root: int) -> memoryview:
    """Binomial tree, for a message whose length only `root` knows."""
    parent, children = _tree(x.rank, x.size, root)
    if parent is not None:
        data = x.receive(parent, None)
    assert data is not None
    sends = [x.start_send(child, data) for child in children]
    x.engine.wait(lambda: all(send.done for send in sends))
    return data


def gather_bytes(x: Exchange, data: memoryview, root: int) -> list[memoryview]:
    """Everybody sends to `root`, which has posted all receives; in the order of ranks there, empty elsewhere."""
    if x.rank != root:
        x.send(root, data)
        return []
    wanted = {rank: x.start_receive(rank, None) for rank in range(x.size) if rank != root}
    return [data if rank == root else x.finish(wanted[rank]) for rank in range(x.size)]


def scatter_bytes(x: Exchange, parts: list[memoryview] | None, root: int) -> memoryview:
    """`root` sends everybody its part."""
    if parts is None:
        return x.receive(root, None)
    sends = [x.start_send(rank, part) for rank, part in enumerate(parts) if rank != root]
    x.engine.wait(lambda: all(send.done for send in sends))
    return parts[root]


def gather(x: Exchange, mine: memoryview | None, out: memoryview | None, root: int) -> None:
    """Equal parts of all ranks into `out` on `root`; `mine` None: it lies there already."""
    if out is None:
        assert mine is not None
        x.send(root, mine)
        return
    part = len(out) // x.size
    wanted = [x.start_receive(rank, out[rank * part : (rank + 1) * part]) for rank in range(x.size) if rank != root]
    if mine is not None:
        out[root * part : (root + 1) * part] = mine
    for receive in wanted:
        x.finish(receive)


def scatter(x: Exchange, whole: memoryview | None, mine: memoryview | None, root: int) -> None:
    """Equal parts of `whole` on `root` to all ranks; `mine` None: the part of `root` stays where it is."""
    if whole is None:
        assert mine is not None
        x.receive(root, mine)
        return
    part = len(whole) // x.size
    sends = [x.start_send(rank, whole[rank * part : (rank + 1) * part]) for rank in range(x.size) if rank != root]
    if mine is not None:
        mine[:] = whole[root * part : (root + 1) * part]
    x.engine.wait(lambda: all(send.done for send in sends))


def all_gather(x: Exchange, mine: memoryview | None, out: memoryview) -> None:
    """Ring: n - 1 steps, each rank passes on what it got last."""
    part = len(out) // x.size
    if mine is not None:
        if len(mine) != part:
            raise UsageError(f"rank {x.rank}: the receive buffer must hold {x.size} times the {len(mine)} bytes that are sent")
        out[x.rank * part : (x.rank + 1) * part] = mine
    for step in range(x.size - 1):
        give, take = (x.rank - step) % x.size, (x.rank - step - 1) % x.size
        right, left = (x.rank + 1) % x.size, (x.rank - 1) % x.size
        x.swap(right, out[give * part : (give + 1) * part], left, out[take * part : (take + 1) * part])


def reduce(x: Exchange, work: Array, op: Op, root: int) -> None:
    """Gathers on `root`, which combines in the order of ranks. `work` (count,) holds the result there."""
    parts = gather_bytes(x, as_bytes(work), root)
    if x.rank == root:
        operands = [np.frombuffer(part, work.dtype) for part in parts]
        if any(len(operand) != len(work) for operand in operands):
            raise UsageError(f"rank {root}: the ranks reduce arrays of different sizes: {[len(operand) for operand in operands]}")
        total = operands[0]
        for operand in operands[1:]:
            total = op.combine(total, operand)
        work[:] = total


def all_reduce(x: Exchange, work: Array, op: Op) -> None:
    """In place. Small: combined on rank 0 and sent back. Large: ring reduce-scatter, then ring all-gather.

    In the ring, part p is combined in the order p + 1, p + 2, ..., p (mod n): fixed by the rank and not by time.
    """
    if x.size == 1:
        return
    if work.nbytes < RING_FROM_BYTES:
        reduce(x, work, op, 0)
        broadcast(Exchange(x.engine, x.context, -x.tag), as_bytes(work), 0)
        return
    parts = np.array_split(work, x.size)
    right, left = (x.rank + 1) % x.size, (x.rank - 1) % x.size
    scratch = np.empty(len(parts[0]), work.dtype)
    for step in range(x.size - 1):
        give, take = parts[(x.rank - step - 1) % x.size], parts[(x.rank - step - 2) % x.size]
        incoming = scratch[: len(take)]
        x.swap(right, as_bytes(give), left, as_bytes(incoming))
        take[:] = op.combine(incoming, take)
    for step in range(x.size - 1):
        give, take = parts[(x.rank - step) % x.size], parts[(x.rank - step - 1) % x.size]
        x.swap(right, as_bytes(give), left, as_bytes(take))
