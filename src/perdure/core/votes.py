"""Whose word makes the next generation, and when has it been given? (rules D0, D3, D5)

The votes of a generation are its ranks, cast by their agents. Everything here follows from the plan and from settings that are the same
for the whole job, so no two orchestrators can ask different authorities about the same generation.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from perdure.core.messages import Vote
from perdure.core.plan import Plan
from perdure.core.settings import Settings


def decide_after(plan: Plan, settings: Settings) -> bool:
    """D0: is the plan that follows this one chosen by votes? Else by the register: where two quorums need not meet, and where the agents
    are so many that the orchestrator does not speak to each of them."""
    return all(2 * plan.parity < len(group) for group in plan.groups) and len(plan.agents()) <= settings.direct_agents_max


def are_quorum(plan: Plan, agents: Collection[int]) -> bool:
    """D0: n - m votes of every group, of the ranks that these agents hold."""
    return all(sum(plan.agent_of(rank) in agents for rank in group) >= len(group) - plan.parity for group in plan.groups)


def newest(votes: Iterable[Vote | None]) -> Vote | None:
    """D3: the one of the highest ballot, if there is any."""
    return max((vote for vote in votes if vote is not None), key=lambda vote: vote.ballot, default=None)
