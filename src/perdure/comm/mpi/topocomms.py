"""The classes of communicators with a topology: what each knows of its ranks' neighbours."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from perdure.comm.collectives.neighbours import NeighbourCollectives
from perdure.comm.messaging.topologies import DistGraph, Graph, Grid, Weights
from perdure.comm.mpi.communicator import Intracomm
from perdure.comm.mpi.topology_calls import CLASSES


class Topocomm(NeighbourCollectives, Intracomm):
    """A communicator whose ranks have neighbours."""

    __module__ = "perdure.MPI"
    topologies: ClassVar[tuple[type[Any], ...]] = (Grid, Graph, DistGraph)

    @property
    def inoutedges(self) -> tuple[list[int], list[int]]:
        """(the neighbours that this rank receives from, those that it sends to)."""
        topology = self.held().topology
        assert topology is not None
        inward, outward = topology.edges(self.held().rank)
        return list(inward), list(outward)

    @property
    def inedges(self) -> list[int]:
        return self.inoutedges[0]

    @property
    def outedges(self) -> list[int]:
        return self.inoutedges[1]

    @property
    def degrees(self) -> tuple[int, int]:
        inward, outward = self.inoutedges
        return len(inward), len(outward)

    @property
    def indegree(self) -> int:
        return self.degrees[0]

    @property
    def outdegree(self) -> int:
        return self.degrees[1]


class Cartcomm(Topocomm):
    """A grid."""

    __module__ = "perdure.MPI"
    topologies: ClassVar[tuple[type[Any], ...]] = (Grid,)

    @property
    def _grid(self) -> Grid:
        topology = self.held().topology
        assert isinstance(topology, Grid)
        return topology

    def Get_dim(self) -> int:
        """The number of dimensions."""
        return len(self._grid.dims)

    dim = property(Get_dim)
    ndim = property(Get_dim)

    def Get_topo(self) -> tuple[list[int], list[int], list[int]]:
        """(sizes, whether it wraps, this rank's coordinates)."""
        grid = self._grid
        return list(grid.dims), [int(wraps) for wraps in grid.periods], grid.coords(self.held().rank)

    topo = property(Get_topo)

    @property
    def dims(self) -> list[int]:
        return self.Get_topo()[0]

    @property
    def periods(self) -> list[int]:
        return self.Get_topo()[1]

    @property
    def coords(self) -> list[int]:
        return self.Get_topo()[2]

    def Get_cart_rank(self, coords: Sequence[int]) -> int:
        """The rank at these coordinates."""
        return self._grid.rank(coords)

    def Get_coords(self, rank: int) -> list[int]:
        """Where a rank is."""
        return self._grid.coords(rank)

    def Shift(self, direction: int, disp: int) -> tuple[int, int]:
        """(the rank to receive from, the rank to send to); PROC_NULL beyond an edge."""
        return self._grid.shift(self.held().rank, direction, disp)

    def Sub(self, remain_dims: Sequence[bool]) -> Any:
        """The grid of fewer dimensions that this rank lies in. All ranks call it."""
        grid, m = self._grid, self.held()
        keep = [bool(keep) for keep in remain_dims]
        coords = grid.coords(m.rank)
        color = key = 0
        for kept, coord, dim in zip(keep, coords, grid.dims, strict=True):
            color, key = (color, key * dim + coord) if kept else (color * dim + coord, key)
        part = self.Split(color, key).held()
        sizes = tuple(dim for kept, dim in zip(keep, grid.dims, strict=True) if kept)
        part.topology = Grid(dims=sizes, periods=tuple(wraps for kept, wraps in zip(keep, grid.periods, strict=True) if kept))
        return Cartcomm.of(part)


class Graphcomm(Topocomm):
    """A graph that all ranks know."""

    __module__ = "perdure.MPI"
    topologies: ClassVar[tuple[type[Any], ...]] = (Graph,)

    @property
    def _graph(self) -> Graph:
        topology = self.held().topology
        assert isinstance(topology, Graph)
        return topology

    def Get_dims(self) -> tuple[int, int]:
        """(nodes, edges)."""
        return len(self._graph.edges_of), len(self.edges)

    dims = property(Get_dims)

    @property
    def nnodes(self) -> int:
        return self.Get_dims()[0]

    @property
    def nedges(self) -> int:
        return self.Get_dims()[1]

    def Get_topo(self) -> tuple[list[int], list[int]]:
        """(for each rank the end of its neighbours, the neighbours)."""
        return self.index, self.edges

    topo = property(Get_topo)

    @property
    def index(self) -> list[int]:
        ends: list[int] = []
        for neighbours in self._graph.edges_of:
            ends.append((ends[-1] if ends else 0) + len(neighbours))
        return ends

    @property
    def edges(self) -> list[int]:
        return [rank for neighbours in self._graph.edges_of for rank in neighbours]

    def Get_neighbors_count(self, rank: int) -> int:
        """How many neighbours a rank has."""
        return len(self.Get_neighbors(rank))

    def Get_neighbors(self, rank: int) -> list[int]:
        """The neighbours of a rank."""
        return self._graph.edges(rank)[0]

    @property
    def nneighbors(self) -> int:
        return self.Get_neighbors_count(self.held().rank)

    @property
    def neighbors(self) -> list[int]:
        return self.Get_neighbors(self.held().rank)


class Distgraphcomm(Topocomm):
    """A graph of which each rank knows its own edges."""

    __module__ = "perdure.MPI"
    topologies: ClassVar[tuple[type[Any], ...]] = (DistGraph,)

    @property
    def _graph(self) -> DistGraph:
        topology = self.held().topology
        assert isinstance(topology, DistGraph)
        return topology

    def Get_dist_neighbors_count(self) -> tuple[int, int, bool]:
        """(edges inward, edges outward, whether they have weights)."""
        return *self.degrees, self._graph.weights is not None

    def Get_dist_neighbors(self) -> tuple[list[int], list[int], Weights]:
        """(sources, destinations, their weights)."""
        return *self.inoutedges, self._graph.weights


CLASSES.update({Grid: Cartcomm, Graph: Graphcomm, DistGraph: Distgraphcomm})
