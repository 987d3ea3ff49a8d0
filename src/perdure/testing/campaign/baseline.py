"""What does the undisturbed run of a campaign show, and how is the job laid out? Cases are drawn from both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from perdure.core import domains
from perdure.core.layout import nodes_with_ranks
from perdure.core.orchestrator import JobShape
from perdure.core.plan import Plan
from perdure.core.planner import first_plan
from perdure.core.seating import Seat, place
from perdure.core.settings import Settings
from perdure.core.votes import decide_after

SETTINGS: Final = Settings()


@dataclass(frozen=True, slots=True, kw_only=True)
class Baseline:
    """The layout of a job, and its undisturbed run.

    Where no failure domains are known a run may have fewer spares than `spares_max`; else the spares are part of the layout.

    Attributes:
        shape: of the job.
        plan: of its first generation, if all nodes come up.
        supersteps: of the undisturbed run; `commits`: those that it committed, without the end.
        wall_s: the time that it took.
        tight: in that mode of the memory.
    """

    shape: JobShape
    plan: Plan
    spares_max: int
    supersteps: int
    commits: tuple[int, ...]
    wall_s: float
    tight: bool = False

    @property
    def parity(self) -> int:
        """Nodes that may be lost together, whichever they are."""
        return min(self.plan.tolerance(), self.plan.parity)

    @property
    def homes(self) -> tuple[int, ...]:
        """The nodes with ranks."""
        return tuple(sorted({placed.node for placed in self.plan.placements}))

    @property
    def spares(self) -> tuple[int, ...]:
        """The nodes without ranks of a run that has all spares."""
        homes = self.homes
        return tuple(node for node in range(len(homes) + self.spares_max) if node not in homes)

    @property
    def fixed_spares(self) -> bool:
        """Must each run have all of them, or its ranks would lie elsewhere?"""
        return bool(self.shape.domains.names)

    @property
    def by_votes(self) -> bool:
        """Are plans chosen by votes (rule D0)? Else the register chooses."""
        return decide_after(self.plan)

    def ranks_of(self, node: int) -> list[int]:
        """Its ranks at the start."""
        return [placed.rank for placed in self.plan.placements if placed.node == node]

    def replacement(self, node: int) -> int:
        """The spare that gets the ranks of a lost node. At least one spare."""
        survivors = [_seat(home) for home in self.homes if home != node]
        ranks = self.ranks_of(node)
        spares, shape = list(map(_seat, self.spares)), self.shape
        return place(self.plan, ranks, survivors, spares, shape.domains, shape.ranks_per_node)[ranks[0]].node

    def survivable_domains(self) -> list[tuple[int, ...]]:
        """The nodes, spares too, of each failure domain of two nodes or more that has ranks and whose loss parity gives back."""
        homes = self.homes
        members: dict[domains.Prefix, list[int]] = {}
        for node in sorted((*homes, *self.spares)):
            for prefix in self.shape.domains.prefixes(node)[:-1]:
                members.setdefault(prefix, []).append(node)
        return [tuple(nodes) for nodes in members.values() if len(nodes) > 1 and set(nodes) & {*homes} and self._gives_back(nodes)]

    def _gives_back(self, nodes: Sequence[int]) -> bool:
        """Has no group more than m of its members there?"""
        lost = {rank for node in nodes for rank in self.ranks_of(node)}
        return all(len(lost.intersection(group)) <= self.plan.parity for group in self.plan.groups)

    def not_drawn(self) -> str:
        """Why no whole failure domain is lost, or not every one, as a sentence; empty where each is, and where none is known."""
        if not self.shape.domains.names:
            return ""
        if not self.plan.parity:
            return "the campaign kills no whole failure domain, because --parity 0 can rebuild nothing"
        risk = domains.risk(self.plan.groups, lambda rank: self.plan.placements[rank].node, self.plan.parity, self.shape.domains)
        if self.survivable_domains():
            return f"the campaign does not kill every failure domain as a whole: {risk}" if risk else ""
        return f"the campaign kills no whole failure domain: {risk or 'none has ranks and more than one node'}"


def baseline_of(shape: JobShape, *, spares: int, supersteps: int, commits: Sequence[int], wall_s: float, tight: bool = False) -> Baseline:
    """Return the baseline of a job with so many spares, given its undisturbed run."""
    nodes = range(nodes_with_ranks(shape.ranks, shape.ranks_per_node) + spares)
    plan = first_plan(
        [_seat(node) for node in nodes], shape.ranks, shape.ranks_per_node, shape.group_size, shape.parity, shape.domains
    )  # fmt: skip
    return Baseline(shape=shape, plan=plan, spares_max=spares, supersteps=supersteps, commits=tuple(commits), wall_s=wall_s, tight=tight)


def _seat(node: int) -> Seat:
    return Seat(agent=node + 1, node=node, address="")
