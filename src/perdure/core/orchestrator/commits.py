"""When is a label committed? The orchestrator counts the ranks that have prepared it (rules C6, C11)."""

from __future__ import annotations

from perdure.core import agreement, channel_sums
from perdure.core import commands as do
from perdure.core import messages as msg
from perdure.core.ids import END, Label
from perdure.core.imbalance import imbalance_of
from perdure.core.job_events import CommittedEvent, CrossingEvent, DivergedEvent
from perdure.core.orchestrator import exclusion, moves, plan_distribution, recovery
from perdure.core.orchestrator.state import GenerationPhase, OrchestratorState
from perdure.core.plan import Plan

Commands = list[do.OrchestratorCommand]


def prepared(state: OrchestratorState, fact: msg.Prepared, now: float) -> Commands:
    """C6: committed when every rank of the plan has said so."""
    if state.plan is not None and state.phase is GenerationPhase.ENDING and fact.label == state.plan.base:
        return _prepared_before(state, fact)
    if state.plan is None or fact.label.generation != state.plan.generation:
        return []
    known = state.current.prepared.setdefault(fact.label, {})
    known[fact.rank] = fact
    if len(known) < state.plan.size or (state.committed and fact.label <= state.committed):
        return []
    wrong = agreement.of_facts(known.values(), values=agreement.are_declared(fact.label))
    if wrong:
        return recovery.finish(state, "UsageError", wrong)
    crossing = agreement.crossing(known.values())
    if crossing and state.settings.on_crossing == "stop":
        return recovery.finish(state, "UsageError", channel_sums.refusal(crossing, fact.label.superstep))
    warned: Commands = [do.Publish(event=CrossingEvent(superstep=fact.label.superstep, what=crossing))] if crossing else []
    diverged = agreement.divergences(known.values())
    told = warned + _told_diverged(state, fact.label, diverged)
    if not diverged or state.settings.on_divergence == "report":
        return told + _committed(state, fact.label, now)
    return told + _not_committed(state, fact.label, diverged, now)


def _prepared_before(state: OrchestratorState, fact: msg.Prepared) -> Commands:
    """C10: the generation started from the end. A node may have been lost with what it had prepared before that was counted; whoever has
    its ranks now says it again, before anything else that is asked of it."""
    assert state.plan is not None
    known = state.current.prepared.setdefault(fact.label, {})
    known[fact.rank] = fact
    if len(known) < state.plan.size or state.published == fact.label:
        return []
    wrong = agreement.of_facts(known.values(), values=False)
    if wrong:
        return recovery.finish(state, "UsageError", wrong)
    told = _told_diverged(state, fact.label, agreement.divergences(known.values()))
    return [*told, _publish(state, state.plan, fact.label)]


def _told_diverged(state: OrchestratorState, label: Label, diverged: tuple[agreement.Divergence, ...]) -> Commands:
    """Where it is not what was told of the commit before."""
    if diverged == state.diverged:
        return []
    state.diverged = diverged
    superstep, end = label.superstep, label.superstep == END
    return [
        do.Publish(event=DivergedEvent(superstep=superstep, end=end, item=one.item, ranks=one.ranks, majority=one.majority))
        for one in diverged
    ]


def _not_committed(state: OrchestratorState, label: Label, diverged: tuple[agreement.Divergence, ...], now: float) -> Commands:
    """C6: with "stop" and "repair" a label at which ranks differ is not committed by anyone. Repaired, it is made again from the one
    before, where they agreed; a program that differs by itself would do so for ever. Heard of while greeting, it is sealed after that."""
    seen = state.divergences.setdefault(label.superstep, set())
    seen.add(label)
    times = len(seen)
    if state.settings.on_divergence == "repair" and times < state.settings.crash_limit:
        return recovery.start_seal(state, now) if state.phase in (GenerationPhase.COUNTING, GenerationPhase.REBUILDING) else []
    step = "the end" if label.superstep == END else f"superstep {label.superstep}"
    again = f", {times} times over" if times > 1 else ""
    advice = "memory is faulty, or the program is not deterministic: check it with `perdure rehearse`, or use --on-divergence report"
    return recovery.finish(state, "Diverged", f"{diverged[0]} at {step}{again}: {advice}")


def _committed(state: OrchestratorState, label: Label, now: float) -> Commands:
    assert state.plan is not None
    state.committed = label
    state.chunk_losses.clear()
    state.link_losses = 0
    facts = state.current.prepared[label]
    state.current.prepared = {known: said for known, said in state.current.prepared.items() if known >= label}
    out: Commands = [_publish(state, state.plan, label)]
    committed = msg.Committed(label=label, next_position=facts[0].next_position)
    out += [do.TellAgent(agent=agent, message=committed) for agent in state.members()]
    out += exclusion.release(state, state.plan)
    out += recovery.end_if_committed(state) + plan_distribution.reserve(state)
    return out + (recovery.start_seal(state, now) if moves.is_due(state) else [])


def _publish(state: OrchestratorState, plan: Plan, label: Label) -> do.Publish:
    """The event `committed`, of what all ranks have said."""
    state.published = label
    facts = state.current.prepared[label]
    names_of = [item.name for item in facts[0].digests if not item.name.startswith("__")]
    digests = {
        name: tuple(f"{next((i.digest for i in facts[rank].digests if i.name == name), 0):016x}" for rank in sorted(facts))
        for name in names_of
    }
    committed = CommittedEvent(
        superstep=facts[0].ended_at if label.superstep == END else label.superstep,
        generation=label.generation,
        digests=digests,
        end=label.superstep == END,
        protect_s=max(fact.costs.protect_s for fact in facts.values()),
        application_bytes=sum(fact.costs.application_bytes for fact in facts.values()),
        live_bytes=sum(fact.costs.live_bytes for fact in facts.values()),
        resident_bytes=sum(fact.costs.resident_bytes for fact in facts.values()),
        snapshot_bytes=sum(fact.snapshot_bytes for fact in facts.values()),
        parity_bytes=sum(fact.parity_bytes for fact in facts.values()),
        uneven=imbalance_of(plan.groups, plan.parity, [facts[rank].coded_bytes for rank in range(plan.size)]),
        interval=facts[0].costs.interval,
    )
    return do.Publish(event=committed)
