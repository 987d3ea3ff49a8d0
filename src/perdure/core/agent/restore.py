"""A lost rank's memory comes back here, and the survivors' is checked (rules R1 to R5)."""

from __future__ import annotations

from perdure.core import commands as do
from perdure.core import events as ev
from perdure.core import messages as msg
from perdure.core.agent import tight
from perdure.core.agent.state import AgentState, Hosted, MembershipPhase, Slot, Stage, WorkerPhase, full_masks
from perdure.core.ids import Label


def begin(state: AgentState, hosted: Hosted, sources: tuple[msg.RestoreSource, ...], now: float) -> list[do.AgentCommand]:
    """After an install: a slot that is here is checked, one that is not is fetched. Without a base there is nothing to do. Of a slot that
    is here, chunks that are wrong come from decoders, and a wrong replicated region from another rank.

    A slot whose rebuilding was interrupted is checked when its last chunk has come: its blocks may span a chunk that is still missing.
    """
    assert state.plan is not None
    base = state.plan.base
    if base is None:
        return []
    slot = hosted.slots.get(base)
    source = next((source for source in sources if source.rank == hosted.rank), None)
    if slot is not None:
        slot.verified = False
        if tight.is_live(state, slot):
            return tight.keep(state, hosted, base)
        if slot.wrong:
            slot.stage, slot.wrong, slot.repairs, slot.restored_at = Stage.REBUILDING, msg.Chunks(), 0, now
        if not slot.replicated and source is not None:
            return [do.Restore(rank=hosted.rank, label=base, index=slot.index, source=source)]
        return _check_when_whole(state, hosted, slot)
    index = hosted.free_index()
    hosted.slots[base] = Slot(label=base, index=index, stage=Stage.REBUILDING, restored_at=now)
    if source is None:
        return []
    return [
        do.BindSlot(rank=hosted.rank, label=base, index=index),
        do.Restore(rank=hosted.rank, label=base, index=index, source=source),
    ]


def kept(state: AgentState, hosted: Hosted, label: Label) -> list[do.AgentCommand]:
    """M2: the base has come to lie in the snapshot slot: it is checked there, and may be read by others."""
    if state.plan is None or state.phase is not MembershipPhase.MEMBER or label != state.plan.base:
        return []
    return [*_check_when_whole(state, hosted, hosted.slots[label]), *say_installed(state)]


def assigned(state: AgentState, message: msg.Assign) -> list[do.AgentCommand]:
    """R1: decode what ranks wait for. Stripes that lost only parity come after the resume: their work would take time from the urgent."""
    if message.generation != state.generation or state.phase is not MembershipPhase.MEMBER:
        return []
    fresh = [task for task in message.tasks if task not in state.current.assigned]
    state.current.assigned = state.current.assigned.union(fresh)
    state.current.decode_later += tuple(task for task in fresh if not task.urgent)
    urgent = tuple(task for task in fresh if task.urgent)
    return [*([do.Decode(tasks=urgent)] if urgent else []), *(decode_later(state) if state.current.resumed else [])]


def decode_later(state: AgentState) -> list[do.AgentCommand]:
    """All ranks go on: now the stripes that only protection waits for."""
    tasks, state.current.decode_later = state.current.decode_later, ()
    return [do.Decode(tasks=tasks)] if tasks else []


def stored(
    state: AgentState, event: ev.SlotRestored | ev.ReplicatedStored | ev.ChunkStored | ev.SlotVerified, now: float
) -> list[do.AgentCommand]:
    """Some part of a slot arrived, or was checked."""
    hosted = state.hosted.get(event.rank)
    slot = hosted.slots.get(event.label) if hosted else None
    if hosted is None or slot is None or state.plan is None or state.phase is not MembershipPhase.MEMBER or event.label != state.plan.base:
        return []
    match event:
        case ev.SlotRestored(member_offers=offers):
            slot.offers = dict(enumerate(offers))
            return say_installed(state)
        case ev.ReplicatedStored(right=right):
            if not right:
                return [_chunks_lost(state, hosted, slot.label, msg.Chunks(replicated=True))]
            slot.replicated = True
        case ev.ChunkStored(position=position):
            return _chunk_stored(state, hosted, slot, position, now)
        case ev.SlotVerified():
            return _verified(state, hosted, slot, event, now)
    return _check_when_whole(state, hosted, slot)


def _chunk_stored(state: AgentState, hosted: Hosted, slot: Slot, position: int, now: float) -> list[do.AgentCommand]:
    assert state.plan is not None
    d = state.plan.geometry(state.plan.group_index(hosted.rank)).d
    if position < d:
        slot.data |= 1 << position
        return _check_when_whole(state, hosted, slot)
    slot.parity |= 1 << (position - d)
    return _protected_again(state, hosted, slot, now)


def _check_when_whole(state: AgentState, hosted: Hosted, slot: Slot) -> list[do.AgentCommand]:
    assert state.plan is not None
    whole = slot.data == full_masks(state.plan, hosted.rank)[0] and slot.replicated and slot.offers
    return [do.VerifySlot(rank=hosted.rank, label=slot.label, parity=slot.parity != 0)] if whole and not slot.verified else []


def _verified(state: AgentState, hosted: Hosted, slot: Slot, event: ev.SlotVerified, now: float) -> list[do.AgentCommand]:
    """R5: a chunk with a wrong digest is an erasure, and an erasure is a matter for a new decision; one that was known is not another."""
    known = msg.Chunks(data=~slot.data, parity=~slot.parity, replicated=not slot.replicated)
    wrong = event.wrong.without(known)
    if wrong:
        slot.erase(wrong)
        slot.stage = Stage.REBUILDING
        return [_chunks_lost(state, hosted, slot.label, wrong)]
    slot.verified = True
    out: list[do.AgentCommand] = []
    if slot.stage is Stage.REBUILDING:
        out.append(_rebuilt(state, hosted, slot, now, parity=False))
    return out + say_ready(state, hosted) + _protected_again(state, hosted, slot, now)


def base_wrong(state: AgentState, hosted: Hosted, generation: int) -> list[do.AgentCommand]:
    """R5: memory has changed between the check of a slot and the copy to live. The next generation checks all of it again."""
    if state.plan is None or state.plan.base is None or generation != state.generation or hosted.worker is not WorkerPhase.RUNNING:
        return []
    return [_chunks_lost(state, hosted, state.plan.base, msg.Chunks())]


def result_wrong(state: AgentState, event: ev.ResultWrong) -> list[do.AgentCommand]:
    """R5, C10: the result has changed since it was committed. The next generation starts from the end, with all of it checked."""
    if state.plan is None or state.phase is not MembershipPhase.MEMBER or event.rank not in state.hosted:
        return []
    return [_chunks_lost(state, state.hosted[event.rank], event.label, msg.Chunks())]


def _chunks_lost(state: AgentState, hosted: Hosted, label: Label, wrong: msg.Chunks) -> do.AgentCommand:
    return state.report(msg.ChunksLost(generation=state.generation, rank=hosted.rank, label=label, wrong=wrong))


def _protected_again(state: AgentState, hosted: Hosted, slot: Slot, now: float) -> list[do.AgentCommand]:
    assert state.plan is not None
    if slot.stage is Stage.REBUILDING and slot.verified and slot.parity == full_masks(state.plan, hosted.rank)[1]:
        slot.stage = Stage.PREPARED
        return [_rebuilt(state, hosted, slot, now, parity=True)]
    return []


def _rebuilt(state: AgentState, hosted: Hosted, slot: Slot, now: float, *, parity: bool) -> do.AgentCommand:
    assert state.plan is not None
    offer = slot.offers[state.plan.member_of(hosted.rank)]
    return do.TellOrchestrator(
        message=msg.Rebuilt(
            generation=state.generation,
            rank=hosted.rank,
            nbytes=offer.coded_bytes + offer.replicated_bytes,
            parity=parity,
            seconds=now - slot.restored_at,
        )
    )


def say_installed(state: AgentState) -> list[do.AgentCommand]:
    """The plan is installed once every slot that comes back has its offers and its memory, and no rank will change one that is here."""
    if state.plan is None or state.current.installed:
        return []
    base = state.plan.base
    if base is not None and any(
        not hosted.slots[base].offers or tight.is_live(state, hosted.slots[base]) for hosted in state.hosted.values()
    ):
        return []
    state.current.installed = True
    return [] if state.current.by_tree else [do.TellOrchestrator(message=msg.Installed(generation=state.generation))]


def say_ready(state: AgentState, hosted: Hosted) -> list[do.AgentCommand]:
    """R3: data present and verified, worker usable."""
    if state.phase is not MembershipPhase.MEMBER or state.plan is None or hosted.worker is not WorkerPhase.IDLE or hosted.told_ready:
        return []
    base = state.plan.base
    if base is not None and not (base in hosted.slots and hosted.slots[base].verified):
        return []
    hosted.told_ready = True
    ready = msg.Ready(
        generation=state.generation, rank=hosted.rank, address=hosted.address, transit=state.transit_of(hosted)
    )  # fmt: skip
    return [] if state.current.by_tree else [do.TellOrchestrator(message=ready)]
