"""Collectives on objects: lower case, pickled."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from perdure.comm.collectives import schedules
from perdure.comm.collectives.ops import SUM, Op
from perdure.comm.datatypes.pickles import PICKLED, PickleCodec
from perdure.comm.definitions.failures import ErrorClass, ValueException
from perdure.comm.messaging.operations import drive

if TYPE_CHECKING:
    from perdure.comm.messaging.comm_state import CommState

AnyOp = Op | Callable[[Any, Any], Any]


class ObjectCollectives:
    """A part of `Comm`."""

    if TYPE_CHECKING:

        def held(self) -> CommState: ...

        _codec: ClassVar[PickleCodec]

    def barrier(self) -> None:
        """Returns when all ranks have called it."""
        m = self.held()
        with m.inside("comm.barrier"):
            drive(m.engine, schedules.barrier(m.exchange()))

    def bcast(self, obj: Any, root: int = 0) -> Any:
        """The object of `root`, on all ranks."""
        return self._bcast("comm.bcast", obj, root)

    def gather(self, sendobj: Any, root: int = 0) -> list[Any] | None:
        """All ranks' objects as a list, on `root`; None elsewhere."""
        return self._gather("comm.gather", sendobj, root)

    def scatter(self, sendobj: Sequence[Any] | None, root: int = 0) -> Any:
        """Object number r of the sequence of `root`, on rank r."""
        m = self.held()
        m.root(root)
        parts = [self._codec.dump(obj) for obj in _one_each(m, sendobj)] if m.rank == root else None
        with m.inside("comm.scatter"):
            part = drive(m.engine, schedules.scatter_bytes(m.exchange(), parts, root))
        return self._codec.load(part)

    def allgather(self, sendobj: Any) -> list[Any]:
        """All ranks' objects as a list, on all ranks."""
        return all_gather_objects(self.held(), "comm.allgather", sendobj, self._codec)

    def alltoall(self, sendobj: Sequence[Any]) -> list[Any]:
        """Object number r of every rank's sequence, on rank r."""
        m = self.held()
        datas = [self._codec.dump(obj) for obj in _one_each(m, sendobj)]
        with m.inside("comm.alltoall"):
            parts = drive(m.engine, schedules.all_to_all_bytes(m.exchange(), datas))
        return [self._codec.load(part) for part in parts]

    def reduce(self, sendobj: Any, op: AnyOp = SUM, root: int = 0) -> Any:
        """All ranks' objects combined in the order of ranks, on `root`; None elsewhere."""
        parts = self._gather("comm.reduce", sendobj, root)
        return None if parts is None else _combined(op, parts)

    def allreduce(self, sendobj: Any, op: AnyOp = SUM) -> Any:
        """All ranks' objects combined in the order of ranks, on all ranks."""
        parts = self._gather("comm.allreduce", sendobj, 0)
        return self._bcast("comm.allreduce", None if parts is None else _combined(op, parts), 0)

    def scan(self, sendobj: Any, op: AnyOp = SUM) -> Any:
        """The objects of ranks 0 to this one, combined."""
        return self._scan("comm.scan", sendobj, op)[1]

    def exscan(self, sendobj: Any, op: AnyOp = SUM) -> Any:
        """The objects of ranks 0 to the one before this, combined; None on rank 0."""
        return self._scan("comm.exscan", sendobj, op)[0]

    # Each pickles, unpickles and combines outside of `inside`: a rank that does so computes, and does not wait.

    def _bcast(self, call: str, obj: Any, root: int) -> Any:
        m = self.held()
        m.root(root)
        data = self._codec.dump(obj) if m.rank == root else None
        with m.inside(call):
            data = drive(m.engine, schedules.broadcast_bytes(m.exchange(), data, root))
        return self._codec.load(data)

    def _gather(self, call: str, obj: Any, root: int) -> list[Any] | None:
        m = self.held()
        m.root(root)
        data = self._codec.dump(obj)
        with m.inside(call):
            parts = drive(m.engine, schedules.gather_bytes(m.exchange(), data, root))
        return [self._codec.load(part) for part in parts] if m.rank == root else None

    def _scan(self, call: str, obj: Any, op: AnyOp) -> tuple[Any, Any]:
        """A chain. Returns (what the lower ranks give, the same with this one)."""
        m = self.held()
        before, total = None, obj
        with m.inside(call):
            x = m.exchange()
            wanted = x.receive(m.rank - 1, None) if m.rank > 0 else None
            if wanted is not None:
                m.engine.wait(wanted)
        if wanted is not None:
            before = self._codec.load(wanted.data)
            total = op(self._codec.load(wanted.data), obj)
        if m.rank + 1 < m.size:
            data = self._codec.dump(total)
            with m.inside(call):
                m.engine.wait(x.send(m.rank + 1, data))
        return before, total


def all_gather_objects(m: CommState, call: str, obj: Any, codec: PickleCodec = PICKLED) -> list[Any]:
    """Return all ranks' objects. All ranks call it; `call` is the name of the public call."""
    data = codec.dump(obj)
    with m.inside(call):
        parts = drive(m.engine, schedules.all_to_all_bytes(m.exchange(), [data] * m.size))
    return [codec.load(part) for part in parts]


def _combined(op: AnyOp, parts: list[Any]) -> Any:
    total = parts[0]
    for part in parts[1:]:
        total = op(total, part)
    return total


def _one_each(m: CommState, objects: Sequence[Any] | None) -> list[Any]:
    """One object for each rank; without any, None for each, as in mpi4py. They are asked for once: it may be an iterator."""
    found = [None] * m.size if objects is None else list(objects)
    if len(found) != m.size:
        raise ValueException(ErrorClass.ARG, f"expecting {m.size} items, got {len(found)}")
    return found
