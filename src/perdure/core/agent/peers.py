"""Heartbeats: who is silent, and who can no longer be heard (rules T2, T3, T4, T7).

Heartbeats are sent when they are due; deadlines are looked at with every tick.
"""

from __future__ import annotations

from perdure.core import commands as do
from perdure.core import messages as msg
from perdure.core.agent import progress
from perdure.core.agent.state import AgentState, MembershipPhase, Peer
from perdure.core.multicast_tree import is_large
from perdure.core.plan import Plan


def watchers(plan: Plan, agent: int) -> tuple[int, ...]:
    """T2: who watches `agent`: the agents of its groups, and one member of the next group."""
    found: set[int] = set()
    for index in {plan.group_index(rank) for rank in plan.ranks_of(agent)}:
        found |= {plan.agent_of(rank) for rank in plan.groups[index]}
        found.add(plan.agent_of(plan.groups[(index + 1) % len(plan.groups)][0]))
    return tuple(sorted(found - {agent}))


def watched_by(plan: Plan, agent: int) -> tuple[int, ...]:
    """Whom `agent` watches: the other direction of `watchers`."""
    found: set[int] = set()
    for rank in plan.ranks_of(agent):
        index = plan.group_index(rank)
        found |= {plan.agent_of(other) for other in plan.groups[index]}
        if plan.member_of(rank) == 0:
            found |= {plan.agent_of(other) for other in plan.groups[index - 1]}
    return tuple(sorted(found - {agent}))


def heard(state: AgentState, agent: int, beat: msg.Heartbeat, now: float) -> list[do.AgentCommand]:
    """A heartbeat came: its sender lives, and what it echoes was received there."""
    peer = state.peers.setdefault(agent, Peer(heard_at=now, echoed_at=now))
    peer.heard_at = now
    peer.heard_number = max(peer.heard_number, beat.number)
    peer.echoed_at = max(peer.echoed_at, state.beat_sent.get(beat.echo, 0.0))
    if peer.doubted or peer.silent:
        peer.doubted = peer.silent = False
        return [do.TellOrchestrator(message=msg.PeerHeard(agent=agent))]
    return []


def tick(state: AgentState, late_s: float, now: float) -> list[do.AgentCommand]:
    """Sends what is due, and looks at the deadlines."""
    if late_s > state.settings.late_timer_s:
        for peer in state.peers.values():
            peer.heard_at = peer.echoed_at = now
    if not state.orchestrator and now - state.orphan_since > state.settings.orphan_timeout_s:
        state.become(MembershipPhase.ENDED)
        return [do.EndAgent(reason="no orchestrator")]
    plan = None if state.phase is MembershipPhase.SPARE or state.is_outside else state.plan
    out = progress.by_tree(state, plan, now) if plan and is_large(plan, state.settings) else []
    if now >= state.next_beat:
        out += _beats(state, plan, now)
    return out + _silences(state, plan, now) + _pause(state, plan, now) if plan else out


def _beats(state: AgentState, plan: Plan | None, now: float) -> list[do.AgentCommand]:
    """To those who watch this agent or are watched by it; and to the orchestrator, in a word on its ranks where that is due."""
    state.next_beat = now + state.settings.heartbeat_s
    state.beat_number += 1
    state.beat_sent[state.beat_number] = now
    state.beat_sent.pop(state.beat_number - 64, None)
    out: list[do.AgentCommand] = []
    if plan is None or not is_large(plan, state.settings):
        out.append(do.TellOrchestrator(message=progress.of_own(state, now) or _beat(state, 0)))
    for agent in sorted({*watchers(plan, state.me), *watched_by(plan, state.me)}) if plan else ():
        peer = state.peers.setdefault(agent, Peer(heard_at=now, echoed_at=now))
        out.append(do.TellPeer(agent=agent, message=_beat(state, peer.heard_number)))
    return out


def _beat(state: AgentState, echo: int) -> msg.Heartbeat:
    return msg.Heartbeat(number=state.beat_number, echo=echo, generation=state.generation)


def _silences(state: AgentState, plan: Plan, now: float) -> list[do.AgentCommand]:
    """T2: a doubt first, so that the orchestrator asks; then the word that counts."""
    settings, out = state.settings, list[do.AgentCommand]()
    for agent in watched_by(plan, state.me):
        peer = state.peers.setdefault(agent, Peer(heard_at=now, echoed_at=now))
        unheard_s = now - peer.heard_at
        if not peer.doubted and unheard_s > settings.silence_s - settings.suspect_s:
            peer.doubted = True
            out.append(do.TellOrchestrator(message=msg.PeerUnheard(agent=agent)))
        if unheard_s > settings.silence_s and (not peer.silent or now - peer.reported_at > settings.silence_s):
            peer.silent, peer.reported_at = True, now
            out.append(do.TellOrchestrator(message=msg.PeerSilent(agent=agent)))
    return out


def _pause(state: AgentState, plan: Plan, now: float) -> list[do.AgentCommand]:
    """T4: cut off from more than m of a group, an agent lets no frame of its workers leave."""
    paused = False
    for index in {plan.group_index(rank) for rank in state.hosted} if plan.parity else ():
        agents = [plan.agent_of(rank) for rank in plan.groups[index]]
        reached = sum(agent == state.me or now - state.peers[agent].echoed_at < state.settings.echo_s for agent in agents)
        paused = paused or reached < plan.geometry(index).d
    if paused == state.current.paused:
        return []
    state.current.paused = paused
    return [do.TellWorker(rank=rank, message=msg.Pause(generation=state.generation, paused=paused)) for rank in state.hosted]
