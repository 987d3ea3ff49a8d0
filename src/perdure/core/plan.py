"""A plan: the one decision that makes a generation. Where each rank lives, from which label it starts, how its groups are laid out."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import compress
from operator import is_not
from typing import TypeVar

from perdure.core.ids import Label
from perdure.core.layout import Geometry


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """A rank's place in one generation: `incarnation` is the number of the process that holds it."""

    rank: int
    agent: int
    node: int
    incarnation: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanChange:
    """How a plan differs from the one of the generation before; groups and parity stay."""

    base: Label | None
    positions: tuple[int, int]
    placements: tuple[Placement, ...]
    addresses: tuple[tuple[int, str], ...]


Member = TypeVar("Member", int, tuple[int, str])


class _Lookup:
    """What is looked up in a plan again and again, found once: every agent asks at every event, and a plan may have 100,000 ranks."""

    def __init__(self, plan: Plan) -> None:
        self.ranks_of: dict[int, list[int]] = {}
        for place in plan.placements:
            self.ranks_of.setdefault(place.agent, []).append(place.rank)
        self.agents = tuple(sorted(self.ranks_of))
        self.addresses = dict(plan.addresses)
        self.incarnations = tuple(place.incarnation for place in plan.placements)
        self.seat_of: dict[int, tuple[int, int]] = {
            rank: (index, member) for index, group in enumerate(plan.groups) for member, rank in enumerate(group)
        }
        self.fullest = _fullest(self.ranks_of, self.agents)
        self.smallest_group = min(map(len, plan.groups))
        self.crowded = frozenset(index for index in range(len(plan.groups)) if plan.is_crowded(index))


def _fullest(ranks_of: dict[int, list[int]], agents: Iterable[int]) -> int:
    """Return the one of some agents with the most ranks, of several the one with the lowest number."""
    return min(agents, key=lambda agent: (-len(ranks_of[agent]), agent))


def _exchanged(old: tuple[Member, ...], gone: set[Member], new: set[Member]) -> tuple[Member, ...]:
    """An ascending tuple without some of its members and with some others. The rest stay the same objects: to make 100,000 anew would set
    off the collector of garbage, and it would look at the whole heap."""
    members = list(old)
    for one in gone:
        del members[bisect_left(members, one)]
    for one in new:
        insort(members, one)
    return tuple(members)


class _WithLookup:
    """Room for it beside the fields of a plan: it is no part of the plan's value, and never travels."""

    __slots__ = ("_lookup",)
    _lookup: _Lookup


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan(_WithLookup):
    """Everything that all members of a generation must agree on.

    Attributes:
        placements: one for each rank, in the order of ranks.
        groups: the parity groups, each a tuple of ranks; a rank's index in its group is its member number.
        parity: m, the parity chunks of a stripe.
        base: the label that the generation starts from; None while nothing was committed.
        positions: the supersteps of its next two commits (rule C1), where the program leaves them to the runtime.
        addresses: (agent, address) of all agents of the plan: where each takes control messages and vault links.
    """

    generation: int
    placements: tuple[Placement, ...]
    groups: tuple[tuple[int, ...], ...]
    parity: int
    base: Label | None
    positions: tuple[int, int]
    addresses: tuple[tuple[int, str], ...]

    @property
    def size(self) -> int:
        """The number of ranks."""
        return len(self.placements)

    @property
    def _found(self) -> _Lookup:
        try:
            return self._lookup
        except AttributeError:
            object.__setattr__(self, "_lookup", _Lookup(self))
            return self._lookup

    def agents(self) -> tuple[int, ...]:
        """The agents that hold ranks, ascending."""
        return self._found.agents

    def ranks_of(self, agent: int) -> tuple[int, ...]:
        """The ranks that `agent` holds."""
        return tuple(self._found.ranks_of.get(agent, ()))

    def agent_of(self, rank: int) -> int:
        """The agent that holds `rank`."""
        return self.placements[rank].agent

    def address_of(self, agent: int) -> str:
        """Where `agent` takes connections."""
        return self._found.addresses[agent]

    def group_index(self, rank: int) -> int:
        """The index of the parity group of `rank`."""
        return self._found.seat_of[rank][0]

    def group_of(self, rank: int) -> tuple[int, ...]:
        """The ranks of the parity group of `rank`."""
        return self.groups[self._found.seat_of[rank][0]]

    def smallest_group(self) -> int:
        """The number of ranks of the smallest parity group."""
        return self._found.smallest_group

    def fullest_agent(self) -> int:
        """The agent that holds the most ranks."""
        return self._found.fullest

    def member_of(self, rank: int) -> int:
        """The member number of `rank` in its parity group."""
        return self._found.seat_of[rank][1]

    def incarnations(self) -> tuple[int, ...]:
        """Of all ranks, in their order."""
        return self._found.incarnations

    def amended(self, amend: PlanChange) -> Plan:
        """The plan of the next generation, from this one and what differs. A few copies: nothing is counted anew."""
        found = self._found
        placements, incarnations = list(self.placements), list(found.incarnations)
        ranks_of = dict(found.ranks_of)
        for place in amend.placements:
            old = placements[place.rank]
            if old.agent != place.agent:
                ranks_of[old.agent] = [rank for rank in ranks_of[old.agent] if rank != place.rank]
                ranks_of[place.agent] = sorted([*ranks_of.get(place.agent, ()), place.rank])
            placements[place.rank] = place
            incarnations[place.rank] = place.incarnation
        gone = {agent for place in amend.placements if not ranks_of[agent := self.placements[place.rank].agent]}
        new = {place.agent for place in amend.placements} - found.ranks_of.keys()
        addresses = found.addresses | dict(amend.addresses)
        for agent in gone:
            del ranks_of[agent], addresses[agent]
        agents = _exchanged(found.agents, gone, new)
        plan = Plan(
            generation=self.generation + 1,
            placements=tuple(placements),
            groups=self.groups,
            parity=self.parity,
            base=amend.base,
            positions=amend.positions,
            addresses=_exchanged(
                self.addresses, {(agent, found.addresses[agent]) for agent in gone}, {(agent, addresses[agent]) for agent in new}
            ),
        )
        lookup = _Lookup.__new__(_Lookup)
        lookup.ranks_of, lookup.agents, lookup.addresses, lookup.seat_of = ranks_of, agents, addresses, found.seat_of
        lookup.incarnations, lookup.smallest_group = tuple(incarnations), found.smallest_group
        concerned = {agent for place in amend.placements for agent in (place.agent, self.placements[place.rank].agent)} - gone
        has_left = len(ranks_of.get(found.fullest, ())) < len(found.ranks_of[found.fullest])
        lookup.fullest = _fullest(ranks_of, agents if has_left else {found.fullest, *concerned})
        touched = {found.seat_of[place.rank][0] for place in amend.placements}
        lookup.crowded = found.crowded - touched | {index for index in touched if plan.is_crowded(index)}
        object.__setattr__(plan, "_lookup", lookup)
        return plan

    def change_to(self, plan: Plan) -> PlanChange:
        """What `amended` needs to make `plan`, of the next generation, of this one."""
        others = compress(zip(self.placements, plan.placements, strict=True), map(is_not, self.placements, plan.placements))
        placements = tuple(new for old, new in others if new != old)
        addresses = {(place.agent, plan.address_of(place.agent)) for place in placements}
        return PlanChange(base=plan.base, positions=plan.positions, placements=placements, addresses=tuple(sorted(addresses)))

    def geometry(self, group: int) -> Geometry:
        """The stripe arithmetic of group number `group`."""
        return Geometry(len(self.groups[group]), self.parity)

    def is_crowded(self, group: int) -> bool:
        """Are two ranks of the group on one node? The loss of that node costs them two chunks of a stripe."""
        nodes = [self.placements[rank].node for rank in self.groups[group]]
        return len(set(nodes)) < len(nodes)

    def crowded_groups(self) -> frozenset[int]:
        """Groups that are crowded."""
        return self._found.crowded

    def tolerance(self) -> int:
        """How many nodes may be lost together, whichever they are, without losing a committed superstep."""
        worst = len(self.placements)
        for group in self.groups:
            nodes = [self.placements[rank].node for rank in group]
            heaviest = sorted((nodes.count(node) for node in set(nodes)), reverse=True)
            lost = count = 0
            for weight in heaviest:
                if lost + weight > self.parity:
                    break
                lost += weight
                count += 1
            worst = min(worst, count)
        return worst
