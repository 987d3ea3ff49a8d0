"""An agent that a plan goes on without: it keeps its chunks of the base until a newer label is committed (rule D6).

It was called silent, or could not be reached by some, and its process has not ended; so its memory is there. It ends its workers and every
other label, checks what it keeps, and offers it to be read. It has no vote and no rank, it is not sealed and commits nothing: all words of
members but the plan of a newer generation are for others. Nothing of the base changes any more, and no memory here is used again: who told
it of the plan has it ended.
"""

from __future__ import annotations

from perdure.core import commands as do
from perdure.core import events as ev
from perdure.core import messages as msg
from perdure.core.agent import workers
from perdure.core.agent.state import AgentState, Hosted, Phase, Slot, Stage, reports
from perdure.core.ids import Label
from perdure.core.plan import Plan


def become(state: AgentState, plan: Plan) -> list[do.AgentCommand]:
    """D6: after the links of the generation before were shut. One that has nothing of the base ends."""
    out: list[do.AgentCommand] = []
    for hosted in list(state.hosted.values()):
        hosted.start_next = 0
        out += workers.kill(hosted)
        base = _kept(hosted, plan.base)
        out += [do.ForgetLabel(rank=hosted.rank, label=label) for label in hosted.slots if base is None or label != base.label]
        hosted.slots = {} if base is None else {base.label: base}
        if base is None:
            del state.hosted[hosted.rank]
            out.append(do.DropRank(rank=hosted.rank))
        else:
            base.verified = False
    if not state.hosted:
        state.become(Phase.ENDED)
        return [*out, do.EndAgent(reason=f"generation {plan.generation} goes on without this node")]
    state.take_up(plan)
    state.become(Phase.CUSTODIAN)
    state.peers.clear()
    checks = [
        do.VerifySlot(rank=hosted.rank, label=slot.label, parity=True) for hosted in state.hosted.values() for slot in hosted.slots.values()
    ]
    return [*out, do.OpenLinks(plan=plan), *checks]


def _kept(hosted: Hosted, base: Label | None) -> Slot | None:
    """Only a label that was prepared has all offers of its group, and so a place for each chunk."""
    slot = hosted.slots.get(base) if base is not None else None
    return slot if slot is not None and slot.stage is Stage.PREPARED else None


def verified(state: AgentState, event: ev.SlotVerified) -> list[do.AgentCommand]:
    """R5: a chunk that does not have its digest is not kept."""
    hosted = state.hosted.get(event.rank)
    slot = hosted.slots.get(event.label) if hosted else None
    if slot is None:
        return []
    slot.erase(event.wrong)
    slot.wrong = event.wrong
    slot.verified = True
    return say(state)


def say(state: AgentState) -> list[do.AgentCommand]:
    """What is kept, as soon as all of it was checked."""
    if not all(slot.verified for hosted in state.hosted.values() for slot in hosted.slots.values()):
        return []
    return [do.TellOrchestrator(message=msg.Custody(generation=state.generation, ranks=reports(state)))]
