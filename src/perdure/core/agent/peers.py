"""Heartbeats: who is silent, and who can no longer be heard (rules T2, T3, T4, T7)."""

from __future__ import annotations

from perdure.core import commands as do
from perdure.core import messages as msg
from perdure.core.agent.state import AgentState, Peer, Phase
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
    if peer.silent:
        peer.silent = False
        return [do.TellOrchestrator(message=msg.PeerHeard(agent=agent))]
    return []


def tick(state: AgentState, late_s: float, now: float) -> list[do.AgentCommand]:
    """Sends heartbeats when they are due, and looks at the deadlines."""
    if late_s > state.settings.late_timer_s:
        for peer in state.peers.values():
            peer.heard_at = peer.echoed_at = now
    if not state.orchestrator and now - state.orphan_since > state.settings.orphan_timeout_s:
        state.become(Phase.ENDED)
        return [do.EndAgent(reason="no orchestrator")]
    if now < state.next_beat:
        return []
    state.next_beat = now + state.settings.heartbeat_s
    state.beat_number += 1
    state.beat_sent[state.beat_number] = now
    state.beat_sent.pop(state.beat_number - 64, None)
    out = [do.TellOrchestrator(message=_beat(state, 0)), *_progress(state, now)]
    if state.plan is None or state.phase is Phase.SPARE:
        return out
    for agent in sorted({*watchers(state.plan, state.me), *watched_by(state.plan, state.me)}):
        peer = state.peers.setdefault(agent, Peer(heard_at=now, echoed_at=now))
        out.append(do.TellPeer(agent=agent, message=_beat(state, peer.heard_number)))
    return out + _silences(state, now) + _pause(state, now)


def _beat(state: AgentState, echo: int) -> msg.Heartbeat:
    return msg.Heartbeat(number=state.beat_number, echo=echo, generation=state.generation)


def _progress(state: AgentState, now: float) -> list[do.AgentCommand]:
    if not state.hosted or not state.resumed:
        return []
    inside = tuple(
        (hosted.rank, now - hosted.moved_at if hosted.inside else -1.0, hosted.inside, hosted.frames) for hosted in state.hosted.values()
    )
    superstep, count = max((hosted.superstep, hosted.count) for hosted in state.hosted.values())
    return [do.TellOrchestrator(message=msg.Progress(superstep=superstep, count=count, inside_s=inside))]


def _silences(state: AgentState, now: float) -> list[do.AgentCommand]:
    assert state.plan is not None
    out: list[do.AgentCommand] = []
    for agent in watched_by(state.plan, state.me):
        peer = state.peers[agent]
        if not peer.silent and now - peer.heard_at > state.settings.silence_s:
            peer.silent = True
            out.append(do.TellOrchestrator(message=msg.PeerSilent(agent=agent)))
    return out


def _pause(state: AgentState, now: float) -> list[do.AgentCommand]:
    """T4: cut off from more than m of a group, an agent lets no frame of its workers leave."""
    assert state.plan is not None
    paused = False
    for index in {state.plan.group_index(rank) for rank in state.hosted} if state.plan.parity else ():
        agents = [state.plan.agent_of(rank) for rank in state.plan.groups[index]]
        reached = sum(agent == state.me or now - state.peers[agent].echoed_at < state.settings.echo_s for agent in agents)
        paused = paused or reached < state.plan.geometry(index).d
    if paused == state.paused:
        return []
    state.paused = paused
    return [do.TellWorker(rank=rank, message=msg.Pause(generation=state.generation, paused=paused)) for rank in state.hosted]
