"""Collectives on buffers that are only started; a request says when they are complete."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from perdure.comm.collectives import plans
from perdure.comm.collectives.ops import SUM, Op
from perdure.comm.messaging.operations import CollectiveOperation
from perdure.comm.messaging.requests import Request

if TYPE_CHECKING:
    from perdure.comm.messaging.comm_state import CommState


class NonblockingCollectives:
    """A part of `Comm`."""

    if TYPE_CHECKING:

        def held(self) -> CommState: ...

    def Ibarrier(self) -> Request:
        """Starts `Barrier`."""
        m = self.held()
        with m.inside("comm.Ibarrier"):
            return started(m, plans.barrier(m))

    def Ibcast(self, buf: Any, root: int = 0) -> Request:
        """Starts `Bcast`."""
        m = self.held()
        with m.inside("comm.Ibcast"):
            return started(m, plans.bcast(m, buf, root))

    def Igather(self, sendbuf: Any, recvbuf: Any, root: int = 0) -> Request:
        """Starts `Gather`."""
        m = self.held()
        with m.inside("comm.Igather"):
            return started(m, plans.gather(m, sendbuf, recvbuf, root))

    def Igatherv(self, sendbuf: Any, recvbuf: Any, root: int = 0) -> Request:
        """Starts `Gatherv`."""
        m = self.held()
        with m.inside("comm.Igatherv"):
            return started(m, plans.gather(m, sendbuf, recvbuf, root, v=True))

    def Iscatter(self, sendbuf: Any, recvbuf: Any, root: int = 0) -> Request:
        """Starts `Scatter`."""
        m = self.held()
        with m.inside("comm.Iscatter"):
            return started(m, plans.scatter(m, sendbuf, recvbuf, root))

    def Iscatterv(self, sendbuf: Any, recvbuf: Any, root: int = 0) -> Request:
        """Starts `Scatterv`."""
        m = self.held()
        with m.inside("comm.Iscatterv"):
            return started(m, plans.scatter(m, sendbuf, recvbuf, root, v=True))

    def Iallgather(self, sendbuf: Any, recvbuf: Any) -> Request:
        """Starts `Allgather`."""
        m = self.held()
        with m.inside("comm.Iallgather"):
            return started(m, plans.allgather(m, sendbuf, recvbuf))

    def Iallgatherv(self, sendbuf: Any, recvbuf: Any) -> Request:
        """Starts `Allgatherv`."""
        m = self.held()
        with m.inside("comm.Iallgatherv"):
            return started(m, plans.allgather(m, sendbuf, recvbuf, v=True))

    def Ialltoall(self, sendbuf: Any, recvbuf: Any) -> Request:
        """Starts `Alltoall`."""
        m = self.held()
        with m.inside("comm.Ialltoall"):
            return started(m, plans.alltoall(m, sendbuf, recvbuf))

    def Ialltoallv(self, sendbuf: Any, recvbuf: Any) -> Request:
        """Starts `Alltoallv`."""
        m = self.held()
        with m.inside("comm.Ialltoallv"):
            return started(m, plans.alltoall(m, sendbuf, recvbuf, "v"))

    def Ialltoallw(self, sendbuf: Any, recvbuf: Any) -> Request:
        """Starts `Alltoallw`."""
        m = self.held()
        with m.inside("comm.Ialltoallw"):
            return started(m, plans.alltoall(m, sendbuf, recvbuf, "w"))

    def Ireduce(self, sendbuf: Any, recvbuf: Any, op: Op = SUM, root: int = 0) -> Request:
        """Starts `Reduce`."""
        m = self.held()
        with m.inside("comm.Ireduce"):
            return started(m, plans.reduce(m, sendbuf, recvbuf, op, root))

    def Iallreduce(self, sendbuf: Any, recvbuf: Any, op: Op = SUM) -> Request:
        """Starts `Allreduce`."""
        m = self.held()
        with m.inside("comm.Iallreduce"):
            return started(m, plans.allreduce(m, sendbuf, recvbuf, op))

    def Ireduce_scatter_block(self, sendbuf: Any, recvbuf: Any, op: Op = SUM) -> Request:
        """Starts `Reduce_scatter_block`."""
        m = self.held()
        with m.inside("comm.Ireduce_scatter_block"):
            return started(m, plans.reduce_scatter_block(m, sendbuf, recvbuf, op))

    def Ireduce_scatter(self, sendbuf: Any, recvbuf: Any, recvcounts: Any = None, op: Op = SUM) -> Request:
        """Starts `Reduce_scatter`."""
        m = self.held()
        with m.inside("comm.Ireduce_scatter"):
            return started(m, plans.reduce_scatter(m, sendbuf, recvbuf, recvcounts, op))

    def Iscan(self, sendbuf: Any, recvbuf: Any, op: Op = SUM) -> Request:
        """Starts `Scan`."""
        m = self.held()
        with m.inside("comm.Iscan"):
            return started(m, plans.scan(m, sendbuf, recvbuf, op))

    def Iexscan(self, sendbuf: Any, recvbuf: Any, op: Op = SUM) -> Request:
        """Starts `Exscan`."""
        m = self.held()
        with m.inside("comm.Iexscan"):
            return started(m, plans.scan(m, sendbuf, recvbuf, op, exclusive=True))


def started(m: CommState, plan: plans.Plan) -> Request:
    """A request for a collective that has begun."""
    request: Request = Request.begun(m.engine, CollectiveOperation(m, plan()))
    return request
