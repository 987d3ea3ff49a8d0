"""Which events of an orchestrator are new? A new orchestrator learns of everything again, and each event is published once (rule L6)."""

from __future__ import annotations

from perdure.core.job_events import AgentStartedEvent, CommittedEvent, JobEvent, NodeLostEvent
from perdure.core.supervisor.state import SupervisedOrchestrator, SupervisorState


def is_new(state: SupervisorState, one: SupervisedOrchestrator, event: JobEvent) -> bool:
    """L6: has neither an earlier orchestrator nor this one published it? The answer is remembered."""
    match event:
        case AgentStartedEvent(node=node, pid=pid):
            one.pids[node] = pid
            return _is_first(state.announced, (node, pid))
        case NodeLostEvent(node=node):
            return _is_first(state.lost, (node, one.pids.get(node, 0)))
        case CommittedEvent(generation=generation, end=end, superstep=superstep):
            label, newest = (generation, end, superstep), state.newest
            state.newest = max(label, newest)
            return label > newest
        case _:
            return True


def _is_first(seen: set[tuple[int, int]], key: tuple[int, int]) -> bool:
    is_first = key not in seen
    seen.add(key)
    return is_first
