"""Which nodes are there? Nodes are requested, agents start, come up, end and return (rules L1, L2, L7, L9)."""

from __future__ import annotations

from typing import Final, assert_never

from perdure.core import commands as do
from perdure.core import events as ev
from perdure.core import messages as msg
from perdure.core.engine_events import NodeEvent
from perdure.core.ids import NodeId
from perdure.core.job_events import NodeDrainingEvent, NodeLostEvent, NodePendingEvent, NodeReturnedEvent, ShellOutputEvent
from perdure.core.supervisor import injected, orchestrators
from perdure.core.supervisor.state import LAST_WORDS_S, NOT_UP, AgentPhase, Phase, SupervisedAgent, SupervisorState, finish

GONE_MEANWHILE: Final = "gone while the engine was unavailable"
Commands = list[do.SupervisorCommand]


def request(state: SupervisorState, node: int, now: float, *, is_first: bool = False, replaces: int | None = None) -> Commands:
    """Request a node for a new agent; L1: an answer has `start_timeout_s` to come. `replaces`: an agent that has ended."""
    number, due = len(state.agents) + 1, now + state.settings.start_timeout_s
    state.agents[number] = SupervisedAgent(agent=number, node=node, is_first=is_first, replaces=replaces, due=due)
    return [do.RequestNode(agent=number, replaces=replaces)]


def granted(state: SupervisorState, agent: SupervisedAgent, node_id: NodeId, now: float) -> Commands:
    """L1: the agent has `start_timeout_s` to come up. A node that comes when its request was given up is released."""
    agent.node_id = node_id
    state.on_node[node_id] = agent.agent
    if agent.phase is AgentPhase.ENDED:
        return _release(agent)
    if agent.phase is not AgentPhase.REQUESTED:
        return []
    agent.become(AgentPhase.STARTING)
    returned = [do.Publish(event=NodeReturnedEvent(node=agent.node))] if agent.replaces is not None else []
    return [*start(state, agent, now), *returned]


def start(state: SupervisorState, agent: SupervisedAgent, now: float) -> Commands:
    """Start an agent on the node that was granted."""
    agent.due = now + state.settings.start_timeout_s
    return [do.StartNode(agent=agent.agent, node=agent.node, spent=tuple(sorted(state.spent)))]


def pending(agent: SupervisedAgent, reason: str) -> Commands:
    """L1: a request whose answer takes its time is waited for, as long as the engine is available."""
    if agent.phase is not AgentPhase.REQUESTED:
        return []
    agent.due = float("inf")
    return [do.Publish(event=NodePendingEvent(node=agent.node, reason=reason))]


def refused(state: SupervisorState, agent: SupervisedAgent, text: str, now: float) -> Commands:
    """L1: a first node that the engine refuses to grant or to start ends the job. A later one counts as lost."""
    if agent.phase is AgentPhase.ENDED:
        return _release(agent)
    if agent.is_first:
        return finish(state, "EngineFailed", text)
    was_granted = agent.phase is AgentPhase.STARTING
    lost: Commands = [do.Publish(event=NodeLostEvent(node=agent.node, reason=text))] if was_granted else []
    return [*lost, *_end(state, agent, text, now), *_release(agent)]


def engine_reported(state: SupervisorState, event: NodeEvent, now: float) -> Commands:
    """What the engine reports of a node that it has granted."""
    if event.node not in state.on_node:
        return []
    agent = state.agents[state.on_node[event.node]]
    match event:
        case ev.StartRefused(reason=reason):
            return refused(state, agent, reason, now)
        case ev.NodeDraining():
            return _draining(agent, event)
        case ev.NodeEnded(how=how, is_certain=is_certain):
            return _gone(state, agent, how, now, may_run=not is_certain)
        case _:
            assert_never(event)


def reported(state: SupervisorState, agent: SupervisedAgent, message: msg.FromNode, now: float) -> Commands:
    """A message of a node. What comes after its end counts only where it is true of the whole job."""
    match message:
        case msg.NodeBegun(pid=pid):
            agent.pid = pid
            return []
        case msg.NodeListens(address=address):
            return _up(state, agent, address) if agent.phase is AgentPhase.STARTING else []
        case msg.NodeMisconfigured(text=text):
            return _misconfigured(state, agent, text, now)
        case msg.ProgramJudged(error=error, text=text):
            return _judged(state, error, text)
        case msg.NodeExited(how=how):
            return ended(state, agent, how, now)
        case msg.StrayOutput(text=text):
            return [do.Publish(event=ShellOutputEvent(node=agent.node, text=text))]
        case msg.FaultStruck(index=index, at=at):
            return injected.struck(state, index, at)
        case _:
            assert_never(message)


def _up(state: SupervisorState, agent: SupervisedAgent, address: str) -> Commands:
    agent.address = address
    agent.become(AgentPhase.UP)
    spent = [do.SendToNode(agent=agent.agent, message=msg.FaultSpent(index=index)) for index in sorted(state.spent)]
    return [*spent, *orchestrators.tell(state, orchestrators.introduction(agent)), *_settle(state)]


def _misconfigured(state: SupervisorState, agent: SupervisedAgent, text: str, now: float) -> Commands:
    """L1: at the start that is the user's to mend, whatever the verdicts on the program are. Later the node counts as lost."""
    if state.phase is Phase.STARTING and agent.replaces is None:
        return finish(state, "ConfigError", text)
    return ended(state, agent, text, now)


def _judged(state: SupervisorState, error: str, text: str) -> Commands:
    """L2: the first verdict counts. Each node imports the program, for any of them may be lost."""
    if state.is_loadable:
        return []
    if error:
        return finish(state, error, text)
    state.is_loadable = True
    return _settle(state)


def _settle(state: SupervisorState) -> Commands:
    """L1: the start is over when each node is up or lost, and the program can be loaded."""
    if state.phase is not Phase.STARTING or not state.is_loadable:
        return []
    if any(agent.phase in NOT_UP for agent in state.agents.values()):
        return []
    state.become(Phase.RUNNING)
    return orchestrators.tell(state, ev.NoMoreNodes())


def _draining(agent: SupervisedAgent, event: ev.NodeDraining) -> Commands:
    """L9: readers learn of it. Its ranks stay where they are until it ends."""
    if agent.phase is AgentPhase.ENDED or agent.is_draining:
        return []
    agent.is_draining = True
    return [do.Publish(event=NodeDrainingEvent(node=agent.node, deadline_s=event.deadline_s, reason=event.reason))]


def _gone(state: SupervisorState, agent: SupervisedAgent, how: str, now: float, *, may_run: bool) -> Commands:
    """The engine reports that the node has ended. L9: where it may run on, it is ended; in any case it is given back."""
    return [*ended(state, agent, how, now, may_run=may_run), *_release(agent)]


def ended(state: SupervisorState, agent: SupervisedAgent, how: str, now: float, *, may_run: bool = True) -> Commands:
    """The agent's process has ended; or, L1, it is given up, whether or not the engine ever reports its end."""
    out = orchestrators.end_node(agent) if may_run and agent.phase in (AgentPhase.STARTING, AgentPhase.UP) else []
    match agent.phase:
        case AgentPhase.ENDED:
            return []
        case AgentPhase.REQUESTED:
            out.append(do.CancelRequest(agent=agent.agent))
            out += [do.Publish(event=NodeLostEvent(node=agent.node, reason=how))] if agent.is_first else []
        case AgentPhase.STARTING:
            reason = how if agent.late else f"{how} before it was up"
            out.append(do.Publish(event=NodeLostEvent(node=agent.node, reason=reason)))
        case AgentPhase.UP:
            out += orchestrators.tell(state, msg.AgentEnded(agent=agent.agent, how=how))
        case _:
            assert_never(agent.phase)
    return [*out, *_end(state, agent, how, now)]


def _end(state: SupervisorState, agent: SupervisedAgent, how: str, now: float) -> Commands:
    """What follows for the job."""
    agent.become(AgentPhase.ENDED)
    agent.how = how
    out = _settle(state)
    if not state.is_loadable and state.all_ended():
        return out + _never_judged(state)
    if state.return_after_s is not None:
        state.returns.append((now + state.return_after_s, agent.agent))
    elif state.all_ended():
        state.last_words_due, state.last_words_bytes = now + LAST_WORDS_S, 0
    return out


def _release(agent: SupervisedAgent) -> Commands:
    agent.is_released = True
    return [do.ReleaseNode(agent=agent.agent)]


def engine_unavailable(state: SupervisorState, now: float) -> None:
    """L9: what the engine does not answer has `start_timeout_s` from now on, even where it has reported that it takes its time."""
    for agent in state.agents.values():
        if agent.phase is AgentPhase.REQUESTED:
            agent.due = min(agent.due, now + state.settings.start_timeout_s)


def engine_available(state: SupervisorState, held: tuple[NodeId, ...], now: float) -> Commands:
    """L9: what may have been lost is repeated, and nodes that the job holds no more have ended."""
    out: Commands = []
    for agent in list(state.agents.values()):
        is_held = agent.node_id in held
        if agent.phase is AgentPhase.REQUESTED:
            agent.due = now + state.settings.start_timeout_s
            out.append(do.RequestNode(agent=agent.agent, replaces=agent.replaces))
        elif agent.phase is not AgentPhase.ENDED and not is_held:
            out += _gone(state, agent, GONE_MEANWHILE, now, may_run=True)
        elif agent.is_released:
            out += [do.ReleaseNode(agent=agent.agent)] if is_held else []
        elif agent.is_to_end:
            out += orchestrators.end_node(agent) if is_held else []
        elif agent.phase is AgentPhase.STARTING and not agent.pid:
            out += start(state, agent, now)
        if state.phase is Phase.ENDED:
            return out
    return out


def _never_judged(state: SupervisorState) -> Commands:
    """L2: all nodes have ended before any could report whether the program can be loaded."""
    agents = state.agents.values()
    if any(agent.late for agent in agents):
        text = f"no node was up after {state.settings.start_timeout_s:g} s: reduce the load of the machine, or raise start_timeout_s"
        return finish(state, "EngineFailed", text)
    if any(agent.pid for agent in agents):
        return finish(state, "ProgramFailed", "the program exited while it was imported; see its output above")
    how = ", ".join(sorted({agent.how for agent in agents}))
    return finish(state, "EngineFailed", f"no node could be started ({how}); see the output above")


def tick(state: SupervisorState, now: float) -> Commands:
    """Look at all deadlines of nodes."""
    out: Commands = []
    for agent in [agent for agent in state.agents.values() if agent.phase in NOT_UP and agent.due <= now]:
        agent.late = True
        out += ended(state, agent, f"not up after {state.settings.start_timeout_s:g} s", now)
        if state.phase is Phase.ENDED:
            return out
    for due, gone in [one for one in state.returns if one[0] <= now]:
        state.returns.remove((due, gone))
        out += request(state, state.agents[gone].node, now, replaces=gone)
    return out + _last_words(state, now)


def _last_words(state: SupervisorState, now: float) -> Commands:
    """L7: the orchestrator has had its time to report what the loss of all nodes means. While a result is received, it gets more."""
    if not state.last_words_due or now < state.last_words_due:
        return []
    if not state.all_ended():
        state.last_words_due = 0.0
        return []
    one = state.current
    if one is not None and (one.is_within_message or one.result_bytes > state.last_words_bytes):
        state.last_words_due, state.last_words_bytes = now + LAST_WORDS_S, one.result_bytes
        return []
    how = ", ".join(sorted({agent.how for agent in state.agents.values()}))
    return finish(state, "EngineFailed", f"all nodes have ended: {how}")
