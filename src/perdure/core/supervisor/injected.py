"""Which injected faults have happened? Each happens once."""

from __future__ import annotations

from perdure.core import commands as do
from perdure.core import messages as msg
from perdure.core.supervisor.state import AgentPhase, SupervisorState


def struck(state: SupervisorState, index: int, at: float) -> list[do.SupervisorCommand]:
    """A process reports that a fault strikes it. Several may come to its instant together, and again after a recovery."""
    if index in state.spent:
        return []
    state.spent.add(index)
    spent = msg.FaultSpent(index=index)
    up = [agent.agent for agent in state.agents.values() if agent.phase is AgentPhase.UP]
    return [*(do.SendToNode(agent=agent, message=spent) for agent in up), do.TakeFault(index=index, at=at)]
