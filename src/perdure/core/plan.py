"""A plan: the one decision that makes a generation. Where each rank lives, from which label it starts, how its groups are laid out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

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
class Plan:
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

    def agents(self) -> tuple[int, ...]:
        """The agents that hold ranks, ascending."""
        return tuple(sorted({place.agent for place in self.placements}))

    def ranks_of(self, agent: int) -> tuple[int, ...]:
        """The ranks that `agent` holds."""
        return tuple(place.rank for place in self.placements if place.agent == agent)

    def agent_of(self, rank: int) -> int:
        """The agent that holds `rank`."""
        return self.placements[rank].agent

    def address_of(self, agent: int) -> str:
        """Where `agent` takes connections."""
        return dict(self.addresses)[agent]

    def group_index(self, rank: int) -> int:
        """The index of the parity group of `rank`."""
        return next(index for index, group in enumerate(self.groups) if rank in group)

    def group_of(self, rank: int) -> tuple[int, ...]:
        """The ranks of the parity group of `rank`."""
        return self.groups[self.group_index(rank)]

    def member_of(self, rank: int) -> int:
        """The member number of `rank` in its parity group."""
        return self.group_of(rank).index(rank)

    def geometry(self, group: int) -> Geometry:
        """The stripe arithmetic of group number `group`."""
        return Geometry(len(self.groups[group]), self.parity)

    def crowded_groups(self) -> Iterator[int]:
        """Groups that have two ranks on one node: the loss of that node costs them two chunks of a stripe."""
        for index, group in enumerate(self.groups):
            nodes = [self.placements[rank].node for rank in group]
            if len(set(nodes)) < len(nodes):
                yield index

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
