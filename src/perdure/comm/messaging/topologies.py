"""Who is whose neighbour: Cartesian grids and graphs of ranks (MPI 4.1, chapter 8)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from perdure.comm.definitions.constants import CART, DIST_GRAPH, GRAPH, PROC_NULL
from perdure.comm.definitions.failures import ErrorClass, MPIException

Weights = tuple[list[int], list[int]] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """Ranks in rows, the last coordinate varying fastest."""

    dims: tuple[int, ...]
    periods: tuple[bool, ...]
    kind: int = CART

    def rank(self, coords: Sequence[int]) -> int:
        """The rank at these coordinates; they wrap where the grid is periodic. `MPI.Exception`: there is none."""
        rank = 0
        for coord, dim, periodic in zip(coords, self.dims, self.periods, strict=True):
            if not periodic and not 0 <= coord < dim:
                raise MPIException(ErrorClass.ARG, f"the coordinates {list(coords)} lie outside the grid {list(self.dims)}")
            rank = rank * dim + coord % dim
        return rank

    def coords(self, rank: int) -> list[int]:
        """Where a rank is."""
        if not 0 <= rank < math.prod(self.dims):
            raise MPIException(ErrorClass.RANK, f"there is no rank {rank} in the grid {list(self.dims)}")
        found = []
        for dim in reversed(self.dims):
            rank, coord = divmod(rank, dim)
            found.append(coord)
        return found[::-1]

    def shift(self, rank: int, direction: int, by: int) -> tuple[int, int]:
        """(the rank that a message comes from, the one it goes to); PROC_NULL beyond an edge."""
        if not 0 <= direction < len(self.dims):
            raise MPIException(ErrorClass.DIMS, f"the grid {list(self.dims)} has no direction {direction}")
        return self._at(rank, direction, -by), self._at(rank, direction, by)

    def _at(self, rank: int, direction: int, by: int) -> int:
        coords = self.coords(rank)
        coords[direction] += by
        if not self.periods[direction] and not 0 <= coords[direction] < self.dims[direction]:
            return PROC_NULL
        return self.rank(coords)

    def edges(self, rank: int) -> tuple[list[int], list[int]]:
        """(the neighbours that it receives from, those that it sends to): in each direction the lower one, then the higher."""
        both = [neighbour for direction in range(len(self.dims)) for neighbour in self.shift(rank, direction, 1)]
        return both, both


@dataclass(frozen=True, slots=True, kw_only=True)
class Graph:
    """`edges_of[rank]`: its neighbours."""

    edges_of: tuple[tuple[int, ...], ...]
    kind: int = GRAPH

    def edges(self, rank: int) -> tuple[list[int], list[int]]:
        """As of `Grid`."""
        if not 0 <= rank < len(self.edges_of):
            raise MPIException(ErrorClass.RANK, f"there is no rank {rank} in a graph of {len(self.edges_of)}")
        both = list(self.edges_of[rank])
        return both, both


@dataclass(frozen=True, slots=True, kw_only=True)
class DistGraph:
    """What this rank knows of a graph: its own edges."""

    sources: tuple[int, ...]
    destinations: tuple[int, ...]
    weights: Weights
    kind: int = DIST_GRAPH

    def edges(self, rank: int) -> tuple[list[int], list[int]]:
        """As of `Grid`; `rank` is this one."""
        return list(self.sources), list(self.destinations)


Topology = Grid | Graph | DistGraph


def balanced(nnodes: int, dims: Sequence[int]) -> list[int]:
    """Fills the zeros of `dims` so that the product is `nnodes`, with numbers as close to each other as can be, largest first."""
    fixed = math.prod(dim for dim in dims if dim)
    if nnodes < 1 or any(dim < 0 for dim in dims) or nnodes % fixed or (0 not in dims and fixed != nnodes):
        raise MPIException(ErrorClass.DIMS, f"{nnodes} ranks do not fill a grid of {list(dims)}")
    free = list(dims).count(0)
    found = iter(_factors(nnodes // fixed, free))
    return [dim or next(found) for dim in dims]


def _factors(number: int, parts: int) -> list[int]:
    """`parts` factors whose product is `number`, the largest first, the smallest as large as can be."""
    if parts <= 1:
        return [number] * parts
    largest = min((divisor for divisor in range(1, number + 1) if number % divisor == 0 and divisor**parts >= number), default=number)
    return [largest, *_factors(number // largest, parts - 1)]
