"""Is all well at this instant? Section 8 of the protocol, as functions over everything that there is.

Each takes a `View` (the states of all living agents, the orchestrator's, and what was chosen and committed so far) and returns its
violations in words; an empty list means that the invariant holds. Nobody in a running job can see all this at once: a simulator can.

Not here: bytes. That a label's bytes never change and that a rebuilt slot equals its offer is for whoever has the bytes to check.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from perdure.core.agent.state import AgentState, Hosted, MembershipPhase, Slot, Stage, WorkerPhase, full_masks
from perdure.core.ids import Label
from perdure.core.orchestrator.state import OrchestratorState
from perdure.core.plan import Plan


@dataclass(slots=True, kw_only=True)
class Past:
    """What must not be forgotten from one instant to the next; `remember` adds to it.

    Attributes:
        committed: every label that any machine has known to be committed.
        installed: agent -> the newest generation seen installed there.
        prepared: (agent, rank, label) -> the digests that its offer had when it was first seen prepared.
    """

    committed: set[Label] = field(default_factory=set)
    installed: dict[int, int] = field(default_factory=dict)
    prepared: dict[tuple[int, int, Label], tuple[int, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """One instant. `agents`: the living ones by number. `chosen`: the register's plans, oldest first."""

    agents: Mapping[int, AgentState]
    orchestrator: OrchestratorState | None
    chosen: Sequence[Plan]
    past: Past

    def slots(self) -> list[tuple[AgentState, Hosted, Slot]]:
        """Every slot of every rank of every living agent."""
        return [
            (agent, hosted, slot)
            for agent in self.agents.values()
            for hosted in (*agent.hosted.values(), *agent.kept.values())
            for slot in hosted.slots.values()
        ]


def violations(view: View) -> list[str]:
    """Everything that does not hold at this instant. Looks only; see `remember`."""
    return [f"{check.__name__}: {text}" for check in CHECKS for text in check(view)]


def remember(view: View) -> None:
    """Adds this instant to the past; after the checks."""
    past = view.past
    past.committed |= _committed_now(view)
    for agent in view.agents.values():
        past.installed[agent.me] = agent.generation
    for agent, hosted, slot in view.slots():
        if slot.stage is Stage.PREPARED:
            past.prepared.setdefault((agent.me, hosted.rank, slot.label), _digests(agent, hosted, slot))


def _committed_now(view: View) -> set[Label]:
    found = {agent.current.committed for agent in view.agents.values()} | {view.orchestrator.committed if view.orchestrator else None}
    return {label for label in found if label is not None}


def one_plan_a_generation(view: View) -> list[str]:
    """I1: generations follow one another, everybody's plan is a chosen one, and nobody goes back."""
    found = [
        f"generation {plan.generation} was chosen after generation {before.generation}"
        for before, plan in zip(view.chosen, view.chosen[1:], strict=False)
        if plan.generation != before.generation + 1
    ]
    chosen = {plan.generation: plan for plan in view.chosen}
    for who, plan in _plans(view):
        if plan is not None and chosen.get(plan.generation) != plan:
            found.append(f"{who} follows a plan of generation {plan.generation} that was not chosen")
    for agent in view.agents.values():
        if agent.generation < view.past.installed.get(agent.me, 0):
            found.append(f"agent {agent.me} went back to generation {agent.generation}")
    return found


def _plans(view: View) -> list[tuple[str, Plan | None]]:
    orchestrator = [("the orchestrator", view.orchestrator.plan)] if view.orchestrator else []
    return [*orchestrator, *((f"agent {agent.me}", agent.plan) for agent in view.agents.values())]


def no_commit_is_lost(view: View) -> list[str]:
    """I2: a generation starts from the newest label that was ever committed before it, or from a newer one; bases never go back."""
    found = []
    known = view.past.committed | _committed_now(view)
    for before, plan in zip(view.chosen, view.chosen[1:], strict=False):
        committed = [label for label in known if label.generation <= before.generation]
        floor = max([*committed, *([before.base] if before.base else [])], default=None)
        if floor is not None and (plan.base is None or plan.base < floor):
            found.append(f"generation {plan.generation} starts from {plan.base or 'nothing'}, but {floor} was committed before")
    return found


def decodable_within_parity(view: View) -> list[str]:
    """I3: where no more than m ranks of a group are lost or not yet rebuilt, no stripe of the newest safe label lacks more than m chunks.

    A rank excuses its missing chunks when its home has ended, has not installed the newest plan, or is being rebuilt or repaired.
    """
    if not view.chosen:
        return []
    plan = view.chosen[-1]
    label = max([*view.past.committed, *_committed_now(view), *([plan.base] if plan.base else [])], default=None)
    if label is None:
        return []
    found = []
    for index, group in enumerate(plan.groups):
        held = {rank: _held(view, plan, rank, label) for rank in group}
        excused = [rank for rank in group if _is_lost(view, plan, rank, held[rank])]
        if len(excused) > plan.parity:
            continue
        geometry = plan.geometry(index)
        for stripe in range(geometry.n):
            erased = 0
            for member, rank in enumerate(group):
                slot = held[rank]
                position = geometry.position(stripe, member)
                mask = 0 if slot is None else slot.data | slot.parity << geometry.d
                erased += not mask >> position & 1
            if erased > plan.parity:
                found.append(f"stripe {stripe} of group {index} at {label} lacks {erased} chunks, and only ranks {excused} are lost")
    return found


def _held(view: View, plan: Plan, rank: int, label: Label) -> Slot | None:
    home = view.agents.get(plan.agent_of(rank))
    hosted = home.hosted.get(rank) if home else None
    return hosted.slots.get(label) if hosted else None


def _is_lost(view: View, plan: Plan, rank: int, slot: Slot | None) -> bool:
    home = view.agents.get(plan.agent_of(rank))
    if home is None or (slot is not None and (slot.stage is Stage.REBUILDING or slot.wrong)):
        return True
    return slot is None and home.generation < plan.generation


def two_labels_at_most(view: View) -> list[str]:
    """I4: a rank holds at most two labels, in different slots."""
    found = []
    for agent in view.agents.values():
        for hosted in agent.hosted.values():
            indices = sorted(slot.index for slot in hosted.slots.values())
            if indices not in ([], [0], [1], [0, 1]):
                found.append(f"rank {hosted.rank} on agent {agent.me} has labels in the slots {indices}")
    return found


def prepared_is_whole(view: View) -> list[str]:
    """I4, I5, C5: a prepared label has all offers and all chunks, and says the same of its items as when it was first prepared."""
    found = []
    for agent, hosted, slot in view.slots():
        if slot.stage is not Stage.PREPARED or agent.plan is None:
            continue
        where = f"{slot.label} of rank {hosted.rank} on agent {agent.me}"
        if not slot.wrong and ((slot.data, slot.parity) != full_masks(agent.plan, hosted.rank) or not slot.replicated):
            found.append(f"{where} is prepared without all of its chunks")
        if len(slot.offers) != len(agent.plan.group_of(hosted.rank)):
            found.append(f"{where} is prepared without all offers of its group")
        elif view.past.prepared.get((agent.me, hosted.rank, slot.label), now := _digests(agent, hosted, slot)) != now:
            found.append(f"{where} has changed after it was prepared")
    return found


def _digests(agent: AgentState, hosted: Hosted, slot: Slot) -> tuple[int, ...]:
    assert agent.plan is not None
    offer = slot.offers.get(agent.plan.member_of(hosted.rank))
    return tuple(item.digest for item in offer.items) if offer else ()


def main_runs_after_resume(view: View) -> list[str]:
    """I6: a worker runs only where its generation was resumed; by then every living member has installed it and has its data verified."""
    found = []
    for agent in view.agents.values():
        running = [hosted for hosted in agent.hosted.values() if hosted.worker is WorkerPhase.RUNNING]
        if running and not (agent.current.resumed and agent.phase in (MembershipPhase.MEMBER, MembershipPhase.ENDED)):
            found.append(f"rank {running[0].rank} runs on agent {agent.me}, which is {agent.phase} and has not resumed")
        if not agent.current.resumed or agent.plan is None:
            continue
        for other in agent.members():
            state = view.agents.get(other)
            if state is not None and state.generation < agent.generation:
                found.append(f"agent {agent.me} resumed generation {agent.generation} and agent {other} has not installed it")
        for hosted in running:
            base = hosted.slots.get(agent.plan.base) if agent.plan.base else None
            if base is not None and not base.verified:
                found.append(f"rank {hosted.rank} runs from {base.label}, which was not verified")
            if base is not None and not base.wrong and base.data != full_masks(agent.plan, hosted.rank)[0]:
                found.append(f"rank {hosted.rank} runs from {base.label}, whose data is not whole")
    return found


def generations_do_not_mix(view: View) -> list[str]:
    """I7, D6: a member holds its base and labels of its own generation, and counts facts of no other."""
    found = []
    for agent in view.agents.values():
        base = agent.plan.base if agent.plan else None
        for hosted in agent.hosted.values():
            strange = [label for label in hosted.slots if label != base and label.generation != agent.generation]
            found += [f"rank {hosted.rank} on agent {agent.me} holds {label} in generation {agent.generation}" for label in strange]
        counted = [label for label in agent.current.prepared if label.generation != agent.generation]
        found += [f"agent {agent.me} counts facts about {label} in generation {agent.generation}" for label in counted]
    return found


def custodians_only_keep(view: View) -> list[str]:
    """D6, E10, G3: an agent without a rank in its plan is no member and hosts nothing. What is kept is the base, and nothing of it runs."""
    found = []
    for agent in view.agents.values():
        for kept in agent.kept.values():
            if kept.worker not in (WorkerPhase.KILLED, WorkerPhase.GONE):
                found.append(f"rank {kept.rank} has a worker on agent {agent.me}, and lives elsewhere in generation {agent.generation}")
            strange = [label for label in kept.slots if agent.plan is None or label != agent.plan.base or agent.current.committed]
            found += [f"agent {agent.me} keeps {label} of rank {kept.rank}" for label in strange]
        if not agent.is_outside:
            if agent.phase is MembershipPhase.CUSTODIAN:
                found.append(f"agent {agent.me} is a custodian, and has ranks in generation {agent.generation}")
            continue
        if agent.phase is MembershipPhase.MEMBER:
            found.append(f"agent {agent.me} is a member of generation {agent.generation}, and has no rank in it")
        found += [f"rank {rank} lives on agent {agent.me}, which generation {agent.generation} goes on without" for rank in agent.hosted]
    return found


CHECKS: tuple[Callable[[View], list[str]], ...] = (
    one_plan_a_generation,
    no_commit_is_lost,
    decodable_within_parity,
    two_labels_at_most,
    prepared_is_whole,
    main_runs_after_resume,
    generations_do_not_mix,
    custodians_only_keep,
)
