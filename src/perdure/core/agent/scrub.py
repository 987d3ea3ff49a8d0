"""Memory that changes by itself is found by reading it, and repaired from the group while the ranks go on (rules S1 to S4).

Theory of operation. Only the newest committed label is read: its slot is stable until a newer one is committed, and nothing older is ever
needed. A chunk without its digest is an erasure from that moment, so a loss meanwhile is decided by what is really there. The agent
decodes it by itself, from chunks of its group that it cannot know to be right: what was decoded counts only if it has the digest that the
lost chunk had, and before that not a byte of it is stored, for the rank may be reading its slot. If some source was wrong too, others are
tried while the parity leaves a choice. What cannot be repaired costs nothing but protection: the ranks' live state is elsewhere, and the
next commit replaces the label. So no generation is ever spent on a repair; after a loss rule R5 decides.
"""

from __future__ import annotations

from perdure.core import commands as do
from perdure.core import events as ev
from perdure.core import messages as msg
from perdure.core.agent import tight
from perdure.core.agent.state import AgentState, Hosted, MembershipPhase, Slot, Stage
from perdure.core.ids import Label
from perdure.core.plan import Plan


def tick(state: AgentState) -> list[do.AgentCommand]:
    """S1: one rank after the other, one at a time. A label that is given up meanwhile is not waited for."""
    rate = state.settings.scrub_bytes_per_s
    if not rate or (state.current.scrubbing is not None and _slot(state, *state.current.scrubbing) is not None):
        return []
    label = state.current.committed or (state.plan.base if state.plan else None)
    ranks = [] if label is None else [rank for rank in sorted(state.hosted) if _slot(state, rank, label) is not None]
    if label is None or not ranks:
        state.current.scrubbing = None
        return []
    rank = next((rank for rank in ranks if rank > state.scrubbed), ranks[0])
    state.current.scrubbing, state.scrubbed = (rank, label), rank
    return [do.Scrub(rank=rank, label=label, bytes_per_s=rate)]


def scrubbed(state: AgentState, event: ev.Scrubbed) -> list[do.AgentCommand]:
    """S2: what is wrong, and was not known to be, is an erasure; it is told, and repaired."""
    slot = _slot(state, event.rank, event.label)
    if slot is None or state.current.scrubbing != (event.rank, event.label):
        return []
    wrong = event.wrong.without(slot.wrong)
    if not wrong:
        state.current.scrubbing = None
        return []
    slot.erase(wrong)
    slot.wrong, slot.repairs = event.wrong, 0
    told = msg.ChunksWrong(generation=state.generation, rank=event.rank, label=event.label, wrong=wrong)
    return [do.TellOrchestrator(message=told), *_repair(state, event.rank, slot)]


def repaired(state: AgentState, event: ev.Repaired) -> list[do.AgentCommand]:
    """S3, S4: chunks that have their digests again count again; for the others, other sources are tried while there are any."""
    slot = _slot(state, event.rank, event.label)
    if slot is None or state.current.scrubbing != (event.rank, event.label) or not slot.wrong:
        return []
    right = slot.wrong.without(event.wrong)
    slot.data |= right.data
    slot.parity |= right.parity
    slot.replicated = slot.replicated or right.replicated
    slot.wrong = slot.wrong.without(right)
    slot.repairs += 1
    again = _repair(state, event.rank, slot) if slot.wrong else []
    left = msg.Chunks() if again else slot.wrong
    if not (right or left):
        return again
    told = msg.ChunksRepaired(generation=state.generation, rank=event.rank, label=event.label, repaired=right, left=left)
    return [do.TellOrchestrator(message=told), *again]


def _repair(state: AgentState, rank: int, slot: Slot) -> list[do.AgentCommand]:
    """The next attempt; none if all have been made, and then the scrub goes on."""
    plan = state.plan
    assert plan is not None
    others = [other for other in (*plan.group_of(rank), *range(plan.size)) if other != rank]
    tasks = repair_tasks(plan, rank, slot.label, slot.wrong, slot.repairs)
    source = others[slot.repairs % len(others)] if slot.wrong.replicated and others else -1
    attempts = max(len(plan.group_of(rank)) - 1, 1)
    if slot.repairs >= attempts or (not tasks and source < 0):
        state.current.scrubbing = None
        return []
    return [do.Repair(rank=rank, label=slot.label, tasks=tasks, replicated_from_rank=source)]


def repair_tasks(plan: Plan, rank: int, label: Label, wrong: msg.Chunks, attempt: int) -> tuple[msg.DecodeTask, ...]:
    """One stripe for each wrong chunk of `rank`, from d of the n - 1 others: attempt k leaves out the m - 1 from the k-th on."""
    index = plan.group_index(rank)
    group, geometry, member = plan.groups[index], plan.geometry(index), plan.member_of(rank)
    positions = [number + (geometry.d if what == "parity" else 0) for what, number in wrong.named() if what != "replicated"]
    others = [other for other in range(geometry.n) if other != member]
    if len(others) < geometry.d:
        return ()
    chosen = [others[(attempt + geometry.m - 1 + number) % len(others)] for number in range(geometry.d)]
    found = []
    for position in positions:
        stripe = next(stripe for stripe in range(geometry.n) if geometry.position(stripe, member) == position)
        sources = sorted((geometry.position(stripe, other), group[other]) for other in chosen)
        wanted = ((position, rank),)
        found.append(msg.DecodeTask(label=label, group=index, stripe=stripe, sources=tuple(sources), wanted=wanted, urgent=False))
    return tuple(found)


def _slot(state: AgentState, rank: int, label: Label) -> Slot | None:
    """The slot, if it may be read and repaired: committed here, whole when it was prepared, not frozen by a seal, not about to be moved."""
    hosted: Hosted | None = state.hosted.get(rank)
    slot = hosted.slots.get(label) if hosted else None
    if slot is None or slot.stage is not Stage.PREPARED or tight.is_live(state, slot):
        return None
    if state.phase is not MembershipPhase.MEMBER or not state.current.resumed:
        return None
    return slot if label == (state.current.committed or (state.plan.base if state.plan else None)) else None
