"""Collectives on buffers that block: every rank calls them, in the same order (MPI 4.1, chapter 6)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from perdure.comm.collectives import plans
from perdure.comm.collectives.ops import SUM, Op
from perdure.comm.messaging.operations import drive

if TYPE_CHECKING:
    from perdure.comm.messaging.comm_state import CommState


class Collectives:
    """A part of `Comm`."""

    if TYPE_CHECKING:

        def held(self) -> CommState: ...

    def Barrier(self) -> None:
        """Returns when all ranks have called it."""
        m = self.held()
        with m.inside("comm.Barrier"):
            drive(m.engine, plans.barrier(m)())

    def Bcast(self, buf: Any, root: int = 0) -> None:
        """The buffer of `root`, on all ranks."""
        m = self.held()
        with m.inside("comm.Bcast"):
            drive(m.engine, plans.bcast(m, buf, root)())

    def Gather(self, sendbuf: Any, recvbuf: Any, root: int = 0) -> None:
        """All ranks' buffers, one after the other, on `root`."""
        m = self.held()
        with m.inside("comm.Gather"):
            drive(m.engine, plans.gather(m, sendbuf, recvbuf, root)())

    def Gatherv(self, sendbuf: Any, recvbuf: Any, root: int = 0) -> None:
        """`Gather` of different lengths."""
        m = self.held()
        with m.inside("comm.Gatherv"):
            drive(m.engine, plans.gather(m, sendbuf, recvbuf, root, v=True)())

    def Scatter(self, sendbuf: Any, recvbuf: Any, root: int = 0) -> None:
        """Equal parts of the buffer of `root`, one to each rank."""
        m = self.held()
        with m.inside("comm.Scatter"):
            drive(m.engine, plans.scatter(m, sendbuf, recvbuf, root)())

    def Scatterv(self, sendbuf: Any, recvbuf: Any, root: int = 0) -> None:
        """`Scatter` of different lengths."""
        m = self.held()
        with m.inside("comm.Scatterv"):
            drive(m.engine, plans.scatter(m, sendbuf, recvbuf, root, v=True)())

    def Allgather(self, sendbuf: Any, recvbuf: Any) -> None:
        """All ranks' buffers, one after the other, on all ranks."""
        m = self.held()
        with m.inside("comm.Allgather"):
            drive(m.engine, plans.allgather(m, sendbuf, recvbuf)())

    def Allgatherv(self, sendbuf: Any, recvbuf: Any) -> None:
        """`Allgather` of different lengths."""
        m = self.held()
        with m.inside("comm.Allgatherv"):
            drive(m.engine, plans.allgather(m, sendbuf, recvbuf, v=True)())

    def Alltoall(self, sendbuf: Any, recvbuf: Any) -> None:
        """Part r of every rank's buffer to rank r."""
        m = self.held()
        with m.inside("comm.Alltoall"):
            drive(m.engine, plans.alltoall(m, sendbuf, recvbuf)())

    def Alltoallv(self, sendbuf: Any, recvbuf: Any) -> None:
        """`Alltoall` of different lengths."""
        m = self.held()
        with m.inside("comm.Alltoallv"):
            drive(m.engine, plans.alltoall(m, sendbuf, recvbuf, "v")())

    def Alltoallw(self, sendbuf: Any, recvbuf: Any) -> None:
        """`Alltoall` of different datatypes."""
        m = self.held()
        with m.inside("comm.Alltoallw"):
            drive(m.engine, plans.alltoall(m, sendbuf, recvbuf, "w")())

    def Reduce(self, sendbuf: Any, recvbuf: Any, op: Op = SUM, root: int = 0) -> None:
        """All ranks' buffers combined, on `root`."""
        m = self.held()
        with m.inside("comm.Reduce"):
            drive(m.engine, plans.reduce(m, sendbuf, recvbuf, op, root)())

    def Allreduce(self, sendbuf: Any, recvbuf: Any, op: Op = SUM) -> None:
        """All ranks' buffers combined, on all ranks. The same size gives the same bits every time."""
        m = self.held()
        with m.inside("comm.Allreduce"):
            drive(m.engine, plans.allreduce(m, sendbuf, recvbuf, op, blocking=True)())

    def Reduce_scatter_block(self, sendbuf: Any, recvbuf: Any, op: Op = SUM) -> None:
        """All ranks' buffers combined, an equal part on each."""
        m = self.held()
        with m.inside("comm.Reduce_scatter_block"):
            drive(m.engine, plans.reduce_scatter_block(m, sendbuf, recvbuf, op)())

    def Reduce_scatter(self, sendbuf: Any, recvbuf: Any, recvcounts: Any = None, op: Op = SUM) -> None:
        """All ranks' buffers combined, a part on each."""
        m = self.held()
        with m.inside("comm.Reduce_scatter"):
            drive(m.engine, plans.reduce_scatter(m, sendbuf, recvbuf, recvcounts, op)())

    def Scan(self, sendbuf: Any, recvbuf: Any, op: Op = SUM) -> None:
        """The buffers of ranks 0 to this one, combined."""
        m = self.held()
        with m.inside("comm.Scan"):
            drive(m.engine, plans.scan(m, sendbuf, recvbuf, op)())

    def Exscan(self, sendbuf: Any, recvbuf: Any, op: Op = SUM) -> None:
        """The buffers of ranks 0 to the one before this, combined; rank 0's stays as it is."""
        m = self.held()
        with m.inside("comm.Exscan"):
            drive(m.engine, plans.scan(m, sendbuf, recvbuf, op, exclusive=True)())
