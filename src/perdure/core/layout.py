"""Where things lie: ranks on nodes, ranks in parity groups, chunks in stripes.

Geometry of a group of n members with m parity chunks a stripe, d = n - m (the rotation of RAID-5/6, Patterson et al. 1988; the
words are Ceph's). Stripe j of n has parity chunk p on member (j + p) mod n and data chunk t on member (j + m + t) mod n. So each
member holds one chunk of every stripe: d data chunks, which are its own state cut into pieces of `chunk_bytes`, and m parity chunks.

    n = 4, m = 1        member 0   member 1   member 2   member 3
    stripe 0               P          d0         d1         d2
    stripe 1               d2         P          d0         d1
    stripe 2               d1         d2         P          d0
    stripe 3               d0         d1         d2         P
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from perdure.core.domains import Prefix

COPIES: Final = 2
"""Slots of a rank, and sets of parity chunks: of the committed label, and of the next."""


@dataclass(frozen=True, slots=True)
class Geometry:
    """The arithmetic of one parity group of `n` members with `m` parity chunks a stripe. 0 <= m < n."""

    n: int
    m: int

    @property
    def d(self) -> int:
        """Data chunks a stripe, and data chunks that each member's state is cut into."""
        return self.n - self.m

    @property
    def full_masks(self) -> tuple[int, int]:
        """Masks of all data chunks and of all parity chunks of a member."""
        return (1 << self.d) - 1, (1 << self.m) - 1

    def chunk_bytes(self, state_bytes: Sequence[int]) -> int:
        """c = ceil(S / d), S the largest state of the group."""
        return -(-max(state_bytes, default=0) // self.d)

    def data_range(self, t: int, chunk: int, state_bytes: int) -> tuple[int, int]:
        """(start, stop) in bytes of data chunk `t` in a state of `state_bytes`; beyond its end a chunk counts as zeros."""
        return min(t * chunk, state_bytes), min((t + 1) * chunk, state_bytes)

    def position(self, stripe: int, member: int) -> int:
        """The code position of `member` in `stripe`: 0 .. d-1 is data chunk t, d .. n-1 is parity chunk position - d."""
        offset = (member - stripe) % self.n
        return offset + self.d if offset < self.m else offset - self.m

    def member(self, stripe: int, position: int) -> int:
        """The member that holds code position `position` of `stripe`; the inverse of `position`."""
        offset = position - self.d if position >= self.d else position + self.m
        return (stripe + offset) % self.n

    def stripe_of_data(self, member: int, t: int) -> int:
        """The stripe that data chunk `t` of `member` belongs to."""
        return (member - self.m - t) % self.n

    def stripe_of_parity(self, member: int, p: int) -> int:
        """The stripe whose parity chunk `p` lies on `member`."""
        return (member - p) % self.n


def nodes_with_ranks(ranks: int, ranks_per_node: int) -> int:
    """So many nodes a job begins with, spares apart."""
    return -(-ranks // ranks_per_node)


def initial_nodes(ranks: int, ranks_per_node: int) -> tuple[int, ...]:
    """The node of each rank at the start: consecutive ranks share a node."""
    return tuple(rank // ranks_per_node for rank in range(ranks))


def default_group_size(ranks: int, ranks_per_node: int, parity: int) -> int:
    """The largest group, up to eight members, that spans different nodes. Eight: at m = 1 parity then costs a seventh of the state."""
    nodes = nodes_with_ranks(ranks, ranks_per_node)
    return max(min(nodes, 8), min(parity + 1, ranks))


def parity_groups(ranks: int, ranks_per_node: int, group_size: int) -> tuple[tuple[int, ...], ...]:
    """Splits the ranks into parity groups whose members sit on different nodes wherever there are nodes enough.

    Ranks are dealt column by column (first all ranks that are the first of their node, then the second ones, ...), so neighbours in
    that order sit on different nodes, and the line is cut into ceil(ranks / group_size) groups whose sizes differ by at most one.

    Returns:
        Groups of ranks; the index of a rank in its group is its member number.
    """
    order = sorted(range(ranks), key=lambda rank: (rank % ranks_per_node, rank // ranks_per_node))
    count = -(-ranks // group_size)
    base, extra = divmod(ranks, count)
    groups = []
    start = 0
    for index in range(count):
        stop = start + base + (1 if index < extra else 0)
        groups.append(tuple(order[start:stop]))
        start = stop
    return tuple(groups)


def dealt_groups(homes: Sequence[Prefix], group_size: int) -> tuple[tuple[int, ...], ...]:
    """Splits the ranks into ceil(ranks / group_size) parity groups that have as few members in one failure domain as can be.

    Ranks in the order of their domains are dealt to the groups in turn, as cards are. A domain of whatever kind is a run of that order, so
    each group gets the c ranks of a domain shared out evenly: at most ceil(c / groups), and no other split gives every group fewer.

    Args:
        homes: where each rank lives, `Domains.path` of its node.

    Returns:
        As of `parity_groups`.
    """
    order = sorted(range(len(homes)), key=lambda rank: (homes[rank], rank))
    count = -(-len(homes) // group_size)
    return tuple(tuple(sorted(order[index::count])) for index in range(count))


def domain_group_size(ranks: int, fullest: Sequence[int], parity: int, largest: int) -> int:
    """The largest of the group sizes up to `largest` that spread the groups best over the failure domains; see `well_spread`."""
    return max(well_spread(ranks, fullest, parity, [*range(parity + 1, largest), largest]), default=largest)


def well_spread(ranks: int, fullest: Sequence[int], parity: int, sizes: Sequence[int]) -> list[int]:
    """Those of the group sizes with which no group has more than `parity` members in one failure domain; where no size does that for all
    kinds of domains, those with as many kinds as can be, the outer ones before the inner. Sizes that make too small groups are left out.

    Args:
        fullest: the most ranks in one domain of each kind, the outermost first.
    """
    count_of = {size: -(-ranks // size) for size in sizes if ranks // -(-ranks // size) > parity}
    holds = {size: [fill <= parity * count for fill in fullest] for size, count in count_of.items()}
    best = max(holds.values(), default=[])
    return [size for size, held in holds.items() if held == best]
