"""Communicators with a topology, made of others (MPI 4.1, sections 8.5.1 to 8.5.4). Ranks keep their order."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from perdure.comm.definitions import constants as c
from perdure.comm.definitions.failures import ErrorClass, MPIException, ValueException
from perdure.comm.messaging.topologies import DistGraph, Graph, Grid, Topology
from perdure.comm.mpi.infos import INFO_NULL, Info

if TYPE_CHECKING:
    from perdure.comm.messaging.comm_state import CommState


CLASSES: Final[dict[type[Any], type[Any]]] = {}
"""Topology -> class of the communicators that have it; `topocomms`, which defines these classes, enters them."""


class TopologyCalls:
    """A part of `Intracomm`."""

    if TYPE_CHECKING:

        def held(self) -> CommState: ...
        def allgather(self, sendobj: Any) -> list[Any]: ...
        def _child(self, m: CommState, ranks: tuple[int, ...], made_by: tuple[Any, ...]) -> CommState: ...
        def _made(self, comm_state: CommState | None) -> Any: ...
        def _nothing(self, m: CommState, made_by: tuple[Any, ...]) -> None: ...

    def Create_cart(self, dims: Sequence[int], periods: Any = None, reorder: bool = False) -> Any:
        """A grid of the first ranks; COMM_NULL on the others. Ranks keep their order. All ranks call it."""
        m = self.held()
        sizes = tuple(int(dim) for dim in dims)
        wraps = (bool(periods),) * len(sizes) if periods is None or isinstance(periods, bool) else tuple(bool(one) for one in periods)
        if len(wraps) != len(sizes):
            raise ValueException(ErrorClass.ARG, f"{len(sizes)} dimensions need as many periods, and not {len(wraps)}")
        count = math.prod(sizes)
        if any(dim < 1 for dim in sizes) or count > m.size:
            raise MPIException(ErrorClass.DIMS, f"{m.size} ranks do not fill a grid of {list(sizes)}")
        return self._with_topology(Grid(dims=sizes, periods=wraps), count, ("cart", sizes, wraps))

    def Cart_map(self, dims: Sequence[int], periods: Any = None) -> int:
        """This rank in such a grid; UNDEFINED: it is not in it."""
        return self.held().rank if self.held().rank < math.prod(dims) else c.UNDEFINED

    def Create_graph(self, index: Sequence[int], edges: Sequence[int], reorder: bool = False) -> Any:
        """A graph of the first ranks; COMM_NULL on the others. All ranks call it.

        Args:
            index: for each rank the end of its neighbours in `edges`; a zero may come first.
            edges: the neighbours, one rank's after the other's.
        """
        m = self.held()
        ends = [0, *_ends(index, edges)]
        neighbours = tuple(tuple(edges[start:end]) for start, end in itertools.pairwise(ends))
        if len(neighbours) > m.size:
            raise MPIException(ErrorClass.ARG, f"a graph of {len(neighbours)} nodes needs more than {m.size} ranks")
        return self._with_topology(Graph(edges_of=neighbours), len(neighbours), ("graph", neighbours))

    def Graph_map(self, index: Sequence[int], edges: Sequence[int]) -> int:
        """This rank in such a graph; UNDEFINED: it is not in it."""
        return self.held().rank if self.held().rank < len(_ends(index, edges)) else c.UNDEFINED

    def Create_dist_graph_adjacent(
        self, sources: Any, destinations: Any, sourceweights: Any = None, destweights: Any = None, info: Info = INFO_NULL,
        reorder: bool = False,
    ) -> Any:  # fmt: skip
        """A graph of which each rank knows its own edges. All ranks call it."""
        inward, outward = tuple(sources or ()), tuple(destinations or ())
        weights = (_weights(sourceweights, len(inward)), _weights(destweights, len(outward)))
        both = None if weights == (None, None) else (weights[0] or [], weights[1] or [])
        graph = DistGraph(sources=inward, destinations=outward, weights=both)
        return self._with_topology(graph, self.held().size, ("dist",))

    def Create_dist_graph(
        self, sources: Sequence[int], degrees: Sequence[int], destinations: Sequence[int], weights: Any = None,
        info: Info = INFO_NULL, reorder: bool = False,
    ) -> Any:  # fmt: skip
        """A graph of whose edges each rank gives any. All ranks call it."""
        mine: list[tuple[int, int, Any]] = []
        values = _weights(weights, len(destinations))
        for source, degree in zip(sources, degrees, strict=True):
            for _ in range(degree):
                at = len(mine)
                mine.append((source, destinations[at], None if values is None else values[at]))
        m = self.held()
        given = weights is not None and weights is not c.UNWEIGHTED
        everyone: list[tuple[list[tuple[int, int, Any]], bool]] = self.allgather((mine, given))
        edges = [edge for theirs, _ in everyone for edge in theirs]
        weighted = all(flag for _, flag in everyone)
        inward = [(source, weight) for source, dest, weight in edges if dest == m.rank]
        outward = [(dest, weight) for source, dest, weight in edges if source == m.rank]
        both = ([weight for _, weight in inward], [weight for _, weight in outward]) if weighted else None
        graph = DistGraph(sources=tuple(rank for rank, _ in inward), destinations=tuple(rank for rank, _ in outward), weights=both)
        return self._with_topology(graph, m.size, ("dist",))

    def _with_topology(self, topology: Topology, count: int, made_by: tuple[Any, ...]) -> Any:
        m = self.held()
        if m.rank >= count:
            self._nothing(m, made_by)
            return self._made(None)
        child = self._child(m, m.ranks[:count], made_by)
        child.topology = topology
        return self._made(child)


def _ends(index: Sequence[int], edges: Sequence[int]) -> list[int]:
    """For each rank the end of its neighbours; a leading zero, as adjacency arrays have it elsewhere, is dropped."""
    if len(index) > 1 and index[0] == 0 and index[-1] == len(edges):
        return list(index[1:])
    return list(index)


def _weights(weights: Any, count: int) -> list[int] | None:
    if weights is None or weights is c.UNWEIGHTED:
        return None
    if weights is c.WEIGHTS_EMPTY:
        if count:
            raise ValueException(ErrorClass.ARG, "the weights are empty and the edges are not")
        return []
    return [int(weight) for weight in weights]
