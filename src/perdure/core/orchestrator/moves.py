"""Changes that nothing forces: ranks that share a node move to a spare that has come up (rules E3, E10).

1. The wish is a level: it is found anew from the newest plan and the spares, so no orchestrator makes a change twice or loses one.
2. The orchestrator sends `Hold` to every member: a rank waits at its next commit position.
3. When that label is committed the orchestrator seals the generation. All ranks have prepared the label, so it is the base, and no
   superstep is repeated.
4. The next plan moves ranks (`seating.relieve`). The node that they leave keeps their chunks until a newer label is committed, so during
   the move nothing is less protected than before.
"""

from __future__ import annotations

from perdure.core import commands as do
from perdure.core import messages as msg
from perdure.core.ids import END, Label
from perdure.core.job_events import HoldEvent
from perdure.core.orchestrator.state import GenerationPhase, OrchestratorState

Commands = list[do.OrchestratorCommand]


def wish(state: OrchestratorState) -> str:
    """Return why ranks should be placed anew, as a sentence; empty: they lie as they should."""
    if not state.idle or state.plan is None:
        return ""
    full = state.plan.fullest_agent()
    count = len(state.plan.ranks_of(full))
    if count <= state.shape.ranks_per_node:
        return ""
    free = next((node for node in state.spares() if node.status is not None and not node.suspected), None)
    return f"node {state.nodes[full].node} holds {count} ranks, and node {free.node} holds none" if free else ""


def hold(state: OrchestratorState) -> Commands:
    """E3: tell every member where the wish has come or gone."""
    why = wish(state)
    if bool(why) == state.current.holding or state.plan is None:
        return []
    members = state.members()
    if not why and state.current.holding is None:
        members = tuple(agent for agent in members if (status := state.nodes[agent].status) is not None and status.holds)
    state.current.holding = bool(why)
    told: Commands = [do.Publish(event=HoldEvent(why=why))] if why else []
    committed, generation = state.committed, state.plan.generation
    newest = committed if committed is not None and committed.generation == generation else Label(generation, -1)
    word = msg.Hold(generation=generation, after=newest if why else None)
    return told + [do.TellAgent(agent=agent, message=word) for agent in members]


def is_due(state: OrchestratorState) -> bool:
    """E3: the label that the ranks hold at is committed."""
    return (
        state.phase is GenerationPhase.COUNTING
        and state.current.holding is True
        and state.committed is not None
        and state.committed.superstep != END
    )


def must_seal_at_once(state: OrchestratorState) -> bool:
    """An earlier orchestrator may have held the ranks at a label that is committed since: no further commit would come."""
    plan, committed = state.plan, state.committed
    if state.current.holding is not None or plan is None or committed is None or committed.generation != plan.generation:
        return False
    return committed.superstep != END and bool(wish(state))
