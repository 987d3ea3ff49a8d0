"""What does one node do? The state machine of an agent.

`step` takes one event and answers with commands. The rest is split by question: `membership` (seal, install, resume), `commit`
(slots, offers, prepared, committed), `restore` (a lost rank's memory comes back), `scrub` (memory that changed by itself),
`workers` (processes), `progress` (how far their ranks are), `peers` (heartbeats and silence), `relay` (words that are passed on,
answers that are added up), `custody` (memory of a node that the job goes on without), `tight` (live arrays that lie in a slot).
"""

from __future__ import annotations

from typing import assert_never

from perdure.core import commands as do
from perdure.core import events as ev
from perdure.core import messages as msg
from perdure.core.agent import commit, custody, membership, peers, progress, relay, restore, scrub, workers
from perdure.core.agent.state import AgentState, MembershipPhase

__all__ = ["AgentState", "MembershipPhase", "step"]


def step(state: AgentState, event: ev.AgentEvent, now: float) -> list[do.AgentCommand]:
    """Takes one event at time `now` (s, monotonic), changes `state`, and returns what is to be done, in order."""
    if state.phase is MembershipPhase.ENDED:
        return []
    out = _take(state, event, now)
    return out + relay.settle(state) if state.current.gatherings else out


def _take(state: AgentState, event: ev.AgentEvent, now: float) -> list[do.AgentCommand]:
    match event:
        case ev.OrchestratorSaid(message=message):
            return _orchestrator_said(state, message, now)
        case ev.OrchestratorGone():
            state.orchestrator = False
            state.orphan_since = now
            return []
        case ev.PeerSaid(agent=agent, message=message):
            return _peer_said(state, agent, message, now)
        case ev.WorkerSaid(rank=rank, incarnation=incarnation, message=message):
            return _worker_said(state, rank, incarnation, message, now)
        case ev.WorkerEnded():
            return workers.ended(state, event, now)
        case ev.LinksQuiet(generation=generation):
            return membership.links_quiet(state, generation, now)
        case ev.ParityStored():
            return commit.parity_stored(state, event, now)
        case ev.SlotVerified(rank=rank) if rank in state.kept:
            return custody.verified(state, event)
        case ev.SlotRestored() | ev.ReplicatedStored() | ev.ChunkStored() | ev.SlotVerified():
            return restore.stored(state, event, now)
        case ev.SlotCopied():
            return membership.slot_copied(state, event, now)
        case ev.Scrubbed():
            return scrub.scrubbed(state, event)
        case ev.Repaired():
            return scrub.repaired(state, event)
        case ev.ResultWrong():
            return restore.result_wrong(state, event)
        case ev.LinkFailed():
            return membership.link_failed(state, event)
        case ev.NoMemory(rank=rank, text=text):
            return [commit.job_error(state, "ConfigError", f"rank {rank} on node {state.node}: {text}")]
        case ev.Sampled(samples=samples):
            return workers.sampled(state, samples, now)
        case ev.Tick(late_s=late_s):
            own = commit.tick(state, now) + workers.tick(state, now) + scrub.tick(state)
            return peers.tick(state, late_s, now) + own + relay.tick(state, late_s, now)
        case _:
            assert_never(event)


def _orchestrator_said(state: AgentState, message: msg.ToAgent, now: float) -> list[do.AgentCommand]:
    state.orchestrator = True
    match message:
        case msg.Greet():
            return membership.greet(state, message)
        case msg.Seal() | msg.Accept() | msg.Install() | msg.Amend() | msg.Resume():
            return _obey(state, message, relay.THE_ORCHESTRATOR, now)
        case msg.AskPlan():
            return membership.tell_plan(state)
        case msg.Assign():
            return restore.assigned(state, message)
        case msg.Committed(label=label, next_position=position):
            return commit.told_committed(state, label, position, now)
        case msg.Hold():
            return commit.hold(state, message)
        case msg.Reserve():
            if state.phase is not MembershipPhase.SPARE or state.reserved:
                return []
            state.reserved = True
            return [do.ReserveMemory(snapshot_bytes=message.snapshot_bytes, parity_bytes=message.parity_bytes, ranks=message.ranks)]
        case msg.AskResult(label=label):
            result: list[do.AgentCommand] = [do.SendResult(rank=0, label=label)] if 0 in state.hosted else []
            return [*commit.facts_of_base(state, label), do.ReportTraffic(label=label), *result]
        case msg.AskAlive(nonce=nonce):
            return [do.TellOrchestrator(message=msg.Alive(nonce=nonce, generation=state.generation))]
        case msg.EndJob(reason=reason):
            state.become(MembershipPhase.ENDED)
            return [do.EndAgent(reason=reason)]
        case _:
            assert_never(message)


def _obey(state: AgentState, word: msg.Relayed, source: int, now: float) -> list[do.AgentCommand]:
    """From the orchestrator itself, or passed on by the agent `source`."""
    match word:
        case msg.Seal():
            return membership.seal(state, word, source, now)
        case msg.Accept():
            return membership.accept(state, word, source, now)
        case msg.Install():
            return membership.install(state, word, source, now)
        case msg.Amend():
            return membership.amend(state, word, source, now)
        case msg.Resume():
            return membership.resume(state, word, source, now)


def _peer_said(state: AgentState, agent: int, message: msg.ToPeer, now: float) -> list[do.AgentCommand]:
    """Words of members are for members."""
    if state.is_outside:
        return []
    match message:
        case msg.Heartbeat():
            return peers.heard(state, agent, message, now)
        case msg.GroupOffer(label=label, offer=offer):
            return commit.offered(state, label, offer, now)
        case msg.Prepared():
            return commit.told_prepared(state, message, now)
        case msg.Progress():
            progress.heard(state, agent, message)
            return []
        case msg.Seal() | msg.Accept() | msg.Install() | msg.Amend() | msg.Resume():
            return _obey(state, message, agent, now)
        case msg.Gathered():
            return relay.heard(state, message)
        case msg.StillGathering():
            relay.still_gathering(state, message, now)
            return []
        case _:
            assert_never(message)


def _worker_said(state: AgentState, rank: int, incarnation: int, message: msg.FromWorker, now: float) -> list[do.AgentCommand]:
    hosted = state.hosted.get(rank)
    if hosted is None or hosted.incarnation != incarnation:
        return []
    match message:
        case msg.Loaded():
            return workers.loaded(state, hosted, message)
        case msg.AtPosition(label=label):
            hosted.wants = label
            return commit.allow_copy(state, hosted)
        case msg.Snapped():
            return commit.snapped(state, hosted, message, now)
        case msg.Unwound(generation=generation, clean=clean):
            return workers.unwound(state, hosted, generation, clean=clean)
        case msg.MainRaised(generation=generation, error=error, text=text):
            return workers.raised(state, hosted, generation, error, text)
        case msg.BaseWrong(generation=generation):
            return restore.base_wrong(state, hosted, generation)
        case msg.PeerSuspected(rank=other):
            return workers.link_ended(state, hosted, other)
        case _:
            assert_never(message)
