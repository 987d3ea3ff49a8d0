"""Which orchestrator serves the job? One at a time; the next one waits (rules L3 to L5, L8)."""

from __future__ import annotations

from perdure.core import commands as do
from perdure.core import events as ev
from perdure.core import messages as msg
from perdure.core.job_events import CommittedEvent, JobEvent, OrchestratorLostEvent, OrchestratorStartedEvent
from perdure.core.supervisor import injected, publishing
from perdure.core.supervisor.state import (
    AFTER_A_LATE_TICK_S,
    END_TIMEOUT_S,
    HEARTBEAT_TIMEOUT_S,
    MAX_RESTARTS,
    AgentPhase,
    OrchestratorPhase,
    Phase,
    SupervisedAgent,
    SupervisedOrchestrator,
    SupervisorState,
    finish,
)  # fmt: skip

Commands = list[do.SupervisorCommand]


def begin_next(state: SupervisorState, now: float) -> Commands:
    """L3: the process that waits begins; where none waits, or a signal has stopped it, another one is started first."""
    out: Commands = []
    one, state.standby = state.standby, None
    if one is not None and ("orchestrator", one.number) in state.stopped:
        out.append(do.EndOrchestrator(orchestrator=one.number))
        one = None
    if one is None:
        one = _started(state)
        out.append(do.StartOrchestrator(orchestrator=one.number))
    state.current = one
    state.may_prepare = True
    if one.phase is OrchestratorPhase.WAITING:
        one.heard_at = now + HEARTBEAT_TIMEOUT_S
        return out + _begin(state, one)
    one.heard_at = now + state.settings.start_timeout_s  # a new process imports everything before it sends a word
    return out


def _started(state: SupervisorState) -> SupervisedOrchestrator:
    state.rounds += 1
    return SupervisedOrchestrator(number=state.rounds)


def _begin(state: SupervisorState, one: SupervisedOrchestrator) -> Commands:
    """L8: the register is read before the orchestrator hears of any node, or it would propose a first plan again."""
    one.become(OrchestratorPhase.READING)
    begin = msg.BeginRound(round=one.number, spent=tuple(sorted(state.spent)))
    return [
        do.SendToOrchestrator(orchestrator=one.number, message=begin),
        do.Publish(event=OrchestratorStartedEvent(pid=one.pid)),
        do.ReadRegister(orchestrator=one.number),
    ]


def prepare(state: SupervisorState) -> Commands:
    """Start the next orchestrator's process, once for each that serves, so that a hand-over takes milliseconds."""
    if not state.may_prepare:
        return []
    state.may_prepare = False
    state.standby = _started(state)
    return [do.StartOrchestrator(orchestrator=state.standby.number)]


def started(state: SupervisorState, event: ev.OrchestratorStarted) -> Commands:
    """The engine has started a process. One that was given up meanwhile is ended."""
    for one in (state.current, state.standby):
        if one is not None and one.number == event.orchestrator and one.phase is OrchestratorPhase.STARTING:
            one.pid = event.pid
            one.become(OrchestratorPhase.WAITING)
            return _begin(state, one) if one is state.current else []
    return [do.EndOrchestrator(orchestrator=event.orchestrator)]


def not_started(state: SupervisorState, event: ev.OrchestratorNotStarted) -> Commands:
    """Where a standby cannot be started, the hand-over takes longer, if it can be at all."""
    if state.standby is not None and state.standby.number == event.orchestrator:
        state.standby = None
    if state.current is not None and state.current.number == event.orchestrator:
        return finish(state, "EngineFailed", event.text)
    return []


def register_answered(state: SupervisorState, event: ev.RegisterAnswered) -> Commands:
    """L8: the newest plan goes to the orchestrator that has asked; one that begins then receives all that is known of nodes."""
    number, one = event.orchestrator, state.current
    holds = do.SendToOrchestrator(orchestrator=number, message=msg.RegisterHolds(plan=event.plan))
    if one is None or one.number != number or one.phase is not OrchestratorPhase.READING:
        return [holds]
    one.become(OrchestratorPhase.SERVING)
    out: Commands = [holds]
    for agent in state.agents.values():
        if agent.address:
            out += tell(state, introduction(agent))
        if agent.address and agent.phase is AgentPhase.ENDED:
            out += tell(state, msg.AgentEnded(agent=agent.agent, how=agent.how))
    return out + (tell(state, msg.NoMoreNodes()) if state.phase is Phase.RUNNING else [])


def introduction(agent: SupervisedAgent) -> msg.AgentUp:
    """What an orchestrator receives of an agent that is up."""
    return msg.AgentUp(agent=agent.agent, node=agent.node, address=agent.address, pid=agent.pid)


def tell(state: SupervisorState, message: msg.ToOrchestrator) -> Commands:
    """Send to the orchestrator that serves. One that begins later receives all of it then."""
    one = state.current
    return (
        [do.SendToOrchestrator(orchestrator=one.number, message=message)]
        if one is not None and one.phase is OrchestratorPhase.SERVING
        else []
    )


def end_node(agent: SupervisedAgent) -> Commands:
    """Have the engine end an agent's node."""
    agent.is_to_end = True
    return [do.EndNode(agent=agent.agent)]


def reported(state: SupervisorState, number: int, message: msg.FromOrchestrator, now: float) -> Commands:
    """L5: the register is open to every orchestrator; otherwise only the current one counts."""
    match message:
        case msg.Propose(plan=plan):
            out: Commands = [do.CreatePlan(orchestrator=number, plan=plan)]
        case msg.Note(plan=plan):
            out = [do.NotePlan(plan=plan)]
        case msg.FaultStruck(index=index, at=at):
            out = injected.struck(state, index, at)
        case _:
            out = []
    one = state.current
    if one is None or one.number != number:
        return out
    one.heard_at, one.is_within_message = now, False
    return out or _obey(state, one, message)


def _obey(state: SupervisorState, one: SupervisedOrchestrator, message: msg.FromOrchestrator) -> Commands:
    match message:
        case msg.KillAgent(agent=agent):
            return end_node(state.agents[agent])
        case msg.Publish():
            return _published(state, one, message.event)
        case msg.ResultPiece(data=data):
            one.result.append(data)
            one.result_bytes += len(data)
            return []
        case msg.Finish(error=error, text=text, payload=payload):
            return finish(state, error, text, b"".join((*one.result, payload)))
        case _:
            return []


def _published(state: SupervisorState, one: SupervisedOrchestrator, event: JobEvent) -> Commands:
    """L4, L6: a new commit shows that orchestrators work; one that is counted again shows only that this one has begun."""
    out = prepare(state) if isinstance(event, CommittedEvent) else []
    if not publishing.is_new(state, one, event):
        return out
    if isinstance(event, CommittedEvent):
        state.restarts = 0
    return [*out, do.Publish(event=event)]


def part_received(state: SupervisorState, number: int, now: float) -> Commands:
    """Bytes are a sign of life: a message may be large and take long."""
    one = state.current
    if one is not None and one.number == number:
        one.heard_at, one.is_within_message = now, True
    return []


def ended(state: SupervisorState, event: ev.OrchestratorEnded, now: float) -> Commands:
    """L3: the current one is replaced; a standby is not missed before it is needed."""
    if state.standby is not None and state.standby.number == event.orchestrator:
        state.standby = None
    one = state.current
    return _replace(state, one, event.how, now) if one is not None and one.number == event.orchestrator else []


def _replace(state: SupervisorState, one: SupervisedOrchestrator, how: str, now: float) -> Commands:
    """L4: restarts without a commit in between have a limit."""
    one.become(OrchestratorPhase.ENDED)
    lost = do.Publish(event=OrchestratorLostEvent(reason=how))
    state.restarts += 1
    if state.restarts > MAX_RESTARTS:
        return [lost, *finish(state, "EngineFailed", f"the orchestrator ended {state.restarts} times, the last time it {how}")]
    return [lost, *begin_next(state, now)]


def end(state: SupervisorState, one: SupervisedOrchestrator, now: float) -> Commands:
    """L3: the orchestrator is to be ended, and replaced when that is reported, or at `end_due`."""
    if one.phase in (OrchestratorPhase.ENDING, OrchestratorPhase.ENDED):
        return []
    one.become(OrchestratorPhase.ENDING)
    one.end_due = now + END_TIMEOUT_S
    return [do.EndOrchestrator(orchestrator=one.number)]


def tick(state: SupervisorState, late_s: float, now: float) -> Commands:
    """L3: look whether the current one is heard. T3: a supervisor that was late itself gives it time to be."""
    one = state.current
    if one is None:
        return []
    if late_s > state.settings.late_timer_s:
        one.heard_at = max(one.heard_at, now - HEARTBEAT_TIMEOUT_S + AFTER_A_LATE_TICK_S)
        one.end_due = max(one.end_due, now + AFTER_A_LATE_TICK_S)
    if one.phase is OrchestratorPhase.ENDING and now >= one.end_due:
        return _replace(state, one, f"sent nothing for {HEARTBEAT_TIMEOUT_S:g} s, and its end was not reported", now)
    if now - one.heard_at > HEARTBEAT_TIMEOUT_S:
        return end(state, one, now)
    return []
