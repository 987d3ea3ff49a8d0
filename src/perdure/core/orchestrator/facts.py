"""Facts come in: prepared labels, lost workers, silence, errors, the result (rules C6, C10, W3, W4, W5)."""

from __future__ import annotations

from typing import Final

from perdure.core import agreement, progress
from perdure.core import commands as do
from perdure.core import messages as msg
from perdure.core.ids import END, Label
from perdure.core.job_events import (
    ChunkRepairedEvent,
    ChunksLostEvent,
    ChunkUnrepairedEvent,
    ChunkWrongEvent,
    LinkLostEvent,
    NodeHeardEvent,
    ProgressEvent,
    RebuiltEvent,
    TrafficEvent,
    WorkerLostEvent,
    WorkerStartedEvent,
)
from perdure.core.orchestrator import broadcast, commits, exclusion, failure_detector, plan_catchup, plan_distribution, recovery
from perdure.core.orchestrator.state import GenerationPhase, LostLink, Node, NodeState, OrchestratorState, PendingError

Commands = list[do.OrchestratorCommand]
MIXED_WAIT_S: Final = 60.0
"""All ranks inside job calls, some of which wait for a commit: a deadlock after this long. Arbitrary."""
_HEARS_OF_LOSSES: Final = frozenset(
    {GenerationPhase.COUNTING, GenerationPhase.REBUILDING, GenerationPhase.ENDING, GenerationPhase.GREETING}
)


def agent_said(state: OrchestratorState, agent: int, message: msg.FromAgent, now: float) -> Commands:
    """Dispatches; the lost are not heard any more (guarantee G3)."""
    node = state.nodes.get(agent)
    if node is None or node.state is NodeState.LOST:
        return []
    node.heard_at = now
    if agent in state.excluded:
        return exclusion.heard(state, node, message)
    state.asked.pop(agent, None)
    back = _heard_again(state, node, now) if node.suspected or node.silent else []
    return back + _take(state, node, agent, message, now)


def _heard_again(state: OrchestratorState, node: Node, now: float) -> Commands:
    """T6: what its watchers said while nobody could hear it says nothing of its links; their word stands from now on."""
    node.suspected = node.silent = False
    state.silences.discard(node.agent)
    for complaint in state.unheard.get(node.agent, {}).values():
        complaint.since = now
    return [do.Publish(event=NodeHeardEvent(node=node.node))]


def _take(state: OrchestratorState, node: Node, agent: int, message: msg.FromAgent, now: float) -> Commands:
    """By what it is about. What is of another generation, ballot or phase is not heard."""
    generation = state.generation
    match message:
        case msg.AgentStatus():
            return _greeted(state, node, message, now)
        case msg.PeerUnheard() | msg.PeerSilent() | msg.PeerHeard():
            return _of_peers(state, agent, message, now)
        case msg.Offered() | msg.Prepared() | msg.Traffic() | msg.Result() | msg.Progress():
            return _of_supersteps(state, agent, message, now)
        case msg.WorkerStarted() | msg.WorkerLost() | msg.RankLinkEnded() | msg.Raised() | msg.Alive() | msg.JobError():
            return _of_workers(state, node, message, generation, now)
        case msg.Rebuilt() | msg.ChunksLost() | msg.ChunksWrong() | msg.ChunksRepaired():
            return _of_chunks(state, message, generation, now)
        case _:
            return _of_decisions(state, agent, message, generation, now)


def _greeted(state: OrchestratorState, node: Node, message: msg.AgentStatus, now: float) -> Commands:
    """D7: what an agent knows that answers a new orchestrator."""
    node.status = message
    state.ungreeted.discard(node.agent)
    for silent in message.silent:
        failure_detector.complain(state, silent, node.agent, now, final=True)
    plan_catchup.told(state, node.agent, message.generation)
    found = exclusion.greeted(state, node.agent, message)
    if state.plan is not None and message.generation == state.plan.generation:
        state.current.ready.update(message.ready)
    return found


def _of_peers(state: OrchestratorState, agent: int, message: msg.PeerUnheard | msg.PeerSilent | msg.PeerHeard, now: float) -> Commands:
    """T2, T6: whom its peers do not hear, and hear again."""
    match message:
        case msg.PeerUnheard(agent=unheard):
            failure_detector.complain(state, unheard, agent, now, final=False)
            return failure_detector.ask(state, now)
        case msg.PeerSilent(agent=silent):
            failure_detector.complain(state, silent, agent, now, final=True)
        case msg.PeerHeard(agent=heard):
            state.unheard.get(heard, {}).pop(agent, None)
    return []


def _of_supersteps(
    state: OrchestratorState, agent: int, message: msg.Offered | msg.Prepared | msg.Traffic | msg.Result | msg.Progress, now: float
) -> Commands:
    """C6, C10: how far the ranks are, what is committed, the end."""
    match message:
        case msg.Offered():
            return _offered(state, message)
        case msg.Prepared():
            return commits.prepared(state, message, now)
        case msg.Progress():
            return _progress(state, agent, message, now)
        case msg.Traffic():
            state.traffic[agent] = message
            return _result_is_whole(state)
        case msg.Result(payload=payload):
            if state.phase is not GenerationPhase.ENDING:
                return []
            state.result = payload
            return _result_is_whole(state)


def _of_workers(
    state: OrchestratorState,
    node: Node,
    message: msg.WorkerStarted | msg.WorkerLost | msg.RankLinkEnded | msg.Raised | msg.Alive | msg.JobError,
    generation: int,
    now: float,
) -> Commands:
    """W3, W5, T8: processes begin and end, `main` raises, connections end."""
    match message:
        case msg.WorkerStarted():
            started = WorkerStartedEvent(
                rank=message.rank, node=node.node, pid=message.pid, incarnation=message.incarnation, generation=generation
            )  # fmt: skip
            return [do.Publish(event=started)]
        case msg.WorkerLost():
            return _worker_lost(state, message, now)
        case msg.RankLinkEnded() if message.generation == generation:
            link = LostLink(rank=message.rank, other=message.other, since=now, label=message.label)
            state.current.lost_links.append(link)
            return []
        case msg.Raised() if message.generation == generation:
            return _raised(state, message)
        case msg.Alive(nonce=nonce):
            failure_detector.answered(state, node.agent, message)
            return _heard_after_raise(state, node.agent) if nonce == state.nonce else []
        case msg.JobError() if message.generation == generation:
            return recovery.finish(state, message.error, message.text)
        case _:
            return []


def _of_chunks(
    state: OrchestratorState,
    message: msg.Rebuilt | msg.ChunksLost | msg.ChunksWrong | msg.ChunksRepaired,
    generation: int,
    now: float,
) -> Commands:
    """R3, R5, S2, S4: memory is rebuilt, lost, wrong, repaired."""
    match message:
        case msg.Rebuilt(parity=parity) if not parity:
            return [do.Publish(event=RebuiltEvent(rank=message.rank, bytes=message.nbytes, seconds=round(message.seconds, 6)))]
        case msg.ChunksLost() if message.generation == generation and state.phase in _HEARS_OF_LOSSES:
            return _chunks_lost(state, message, now)
        case msg.ChunksWrong() if message.generation == generation:
            return _named(ChunkWrongEvent, message.rank, message.label, message.wrong)
        case msg.ChunksRepaired() if message.generation == generation:
            back = _named(ChunkRepairedEvent, message.rank, message.label, message.repaired)
            return back + _named(ChunkUnrepairedEvent, message.rank, message.label, message.left)
        case _:
            return []


def _of_decisions(state: OrchestratorState, agent: int, message: msg.FromAgent, generation: int, now: float) -> Commands:
    """D1 to D6, R3: sealed, voted, installed, ready; or a newer plan."""
    match message:
        case msg.Sealed() if message.ballot == state.ballot and state.phase is GenerationPhase.SEALING:
            state.seal.sealed[agent] = message
        case msg.Gathered():
            return broadcast.heard(state, message)
        case msg.StillGathering():
            broadcast.still_gathering(state, message, now)
        case msg.Accepted() if message.ballot == state.ballot and state.phase is GenerationPhase.CHOOSING:
            state.seal.accepted.add(agent)
        case msg.Newer(generation=g):
            plan_catchup.told(state, agent, g)
        case msg.InstalledPlan(plan=plan):
            return recovery.told_of(state, plan, now)
        case msg.Installed(generation=g) if g == generation:
            state.current.installed.add(agent)
        case msg.Ready(generation=g) if g == generation:
            state.current.ready[message.rank] = message.address
            state.current.transits[message.rank] = message.transit
        case msg.AskAddresses(generation=g) if g == generation == state.resumed[0]:
            whole = msg.Resume(generation=g, since=0, addresses=(), whole=state.resumed[1])
            return [do.TellAgent(agent=agent, message=whole)]
        case _:
            pass
    return []


def _offered(state: OrchestratorState, message: msg.Offered) -> Commands:
    """C10: a rank that ended its loop cannot take part in a commit that another rank has gone on to."""
    if state.plan is None or message.label.generation != state.plan.generation:
        return []
    if message.label.superstep == END:
        state.current.at_end[message.rank] = message
        if state.current.first_end is None or message.before < state.current.first_end.before:
            state.current.first_end = message
    else:
        state.current.offered[message.rank] = max(state.current.offered.get(message.rank, -1), message.label.superstep)
        state.current.farthest = max(state.current.farthest, (message.label.superstep, message.rank))
    ended, (superstep, rank) = state.current.first_end, state.current.farthest
    if ended is None or superstep <= ended.before:
        return []
    both = f"{agreement.whereabouts(ended.rank, ended.ended_at, ended=True)} and {agreement.whereabouts(rank, superstep, ended=False)}"
    return recovery.finish(state, "UsageError", f"{both}: {agreement.SAME_END}")


def _result_is_whole(state: OrchestratorState) -> Commands:
    """The end: rank 0's result is here, and every living member has said what it sent."""
    if state.phase is not GenerationPhase.ENDING or state.result is None:
        return []
    if len(state.traffic) < len(state.members()) or any(agent not in state.traffic for agent in state.members()):
        return []
    parity, rebuild = (sum(getattr(said, what) for said in state.traffic.values()) for what in ("parity", "rebuild"))
    traffic = TrafficEvent(parity=parity, rebuild=rebuild)
    return [do.Publish(event=traffic), *recovery.finish(state, "", "", state.result)]


def _worker_lost(state: OrchestratorState, message: msg.WorkerLost, now: float) -> Commands:
    """A worker's end ends the generation; W5: the same rank again and again from one base ends the job."""
    if state.plan is None or message.rank in state.current.workers_gone:
        return []
    if state.plan.placements[message.rank].incarnation != message.incarnation:
        return []
    state.current.workers_gone[message.rank] = message.incarnation
    state.crashes[message.rank] = state.crashes.get(message.rank, 0) + 1
    lost: Commands = [do.Publish(event=WorkerLostEvent(rank=message.rank, reason=message.reason))]
    if state.committed != state.crash_base:
        state.crashes = {message.rank: 1}
        state.crash_base = state.committed
    if state.crashes[message.rank] >= state.settings.crash_limit:
        where = f"superstep {state.committed.superstep}" if state.committed else "the start"
        text = f"rank {message.rank} crashed {state.crashes[message.rank]} times after {where}: {message.reason}; see its output above"
        return lost + recovery.finish(state, "ProgramCrashed", text)
    if state.phase in (GenerationPhase.COUNTING, GenerationPhase.REBUILDING):
        return lost + recovery.start_seal(state, now)
    return lost


def _chunks_lost(state: OrchestratorState, message: msg.ChunksLost, now: float) -> Commands:
    """R5: an erasure found late is a new decision. The same rank again and again from one base: these bytes can never be right."""
    named = _named(ChunkWrongEvent, message.rank, message.label, message.wrong)
    key = (message.rank, bool(message.wrong))
    if state.phase is GenerationPhase.GREETING and key in state.chunk_losses:
        return []  # it was asked twice
    times = state.chunk_losses[key] = state.chunk_losses.get(key, 0) + 1
    if times >= state.settings.crash_limit:
        chunks = ", ".join(f"{what} {number}" for what, number in message.wrong.named())
        text = f"rank {message.rank}: chunks of {message.label} are corrupt ({chunks}), found {times} times"
        return named + recovery.finish(state, "InternalError", f"{text}: please report this")
    told = [*named, do.Publish(event=ChunksLostEvent(rank=message.rank))]
    return told + (recovery.start_seal(state, now) if state.phase is not GenerationPhase.GREETING else [])


def _named(
    kind: type[ChunkWrongEvent] | type[ChunkRepairedEvent] | type[ChunkUnrepairedEvent], rank: int, label: Label, chunks: msg.Chunks
) -> Commands:
    """S2, S4: an event of this kind for each chunk."""
    superstep, end = label.superstep, label.superstep == END
    return [do.Publish(event=kind(rank=rank, superstep=superstep, end=end, what=what, chunk=number)) for what, number in chunks.named()]


def _raised(state: OrchestratorState, message: msg.Raised) -> Commands:
    """W3: held until every member was heard from after it."""
    if state.current.raised is not None or state.phase not in (
        GenerationPhase.COUNTING,
        GenerationPhase.REBUILDING,
        GenerationPhase.STARTING,
        GenerationPhase.GREETING,
    ):
        return []
    state.current.raised = PendingError(rank=message.rank, error=message.error, text=message.text, generation=message.generation)
    return plan_distribution.ask_after_raise(state) if state.phase is not GenerationPhase.GREETING else []


def _heard_after_raise(state: OrchestratorState, agent: int) -> Commands:
    state.current.raised_unheard.discard(agent)
    if state.current.raised is None or state.current.raised_unheard:
        return []
    return recovery.finish(state, state.current.raised.error, state.current.raised.text)


def _progress(state: OrchestratorState, agent: int, message: msg.Progress, now: float) -> Commands:
    if state.plan is None or message.generation != state.plan.generation:
        return []
    state.current.progress[agent] = message
    frames = sum(said.frames for said in state.current.progress.values())
    if frames != state.current.frames or state.current.frames_moved_at == 0.0:
        state.current.frames, state.current.frames_moved_at = frames, now
    if message.superstep < 0:
        return []
    count = message.count if message.count >= 0 else None
    return [do.Publish(event=ProgressEvent(superstep=message.superstep, count=count))]


def tick(state: OrchestratorState, late_s: float, now: float) -> Commands:
    """T2, T3, T6: the silent; T8: the cut off; W4: the deadlocked."""
    out = failure_detector.tick(state, late_s, now) + exclusion.tick(state, now) + broadcast.tick(state, late_s, now)
    return out + _lost_link(state, now) + _deadlock(state, now)


def _lost_link(state: OrchestratorState, now: float) -> Commands:
    """T8: whoever is lost behind it would be known by now. With the next generation all connections are new."""
    if not state.current.lost_links or state.phase not in (GenerationPhase.COUNTING, GenerationPhase.REBUILDING):
        return []
    state.current.lost_links = [link for link in state.current.lost_links if _is_missed(state, link)]
    link = next(iter(state.current.lost_links), None)
    if link is None or now - link.since <= state.settings.silence_s + state.settings.suspect_s:
        return []
    state.link_losses += 1
    if state.link_losses >= state.settings.crash_limit:
        where = f"{state.link_losses} times since the last commit"
        text = f"the link between ranks {link.rank} and {link.other} failed although both are alive, {where}; check the network"
        return recovery.finish(state, "EngineFailed", text)
    return [do.Publish(event=LinkLostEvent(rank=link.rank, other=link.other)), *recovery.start_seal(state, now)]


def _is_missed(state: OrchestratorState, link: LostLink) -> bool:
    """Does anyone still wait for what went over the connection? Ranks do until the generation is over; what a label needed is there once
    it is committed, or the base once it is rebuilt."""
    if link.label is None or state.phase is GenerationPhase.REBUILDING:
        return True
    return state.committed is None or link.label > state.committed


def _deadlock(state: OrchestratorState, now: float) -> Commands:
    """W4: all ranks wait inside job calls, at least one of them for a message, and nothing moves."""
    if state.phase is not GenerationPhase.COUNTING or state.plan is None or not state.current.progress:
        return []
    known = progress.total(state.current.progress.values())
    if known.ranks < state.plan.size or not known.in_comm:
        return []
    limit = min(state.settings.hang_timeout_s, MIXED_WAIT_S) if known.elsewhere else state.settings.deadlock_timeout_s
    if known.inside_s < limit or now - state.current.frames_moved_at < limit:
        return []
    calls = sorted(call for said in state.current.progress.values() for call in said.calls)
    others = f"; and {known.ranks - len(calls)} others" if len(calls) < known.ranks else ""
    where = "; ".join(f"rank {rank} in {call}" for rank, call in calls)
    return recovery.finish(state, "Deadlock", f"all ranks wait and no message moved for {limit:g} s: {where}{others}")
