"""Which nodes hold ranks: at the start, and after a loss.

At the start ranks lie as evenly in the failure domains as the nodes allow. After a loss each lost node's ranks go together to the spare
with which the fewest domains hold more than `parity` members of a group; a node that held more than `ranks_per_node` ranks needs several
spares. Ranks whose node survives stay where they are, unless it holds more than `ranks_per_node` ranks and spares are left.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from perdure.core.domains import Domains, Prefix, spread
from perdure.core.plan import Plan

SEARCHED_MAX: Final = 12
"""Lost nodes up to which every choice of spares is looked at where the first choice is not good enough. Arbitrary."""
TRIED_MAX: Final = 2000
"""Steps of that search; arbitrary, a few milliseconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seat:
    """A living node that ranks may be placed on."""

    agent: int
    node: int
    address: str


def choose_seats(seats: Sequence[Seat], wanted: int, domains: Domains) -> list[Seat]:
    """Those that get ranks at the start, in the order of nodes; the others are spares. No domain gets one more while another could."""
    by_node = {seat.node: seat for seat in seats}
    return [by_node[node] for node in sorted(spread(list(by_node), domains)[:wanted])]


class _Crowd:
    """How many members of each group lie in each domain, and how many are too many."""

    def __init__(self, plan: Plan, missing: Sequence[int], domains: Domains) -> None:
        self._plan, self._domains = plan, domains
        self._held: Counter[tuple[int, Prefix]] = Counter()
        gone = set(missing)
        if domains.names:
            for group in sorted({plan.group_index(rank) for rank in missing}):
                self._add(group, (plan.placements[rank].node for rank in plan.groups[group] if rank not in gone), 1)

    def _add(self, group: int, nodes: Iterable[int], sign: int) -> None:
        for node in nodes:
            for prefix in self._domains.prefixes(node):
                self._held[group, prefix] += sign

    def put(self, ranks: Sequence[int], node: int) -> tuple[int, ...]:
        """Places ranks. Answers how many members more are too many now, of each kind of domain, the outermost first."""
        worse = [0] * (len(self._domains.names) + 1)
        for rank in ranks if self._domains.names else ():
            group = self._plan.group_index(rank)
            self._add(group, (node,), 1)
            for depth, prefix in enumerate(self._domains.prefixes(node)):
                worse[depth] += self._held[group, prefix] > self._plan.parity
        return tuple(worse)

    def take(self, ranks: Sequence[int], node: int) -> None:
        """Takes them away again."""
        for rank in ranks if self._domains.names else ():
            self._add(self._plan.group_index(rank), (node,), -1)

    def would(self, ranks: Sequence[int], node: int) -> tuple[int, ...]:
        """What `put` would answer."""
        worse = self.put(ranks, node)
        self.take(ranks, node)
        return worse


Choice = tuple[tuple[int, ...], list[Seat]]
Movable = Callable[[int], bool | None]


def _greedy(crowd: _Crowd, moving: Sequence[Sequence[int]], spares: Sequence[Seat]) -> Choice:
    """One lost node after the other to the spare that is best for it."""
    free, chosen = list(spares), list[Seat]()
    total: tuple[int, ...] = ()
    for ranks in moving:
        seat = min(free, key=lambda seat: (crowd.would(ranks, seat.node), seat.node))
        worse = crowd.put(ranks, seat.node)
        total = tuple(map(sum, zip(total, worse, strict=True))) if total else worse
        free.remove(seat)
        chosen.append(seat)
    for ranks, seat in zip(moving, chosen, strict=True):
        crowd.take(ranks, seat.node)
    return total, chosen


class _Search:
    """Branch and bound over all choices of spares; a choice never gets better by a further node."""

    def __init__(self, crowd: _Crowd, moving: Sequence[Sequence[int]], domains: Domains, best: Choice) -> None:
        self._crowd, self._moving, self._domains, self.best = crowd, moving, domains, best
        self._steps = 0

    def look(self, index: int, free: Sequence[Seat], cost: tuple[int, ...], chosen: list[Seat]) -> None:
        """Goes on with node number `index`; `cost` is that of those before it."""
        self._steps += 1
        if cost >= self.best[0] or self._steps > TRIED_MAX:
            return
        if index == len(self._moving):
            self.best = cost, chosen
            return
        ranks = self._moving[index]
        alike = {self._domains.path(seat.node)[:-1]: seat for seat in reversed(free)}
        for seat in sorted(alike.values(), key=lambda seat: (self._crowd.would(ranks, seat.node), seat.node)):
            worse = self._crowd.put(ranks, seat.node)
            further = tuple(map(sum, zip(cost, worse, strict=True)))
            self.look(index + 1, [other for other in free if other is not seat], further, [*chosen, seat])
            self._crowd.take(ranks, seat.node)


def _choose_spares(crowd: _Crowd, moving: Sequence[Sequence[int]], spares: Sequence[Seat], domains: Domains) -> list[Seat]:
    best = _greedy(crowd, moving, spares)
    if any(best[0]) and len(moving) <= SEARCHED_MAX:
        search = _Search(crowd, moving, domains, best)
        search.look(0, spares, (0,) * len(best[0]), [])
        best = search.best
    return best[1]


def loads(plan: Plan, missing: Iterable[int], ranks_per_node: int) -> list[list[int]]:
    """Lost ranks, as they are to lie on spares: those of one node together, but no more than `ranks_per_node`, and then as few members of
    one group together as can be."""
    ranks_of: dict[int, list[int]] = {}
    for rank in missing:
        ranks_of.setdefault(plan.agent_of(rank), []).append(rank)
    return [load for ranks in ranks_of.values() for load in _split(plan, ranks, ranks_per_node)]


def _split(plan: Plan, ranks: Sequence[int], most: int) -> list[list[int]]:
    found: list[list[int]] = [[] for _ in range(-(-len(ranks) // most))]
    for rank in ranks:
        group = set(plan.group_of(rank))
        min((load for load in found if len(load) < most), key=lambda load: len(group.intersection(load))).append(rank)
    return found


def place(
    plan: Plan, missing: Sequence[int], seats: Sequence[Seat], spares: Sequence[Seat], domains: Domains, ranks_per_node: int
) -> dict[int, Seat]:
    """Lost ranks go together from their old node to one spare, or to several if it held more than `ranks_per_node`; without a spare, to the
    node with the fewest ranks of their group, in a domain that has room for them if there is one."""
    crowd = _Crowd(plan, missing, domains)
    moving = loads(plan, missing, ranks_per_node)
    chosen = _choose_spares(crowd, moving[: len(spares)], spares, domains)
    homes = {rank: seat for ranks, seat in zip(moving, chosen, strict=False) for rank in ranks}
    if len(moving) > len(chosen):
        for ranks, seat in zip(moving, chosen, strict=False):
            crowd.put(ranks, seat.node)
        homes |= _crowded(plan, missing, homes, [*seats, *chosen], crowd)
    return homes


def _crowded(plan: Plan, missing: Sequence[int], homes: Mapping[int, Seat], seats: Sequence[Seat], crowd: _Crowd) -> dict[int, Seat]:
    """Seats for those of `missing` that have none in `homes`."""
    load: dict[int, list[int]] = {seat.agent: [] for seat in seats}
    for place in plan.placements:
        if place.agent in load and place.rank not in missing:
            load[place.agent].append(place.rank)
    for rank, seat in homes.items():
        load[seat.agent].append(rank)
    found: dict[int, Seat] = {}
    for rank in missing:
        if rank in homes:
            continue
        group = set(plan.group_of(rank))
        seat = min(
            seats, key=lambda seat: (crowd.would((rank,), seat.node), len(set(load[seat.agent]) & group), len(load[seat.agent]), seat.node)
        )
        crowd.put((rank,), seat.node)
        load[seat.agent].append(rank)
        found[rank] = seat
    return found


def relieve(
    plan: Plan, homes: Mapping[int, Seat], spares: Sequence[Seat], movable: Movable, domains: Domains, most: int
) -> dict[int, Seat]:
    """Ranks that leave living nodes with more than `most` ranks, and the spares that they move to: as many ranks as there is room for.

    Args:
        homes: seats of ranks that were lost; the others live where `plan` has them.
        spares: all of them; those with ranks in `homes` have room for the rest.
        movable: says of a rank whether its home has anything of it; None: it may not be moved. Those of which it has nothing go first.
    """
    load = Counter(seat.agent for seat in homes.values())
    moving: list[int] = []
    if len(spares) <= len(load) or len(plan.ranks_of(plan.fullest_agent())) <= most:
        return {}
    for agent in [agent for agent in plan.agents() if len(plan.ranks_of(agent)) > most]:
        here = [rank for rank in plan.ranks_of(agent) if rank not in homes]
        while len(here) > most and (leaving := _worst_placed(plan, here, moving, movable)) is not None:
            here.remove(leaving)
            moving.append(leaving)
    free = [seat for seat in spares if not load[seat.agent]]
    batches = loads(plan, moving, most)
    if len(batches) > len(free):  # ranks of several nodes share a spare, or it would have room that nobody gets
        batches = _split(plan, moving[: most * len(free)], most)
    crowd = _Crowd(plan, moving, domains)
    chosen = _choose_spares(crowd, batches, free, domains)
    return {rank: seat for ranks, seat in zip(batches, chosen, strict=True) for rank in ranks}


def _worst_placed(plan: Plan, here: Sequence[int], moving: Sequence[int], movable: Movable) -> int | None:
    """The rank with the most members of its group beside it; of several one with few of them among those that are `moving` already, which
    may come to the same spare; of several the one that came last."""

    def worst(rank: int) -> tuple[bool, int, int, int, int]:
        group = set(plan.group_of(rank))
        beside, ahead = len(group.intersection(here)), len(group.intersection(moving))
        return not movable(rank), beside, -ahead, plan.placements[rank].incarnation, rank

    return max((rank for rank in here if movable(rank) is not None), key=worst, default=None)
