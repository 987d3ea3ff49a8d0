"""Words for everybody, and the answers to them: by a tree of agents where there are many, one by one where there are few.

What `perdure.core.multicast_tree` cannot reach, or what it has passed by, is spoken to directly: then the answer comes directly too.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable

from perdure.core import commands as do
from perdure.core import messages as msg
from perdure.core import multicast_tree, votes
from perdure.core.channel_sums import Transit
from perdure.core.holdings import Holdings, known_one_by_one
from perdure.core.multicast_tree import Gathering, Milestone, Span, speakable, split
from perdure.core.orchestrator.state import GenerationPhase, OrchestratorState
from perdure.core.plan import Plan
from perdure.core.records import replace

Commands = list[do.OrchestratorCommand]


def is_large(state: OrchestratorState) -> bool:
    """Too many agents to speak to each?"""
    return state.plan is not None and multicast_tree.is_large(state.plan, state.settings)


def ask(state: OrchestratorState, milestones: tuple[Milestone, ...], word: msg.Relayed, directly: Iterable[int], now: float) -> Commands:
    """By the tree, to all members but the lost and those to whom the caller speaks `directly`. What was asked before counts no more, but
    for the answers to the seal, from which that follows what is voted for."""
    assert state.plan is not None
    sealed = state.gatherings.get(Milestone.SEALED) if Milestone.ACCEPTED in milestones else None
    state.gatherings = {Milestone.SEALED: sealed} if sealed else {}
    state.directly = set(directly)
    without = sorted({*state.directly, *(agent for agent in state.lost if state.plan.ranks_of(agent))})
    state.fanned = word = replace(word, reach=msg.Reach(first=0, stop=state.plan.size, without=tuple(without)))
    fan_out = state.settings.fan_out
    spans, left_out = speakable(split(0, state.plan.size, fan_out), fan_out, _leaves_out(state, word))
    for milestone in milestones:
        asked = dict.fromkeys(spans, now)
        state.gatherings[milestone] = Gathering(span=(0, state.plan.size), asked=asked, missing=set(left_out))
    return [*_tell_heads(state, word, spans), *_speak_to_the_missing(state)]


def _leaves_out(state: OrchestratorState, word: msg.Relayed) -> Callable[[int], bool]:
    plan, reach = state.plan, word.reach
    assert plan is not None
    assert reach is not None
    return lambda rank: (agent := plan.agent_of(rank)) in reach.without or not state.alive(agent)


def _tell_heads(state: OrchestratorState, word: msg.Relayed, spans: list[Span]) -> Commands:
    assert state.plan is not None
    assert word.reach is not None
    without = word.reach.without
    return [
        do.TellAgent(
            agent=state.plan.agent_of(first),
            message=replace(word, reach=msg.Reach(first=first, stop=stop, without=without)),
        )
        for first, stop in spans
    ]


def heard(state: OrchestratorState, answer: msg.Gathered) -> Commands:
    """A part of the tree has answered; of whom it names as missing this orchestrator asks now."""
    gathering = state.gatherings.get(Milestone(answer.milestone))
    if gathering is None or not _is_of_now(state, answer):
        return []
    gathering.take(answer)
    return _speak_to_the_missing(state)


def still_gathering(state: OrchestratorState, message: msg.StillGathering, now: float) -> None:
    """A part is not complete, and its head lives."""
    gathering = state.gatherings.get(Milestone(message.milestone))
    if gathering is not None and state.plan is not None and message.generation == state.plan.generation:
        gathering.still((message.first, message.stop), now)


def _is_of_now(state: OrchestratorState, answer: msg.Gathered) -> bool:
    if state.plan is None or answer.generation != state.plan.generation:
        return False
    return answer.milestone not in (Milestone.SEALED, Milestone.ACCEPTED) or answer.ballot == state.ballot


def tick(state: OrchestratorState, late_s: float, now: float) -> Commands:
    """Passes by the heads that say nothing."""
    out: Commands = []
    for gathering in state.gatherings.values():
        if late_s > state.settings.late_timer_s:
            gathering.restart(now)
        out += _pass_by(state, gathering, [span for span, since in gathering.asked.items() if now - since > state.settings.relay_s], now)
    return out + _speak_to_the_missing(state)


def lost(state: OrchestratorState, agent: int, now: float) -> Commands:
    """It was decided lost: nobody waits for what it heads."""
    out: Commands = []
    for gathering in state.gatherings.values():
        assert state.plan is not None
        out += _pass_by(state, gathering, [span for span in gathering.asked if state.plan.agent_of(span[0]) == agent], now)
    return out


def _pass_by(state: OrchestratorState, gathering: Gathering, spans: list[Span], now: float) -> Commands:
    out: Commands = []
    for span in spans:
        assert state.fanned is not None
        parts = gathering.pass_by(span, state.settings.fan_out, _leaves_out(state, state.fanned), now)
        out += _tell_heads(state, state.fanned, parts)
    return out


def _speak_to_the_missing(state: OrchestratorState) -> Commands:
    """Whoever is in no answer and was not spoken to yet; of the silent, those who are heard again."""
    if state.plan is None:
        return []
    missing = {state.plan.agent_of(rank) for gathering in state.gatherings.values() for rank in gathering.missing}
    out: Commands = []
    for agent in sorted(missing - state.directly):
        if agent in state.silences:
            continue
        state.directly.add(agent)
        if state.alive(agent):
            out += [do.TellAgent(agent=agent, message=word) for word in _in_full(state)]
    return out


def not_by_the_tree(state: OrchestratorState, plan: Plan) -> set[int]:
    """Agents of the plan whose seal did not come by the tree: they are not spoken to by it either."""
    gathering = state.gatherings.get(Milestone.SEALED)
    missing = {plan.agent_of(rank) for rank in gathering.missing} if gathering else set[int]()
    return {agent for agent in missing | state.seal.sealed.keys() if plan.ranks_of(agent) and state.alive(agent)}


def _in_full(state: OrchestratorState) -> list[msg.ToAgent]:
    """The word for one who may have missed any word before it."""
    assert state.plan is not None
    install = msg.Install(plan=state.plan, restore=())
    match state.phase:
        case GenerationPhase.SEALING:
            return [install, msg.Seal(ballot=state.ballot, generation=state.plan.generation)]
        case GenerationPhase.CHOOSING:
            assert state.fanned is not None
            return [install, replace(state.fanned, reach=None)]
        case GenerationPhase.REBUILDING:
            return [install]
        case _:
            return [msg.Resume(generation=state.plan.generation, since=0, addresses=(), whole=state.resumed[1])]


# ---- have all answered? ---------------------------------------------------------------------------------------------------


def absent(state: OrchestratorState) -> list[int] | None:
    """D2: living members that have not answered the seal; None: parts of the tree have not."""
    gathering = state.gatherings.get(Milestone.SEALED)
    if gathering is None:
        if len(state.members()) - len(state.seal.sealed) > len(state.silences):
            return None
        return [agent for agent in state.members() if agent not in state.seal.sealed]
    if gathering.asked or state.plan is None:
        return None
    agents = {state.plan.agent_of(rank) for rank in gathering.missing}
    return sorted(agent for agent in agents if state.alive(agent) and agent not in state.seal.sealed)


def unanswered(state: OrchestratorState, milestone: Milestone, answered: Collection[int]) -> list[int] | None:
    """Ranks whose agents are not among those who have `answered` themselves, and have not answered by the tree either; None: parts of it
    have not answered yet."""
    assert state.plan is not None
    gathering = state.gatherings.get(milestone)
    if gathering is not None and gathering.asked:
        return None
    ranks = range(state.plan.size) if gathering is None else sorted(gathering.missing)
    return [rank for rank in ranks if state.plan.agent_of(rank) not in answered]


def newest_vote(state: OrchestratorState) -> msg.Vote | None:
    """D3: of those who have answered the seal."""
    gathering = state.gatherings.get(Milestone.SEALED)
    return votes.newest([*(sealed.accepted for sealed in state.seal.sealed.values()), gathering.sum.accepted if gathering else None])


def is_counted(state: OrchestratorState, sealed: Plan, agent: int) -> bool:
    """Has this agent answered the seal of that plan, by itself or by the tree?"""
    gathering = state.gatherings.get(Milestone.SEALED)
    if agent in state.seal.sealed or gathering is None:
        return agent in state.seal.sealed
    ranks = sealed.ranks_of(agent)
    return bool(ranks) and gathering.missing.isdisjoint(ranks)


def holdings(state: OrchestratorState) -> Holdings:
    """D2: what the living among those who have answered hold."""
    assert state.plan is not None
    plan, gathering = state.plan, state.gatherings.get(Milestone.SEALED)
    reports = {report.rank: report for agent, sealed in state.seal.sealed.items() if state.alive(agent) for report in sealed.ranks}
    if gathering is None:
        return known_one_by_one(plan, reports.values())
    dead = {rank for agent in state.lost for rank in plan.ranks_of(agent)}
    reports = {rank: report for rank, report in gathering.sum.others.items() if rank not in dead} | reports
    missing = (gathering.missing | dead) - reports.keys()
    usual = gathering.sum.labels if len(missing) + len(reports) < plan.size else None
    return Holdings(reports=reports, missing=tuple(sorted(missing)), usual=usual)


def kept(state: OrchestratorState) -> tuple[tuple[msg.Custodian, msg.RankReport], ...]:
    """E10: what living members keep of ranks that live elsewhere, by those who have answered."""
    gathering = state.gatherings.get(Milestone.SEALED)
    found = dict(gathering.sum.kept) if gathering else {}
    found |= {(agent, report.rank): report for agent, sealed in state.seal.sealed.items() for report in sealed.kept}
    return tuple(
        (msg.Custodian(agent=agent, address=state.nodes[agent].address), report)
        for (agent, _), report in sorted(found.items())
        if state.alive(agent)
    )


def positions(state: OrchestratorState) -> list[int]:
    """C1: all commit positions that are known to those who have answered, ascending."""
    known = {position for sealed in state.seal.sealed.values() for position in sealed.positions}
    gathering = state.gatherings.get(Milestone.SEALED)
    return sorted(known | gathering.sum.positions if gathering else known)


def all_installed(state: OrchestratorState) -> bool:
    """Has every member installed the plan?"""
    assert state.plan is not None
    gathering = state.gatherings.get(Milestone.INSTALLED)
    if gathering is None:
        return len(state.current.installed) >= len(state.plan.agents())
    return not gathering.asked and all(state.plan.agent_of(rank) in state.current.installed for rank in gathering.missing)


def all_ready(state: OrchestratorState) -> bool:
    """R4: is every rank ready?"""
    assert state.plan is not None
    gathering = state.gatherings.get(Milestone.READY)
    if gathering is None:
        return len(state.current.ready) >= state.plan.size
    return not gathering.asked and all(rank in state.current.ready for rank in gathering.missing)


def new_addresses(state: OrchestratorState) -> dict[int, str]:
    """Rank -> its address, of all ranks; or of those at least whose address differs from the one that was told last."""
    gathering = state.gatherings.get(Milestone.READY)
    return state.current.ready if gathering is None else gathering.sum.addresses | state.current.ready


def transits(state: OrchestratorState) -> dict[int, Transit]:
    """Return what crosses the base (rule C11): rank -> what it has reported, where something does."""
    gathering = state.gatherings.get(Milestone.READY)
    return state.current.transits if gathering is None else gathering.sum.transits | state.current.transits
