"""Collectives along the edges of a topology (MPI 4.1, section 8.6): blocking, non-blocking, persistent, and of objects."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from perdure.comm.collectives import neighbourhoods
from perdure.comm.collectives.nonblocking import started
from perdure.comm.collectives.persistent import persistent
from perdure.comm.datatypes.pickles import dump, pickle
from perdure.comm.messaging.operations import Prequest, drive
from perdure.comm.messaging.requests import Request

if TYPE_CHECKING:
    from perdure.comm.messaging.comm_state import CommState


class NeighbourCollectives:
    """A part of `Topocomm`."""

    if TYPE_CHECKING:

        def held(self) -> CommState: ...

    def Neighbor_allgather(self, sendbuf: Any, recvbuf: Any) -> None:
        """This rank's buffer to its neighbours, and theirs here."""
        m = self.held()
        with m.inside("comm.Neighbor_allgather"):
            drive(m.engine, neighbourhoods.allgather(m, sendbuf, recvbuf)())

    def Neighbor_allgatherv(self, sendbuf: Any, recvbuf: Any) -> None:
        """`Neighbor_allgather` of different lengths."""
        m = self.held()
        with m.inside("comm.Neighbor_allgatherv"):
            drive(m.engine, neighbourhoods.allgather(m, sendbuf, recvbuf, v=True)())

    def Neighbor_alltoall(self, sendbuf: Any, recvbuf: Any) -> None:
        """A part to each neighbour, and one from each."""
        m = self.held()
        with m.inside("comm.Neighbor_alltoall"):
            drive(m.engine, neighbourhoods.alltoall(m, sendbuf, recvbuf)())

    def Neighbor_alltoallv(self, sendbuf: Any, recvbuf: Any) -> None:
        """`Neighbor_alltoall` of different lengths."""
        m = self.held()
        with m.inside("comm.Neighbor_alltoallv"):
            drive(m.engine, neighbourhoods.alltoall(m, sendbuf, recvbuf, "v")())

    def Neighbor_alltoallw(self, sendbuf: Any, recvbuf: Any) -> None:
        """`Neighbor_alltoall` of different datatypes."""
        m = self.held()
        with m.inside("comm.Neighbor_alltoallw"):
            drive(m.engine, neighbourhoods.alltoall(m, sendbuf, recvbuf, "w")())

    def Ineighbor_allgather(self, sendbuf: Any, recvbuf: Any) -> Request:
        """Starts `Neighbor_allgather`."""
        m = self.held()
        with m.inside("comm.Ineighbor_allgather"):
            return started(m, neighbourhoods.allgather(m, sendbuf, recvbuf))

    def Ineighbor_allgatherv(self, sendbuf: Any, recvbuf: Any) -> Request:
        """Starts `Neighbor_allgatherv`."""
        m = self.held()
        with m.inside("comm.Ineighbor_allgatherv"):
            return started(m, neighbourhoods.allgather(m, sendbuf, recvbuf, v=True))

    def Ineighbor_alltoall(self, sendbuf: Any, recvbuf: Any) -> Request:
        """Starts `Neighbor_alltoall`."""
        m = self.held()
        with m.inside("comm.Ineighbor_alltoall"):
            return started(m, neighbourhoods.alltoall(m, sendbuf, recvbuf))

    def Ineighbor_alltoallv(self, sendbuf: Any, recvbuf: Any) -> Request:
        """Starts `Neighbor_alltoallv`."""
        m = self.held()
        with m.inside("comm.Ineighbor_alltoallv"):
            return started(m, neighbourhoods.alltoall(m, sendbuf, recvbuf, "v"))

    def Ineighbor_alltoallw(self, sendbuf: Any, recvbuf: Any) -> Request:
        """Starts `Neighbor_alltoallw`."""
        m = self.held()
        with m.inside("comm.Ineighbor_alltoallw"):
            return started(m, neighbourhoods.alltoall(m, sendbuf, recvbuf, "w"))

    def Neighbor_allgather_init(self, sendbuf: Any, recvbuf: Any, info: Any = None) -> Prequest:
        """`Neighbor_allgather` that `Start` begins, as often as wanted."""
        m = self.held()
        return persistent(m, neighbourhoods.allgather(m, sendbuf, recvbuf))

    def Neighbor_allgatherv_init(self, sendbuf: Any, recvbuf: Any, info: Any = None) -> Prequest:
        """`Neighbor_allgatherv` that `Start` begins, as often as wanted."""
        m = self.held()
        return persistent(m, neighbourhoods.allgather(m, sendbuf, recvbuf, v=True))

    def Neighbor_alltoall_init(self, sendbuf: Any, recvbuf: Any, info: Any = None) -> Prequest:
        """`Neighbor_alltoall` that `Start` begins, as often as wanted."""
        m = self.held()
        return persistent(m, neighbourhoods.alltoall(m, sendbuf, recvbuf))

    def Neighbor_alltoallv_init(self, sendbuf: Any, recvbuf: Any, info: Any = None) -> Prequest:
        """`Neighbor_alltoallv` that `Start` begins, as often as wanted."""
        m = self.held()
        return persistent(m, neighbourhoods.alltoall(m, sendbuf, recvbuf, "v"))

    def Neighbor_alltoallw_init(self, sendbuf: Any, recvbuf: Any, info: Any = None) -> Prequest:
        """`Neighbor_alltoallw` that `Start` begins, as often as wanted."""
        m = self.held()
        return persistent(m, neighbourhoods.alltoall(m, sendbuf, recvbuf, "w"))

    def neighbor_allgather(self, sendobj: Any) -> list[Any]:
        """This rank's object to its neighbours; theirs, in the order of the edges."""
        m = self.held()
        datas = [dump(sendobj)] * len(neighbourhoods.edges(m)[1])
        with m.inside("comm.neighbor_allgather"):
            found = drive(m.engine, neighbourhoods.objects(m, datas))
        return [pickle.loads(part) for part in found]

    def neighbor_alltoall(self, sendobj: list[Any]) -> list[Any]:
        """An object to each neighbour; theirs, in the order of the edges."""
        m = self.held()
        datas = [dump(one) for one in sendobj]
        with m.inside("comm.neighbor_alltoall"):
            found = drive(m.engine, neighbourhoods.objects(m, datas))
        return [pickle.loads(part) for part in found]
