"""Which nodes are there? Agents start, come up, end and return (rules L1, L2, L7)."""

from __future__ import annotations

from typing import assert_never

from perdure.core import commands as do
from perdure.core import events as ev
from perdure.core import messages as msg
from perdure.core.job_events import NodeLostEvent, NodeReturnedEvent, ShellOutputEvent
from perdure.core.supervisor import injected, orchestrators
from perdure.core.supervisor.state import LAST_WORDS_S, AgentPhase, Phase, SupervisedAgent, SupervisorState, finish

Commands = list[do.SupervisorCommand]


def start(state: SupervisorState, node: int, now: float) -> Commands:
    """Start an agent on a node; L1: it has `start_timeout_s` to come up."""
    number = len(state.agents) + 1
    state.agents[number] = SupervisedAgent(agent=number, node=node, due=now + state.settings.start_timeout_s)
    return [do.StartNode(agent=number, node=node, spent=tuple(sorted(state.spent)))]


def reported(state: SupervisorState, agent: SupervisedAgent, message: msg.FromNode, now: float) -> Commands:
    """A message of a node. What comes after its end counts only where it is true of the whole job."""
    match message:
        case msg.NodeBegun(pid=pid):
            agent.pid = pid
            return []
        case msg.NodeListens(address=address):
            return _up(state, agent, address) if agent.phase is AgentPhase.STARTING else []
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
    if any(agent.phase is AgentPhase.STARTING for agent in state.agents.values()):
        return []
    state.become(Phase.RUNNING)
    return orchestrators.tell(state, ev.NoMoreNodes())


def ended(state: SupervisorState, agent: SupervisedAgent, how: str, now: float) -> Commands:
    """The agent's process has ended; or, L1, it is given up, whether or not the engine ever reports its end."""
    if agent.phase is AgentPhase.ENDED:
        return []
    if agent.phase is AgentPhase.UP:
        out = orchestrators.tell(state, msg.AgentEnded(agent=agent.agent, how=how))
    else:
        reason = how if agent.late else f"{how} before it was up"
        out = [do.Publish(event=NodeLostEvent(node=agent.node, reason=reason))]
    agent.become(AgentPhase.ENDED)
    agent.how = how
    out = [do.EndNode(agent=agent.agent), *out, *_settle(state)]
    if not state.is_loadable and state.all_ended():
        return out + _never_judged(state)
    if state.return_after_s is not None:
        state.returns.append((now + state.return_after_s, agent.node))
    elif state.all_ended():
        state.last_words_due, state.last_words_bytes = now + LAST_WORDS_S, 0
    return out


def _never_judged(state: SupervisorState) -> Commands:
    """L2: all nodes have ended before any could report whether the program can be loaded."""
    agents = state.agents.values()
    if any(agent.late for agent in agents):
        text = f"no node was up after {state.settings.start_timeout_s:g} s: is the machine overloaded?"
        return finish(state, "EngineFailed", text)
    if any(agent.pid for agent in agents):
        return finish(state, "ProgramFailed", "the program ended its process while it was imported; see its output above")
    how = ", ".join(sorted({agent.how for agent in agents}))
    return finish(state, "EngineFailed", f"no node could be started ({how}); see the output above")


def tick(state: SupervisorState, now: float) -> Commands:
    """Look at all deadlines of nodes."""
    out: Commands = []
    for agent in [agent for agent in state.agents.values() if agent.phase is AgentPhase.STARTING and agent.due <= now]:
        agent.late = True
        out += ended(state, agent, f"not up after {state.settings.start_timeout_s:g} s", now)
        if state.phase is Phase.ENDED:
            return out
    for due, node in [one for one in state.returns if one[0] <= now]:
        state.returns.remove((due, node))
        out += [*start(state, node, now), do.Publish(event=NodeReturnedEvent(node=node))]
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
