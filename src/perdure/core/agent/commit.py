"""The commit, as one agent sees it (rules C1 to C8).

AtPosition -> MayCopy -> Snapped -> GroupOffer to the group -> all offers -> Protect -> all parity chunks -> Prepared -> Committed
"""

from __future__ import annotations

from perdure.core import agreement
from perdure.core import commands as do
from perdure.core import events as ev
from perdure.core import messages as msg
from perdure.core.agent import custody, tight
from perdure.core.agent.state import AgentState, Hosted, MembershipPhase, Slot, Stage, full_masks
from perdure.core.ids import END, Label
from perdure.core.multicast_tree import is_large
from perdure.core.snapshot_index import SnapshotIndex


def allow_copy(state: AgentState, hosted: Hosted) -> list[do.AgentCommand]:
    """C1 and C7: copying needs a free slot, and a slot is free when a newer label of this generation, or the base, is known committed."""
    label = hosted.wants
    if label is None or state.phase is not MembershipPhase.MEMBER or not state.current.resumed or label.generation != state.generation:
        return []
    if any(slot.label not in (state.current.committed, _base(state)) and not _superseded(state, slot) for slot in hosted.slots.values()):
        return []
    out: list[do.AgentCommand] = []
    given_up = [slot for slot in hosted.slots.values() if _superseded(state, slot)]
    for slot in given_up:
        del hosted.slots[slot.label]
        out.append(do.ForgetLabel(rank=hosted.rank, label=slot.label))
    if len(hosted.slots) > 1:
        return out
    index = tight.LIVE if state.settings.is_tight else hosted.free_index()
    since = next((slot.label for slot in given_up if slot.index == index and _is_whole(state, hosted, slot)), None)
    hosted.slots[label] = Slot(label=label, index=index, stage=Stage.FILLING)
    hosted.wants = None
    out.append(do.BindSlot(rank=hosted.rank, label=label, index=index, since=since))
    out.append(
        do.TellWorker(rank=hosted.rank, message=msg.MayCopy(label=label, slot=index, since=since, hold_after=state.current.hold_after))
    )
    return out


def snapped(state: AgentState, hosted: Hosted, message: msg.Snapped, now: float) -> list[do.AgentCommand]:
    """C2 and C3: the copy is complete; the group hears of it. After a seal nothing is added (rule D1)."""
    slot = hosted.slots.get(message.label)
    if slot is None or slot.stage is not Stage.FILLING or state.phase is not MembershipPhase.MEMBER or state.plan is None:
        return []
    slot.stage = Stage.SNAPPED
    slot.data = full_masks(state.plan, hosted.rank)[0]
    slot.replicated = slot.verified = True
    slot.costs = message.costs
    slot.snapped_at = now
    out: list[do.AgentCommand] = [do.ExposeSlot(rank=hosted.rank, label=message.label, offer=message.offer)]
    if message.label.superstep == END:
        out.append(_say_copied(hosted, slot, message.offer.ended_at))
    early = state.current.early_offers.pop(message.label, {})
    for offer in early.values():
        out += offered(state, message.label, offer, now)
    group = state.plan.group_of(hosted.rank)
    told = msg.GroupOffer(label=message.label, offer=message.offer)
    out += [do.TellPeer(agent=agent, message=told) for agent in sorted({state.plan.agent_of(rank) for rank in group} - {state.me})]
    return out + offered(state, message.label, message.offer, now)


def _say_copied(hosted: Hosted, slot: Slot, ended_at: int) -> do.AgentCommand:
    slot.told = True
    before = max((other.label.superstep for other in hosted.slots.values() if other is not slot), default=-1)
    return do.TellOrchestrator(message=msg.Offered(label=slot.label, rank=hosted.rank, ended_at=ended_at, before=before))


def say_copied_again(state: AgentState, hosted: Hosted) -> list[do.AgentCommand]:
    """C10, D7: to a new orchestrator, what was said of labels that are not committed."""
    return [_say_copied(hosted, slot, _ended_at(state, hosted, slot)) for slot in _waiting(state, hosted) if slot.told]


def tick(state: AgentState, now: float) -> list[do.AgentCommand]:
    """C10: a commit that takes long may wait for a rank that never comes to it, which only the orchestrator can find out."""
    late = now - state.settings.suspect_s
    return [
        _say_copied(hosted, slot, _ended_at(state, hosted, slot))
        for hosted in state.hosted.values()
        for slot in _waiting(state, hosted)
        if not slot.told and slot.snapped_at < late
    ]


def _waiting(state: AgentState, hosted: Hosted) -> list[Slot]:
    """Copies of this generation that are not known to be committed."""
    if state.phase is not MembershipPhase.MEMBER:
        return []
    newer = [slot for slot in hosted.slots.values() if slot.label.generation == state.generation and slot.stage is not Stage.FILLING]
    return [slot for slot in newer if state.current.committed is None or slot.label > state.current.committed]


def _ended_at(state: AgentState, hosted: Hosted, slot: Slot) -> int:
    assert state.plan is not None
    return slot.offers[state.plan.member_of(hosted.rank)].ended_at


def offered(state: AgentState, label: Label, offer: SnapshotIndex, now: float) -> list[do.AgentCommand]:
    """C3: an offer of a member of a group that has ranks here. A label that a rank here has not reached waits for it."""
    if state.phase is not MembershipPhase.MEMBER or state.plan is None or label.generation != state.generation:
        return []
    out: list[do.AgentCommand] = []
    _note_position(state, label, offer.next_position if offer.rank == 0 else -1)
    mine = [state.hosted[rank] for rank in state.plan.group_of(offer.rank) if rank in state.hosted]
    if any(label not in hosted.slots or hosted.slots[label].stage is Stage.FILLING for hosted in mine):
        state.current.early_offers.setdefault(label, {})[offer.rank] = offer
    member = state.plan.member_of(offer.rank)
    for hosted in mine:
        slot = hosted.slots.get(label)
        if slot is None or slot.stage is not Stage.SNAPPED or member in slot.offers:
            continue
        slot.offers[member] = offer
        if len(slot.offers) == len(state.plan.group_of(offer.rank)):
            out += _all_offered(state, hosted, slot, now)
    return out


def _all_offered(state: AgentState, hosted: Hosted, slot: Slot, now: float) -> list[do.AgentCommand]:
    """All n offers are in: they must fit together; then the stripe is encoded, or with m = 0 the label is prepared at once."""
    assert state.plan is not None
    offers = tuple(slot.offers[member] for member in range(len(slot.offers)))
    wrong = agreement.of_offers(offers, values=agreement.are_declared(slot.label))
    if wrong:
        return [job_error(state, "UsageError", wrong)]
    out: list[do.AgentCommand] = [do.Protect(rank=hosted.rank, label=slot.label, member_offers=offers)]
    return out + (_prepare(state, hosted, slot, now) if state.plan.parity == 0 else [])


def parity_stored(state: AgentState, event: ev.ParityStored, now: float) -> list[do.AgentCommand]:
    """C5: one of the m parity chunks of a rank is complete."""
    hosted = state.hosted.get(event.rank)
    slot = hosted.slots.get(event.label) if hosted else None
    if hosted is None or slot is None or slot.stage is not Stage.SNAPPED or state.phase is not MembershipPhase.MEMBER or state.plan is None:
        return []
    slot.parity |= 1 << event.p
    if slot.parity == full_masks(state.plan, event.rank)[1] and len(slot.offers) == len(state.plan.group_of(event.rank)):
        return _prepare(state, hosted, slot, now)
    return []


def _prepare(state: AgentState, hosted: Hosted, slot: Slot, now: float) -> list[do.AgentCommand]:
    assert state.plan is not None
    slot.stage = Stage.PREPARED
    state.protect_s = now - slot.snapped_at
    fact = _fact_of(state, hosted, slot)
    out: list[do.AgentCommand] = [do.TellOrchestrator(message=fact)]
    if not is_large(state.plan, state.settings):
        out += [do.TellPeer(agent=agent, message=fact) for agent in state.members()]
    return out + told_prepared(state, fact, now)


def _fact_of(state: AgentState, hosted: Hosted, slot: Slot) -> msg.Prepared:
    assert state.plan is not None
    offer = slot.offers[state.plan.member_of(hosted.rank)]
    geometry = state.plan.geometry(state.plan.group_index(hosted.rank))
    chunk = geometry.chunk_bytes([other.coded_bytes for other in slot.offers.values()])
    return msg.Prepared(
        label=slot.label,
        rank=hosted.rank,
        digests=agreement.digests_of(offer),
        next_position=offer.next_position if hosted.rank == 0 else -1,
        ended_at=offer.ended_at,
        coded_bytes=offer.coded_bytes,
        snapshot_bytes=offer.coded_bytes + offer.replicated_bytes,
        parity_bytes=geometry.m * chunk,
        costs=slot.costs or msg.RankCosts(protect_s=0.0, application_bytes=0, live_bytes=0),
        transit=offer.transit,
    )


def facts_of_base(state: AgentState, label: Label) -> list[do.AgentCommand]:
    """C10: this generation started from the end. The orchestrator needs what each rank has prepared, for it may have lost some of that with
    a node."""
    if state.plan is None or state.plan.base != label:
        return []
    slots = [(hosted, slot) for hosted in state.hosted.values() if (slot := hosted.slots.get(label)) and slot.offers]
    return [do.TellOrchestrator(message=_fact_of(state, hosted, slot)) for hosted, slot in slots]


def told_prepared(state: AgentState, fact: msg.Prepared, now: float) -> list[do.AgentCommand]:
    """C6: whoever hears all facts may count, in a large job the orchestrator alone. Those of other generations are of no use here."""
    if state.plan is None or fact.label.generation != state.generation:
        return []
    _note_position(state, fact.label, fact.next_position)
    known = state.current.prepared.setdefault(fact.label, {})
    known[fact.rank] = fact
    if len(known) < state.plan.size or (state.current.committed and state.current.committed >= fact.label):
        return []
    wrong = agreement.of_facts(known.values(), values=agreement.are_declared(fact.label))
    if wrong:
        return [job_error(state, "UsageError", wrong)]
    if state.settings.on_crossing == "stop" and agreement.crossing(known.values()):
        return []  # no commit: the orchestrator adds up the same facts, and ends the job
    if state.settings.on_divergence != "report" and agreement.divergences(known.values()):
        return []  # no commit: the orchestrator counts the same facts, and ends the job or has the label made again
    return committed(state, fact.label, now)


def job_error(state: AgentState, error: str, text: str) -> do.AgentCommand:
    """C3, C6, C8: no rank can go on from this. `error` is a name of `perdure.errors`."""
    return state.report(msg.JobError(generation=state.generation, error=error, text=text))


def told_committed(state: AgentState, label: Label, next_position: int, now: float) -> list[do.AgentCommand]:
    """The orchestrator counted first."""
    if state.plan is not None and label.generation == state.generation:
        _note_position(state, label, next_position)
    return committed(state, label, now)


def committed(state: AgentState, label: Label, now: float) -> list[do.AgentCommand]:
    """A label is known to be committed: workers hear of it, and those that waited may copy; in tight mode when it is copied itself (M2)."""
    if state.plan is None or label.generation != state.generation or (state.current.committed and state.current.committed >= label):
        return []
    state.current.committed = label
    state.current.prepared = {known: facts for known, facts in state.current.prepared.items() if known >= label}
    state.current.early_offers = {known: offers for known, offers in state.current.early_offers.items() if known > label}
    out = custody.drop(state)
    for hosted in state.hosted.values():
        is_kept = _is_being_kept(state, hosted, label)
        out += tight.keep(state, hosted, label) if is_kept else tell_committed(state, hosted, label)
    return out


def tell_committed(state: AgentState, hosted: Hosted, label: Label) -> list[do.AgentCommand]:
    """The rank hears of it, and may copy again if it waits for that."""
    told = msg.LabelCommitted(
        label=label, positions=state.current.positions, protect_s=state.protect_s, hold_after=state.current.hold_after
    )
    return [do.TellWorker(rank=hosted.rank, message=told), *allow_copy(state, hosted)]


def hold(state: AgentState, message: msg.Hold) -> list[do.AgentCommand]:
    """E3: ranks wait at their next position, or go on; those that wait for a label that is not committed yet go on with that."""
    if state.phase is not MembershipPhase.MEMBER or message.generation != state.generation or message.after == state.current.hold_after:
        return []
    state.current.hold_after = message.after
    label = state.current.committed
    if label is None or state.current.hold_after is not None:
        return []
    waiting = [hosted for hosted in state.hosted.values() if not _is_being_kept(state, hosted, label)]
    return [command for hosted in waiting for command in tell_committed(state, hosted, label)]


def _is_being_kept(state: AgentState, hosted: Hosted, label: Label) -> bool:
    """M2: in tight mode the rank hears of a commit when the copy is made."""
    slot = hosted.slots.get(label)
    return slot is not None and tight.is_live(state, slot)


def _base(state: AgentState) -> Label | None:
    return state.plan.base if state.plan else None


def _superseded(state: AgentState, slot: Slot) -> bool:
    """C7: a newer label of this generation is known to be committed."""
    return state.current.committed is not None and slot.label < state.current.committed


def _is_whole(state: AgentState, hosted: Hosted, slot: Slot) -> bool:
    """C4': may the next label in this slot take over what has not changed? Not if something of it was found wrong, or is being rebuilt."""
    assert state.plan is not None
    is_there = (slot.data, slot.parity) == full_masks(state.plan, hosted.rank) and slot.replicated
    return is_there and slot.stage is Stage.PREPARED


def _note_position(state: AgentState, label: Label, position: int) -> None:
    """C1: rank 0's offer of one commit fixes the position of the commit after the next one."""
    if position >= 0 and label.superstep != END and position not in state.current.positions:
        state.current.positions = tuple(sorted({*state.current.positions, position}))
