"""Did a simulated job end as it had to? With the right result, or with the error that its faults excuse."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from perdure.core import commands as do
from perdure.core.ids import END, Label
from perdure.core.plan import Plan
from perdure.sim import program
from perdure.sim.engine import REFUSED
from perdure.sim.tokens import CROSSES_AT, CROSSING, LEFT, WARNED

if TYPE_CHECKING:
    from perdure.sim.checkers import Checkers
    from perdure.sim.nodes import SimNode

PATIENCE_KEPT: Final = 0.95
"""Of the time that a silent node is waited for: an orchestrator's clock runs fast, and it begins to wait a moment before the node stops."""


class Judgement:
    """Asked once, at the end of a job."""

    def __init__(self, checkers: Checkers) -> None:
        self._checkers, self._cluster = checkers, checkers.cluster

    def judge(self, end: do.Finish) -> None:
        """G5: the result of the committed end; or Unrecoverable, if the parity cannot give back what was lost."""
        self._wire_bytes()
        if end.error == "UsageError" and self._may_be_refused():
            return
        if not end.error:
            self._checkers.require(
                self._cluster.world.scenario.messages not in (CROSSING, LEFT) or self._is_alone(), "C11", "a message crossed a commit"
            )
            right = end.payload == program.state_of(0, self._cluster.world.scenario.count)
            self._checkers.require(right, "G5", f"a wrong result: {end.payload!r}")
            known = self._checkers.newest is not None and self._checkers.newest.superstep == END
            self._checkers.require(known, "I9", "a result before the end was committed")
            self._checkers.require(self._checkers.end_is_told, "C10", "a result, and no event says that the end was committed")
            return
        if self._supervisor_ends(end):
            return
        self._checkers.require(end.error == "Unrecoverable", "G5", f"{end.error}: {end.text}")
        self._checkers.require(self._excused(), "G5", f"{end.error}: {end.text}, but no more than m ranks of a group are lost")

    def _supervisor_ends(self, end: do.Finish) -> bool:
        """L1, L2, L4, L7: is it an end that the supervisor has to make? The first verdict on the program counts; the engine refuses; each
        orchestrator ends; or there is no node."""
        supervisor = self._cluster.supervisor
        verdict = supervisor.checks.verdict
        if verdict is not None and verdict.error:
            self._checkers.require(
                (end.error, end.text) == (verdict.error, verdict.text), "L2", f"{end.error}, and the verdict is {verdict}"
            )
            return True
        if end.error == "EngineFailed" and end.text == REFUSED:
            return supervisor.has_refused or any(agent <= supervisor.first_nodes for agent in supervisor.engine.refused)
        if end.error == "EngineFailed" and supervisor.ends_orchestrators:
            return True
        is_there = any(node.alive and node.number not in supervisor.starting_nodes for node in self._cluster.nodes.values())
        return end.error in ("EngineFailed", "ProgramFailed") and not is_there

    def _wire_bytes(self) -> None:
        """C4: each data chunk leaves its node at most once, each parity chunk too: at most n (n - 1) c for a label of a group."""
        totals: dict[tuple[int, Label, int], int] = {}
        for node in self._cluster.nodes.values():
            for key, moved in node.vault.moved_parity.items():
                totals[key] = totals.get(key, 0) + moved
        groups = self._cluster.decisions.chosen[0].groups if self._cluster.decisions.chosen else ()
        for (index, label, _), moved in totals.items():
            n, m = len(groups[index]), self._cluster.world.scenario.parity
            chunk = -(-max(program.size_of(rank) for rank in groups[index]) // (n - m))
            most = n * (n - 1) * chunk
            self._checkers.require(moved <= most, "wire bytes", f"group {index} moved {moved} bytes for {label}, computed are {most}")

    def _is_alone(self) -> bool:
        return self._cluster.world.scenario.ranks == 1

    def _may_be_refused(self) -> bool:
        """C11: a message has crossed a commit; where that is allowed, some generation would have started from there."""
        bases = [plan.base.superstep for plan in self._cluster.decisions.chosen if plan.base is not None]
        pattern = self._cluster.world.scenario.messages
        return pattern in (CROSSING, LEFT) or (pattern == WARNED and CROSSES_AT in bases)

    def _excused(self) -> bool:
        """Was more lost than the parity gives back? Of some group, more than m ranks have no living home or custodian with a whole newest
        label; or, where votes decide, no home that could have voted. Or all members are lost.

        T5: a stopped node is an excuse only when it was waited for.
        """
        chosen = self._cluster.decisions.chosen
        if not chosen or self._checkers.newest is None:
            return True
        plan, label = chosen[-1], self._checkers.newest
        if not any(self._is_waited_for(self._cluster.nodes[agent]) for agent in plan.agents()):
            return True  # nobody can say that nothing newer was committed
        by_votes = self._cluster.decisions.are_by_votes_after(plan)
        for group in plan.groups:
            lost = sum(not any(self._has_whole(node, plan, rank, label) for node in self._cluster.nodes.values()) for rank in group)
            voteless = sum(not self._may_vote(self._cluster.nodes[plan.agent_of(rank)]) for rank in group)
            if lost > plan.parity or (by_votes and voteless > plan.parity):
                return True
        common = program.common_of(program.before(label.superstep, self._cluster.world.scenario.count))
        holders = [held for node in self._cluster.nodes.values() if node.alive for (_, x), held in node.vault.held.items() if x == label]
        return not any(held.replicated == common for held in holders)

    def _has_whole(self, node: SimNode, plan: Plan, rank: int, label: Label) -> bool:
        held, geometry = node.vault.held.get((rank, label)), plan.geometry(plan.group_index(rank))
        whole = held is not None and held.right_data + 1 == 1 << geometry.d and held.right_parity + 1 == 1 << geometry.m
        return whole and self._is_waited_for(node)

    def _may_vote(self, node: SimNode) -> bool:
        """T6: nor can one whose links are broken."""
        newest = self._cluster.supervisor.newest
        return (newest is None or node.number not in newest.state.excluded) and self._is_waited_for(node)

    def _is_waited_for(self, node: SimNode) -> bool:
        patience_s = PATIENCE_KEPT * self._cluster.world.settings.unreachable_timeout_s
        if node.number in self._cluster.supervisor.engine.false_ends:
            return False  # it counts as lost, and is being ended
        return node.alive and (node.awake or self._cluster.world.schedule.now - node.frozen_since_s <= patience_s)
