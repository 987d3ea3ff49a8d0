"""Collectives on objects: lower case, pickled."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from perdure.comm import schedules
from perdure.comm.failures import ErrorClass, ValueException
from perdure.comm.ops import SUM, Op
from perdure.comm.pendings import Schedule, drive
from perdure.comm.pickles import dump, pickle

if TYPE_CHECKING:
    from perdure.comm.membership import Membership

AnyOp = Op | Callable[[Any, Any], Any]


class ObjectCollectives:
    """A part of `Comm`."""

    if TYPE_CHECKING:

        def held(self) -> Membership: ...

    def barrier(self) -> None:
        """Returns when all ranks have called it."""
        m = self.held()
        with m.inside("comm.barrier"):
            drive(m.engine, schedules.barrier(m.exchange()))

    def bcast(self, obj: Any, root: int = 0) -> Any:
        """The object of `root`, on all ranks."""
        m = self.held()
        with m.inside("comm.bcast"):
            return _run(m, _bcast(m, obj, root))

    def gather(self, sendobj: Any, root: int = 0) -> list[Any] | None:
        """All ranks' objects as a list, on `root`; None elsewhere."""
        m = self.held()
        with m.inside("comm.gather"):
            parts: list[Any] | None = _run(m, _gather(m, sendobj, root))
            return parts

    def scatter(self, sendobj: Sequence[Any] | None, root: int = 0) -> Any:
        """Object number r of the sequence of `root`, on rank r."""
        m = self.held()
        with m.inside("comm.scatter"):
            m.root(root)
            parts = [dump(obj) for obj in _one_each(m, sendobj)] if m.rank == root else None
            return pickle.loads(drive(m.engine, schedules.scatter_bytes(m.exchange(), parts, root)))

    def allgather(self, sendobj: Any) -> list[Any]:
        """All ranks' objects as a list, on all ranks."""
        m = self.held()
        with m.inside("comm.allgather"):
            parts: list[Any] = _run(m, _all_gather(m, sendobj))
            return parts

    def alltoall(self, sendobj: Sequence[Any]) -> list[Any]:
        """Object number r of every rank's sequence, on rank r."""
        m = self.held()
        with m.inside("comm.alltoall"):
            parts = [dump(obj) for obj in _one_each(m, sendobj)]
            return [pickle.loads(part) for part in drive(m.engine, schedules.all_to_all_bytes(m.exchange(), parts))]

    def reduce(self, sendobj: Any, op: AnyOp = SUM, root: int = 0) -> Any:
        """All ranks' objects combined in the order of ranks, on `root`; None elsewhere."""
        m = self.held()
        with m.inside("comm.reduce"):
            parts = _run(m, _gather(m, sendobj, root))
            return None if parts is None else _combined(op, parts)

    def allreduce(self, sendobj: Any, op: AnyOp = SUM) -> Any:
        """All ranks' objects combined in the order of ranks, on all ranks."""
        m = self.held()
        with m.inside("comm.allreduce"):
            parts = _run(m, _gather(m, sendobj, 0))
            return _run(m, _bcast(m, None if parts is None else _combined(op, parts), 0))

    def scan(self, sendobj: Any, op: AnyOp = SUM) -> Any:
        """The objects of ranks 0 to this one, combined."""
        m = self.held()
        with m.inside("comm.scan"):
            return _run(m, _scan(m, sendobj, op))[1]

    def exscan(self, sendobj: Any, op: AnyOp = SUM) -> Any:
        """The objects of ranks 0 to the one before this, combined; None on rank 0."""
        m = self.held()
        with m.inside("comm.exscan"):
            return _run(m, _scan(m, sendobj, op))[0]


def _run(m: Membership, schedule: Schedule) -> Any:
    return drive(m.engine, schedule)


def _bcast(m: Membership, obj: Any, root: int) -> Schedule:
    m.root(root)
    data = dump(obj) if m.rank == root else None
    return pickle.loads((yield from schedules.broadcast_bytes(m.exchange(), data, root)))


def _gather(m: Membership, obj: Any, root: int) -> Schedule:
    m.root(root)
    parts = yield from schedules.gather_bytes(m.exchange(), dump(obj), root)
    return [pickle.loads(part) for part in parts] if m.rank == root else None


def _all_gather(m: Membership, obj: Any) -> Schedule:
    parts = yield from schedules.all_to_all_bytes(m.exchange(), [dump(obj)] * m.size)
    return [pickle.loads(part) for part in parts]


def _scan(m: Membership, obj: Any, op: AnyOp) -> Schedule:
    """A chain. Returns (what the lower ranks give, the same with this one)."""
    x = m.exchange()
    before, total = None, obj
    if m.rank > 0:
        wanted = x.receive(m.rank - 1, None)
        yield wanted
        before = pickle.loads(wanted.data)
        total = op(pickle.loads(wanted.data), obj)
    if m.rank + 1 < m.size:
        yield x.send(m.rank + 1, dump(total))
    return before, total


def _combined(op: AnyOp, parts: list[Any]) -> Any:
    total = parts[0]
    for part in parts[1:]:
        total = op(total, part)
    return total


def _one_each(m: Membership, objects: Sequence[Any] | None) -> list[Any]:
    """One object for each rank. They are asked for once: it may be an iterator."""
    if objects is None:
        found: list[Any] = []
    else:
        found = list(objects)
    if len(found) != m.size:
        raise ValueException(ErrorClass.ARG, f"expecting {m.size} items, got {len(found)}")
    return found
