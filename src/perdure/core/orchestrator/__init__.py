"""Who is in the job, and since when is a superstep safe? The state machine of the orchestrator.

`step` takes one event and answers with commands: `facts` (commits, the end), `failure_detector` (silence), `recovery` (losses, seals,
the next plan), `consensus` (votes, the register), `plan_catchup` (a plan that others have), `plan_distribution` (who receives what of a
plan), `broadcast` (by the tree), `exclusion` (nodes that the job goes on without, and their memory).
"""

from __future__ import annotations

from typing import assert_never

from perdure.core import commands as do
from perdure.core import events as ev
from perdure.core.orchestrator import facts, plan_catchup, recovery
from perdure.core.orchestrator.state import GenerationPhase, JobShape, OrchestratorState

__all__ = ["GenerationPhase", "JobShape", "OrchestratorState", "step"]


def step(state: OrchestratorState, event: ev.OrchestratorEvent, now: float) -> list[do.OrchestratorCommand]:
    """Takes one event at time `now` (s, monotonic), changes `state`, and returns what is to be done, in order."""
    if state.phase is GenerationPhase.ENDED:
        return []
    match event:
        case ev.RegisterHolds(plan=plan):
            out = recovery.register_holds(state, plan, now)
        case ev.AgentUp():
            out = recovery.agent_up(state, event, now)
        case ev.NoMoreNodes():
            state.all_nodes_up = True
            out = []
        case ev.AgentEnded(agent=agent, how=how):
            out = recovery.agent_lost(state, agent, how, now)
        case ev.AgentSaid(agent=agent, message=message):
            out = facts.agent_said(state, agent, message, now)
        case ev.Tick(late_s=late_s):
            out = facts.tick(state, late_s, now)
        case _:
            assert_never(event)
    return out + recovery.advance(state, now) + plan_catchup.ask(state)
