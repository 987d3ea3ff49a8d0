"""Who is not heard of any more? Silence, and links that are broken although both ends live (rules T2, T3, T6).

Suspected is an opinion that is taken back when the node is heard of again; silent ends the generation; lost is decided in `deciding`.
"""

from __future__ import annotations

from perdure.core import commands as do
from perdure.core.agent.peers import watchers
from perdure.core.orchestrator import deciding
from perdure.core.orchestrator.state import OrchestratorState

Commands = list[do.OrchestratorCommand]


def tick(state: OrchestratorState, late_s: float, now: float) -> Commands:
    """Looks at all deadlines. T3: who was late itself cannot say that others are, so it starts all of them anew."""
    if late_s > state.settings.late_timer_s:
        for node in state.nodes.values():
            node.heard_at = now
        for watched in state.unheard.values():
            watched.update(dict.fromkeys(watched, now))
        return []
    out: Commands = []
    for agent in [agent for agent in state.nodes if state.alive(agent)]:
        out += _look_at(state, agent, now)
    return out + _broken_link(state, now)


def _look_at(state: OrchestratorState, agent: int, now: float) -> Commands:
    node = state.nodes[agent]
    out: Commands = []
    if not node.suspected and node.status is not None and now - node.heard_at > state.settings.suspect_s:
        node.suspected = True
        out.append(do.Publish(event="node_suspected", fields={"node": node.node}))
    if not node.silent and _is_silent(state, agent, now):
        out += deciding.agent_silent(state, agent, now)
    return out


def _is_silent(state: OrchestratorState, agent: int, now: float) -> bool:
    """T2: all watchers that can be heard here say so; a node nobody watches, or whose watchers fell silent with it, is judged by its own
    reports."""
    if not _is_quiet(state, agent, now):
        return False
    if state.plan is None or agent not in state.plan.agents():
        return state.nodes[agent].status is not None
    able = [other for other in watchers(state.plan, agent) if state.alive(other) and not state.unheard.get(other)]
    able = [other for other in able if not _is_quiet(state, other, now)]
    return all(other in state.unheard.get(agent, {}) for other in able)


def _is_quiet(state: OrchestratorState, agent: int, now: float) -> bool:
    return now - state.nodes[agent].heard_at > state.settings.silence_s


def _broken_link(state: OrchestratorState, now: float) -> Commands:
    """T6: two members that are both heard of here and do not hear each other. The word has to stand for a while, for one that was late
    itself is heard of by some before it is by others; and both must be heard of well after it came, for one may have ended then."""
    settings = state.settings
    broken = [
        (one, other)
        for one, watched in state.unheard.items()
        for other, since in watched.items()
        if now - since > settings.suspect_s and all(_is_heard(state, agent, now) for agent in (one, other))
    ]
    if not broken:
        return []
    count = {agent: sum(agent in pair for pair in broken) for pair in broken for agent in pair}
    worst = max(count, key=lambda agent: (count[agent], state.nodes[agent].node))
    return deciding.agent_lost(state, worst, f"cut off from {count[worst]} of its group for {settings.silence_s:g} s", now)


def _is_heard(state: OrchestratorState, agent: int, now: float) -> bool:
    return state.alive(agent) and now - state.nodes[agent].heard_at < state.settings.suspect_s / 2
