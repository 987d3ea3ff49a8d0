"""Who is not heard of any more? Silence, and links that are broken although both ends live (rules T2, T3, T6).

Suspected is an opinion that is taken back when the node is heard of again; silent ends the generation; lost is decided in `recovery`.

In a large job members say nothing to the orchestrator by themselves. Whom a watcher doubts, and those around it, are asked then: so a dead
group, which nobody is left to complain of, is found from its neighbours. The heads of the tree, who tell how far the job is, are the
orchestrator's own view: a job all of whose nodes are dead has nobody else to complain.
"""

from __future__ import annotations

from collections.abc import Iterable

from perdure.core import commands as do
from perdure.core import messages as msg
from perdure.core.agent.peers import watched_by, watchers
from perdure.core.job_events import NodeSuspectedEvent
from perdure.core.multicast_tree import split
from perdure.core.orchestrator import broadcast, recovery
from perdure.core.orchestrator.state import Complaint, GenerationPhase, OrchestratorState, Probe
from perdure.core.plan import Plan

Commands = list[do.OrchestratorCommand]
NO_NONCE = 0
"""Of a question that waits for no particular answer: any word shows life. Those of W3 count from 1 up, those of T6 from -1 down."""


def complain(state: OrchestratorState, agent: int, watcher: int, now: float, *, final: bool) -> None:
    """`watcher` does not hear `agent`."""
    complaint = state.unheard.setdefault(agent, {}).setdefault(watcher, Complaint(since=now))
    complaint.final = complaint.final or final


def tick(state: OrchestratorState, late_s: float, now: float) -> Commands:
    """Looks at all deadlines. T3: who was late itself cannot say that others are, so it starts all of them anew."""
    if late_s > state.settings.late_timer_s:
        for node in state.nodes.values():
            node.heard_at = now
        for complaint in (one for watched in state.unheard.values() for one in watched.values()):
            complaint.since = now
        state.asked = dict.fromkeys(state.asked, now)
        return []
    out: Commands = []
    for agent in sorted({*_speakers(state), *state.asked}):
        out += _look_at(state, agent, now)
    out += _broken_link(state, now)
    return out + ask(state, now)


def ask(state: OrchestratorState, now: float) -> Commands:
    """Whether they live: all in question of whom nothing was heard for a while, once until they answer."""
    due = sorted(
        agent
        for agent in _in_question(state, now) - state.asked.keys()
        if state.alive(agent) and not (node := state.nodes[agent]).silent and now - node.heard_at > state.settings.heartbeat_s
    )
    state.asked.update(dict.fromkeys(due, now))
    return [do.TellAgent(agent=agent, message=msg.AskAlive(nonce=NO_NONCE)) for agent in due]


def _in_question(state: OrchestratorState, now: float) -> set[int]:
    """Who is late; in a large job also who is doubted, or does not answer, and whoever watches one of these or is watched by it."""
    settings = state.settings
    late_s = settings.silence_s - settings.suspect_s
    late = {agent for agent in (*_speakers(state), *_heads(state)) if now - state.nodes[agent].heard_at > late_s}
    if state.plan is None or not broadcast.is_large(state):
        return late
    found = late | {agent for agent, watched in state.unheard.items() if watched}
    found |= {agent for agent, since in state.asked.items() if now - since > settings.late_timer_s}
    return found.union(*(_neighbours(state, state.plan, agent) for agent in found))


def _neighbours(state: OrchestratorState, plan: Plan, agent: int) -> frozenset[int]:
    known = state.current.neighbours
    if agent not in known:
        known[agent] = frozenset((*watchers(plan, agent), *watched_by(plan, agent)))
    return known[agent]


def _speakers(state: OrchestratorState) -> Iterable[int]:
    """Living agents that say several times a second that they live, without being asked."""
    return sorted(state.idle) if broadcast.is_large(state) else [agent for agent in state.nodes if state.alive(agent)]


def _speaks(state: OrchestratorState, agent: int) -> bool:
    return agent in state.idle or not broadcast.is_large(state)


def _heads(state: OrchestratorState) -> list[int]:
    """The top of the tree by which a large job tells how far it is."""
    if state.plan is None or not broadcast.is_large(state):
        return []
    agents = state.plan.agents()
    heads = [agents[first] for first, _ in split(0, len(agents), state.settings.fan_out)]
    return [agent for agent in heads if state.alive(agent)]


def _look_at(state: OrchestratorState, agent: int, now: float) -> Commands:
    node, settings = state.nodes[agent], state.settings
    out: Commands = []
    doubtful_s = settings.suspect_s if _speaks(state, agent) else settings.late_timer_s
    if not node.suspected and node.status is not None and _unheard_s(state, agent, now) > doubtful_s:
        node.suspected = True
        out.append(do.Publish(event=NodeSuspectedEvent(node=node.node)))
    if not node.silent and _is_silent(state, agent, now):
        out += recovery.agent_silent(state, agent, now)
    return out


def _is_silent(state: OrchestratorState, agent: int, now: float) -> bool:
    """T2: all watchers that can be heard here say so; a node nobody watches, or whose watchers fell silent with it, is judged by what is
    heard of it here."""
    if not _is_quiet(state, agent, now):
        return False
    if state.plan is None or agent not in state.plan.agents():
        return state.nodes[agent].status is not None
    able = [other for other in watchers(state.plan, agent) if state.alive(other) and not _complaints(state, other)]
    able = [other for other in able if not _is_quiet(state, other, now)]
    if not able:
        return _unheard_s(state, agent, now) > state.settings.silence_s
    return set(able) <= _complaints(state, agent)


def _complaints(state: OrchestratorState, agent: int) -> set[int]:
    """Watchers to whom it was silent for long enough."""
    return {watcher for watcher, complaint in state.unheard.get(agent, {}).items() if complaint.final}


def _is_quiet(state: OrchestratorState, agent: int, now: float) -> bool:
    """It says nothing here, though it should."""
    settings = state.settings
    return _unheard_s(state, agent, now) > (settings.silence_s if _speaks(state, agent) else settings.suspect_s)


def _unheard_s(state: OrchestratorState, agent: int, now: float) -> float:
    """For how long it has said nothing, though it speaks by itself or was asked."""
    return now - (state.nodes[agent].heard_at if _speaks(state, agent) else state.asked.get(agent, now))


def _broken_link(state: OrchestratorState, now: float) -> Commands:
    """T6: two members that are both heard of here and do not hear each other. The word has to stand for a while, its doubt included, for
    one that was late itself is heard of by some before it is by others; and both must be heard of well after it came, for one may have
    ended then. What is heard of one that has ended or is stopped may have been long on its way, and one that has not got the plan yet is
    silent to those who have: so both must have answered two questions, some time apart, in the generation that there is."""
    settings, probe = state.settings, state.current.probe
    doubted = [
        (one, other, complaint)
        for one, watched in state.unheard.items()
        for other, complaint in watched.items()
        if all(_is_heard(state, agent, now) for agent in (one, other))
    ]
    if not doubted:
        state.current.probe = None
        return []
    sure = probe.answered & probe.answered_before if probe else set[int]()
    broken = [
        (one, other)
        for one, other, complaint in doubted
        if complaint.final and now - complaint.since > settings.suspect_s and sure.issuperset((one, other))
    ]
    if not broken:
        is_due = probe is None or now - probe.since >= settings.suspect_s / 2
        return _ask_whether_they_live(state, {agent for one, other, _ in doubted for agent in (one, other)}, now) if is_due else []
    count = {agent: sum(agent in pair for pair in broken) for pair in broken for agent in pair}
    worst = max(count, key=lambda agent: (count[agent], state.nodes[agent].node))
    return recovery.agent_excluded(state, worst, f"cut off from {count[worst]} of its group for {settings.silence_s:g} s", now)


def _ask_whether_they_live(state: OrchestratorState, agents: set[int], now: float) -> Commands:
    state.probes += 1
    state.current.probe = Probe(
        nonce=-state.probes, since=now, answered_before=state.current.probe.answered if state.current.probe else set()
    )
    return [do.TellAgent(agent=agent, message=msg.AskAlive(nonce=-state.probes)) for agent in sorted(agents)]


def answered(state: OrchestratorState, agent: int, message: msg.Alive) -> None:
    """T6: it lives, and has the plan."""
    if state.current.probe is not None and message.nonce == state.current.probe.nonce and message.generation == state.generation:
        state.current.probe.answered.add(agent)


def _is_heard(state: OrchestratorState, agent: int, now: float) -> bool:
    """And in a position to hear the others."""
    if not state.alive(agent) or (state.phase is GenerationPhase.GREETING and state.is_behind(agent)):
        return False
    return now - state.nodes[agent].heard_at < state.settings.suspect_s / 2
