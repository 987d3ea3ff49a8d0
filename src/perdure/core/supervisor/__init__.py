"""Which processes does the job have? The state machine of the supervisor.

`step` takes one event and answers with commands: `nodes` (nodes are requested, agents start, come up, end, return), `orchestrators`
(one serves, the next one waits), `publishing` (each event once). The machine decides nothing about ranks: what a loss means is the
orchestrator's matter, and plans are the register's, which is reached by commands and answers so that it may lie in another process.

An agent's number is fresh at every start and never used again; so is an orchestrator's, which is its round.
"""

from __future__ import annotations

from typing import assert_never

from perdure.core import commands as do
from perdure.core import events as ev
from perdure.core.ids import NodeId
from perdure.core.job_events import EngineAvailableEvent, EngineUnavailableEvent, StartedEvent
from perdure.core.supervisor import nodes, orchestrators
from perdure.core.supervisor.state import HEARTBEAT_TIMEOUT_S, NOT_UP, STOPPED_S, AgentPhase, OrchestratorPhase, Phase, SupervisorState

__all__ = ["Phase", "SupervisorState", "deadline", "observed", "step"]

Commands = list[do.SupervisorCommand]


def step(state: SupervisorState, event: ev.SupervisorEvent, now: float) -> Commands:
    """Takes one event at time `now` (s, monotonic), changes `state`, and returns what is to be done, in order."""
    if state.phase is Phase.ENDED:
        return []
    match event:
        case ev.JobBegun():
            return _begin(state, event, now)
        case ev.NodeCame(node=node):
            return nodes.request(state, node, now)
        case ev.NodeGranted(request=agent, node=node_id):
            return nodes.granted(state, state.agents[agent], node_id, now)
        case ev.RequestPending(request=agent, reason=reason):
            return nodes.pending(state.agents[agent], reason)
        case ev.RequestRefused(request=agent, reason=reason):
            return nodes.refused(state, state.agents[agent], reason, now)
        case ev.StartRefused() | ev.NodeDraining() | ev.NodeEnded():
            return nodes.engine_reported(state, event, now)
        case ev.NodeReported(agent=agent, message=message):
            return nodes.reported(state, state.agents[agent], message, now)
        case ev.EngineUnavailable(reason=reason):
            return _unavailable(state, reason, now)
        case ev.EngineAvailable(nodes=held):
            return _available(state, held, now)
        case ev.OrchestratorStarted():
            return orchestrators.started(state, event)
        case ev.OrchestratorNotStarted():
            return orchestrators.not_started(state, event)
        case ev.OrchestratorReported(orchestrator=number, message=message):
            return orchestrators.reported(state, number, message, now)
        case ev.OrchestratorPartReceived(orchestrator=number):
            return orchestrators.part_received(state, number, now)
        case ev.OrchestratorEnded():
            return orchestrators.ended(state, event, now)
        case ev.RegisterAnswered():
            return orchestrators.register_answered(state, event)
        case ev.StoppedFound():
            return _stopped(state, event, now)
        case ev.Tick(late_s=late_s):
            return _tick(state, late_s, now)
        case _:
            assert_never(event)


def _begin(state: SupervisorState, event: ev.JobBegun, now: float) -> Commands:
    out: Commands = [do.Publish(event=StartedEvent(job=event.job))]
    for node in event.nodes:
        out += nodes.request(state, node, now, is_first=True)
    return out + orchestrators.begin_next(state, now)


def _unavailable(state: SupervisorState, reason: str, now: float) -> Commands:
    """L9: nodes go on, whatever the engine's control plane does."""
    nodes.engine_unavailable(state, now)
    was_unavailable, state.is_unavailable = state.is_unavailable, True
    return [] if was_unavailable else [do.Publish(event=EngineUnavailableEvent(reason=reason))]


def _available(state: SupervisorState, held: tuple[NodeId, ...], now: float) -> Commands:
    was_unavailable, state.is_unavailable = state.is_unavailable, False
    published: Commands = [do.Publish(event=EngineAvailableEvent())] if was_unavailable else []
    return [*published, *nodes.engine_available(state, held, now)]


def _tick(state: SupervisorState, late_s: float, now: float) -> Commands:
    out = nodes.tick(state, now)
    return out if state.phase is Phase.ENDED else out + orchestrators.tick(state, late_s, now)


def observed(state: SupervisorState) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the agents and the orchestrators of which the driver should find out whether a signal has stopped them: no silence of
    theirs would show it, or show it soon."""
    agents = tuple(agent.agent for agent in state.agents.values() if agent.phase is AgentPhase.STARTING)
    return agents, tuple(one.number for one in (state.standby, state.current) if one is not None)


def _stopped(state: SupervisorState, event: ev.StoppedFound, now: float) -> Commands:
    """L1, L3: what is stopped for `STOPPED_S` is ended. After a pause of the driver itself it has that time again."""
    if now - state.looked_at > STOPPED_S / 2:
        state.stopped.clear()
    state.looked_at = now
    found = [*(("agent", number) for number in event.agents), *(("orchestrator", number) for number in event.orchestrators)]
    state.stopped = {key: state.stopped.get(key, now) for key in found}
    out: Commands = []
    for what, number in [key for key, since in state.stopped.items() if now - since > STOPPED_S]:
        if state.phase is Phase.ENDED:
            break
        if what == "agent":
            out += nodes.ended(state, state.agents[number], f"stopped for {STOPPED_S:g} s", now)
        elif state.current is not None and state.current.number == number:
            out += orchestrators.end(state, state.current, now)
        else:
            out.append(do.EndOrchestrator(orchestrator=number))
    return out


def deadline(state: SupervisorState) -> float:
    """Return when the next `Tick` is needed (s); others in between do no harm."""
    times = [agent.due for agent in state.agents.values() if agent.phase in NOT_UP]
    times += [due for due, _ in state.returns]
    times += [state.last_words_due] if state.last_words_due else []
    if state.current is not None:
        is_ending = state.current.phase is OrchestratorPhase.ENDING
        times.append(state.current.end_due if is_ending else state.current.heard_at + HEARTBEAT_TIMEOUT_S)
    return min(times, default=float("inf"))
