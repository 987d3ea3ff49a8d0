"""What `job.comm` is: mpi4py's calls, upper case for buffers and lower case for objects."""

from __future__ import annotations

import contextlib
import pickle
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from perdure.comm import collectives
from perdure.comm.engine import Engine, Receive, Send, finish
from perdure.comm.ops import SUM, Op
from perdure.comm.values import ANY_SOURCE, ANY_TAG, IN_PLACE, PROC_NULL, as_array, as_bytes, as_target
from perdure.errors import UsageError

USER, OBJECTS, COLLECTIVE = 0, 1, 2


class Request:
    """A message under way. `wait` blocks, woken by its completion or by a revoke; `test` does not."""

    def __init__(self, comm: Communicator, part: Send | Receive | None, load: bool = False) -> None:
        self._comm, self._part, self._load = comm, part, load

    def wait(self) -> Any:
        """Blocks until the message is sent or here; gives the object of a lower-case receive."""
        part = self._part
        if part is None:
            return None
        with self._comm.call("comm.wait"):
            self._comm.engine.wait(lambda: part.done)
            return self._result()

    def test(self) -> tuple[bool, Any]:
        """(done, object or None), without blocking."""
        if self._part is None:
            return True, None
        with self._comm.call("comm.test"):
            self._comm.engine.check()
            self._comm.engine.progress(0)
            return (True, self._result()) if self._part.done else (False, None)

    def _result(self) -> Any:
        if not isinstance(self._part, Receive):
            return None
        data = finish(self._part)
        return pickle.loads(data) if self._load else None

    def Wait(self) -> bool:
        """`wait` for buffers."""
        self.wait()
        return True

    def Test(self) -> bool:
        """`test` for buffers."""
        return self.test()[0]


class Communicator:
    """All ranks of one generation. Used by the one thread that runs `main`; every call may raise `GenerationRevoked`."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._collective = 0

    @property
    def rank(self) -> int:
        """This rank."""
        return self.engine.rank

    @property
    def size(self) -> int:
        """How many ranks there are."""
        return self.engine.size

    def Get_rank(self) -> int:
        """This rank."""
        return self.rank

    def Get_size(self) -> int:
        """How many ranks there are."""
        return self.size

    @contextlib.contextmanager
    def call(self, name: str) -> Iterator[None]:
        """Tells the monitor that the rank is inside a call."""
        self.engine.monitor.enter(name)
        try:
            self.engine.check()
            yield
        finally:
            self.engine.monitor.leave()

    def _peer(self, rank: int, tag: int, role: str) -> int:
        if rank == ANY_SOURCE or tag == ANY_TAG:
            raise UsageError(f"rank {self.rank}: ANY_SOURCE and ANY_TAG come later; name the {role} and the tag")
        if not 0 <= rank < self.size:
            raise UsageError(f"rank {self.rank}: there is no rank {rank} among {self.size}")
        if tag < 0:
            raise UsageError(f"rank {self.rank}: a tag must not be negative, as {tag} is")
        return rank

    # ---- point to point: buffers ------------------------------------------------------------------------------------------

    def Isend(self, buf: Any, dest: int, tag: int = 0) -> Request:
        """Starts to send an array, which must not change until the request is done."""
        with self.call("comm.Isend"):
            if dest == PROC_NULL:
                return Request(self, None)
            return Request(self, self.engine.send(self._peer(dest, tag, "destination"), USER, tag, as_bytes(as_array(buf))))

    def Irecv(self, buf: Any, source: int, tag: int = 0) -> Request:
        """Starts to receive into an array."""
        with self.call("comm.Irecv"):
            if source == PROC_NULL:
                return Request(self, None)
            return Request(self, self.engine.receive(self._peer(source, tag, "source"), USER, tag, as_bytes(as_target(buf))))

    def Send(self, buf: Any, dest: int, tag: int = 0) -> None:
        """Sends an array; returns when it may be changed."""
        self.Isend(buf, dest, tag).wait()

    def Recv(self, buf: Any, source: int, tag: int = 0) -> None:
        """Receives into an array; blocks until the message is here."""
        self.Irecv(buf, source, tag).wait()

    def Sendrecv(self, sendbuf: Any, dest: int, sendtag: int = 0, recvbuf: Any = None, source: int = PROC_NULL, recvtag: int = 0) -> None:
        """Sends and receives at the same time."""
        incoming = self.Irecv(recvbuf, source, recvtag)
        outgoing = self.Isend(sendbuf, dest, sendtag)
        outgoing.wait()
        incoming.wait()

    # ---- point to point: objects ------------------------------------------------------------------------------------------

    def isend(self, obj: Any, dest: int, tag: int = 0) -> Request:
        """Starts to send an object, pickled now."""
        with self.call("comm.isend"):
            if dest == PROC_NULL:
                return Request(self, None)
            return Request(self, self.engine.send(self._peer(dest, tag, "destination"), OBJECTS, tag, _dump(obj)))

    def irecv(self, source: int, tag: int = 0) -> Request:
        """Starts to receive an object; `wait` gives it."""
        with self.call("comm.irecv"):
            if source == PROC_NULL:
                return Request(self, None)
            return Request(self, self.engine.receive(self._peer(source, tag, "source"), OBJECTS, tag, None), load=True)

    def send(self, obj: Any, dest: int, tag: int = 0) -> None:
        """Sends an object."""
        self.isend(obj, dest, tag).wait()

    def recv(self, source: int, tag: int = 0) -> Any:
        """Receives an object."""
        return self.irecv(source, tag).wait()

    def sendrecv(self, sendobj: Any, dest: int, sendtag: int = 0, source: int = PROC_NULL, recvtag: int = 0) -> Any:
        """Sends one object and receives another."""
        incoming = self.irecv(source, recvtag)
        self.isend(sendobj, dest, sendtag).wait()
        return incoming.wait()

    # ---- collectives: every rank calls them, in the same order ------------------------------------------------------------

    def _begin(self) -> collectives.Exchange:
        self._collective += 1
        return collectives.Exchange(self.engine, COLLECTIVE, self._collective)

    def Barrier(self) -> None:
        """Returns when all ranks have called it."""
        with self.call("comm.Barrier"):
            collectives.barrier(self._begin())

    def Bcast(self, buf: Any, root: int = 0) -> None:
        """The array of `root`, on all ranks."""
        with self.call("comm.Bcast"):
            collectives.broadcast(self._begin(), as_bytes(as_target(buf)), root)

    def Allreduce(self, sendbuf: Any, recvbuf: Any, op: Op = SUM) -> None:
        """All ranks' arrays combined, on all ranks. The same size gives the same bits every time."""
        with self.call("comm.Allreduce"):
            out = as_target(recvbuf)
            if sendbuf is not IN_PLACE:
                np.copyto(out, as_array(sendbuf).reshape(out.shape))
            collectives.all_reduce(self._begin(), out.reshape(-1), op)

    def Reduce(self, sendbuf: Any, recvbuf: Any, op: Op = SUM, root: int = 0) -> None:
        """All ranks' arrays combined, on `root`."""
        with self.call("comm.Reduce"):
            source = recvbuf if sendbuf is IN_PLACE else sendbuf
            work = np.array(as_array(source), copy=True).reshape(-1)
            collectives.reduce(self._begin(), work, op, root)
            if self.rank == root:
                out = as_target(recvbuf)
                np.copyto(out, work.reshape(out.shape))

    def Allgather(self, sendbuf: Any, recvbuf: Any) -> None:
        """All ranks' arrays, one after the other, on all ranks."""
        with self.call("comm.Allgather"):
            out = as_bytes(as_target(recvbuf))
            collectives.all_gather(self._begin(), None if sendbuf is IN_PLACE else as_bytes(as_array(sendbuf)), out)

    def Gather(self, sendbuf: Any, recvbuf: Any, root: int = 0) -> None:
        """All ranks' arrays, one after the other, on `root`."""
        with self.call("comm.Gather"):
            mine = None if sendbuf is IN_PLACE else as_bytes(as_array(sendbuf))
            collectives.gather(self._begin(), mine, as_bytes(as_target(recvbuf)) if self.rank == root else None, root)

    def Scatter(self, sendbuf: Any, recvbuf: Any, root: int = 0) -> None:
        """Equal parts of the array of `root`, one to each rank."""
        with self.call("comm.Scatter"):
            mine = None if recvbuf is IN_PLACE else as_bytes(as_target(recvbuf))
            collectives.scatter(self._begin(), as_bytes(as_array(sendbuf)) if self.rank == root else None, mine, root)

    def barrier(self) -> None:
        """`Barrier`."""
        self.Barrier()

    def bcast(self, obj: Any, root: int = 0) -> Any:
        """The object of `root`, on all ranks."""
        with self.call("comm.bcast"):
            data = _dump(obj) if self.rank == root else None
            return pickle.loads(collectives.broadcast_bytes(self._begin(), data, root))

    def gather(self, sendobj: Any, root: int = 0) -> list[Any] | None:
        """All ranks' objects as a list, on `root`; None elsewhere."""
        with self.call("comm.gather"):
            parts = collectives.gather_bytes(self._begin(), _dump(sendobj), root)
            return [pickle.loads(part) for part in parts] if self.rank == root else None

    def allgather(self, sendobj: Any) -> list[Any]:
        """All ranks' objects as a list, on all ranks."""
        return list(self.bcast(self.gather(sendobj)))

    def scatter(self, sendobj: Sequence[Any] | None, root: int = 0) -> Any:
        """Object number r of the sequence of `root`, on rank r."""
        with self.call("comm.scatter"):
            if self.rank == root and (sendobj is None or len(sendobj) != self.size):
                raise UsageError(f"scatter needs one object for each of the {self.size} ranks")
            parts = [_dump(obj) for obj in sendobj] if self.rank == root and sendobj is not None else None
            return pickle.loads(collectives.scatter_bytes(self._begin(), parts, root))

    def reduce(self, sendobj: Any, op: Op = SUM, root: int = 0) -> Any:
        """All ranks' objects combined in the order of ranks, on `root`; None elsewhere."""
        parts = self.gather(sendobj, root)
        if parts is None:
            return None
        total = parts[0]
        for part in parts[1:]:
            total = op(total, part)
        return total

    def allreduce(self, sendobj: Any, op: Op = SUM) -> Any:
        """All ranks' objects combined in the order of ranks, on all ranks."""
        return self.bcast(self.reduce(sendobj, op))


def _dump(obj: Any) -> memoryview:
    try:
        return memoryview(pickle.dumps(obj, protocol=5))
    except Exception as error:
        raise UsageError(f"this object cannot be pickled, so it cannot be sent: {error}") from error
