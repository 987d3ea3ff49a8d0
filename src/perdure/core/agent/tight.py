"""memory="tight": the live arrays lie in a slot, where they are encoded while the rank waits; there is one snapshot (rules M1 and M2).

A label begins in the live slot. Once it is committed, or is the base of the next generation, it is copied to the snapshot slot, whose label
is given up before; only then may the rank change live again: it goes on, or unwinds. So at every instant one of the two slots holds the
newest committed label, whole, and what is read of a label never changes.
"""

from __future__ import annotations

from typing import Final

from perdure.core import commands as do
from perdure.core import events as ev
from perdure.core import messages as msg
from perdure.core.agent.state import AgentState, Hosted, MembershipPhase, Slot, Stage, WorkerPhase
from perdure.core.ids import Label

SNAPSHOT: Final = 0
LIVE: Final = 1
"""The slot in which the rank's arrays lie."""


def is_live(state: AgentState, slot: Slot) -> bool:
    """Does the label lie where the rank computes?"""
    return state.settings.is_tight and slot.index == LIVE


def is_frozen(state: AgentState, hosted: Hosted) -> bool:
    """M1: is live read by others, or may it be the base of the next generation? Then the rank must not even unwind, for `main` may write on
    its way out. What is not prepared can be no base, and is read by nobody once the links are quiet."""
    stages = (Stage.PREPARED,) if state.current.quiet else (Stage.PREPARED, Stage.SNAPPED)
    return any(is_live(state, slot) and slot.stage in stages for slot in hosted.slots.values())


def keep(state: AgentState, hosted: Hosted, label: Label) -> list[do.AgentCommand]:
    """M2: nobody needs an older label any more, so this one takes its place."""
    older = [other for other in hosted.slots if other != label]
    for other in older:
        del hosted.slots[other]
    forget = [do.ForgetLabel(rank=hosted.rank, label=other) for other in older]
    return [*forget, do.CopySlot(rank=hosted.rank, label=label, generation=state.generation)]


def copied(state: AgentState, event: ev.SlotCopied) -> Hosted | None:
    """M2: the label lies in the snapshot slot. None: a copy of another generation, which has been asked for again, or of a label that was
    given up."""
    hosted = state.hosted.get(event.rank)
    slot = hosted.slots.get(event.label) if hosted else None
    if slot is None or not is_live(state, slot) or event.generation != state.generation:
        return None
    slot.index = SNAPSHOT
    return hosted


def hold(state: AgentState, hosted: Hosted) -> None:
    """D1, M1: the generation is over, and the rank is not told yet."""
    hosted.become(WorkerPhase.UNWINDING)
    hosted.frozen_in = state.generation


def release(state: AgentState, hosted: Hosted, now: float) -> list[do.AgentCommand]:
    """M2: a rank that was held may leave `main`, unless its live slot is still needed."""
    if not hosted.frozen_in or is_frozen(state, hosted):
        return []
    generation, hosted.frozen_in = hosted.frozen_in, 0
    if hosted.worker is not WorkerPhase.UNWINDING:
        return []
    hosted.unwind_by = now + state.settings.unwind_timeout_s
    return [do.TellWorker(rank=hosted.rank, message=msg.Revoke(generation=generation))]


def may_go_on(state: AgentState, label: Label) -> bool:
    """After the copy: is the label the one that the rank waits for, and not the base that it will start from?"""
    return state.phase is MembershipPhase.MEMBER and label == state.current.committed
