"""Who has a plan that is newer than this orchestrator's, and who of them is asked for it? (rule D7)

Whoever has one says so, and one of these is asked for it: a plan may be megabytes.
"""

from __future__ import annotations

from perdure.core import commands as do
from perdure.core import messages as msg
from perdure.core.orchestrator.state import OrchestratorState

Commands = list[do.OrchestratorCommand]


def told(state: OrchestratorState, agent: int, generation: int) -> None:
    """The agent has installed the plan of that generation."""
    if generation > state.generation:
        state.newer[agent] = generation


def ask(state: OrchestratorState) -> Commands:
    """After every event: the one that has the newest, and another one when that one is lost or silent."""
    if not state.newer:
        return []
    state.newer = {agent: g for agent, g in state.newer.items() if g > state.generation and state.alive(agent)}
    able = {agent: g for agent, g in state.newer.items() if not state.nodes[agent].silent}
    if not able or state.current.plan_asked_of in able:
        return []
    state.current.plan_asked_of = max(able, key=lambda agent: (able[agent], -agent))
    return [do.TellAgent(agent=state.current.plan_asked_of, message=msg.AskPlan())]
