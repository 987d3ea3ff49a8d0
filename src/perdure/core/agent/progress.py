"""How far are the ranks here, and those of the agents below this one in the tree? Told upwards (rules T2, W4)."""

from __future__ import annotations

from bisect import bisect_left

from perdure.core import commands as do
from perdure.core import messages as msg
from perdure.core import progress
from perdure.core.agent.state import AgentState, Hosted
from perdure.core.multicast_tree import head_above
from perdure.core.plan import Plan


def of_own(state: AgentState, now: float) -> msg.Progress | None:
    """Of the ranks here; None while `main` was not entered in this generation."""
    if not state.hosted or not state.current.resumed:
        return None
    return progress.total(_of_rank(state, hosted, now) for hosted in state.hosted.values())


def _of_rank(state: AgentState, hosted: Hosted, now: float) -> msg.Progress:
    inside_s = now - hosted.moved_at
    return progress.of_rank(state.generation, hosted.rank, hosted.superstep, hosted.count, hosted.frames, inside_s, hosted.inside)


def heard(state: AgentState, agent: int, message: msg.Progress) -> None:
    """From an agent right below."""
    state.below[agent] = message


def by_tree(state: AgentState, plan: Plan, now: float) -> list[do.AgentCommand]:
    """In a large job: the ranks here and all below, to the agent above, or from the top to the orchestrator."""
    if now < state.next_progress or (own := of_own(state, now)) is None:
        return []
    state.next_progress = now + state.settings.progress_s
    state.below = {agent: said for agent, said in state.below.items() if said.generation >= state.generation}
    word = progress.total([own, *(said for said in state.below.values() if said.generation == state.generation)])
    agents = plan.agents()
    above = head_above(bisect_left(agents, state.me), len(agents), state.settings.fan_out)
    return [do.TellOrchestrator(message=word) if above is None else do.TellPeer(agent=agents[above], message=word)]
