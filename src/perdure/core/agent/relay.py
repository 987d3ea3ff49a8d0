"""Words that are passed on, and answers that are added up on their way back, at one agent (`perdure.core.multicast_tree`).

A word with a reach is kept, passed on, and obeyed as if the orchestrator had said it here. Its answer is given by `settle`, when this
agent's own rank and everybody below it has reached the milestone, to whoever has asked.
"""

from __future__ import annotations

from collections.abc import Callable

from perdure.core import commands as do
from perdure.core import messages as msg
from perdure.core.agent.state import AgentState, Asked, MembershipPhase, full_masks, kept_reports, reports
from perdure.core.channel_sums import NOTHING
from perdure.core.ids import Ballot
from perdure.core.multicast_tree import Gathering, Milestone, Span, Sum, speakable, split
from perdure.core.plan import Plan
from perdure.core.records import replace

THE_ORCHESTRATOR = 0
"""As the source of a word; agents have numbers from 1 on."""


def pass_on(state: AgentState, plan: Plan, word: msg.Relayed, source: int, now: float) -> list[do.AgentCommand]:
    """To the heads of the parts of its reach; what comes back is gathered for `source`. `plan`: of the word's generation."""
    reach = word.reach
    if reach is None or reach.stop > plan.size or plan.agent_of(reach.first) != state.me:
        return []
    span, milestones = (reach.first, reach.stop), milestones_of(word)
    known = [
        asked
        for milestone in milestones
        if (asked := state.current.gatherings.get((milestone, span))) and asked.generation == plan.generation
    ]
    if known:
        return [command for asked in known for command in _ask_again(state, asked, source)]
    spans, left_out = speakable(split(span[0] + 1, span[1], state.settings.fan_out), state.settings.fan_out, _leaves_out(plan, reach))
    for milestone in milestones:
        state.current.gatherings[milestone, span] = Asked(
            milestone=milestone,
            generation=plan.generation,
            ballot=word.ballot if isinstance(word, msg.Seal | msg.Accept) else Ballot(0, 0),
            word=word,
            plan=plan,
            parents={source},
            gathering=Gathering(span=span, asked=dict.fromkeys(spans, now), missing=set(left_out)),
            said_at=now,
        )
    return _tell_heads(state, plan, word, spans, now)


def milestones_of(word: msg.Relayed) -> tuple[Milestone, ...]:
    """What is waited for after it."""
    match word:
        case msg.Seal():
            return (Milestone.SEALED,)
        case msg.Accept():
            return (Milestone.ACCEPTED,)
        case msg.Install() | msg.Amend():
            return (Milestone.INSTALLED, Milestone.READY)
        case msg.Resume():
            return (Milestone.RESUMED,)


def _leaves_out(plan: Plan, reach: msg.Reach) -> Callable[[int], bool]:
    return lambda rank: plan.agent_of(rank) in reach.without


def _tell_heads(state: AgentState, plan: Plan, word: msg.Relayed, spans: list[Span], now: float) -> list[do.AgentCommand]:
    assert word.reach is not None
    out: list[do.AgentCommand] = []
    for first, stop in spans:
        part = replace(word, reach=msg.Reach(first=first, stop=stop, without=word.reach.without))
        head = plan.agent_of(first)
        out += pass_on(state, plan, part, state.me, now) if head == state.me else [do.TellPeer(agent=head, message=part)]
    return out


def _ask_again(state: AgentState, asked: Asked, source: int) -> list[do.AgentCommand]:
    """The one who asked before has died, or was passed by; or the word has come twice."""
    asked.parents.add(source)
    return _say(state, {source}, asked.told) if asked.told else []


def _say(state: AgentState, parents: set[int], message: msg.Gathered | msg.StillGathering) -> list[do.AgentCommand]:
    """To those who have asked. If this agent has, as the head of a larger span, it hears the answer at once."""
    out: list[do.AgentCommand] = []
    for parent in sorted(parents - {state.me}):
        to_orchestrator = parent == THE_ORCHESTRATOR
        out.append(do.TellOrchestrator(message=message) if to_orchestrator else do.TellPeer(agent=parent, message=message))
    if state.me in parents and isinstance(message, msg.Gathered):
        out += heard(state, message)
    return out


def heard(state: AgentState, answer: msg.Gathered) -> list[do.AgentCommand]:
    """A part has answered. What comes after this agent's own answer is passed on as it is: up the spans that it heads, and to others."""
    out: list[do.AgentCommand] = []
    for asked in _askers_of(state, answer):
        if asked.ballot != answer.ballot:
            break
        asked.gathering.take(answer)
        if asked.told is None:
            break
        out += _say(state, asked.parents - {state.me}, answer)
        if state.me not in asked.parents:
            break
    return out


def still_gathering(state: AgentState, message: msg.StillGathering, now: float) -> None:
    """A part is not complete, and its head lives."""
    for asked in _askers_of(state, message)[:1]:
        asked.gathering.still((message.first, message.stop), now)


def _askers_of(state: AgentState, answer: msg.Gathered | msg.StillGathering) -> list[Asked]:
    """The spans that were asked here and that the answer is a part of, smallest first: this agent may hold heads below its own heads."""
    found = [
        asked
        for asked in state.current.gatherings.values()
        if asked.milestone == answer.milestone
        and asked.generation == answer.generation
        and asked.gathering.span[0] < answer.first
        and answer.stop <= asked.gathering.span[1]
    ]
    return sorted(found, key=_size)


def _size(asked: Asked) -> int:
    return asked.gathering.span[1] - asked.gathering.span[0]


def settle(state: AgentState) -> list[do.AgentCommand]:
    """After every event: spans whose head and all parts have reached their milestone are answered. Small ones first: they may be parts of
    others that were asked here too."""
    out: list[do.AgentCommand] = []
    for asked in sorted((one for one in state.current.gatherings.values() if one.told is None), key=_size):
        if not asked.gathering.asked and _has_reached(state, asked):
            asked.told = _answer(state, asked)
            out += _say(state, asked.parents, asked.told)
    return out


def _has_reached(state: AgentState, asked: Asked) -> bool:
    """Is the head of the span, which lives here, there?"""
    hosted = state.hosted.get(asked.gathering.span[0])
    if hosted is None or state.generation != asked.generation:
        return False
    match asked.milestone:
        case Milestone.SEALED:
            return state.phase is MembershipPhase.SEALED and state.current.quiet and state.promised == asked.ballot
        case Milestone.ACCEPTED:
            return state.current.accepted is not None and state.current.accepted.ballot == asked.ballot
        case Milestone.INSTALLED:
            return state.current.installed
        case Milestone.READY:
            return hosted.told_ready
        case Milestone.RESUMED:
            return state.current.resumed


def _answer(state: AgentState, asked: Asked) -> msg.Gathered:
    gathering = asked.gathering
    _add_own(state, asked, gathering.sum)
    labels = gathering.sum.labels
    return msg.Gathered(
        milestone=asked.milestone,
        generation=asked.generation,
        ballot=asked.ballot,
        first=gathering.span[0],
        stop=gathering.span[1],
        missing=tuple(sorted(gathering.missing)),
        labels=None if labels is None else tuple(labels[label] for label in sorted(labels)),
        others=tuple(gathering.sum.others.values()),
        positions=tuple(sorted(gathering.sum.positions)),
        addresses=tuple(gathering.sum.addresses.items()),
        accepted=gathering.sum.accepted,
        transits=tuple(gathering.sum.transits.items()),
        kept=tuple((agent, report) for (agent, _), report in gathering.sum.kept.items()),
    )


def _add_own(state: AgentState, asked: Asked, total: Sum) -> None:
    """D2: what the head holds, in full unless it is whole labels only; R4: its address, unless it is the one told before."""
    rank = asked.gathering.span[0]
    if asked.milestone is Milestone.SEALED:
        total.positions.update(state.current.positions)
        total.add_vote(state.current.accepted)
        total.kept.update(((state.me, report.rank), report) for report in kept_reports(state))
        report = next(report for report in reports(state) if report.rank == rank)
        masks = full_masks(asked.plan, rank)
        whole = all(one.prepared and one.replicated and (one.data, one.parity) == masks for one in report.labels)
        if whole and (report.labels or asked.plan.base is None):
            total.add_labels(msg.UsualLabel(label=one.label, differs=False, witnesses=((rank, one.common),)) for one in report.labels)
        else:
            total.others[rank] = report
    if asked.milestone is Milestone.READY:
        address, since = state.hosted[rank].address, asked.word.since if isinstance(asked.word, msg.Amend) else 0
        if not since or since != state.addresses_of or state.addresses[rank] != address:
            total.addresses[rank] = address
        if (transit := state.transit_of(state.hosted[rank])) != NOTHING:
            total.transits[rank] = transit


def tick(state: AgentState, late_s: float, now: float) -> list[do.AgentCommand]:
    """Passes by the heads that say nothing, and says to those who wait for this agent that it lives."""
    out: list[do.AgentCommand] = []
    for asked in [asked for asked in state.current.gatherings.values() if asked.told is None]:
        if late_s > state.settings.late_timer_s:
            asked.gathering.restart(now)
        out += _pass_by(state, asked, now)
        if now - asked.said_at > state.settings.relay_s / 3:
            asked.said_at = now
            first, stop = asked.gathering.span
            out += _say(
                state, asked.parents, msg.StillGathering(milestone=asked.milestone, generation=asked.generation, first=first, stop=stop)
            )
    return out


def _pass_by(state: AgentState, asked: Asked, now: float) -> list[do.AgentCommand]:
    assert asked.word.reach is not None
    out: list[do.AgentCommand] = []
    for span in [span for span, since in asked.gathering.asked.items() if now - since > state.settings.relay_s]:
        if asked.plan.agent_of(span[0]) == state.me:
            continue
        spans = asked.gathering.pass_by(span, state.settings.fan_out, _leaves_out(asked.plan, asked.word.reach), now)
        out += _tell_heads(state, asked.plan, asked.word, spans, now)
    return out
