"""What was chosen: counted from the votes as agents cast them, and from the register. Nobody in the job sees all of this.

The arithmetic of quorums is done here once more, for that of the core is what is checked.
"""

from __future__ import annotations

from collections.abc import Callable

from perdure.core.ids import Ballot
from perdure.core.messages import Vote
from perdure.core.plan import Plan


class Decisions:
    """All plans that were chosen, oldest first. `on_chosen` hears of each; `broken` is told what must never be, which breaks I1."""

    def __init__(self, on_chosen: Callable[[Plan], None], broken: Callable[[str, str], None]) -> None:
        self.chosen: list[Plan] = []
        self._on_chosen, self._broken = on_chosen, broken
        self._votes: dict[tuple[int, Ballot], tuple[Plan, set[int]]] = {}

    def are_by_votes_after(self, plan: Plan | None) -> bool:
        """D0: whose word makes the generation after this plan; the register's makes the first."""
        if plan is None:
            return False
        return all(2 * plan.parity < len(group) for group in plan.groups)

    def created(self, plan: Plan) -> None:
        """The register holds this plan now."""
        before = self._before(plan.generation)
        if self.are_by_votes_after(before):
            self._broken("I1", f"generation {plan.generation} is proposed to the register, and votes decide it")
        self._take(plan)

    def accepted(self, agent: int, generation: int, vote: Vote) -> None:
        """An agent has cast the votes of its ranks."""
        before, ballot = self._before(generation), vote.ballot
        if before is None or not self.are_by_votes_after(before):
            self._broken("I1", f"agent {agent} votes for generation {generation}, which the register decides")
            return
        plan = before.amended(vote.change)
        asked, voters = self._votes.setdefault((plan.generation, ballot), (plan, set()))
        if asked != plan:
            self._broken("I1", f"two plans for generation {plan.generation} in ballot {ballot}")
        voters.add(agent)
        votes = [sum(before.placements[rank].agent in voters for rank in group) for group in before.groups]
        if all(count >= len(group) - before.parity for count, group in zip(votes, before.groups, strict=True)):
            self._take(plan)

    def _before(self, generation: int) -> Plan | None:
        """The plan of the generation before, which must have been chosen."""
        if generation == 1:
            return None
        if len(self.chosen) < generation - 1:
            self._broken("I1", f"generation {generation} is decided, and {generation - 1} is not")
        return self.chosen[generation - 2]

    def _take(self, plan: Plan) -> None:
        if len(self.chosen) >= plan.generation:
            if self.chosen[plan.generation - 1] != plan:
                self._broken("I1", f"two plans are chosen for generation {plan.generation}")
            return
        self.chosen.append(plan)
        self._on_chosen(plan)
