"""`MPI.Group`: ranks of the job in an order of their own, without a way to communicate."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from perdure.comm.definitions.constants import IDENT, PROC_NULL, SIMILAR, UNDEFINED, UNEQUAL
from perdure.comm.definitions.failures import ErrorClass, MPIException
from perdure.comm.definitions.handles import Handle

Range = tuple[int, int, int]


class Ranks:
    """`ranks`: of the job; `me`: this process's rank of the job."""

    __slots__ = ("__weakref__", "constant", "me", "ranks")

    def __init__(self, ranks: tuple[int, ...], me: int) -> None:
        self.ranks, self.me = ranks, me
        self.constant: Group | None = None


class Group(Handle[Ranks]):
    """A group, as mpi4py has it."""

    null_class = ErrorClass.GROUP
    __module__ = "perdure.MPI"

    def Get_size(self) -> int:
        """How many ranks there are."""
        return len(self.held().ranks)

    def Get_rank(self) -> int:
        """This process's rank here, or UNDEFINED."""
        held = self.held()
        return held.ranks.index(held.me) if held.me in held.ranks else UNDEFINED

    size = property(Get_size)
    rank = property(Get_rank)

    def Dup(self) -> Any:
        """The same once more."""
        held = self.held()
        return type(self).of(Ranks(held.ranks, held.me))

    def Translate_ranks(self, ranks: Any = None, group: Any = None, group2: Any = None) -> list[int]:
        """Where ranks of this group are in another; UNDEFINED: they are not.

        Called as a function of two groups too, `Translate_ranks(group1, ranks1, group2)`.
        """
        other = group if group is not None else group2
        here = self.held().ranks
        numbers = range(len(here)) if ranks is None else ranks
        there = here if other is None else other.held().ranks
        found = []
        for rank in numbers:
            if rank == PROC_NULL:
                found.append(PROC_NULL)
                continue
            world = self._at(rank)
            found.append(there.index(world) if world in there else UNDEFINED)
        return found

    def Compare(self, group: Group) -> int:
        """IDENT, SIMILAR (another order) or UNEQUAL."""
        one, other = self.held().ranks, group.held().ranks
        return IDENT if one == other else SIMILAR if sorted(one) == sorted(other) else UNEQUAL

    @classmethod
    def Union(cls, group1: Group, group2: Group) -> Any:
        """Those of the first, then those of the second that are not in it."""
        one, other = group1.held().ranks, group2.held().ranks
        return cls._made((*one, *(rank for rank in other if rank not in one)), group1.held().me)

    @classmethod
    def Intersection(cls, group1: Group, group2: Group) -> Any:
        """Those of the first that are in the second."""
        other = group2.held().ranks
        return cls._made(tuple(rank for rank in group1.held().ranks if rank in other), group1.held().me)

    Intersect = Intersection

    @classmethod
    def Difference(cls, group1: Group, group2: Group) -> Any:
        """Those of the first that are not in the second."""
        other = group2.held().ranks
        return cls._made(tuple(rank for rank in group1.held().ranks if rank not in other), group1.held().me)

    def Incl(self, ranks: Sequence[int]) -> Any:
        """Only these, in this order."""
        return self._made(tuple(self._at(rank) for rank in ranks), self.held().me)

    def Excl(self, ranks: Sequence[int]) -> Any:
        """All but these."""
        gone = {self._at(rank) for rank in ranks}
        return self._made(tuple(rank for rank in self.held().ranks if rank not in gone), self.held().me)

    def Range_incl(self, ranks: Sequence[Range]) -> Any:
        """Only these ranges of (first, last, step)."""
        return self.Incl([rank for one in ranks for rank in _range(one)])

    def Range_excl(self, ranks: Sequence[Range]) -> Any:
        """All but these ranges."""
        return self.Excl([rank for one in ranks for rank in _range(one)])

    def _at(self, rank: int) -> int:
        ranks = self.held().ranks
        if not 0 <= rank < len(ranks):
            raise MPIException(ErrorClass.RANK, f"there is no rank {rank} in a group of {len(ranks)}")
        return ranks[rank]

    @classmethod
    def _made(cls, ranks: tuple[int, ...], me: int) -> Any:
        if len(set(ranks)) != len(ranks):
            raise MPIException(ErrorClass.RANK, "a rank is named twice")
        return cls.of(Ranks(ranks, me)) if ranks else cls.of(_EMPTY)


def _range(one: Range) -> range:
    first, last, step = one
    if step == 0:
        raise MPIException(ErrorClass.ARG, "the step of a range must not be 0")
    return range(first, last + (1 if step > 0 else -1), step)


_EMPTY = Ranks((), -1)
GROUP_NULL: Group = Group()
GROUP_NULL.constant = "GROUP_NULL"
GROUP_EMPTY: Group = Group.of(_EMPTY)
GROUP_EMPTY.constant = "GROUP_EMPTY"
_EMPTY.constant = GROUP_EMPTY
