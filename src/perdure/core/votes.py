"""Whose word makes the next generation, and when has it been given? (rules D0, D3, D5)

The votes of a generation are its ranks, cast by their agents. Everything here follows from the plan, so no two orchestrators can ask
different authorities about the same generation.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from perdure.core.messages import Vote
from perdure.core.plan import Plan


def decide_after(plan: Plan) -> bool:
    """D0: is the plan that follows this one chosen by votes? Else by the register, for two quorums need not meet."""
    return 2 * plan.parity < plan.smallest_group()


def are_quorum(plan: Plan, missing: Iterable[int]) -> bool:
    """D0: are there n - m votes of every group, if those of these ranks are missing?"""
    of_group = Counter(map(plan.group_index, missing))
    return max(of_group.values(), default=0) <= plan.parity


def newest(votes: Iterable[Vote | None]) -> Vote | None:
    """D3: the one of the highest ballot, if there is any."""
    return max((vote for vote in votes if vote is not None), key=lambda vote: vote.ballot, default=None)
