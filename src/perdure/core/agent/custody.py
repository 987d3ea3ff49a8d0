"""What an agent keeps of ranks that live elsewhere now: their chunks of the base, until a newer label is committed (rules D6, E10).

An agent without a rank in the plan, a custodian, was called silent, or could not be reached by some, and its process has not ended; so its
memory is there. It has no vote, it is not sealed and commits nothing: all words of members but the plan of a newer generation are for
others. A member keeps chunks in the same way of a rank that was moved to another node, and reports them with its seal.

In both cases the agent ends the worker of such a rank and gives up every other label, checks what it keeps, and offers it to be read.
Nothing of the base changes any more.
"""

from __future__ import annotations

from perdure.core import commands as do
from perdure.core import events as ev
from perdure.core import messages as msg
from perdure.core.agent import workers
from perdure.core.agent.state import AgentState, Hosted, MembershipPhase, Slot, Stage, WorkerPhase, kept_reports
from perdure.core.ids import Label
from perdure.core.plan import Plan


def become(state: AgentState, plan: Plan) -> list[do.AgentCommand]:
    """D6: after the links of the generation before were shut. One that has nothing of the base ends."""
    gone = [*state.kept.values(), *state.hosted.values()]
    state.kept.clear()
    state.hosted.clear()
    out = [command for hosted in gone for command in _keep(state, hosted, plan.base)]
    if not any(kept.slots for kept in state.kept.values()):
        state.become(MembershipPhase.ENDED)
        return [*out, do.EndAgent(reason=f"generation {plan.generation} continues without this node")]
    state.take_up(plan)
    state.become(MembershipPhase.CUSTODIAN)
    state.peers.clear()
    return [*out, do.OpenLinks(plan=plan), *checks(state)]


def leave(state: AgentState, plan: Plan) -> list[do.AgentCommand]:
    """E10, at a member of the plan: ranks that do not live here any more, and those that were kept before."""
    mine = plan.ranks_of(state.me)
    kept, state.kept = state.kept, {}
    gone = [*kept.values(), *(state.hosted.pop(rank) for rank in [*state.hosted] if rank not in mine)]
    out: list[do.AgentCommand] = []
    for hosted in gone:
        if hosted.rank in mine:
            state.hosted[hosted.rank] = hosted  # it has come back
        else:
            out += _keep(state, hosted, plan.base)
    return out


def _keep(state: AgentState, hosted: Hosted, base: Label | None) -> list[do.AgentCommand]:
    """End the worker; give up all labels but the base."""
    hosted.start_next = 0
    hosted.told_ready = False
    had_memory = bool(hosted.slots) or hosted.worker not in (WorkerPhase.GONE, WorkerPhase.KILLED)
    out = workers.kill(hosted)
    slot = _of_base(hosted, base)
    out += [do.ForgetLabel(rank=hosted.rank, label=label) for label in hosted.slots if slot is None or label != slot.label]
    hosted.slots = {} if slot is None else {slot.label: slot}
    if slot is not None:
        slot.verified = False
    elif had_memory:
        out.append(do.DropRank(rank=hosted.rank))
    if hosted.slots or hosted.worker is not WorkerPhase.GONE:
        state.kept[hosted.rank] = hosted
    return out


def _of_base(hosted: Hosted, base: Label | None) -> Slot | None:
    """Only a label that was prepared has all offers of its group, and so a place for each chunk."""
    slot = hosted.slots.get(base) if base is not None else None
    return slot if slot is not None and slot.stage is Stage.PREPARED else None


def checks(state: AgentState) -> list[do.AgentCommand]:
    """R5: what is kept is read with its digests."""
    return [
        do.VerifySlot(rank=kept.rank, label=slot.label, parity=True)
        for kept in state.kept.values()
        for slot in kept.slots.values()
        if not slot.verified
    ]


def drop(state: AgentState) -> list[do.AgentCommand]:
    """D6, E10: a label newer than the base is committed, so what is kept is of no use."""
    out: list[do.AgentCommand] = []
    for kept in state.kept.values():
        if kept.slots:
            out += [do.ForgetLabel(rank=kept.rank, label=label) for label in kept.slots]
            out.append(do.DropRank(rank=kept.rank))
            kept.slots.clear()
    state.kept = {rank: kept for rank, kept in state.kept.items() if kept.worker is not WorkerPhase.GONE}
    return out


def verified(state: AgentState, event: ev.SlotVerified) -> list[do.AgentCommand]:
    """R5: a chunk that does not have its digest is not kept."""
    kept = state.kept.get(event.rank)
    slot = kept.slots.get(event.label) if kept else None
    if slot is None:
        return []
    slot.erase(event.wrong)
    slot.wrong = event.wrong
    slot.verified = True
    return say(state) if state.phase is MembershipPhase.CUSTODIAN else []


def say(state: AgentState) -> list[do.AgentCommand]:
    """What is kept, as soon as all of it was checked."""
    if not all(slot.verified for kept in state.kept.values() for slot in kept.slots.values()):
        return []
    return [do.TellOrchestrator(message=msg.Custody(generation=state.generation, ranks=kept_reports(state)))]
