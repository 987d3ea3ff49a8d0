"""Collectives on buffers whose arguments are given once, and that are started again and again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from perdure.comm.collectives import plans
from perdure.comm.collectives.ops import SUM, Op
from perdure.comm.messaging.operations import CollectiveOperation, PersistentOperation, Prequest
from perdure.comm.messaging.requests import Operation

if TYPE_CHECKING:
    from perdure.comm.messaging.comm_state import CommState


class PersistentCollectives:
    """A part of `Comm`."""

    if TYPE_CHECKING:

        def held(self) -> CommState: ...

    def Barrier_init(self, info: Any = None) -> Prequest:
        """`Barrier` that `Start` begins, as often as wanted."""
        m = self.held()
        return persistent(m, plans.barrier(m))

    def Bcast_init(self, buf: Any, root: int = 0, info: Any = None) -> Prequest:
        """`Bcast` that `Start` begins, as often as wanted."""
        m = self.held()
        return persistent(m, plans.bcast(m, buf, root))

    def Gather_init(self, sendbuf: Any, recvbuf: Any, root: int = 0, info: Any = None) -> Prequest:
        """`Gather` that `Start` begins, as often as wanted."""
        m = self.held()
        return persistent(m, plans.gather(m, sendbuf, recvbuf, root))

    def Gatherv_init(self, sendbuf: Any, recvbuf: Any, root: int = 0, info: Any = None) -> Prequest:
        """`Gatherv` that `Start` begins, as often as wanted."""
        m = self.held()
        return persistent(m, plans.gather(m, sendbuf, recvbuf, root, v=True))

    def Scatter_init(self, sendbuf: Any, recvbuf: Any, root: int = 0, info: Any = None) -> Prequest:
        """`Scatter` that `Start` begins, as often as wanted."""
        m = self.held()
        return persistent(m, plans.scatter(m, sendbuf, recvbuf, root))

    def Scatterv_init(self, sendbuf: Any, recvbuf: Any, root: int = 0, info: Any = None) -> Prequest:
        """`Scatterv` that `Start` begins, as often as wanted."""
        m = self.held()
        return persistent(m, plans.scatter(m, sendbuf, recvbuf, root, v=True))

    def Allgather_init(self, sendbuf: Any, recvbuf: Any, info: Any = None) -> Prequest:
        """`Allgather` that `Start` begins, as often as wanted."""
        m = self.held()
        return persistent(m, plans.allgather(m, sendbuf, recvbuf))

    def Allgatherv_init(self, sendbuf: Any, recvbuf: Any, info: Any = None) -> Prequest:
        """`Allgatherv` that `Start` begins, as often as wanted."""
        m = self.held()
        return persistent(m, plans.allgather(m, sendbuf, recvbuf, v=True))

    def Alltoall_init(self, sendbuf: Any, recvbuf: Any, info: Any = None) -> Prequest:
        """`Alltoall` that `Start` begins, as often as wanted."""
        m = self.held()
        return persistent(m, plans.alltoall(m, sendbuf, recvbuf))

    def Alltoallv_init(self, sendbuf: Any, recvbuf: Any, info: Any = None) -> Prequest:
        """`Alltoallv` that `Start` begins, as often as wanted."""
        m = self.held()
        return persistent(m, plans.alltoall(m, sendbuf, recvbuf, "v"))

    def Alltoallw_init(self, sendbuf: Any, recvbuf: Any, info: Any = None) -> Prequest:
        """`Alltoallw` that `Start` begins, as often as wanted."""
        m = self.held()
        return persistent(m, plans.alltoall(m, sendbuf, recvbuf, "w"))

    def Reduce_init(self, sendbuf: Any, recvbuf: Any, op: Op = SUM, root: int = 0, info: Any = None) -> Prequest:
        """`Reduce` that `Start` begins, as often as wanted."""
        m = self.held()
        return persistent(m, plans.reduce(m, sendbuf, recvbuf, op, root))

    def Allreduce_init(self, sendbuf: Any, recvbuf: Any, op: Op = SUM, info: Any = None) -> Prequest:
        """`Allreduce` that `Start` begins, as often as wanted."""
        m = self.held()
        return persistent(m, plans.allreduce(m, sendbuf, recvbuf, op))

    def Reduce_scatter_block_init(self, sendbuf: Any, recvbuf: Any, op: Op = SUM, info: Any = None) -> Prequest:
        """`Reduce_scatter_block` that `Start` begins, as often as wanted."""
        m = self.held()
        return persistent(m, plans.reduce_scatter_block(m, sendbuf, recvbuf, op))

    def Reduce_scatter_init(self, sendbuf: Any, recvbuf: Any, recvcounts: Any = None, op: Op = SUM, info: Any = None) -> Prequest:
        """`Reduce_scatter` that `Start` begins, as often as wanted."""
        m = self.held()
        return persistent(m, plans.reduce_scatter(m, sendbuf, recvbuf, recvcounts, op))

    def Scan_init(self, sendbuf: Any, recvbuf: Any, op: Op = SUM, info: Any = None) -> Prequest:
        """`Scan` that `Start` begins, as often as wanted."""
        m = self.held()
        return persistent(m, plans.scan(m, sendbuf, recvbuf, op))

    def Exscan_init(self, sendbuf: Any, recvbuf: Any, op: Op = SUM, info: Any = None) -> Prequest:
        """`Exscan` that `Start` begins, as often as wanted."""
        m = self.held()
        return persistent(m, plans.scan(m, sendbuf, recvbuf, op, exclusive=True))


def persistent(m: CommState, plan: plans.Plan) -> Prequest:
    """A request for a collective that `Start` begins."""

    def start() -> Operation:
        with m.inside("comm.Start"):
            return CollectiveOperation(m, plan())

    request: Prequest = Prequest.of(PersistentOperation(m.engine, start))
    return request
