"""How does one word reach 100,000 nodes, and how do their answers come back as one?

Theory of operation. A word that is for everybody is for the ranks [0, size). Whoever has a word for a span of ranks cuts it into a few
(`split`), and sends each part to the agent that holds its first rank, its head; that agent keeps the word, and passes it on to the rest
in the same way. So the tree follows from the plan, and a replacement stands where the lost one stood. Answers go to whoever asked: one
`Gathered` when a span's head and everybody below it has reached a milestone.

Nobody waits for a head that is not there. One that is lost, or is spoken to otherwise, is left out from the start; one that says nothing
for `Settings.relay_s` is passed by: the word goes to the parts of its span directly. Both are named in the answer as `missing`, up to the
orchestrator, which speaks to them itself. An answer is a fact about ranks, so it may come twice, late, or by two ways, and whose part of
the tree it was does not matter.

How far the ranks are (`core.progress`) climbs a tree of the same shape, of the plan's agents in their order: each adds up what those below
it say, and says the sum to the one above it. There nobody is passed by, for a head that is lost ends the generation.

This module holds the arithmetic and the sum of the answers. Who says what, and when, is for `agent.relay` and `orchestrator.broadcast`.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from perdure.core import votes
from perdure.core.channel_sums import Transit
from perdure.core.ids import Label
from perdure.core.messages import Gathered, RankReport, UsualLabel, Vote
from perdure.core.plan import Plan
from perdure.core.settings import Settings

WITNESSES_MAX: Final = 15
"""Ranks of a label whose values of replicated items are known one by one. Arbitrary; odd, so that two values have a majority."""
Span = tuple[int, int]
"""Ranks from the first number up to the second, which is not included."""


class Milestone(StrEnum):
    """What is waited for, by the word that asks: `Seal`, `Accept`, then twice `Install` or `Amend`, `Resume`."""

    SEALED = "sealed"
    ACCEPTED = "accepted"
    INSTALLED = "installed"
    READY = "ready"
    RESUMED = "resumed"


def is_large(plan: Plan, settings: Settings) -> bool:
    """So many agents that words go by a tree (rule D8), and that members speak to the orchestrator only when they are asked (rule T2)."""
    return len(plan.agents()) > settings.direct_agents_max


def split(first: int, stop: int, fan_out: int) -> list[Span]:
    """The span in at most `fan_out` parts of the same size, the last one smaller perhaps."""
    if first >= stop:
        return []
    size = -(-(stop - first) // fan_out)
    return [(start, min(start + size, stop)) for start in range(first, stop, size)]


def speakable(spans: Iterable[Span], fan_out: int, is_left_out: Callable[[int], bool]) -> tuple[list[Span], list[int]]:
    """Spans with heads that can be spoken to, in place of those without, whose parts take their place; and the heads that are left out."""
    found: list[Span] = []
    left_out: list[int] = []
    todo = list(spans)
    while todo:
        first, stop = todo.pop()
        if is_left_out(first):
            left_out.append(first)
            todo += split(first + 1, stop, fan_out)
        else:
            found.append((first, stop))
    return sorted(found), left_out


def head_above(number: int, size: int, fan_out: int) -> int | None:
    """Of `size` numbers, the one that heads the smallest span in which `number` is not the head; None: there is none above it."""
    above, spans = None, split(0, size, fan_out)
    while True:
        first, stop = next(span for span in spans if span[0] <= number < span[1])
        if first == number:
            return above
        above, spans = first, split(first + 1, stop, fan_out)


@dataclass(slots=True, kw_only=True)
class Sum:
    """What the answers say together; the fields are those of `Gathered`. Adding the same one twice changes nothing."""

    labels: dict[Label, UsualLabel] | None = None
    others: dict[int, RankReport] = field(default_factory=dict)
    positions: set[int] = field(default_factory=set)
    addresses: dict[int, str] = field(default_factory=dict)
    transits: dict[int, Transit] = field(default_factory=dict)
    kept: dict[tuple[int, int], RankReport] = field(default_factory=dict)
    accepted: Vote | None = None

    def add(self, answer: Gathered) -> None:
        """D3 asks for labels that all have prepared, so those that one lacks are of no use."""
        if answer.labels is not None:
            self.add_labels(answer.labels)
        self.others.update((report.rank, report) for report in answer.others)
        self.positions.update(answer.positions)
        self.addresses.update(answer.addresses)
        self.transits.update(answer.transits)
        self.kept.update(((agent, report.rank), report) for agent, report in answer.kept)
        self.add_vote(answer.accepted)

    def add_vote(self, vote: Vote | None) -> None:
        """D3 asks for the newest one only."""
        self.accepted = votes.newest((self.accepted, vote))

    def add_labels(self, labels: Iterable[UsualLabel]) -> None:
        """Of a rank that holds whole labels only, or of many."""
        found, known = {one.label: one for one in labels}, self.labels
        self.labels = found if known is None else {label: _joined(known[label], found[label]) for label in known.keys() & found.keys()}


def _joined(one: UsualLabel, other: UsualLabel) -> UsualLabel:
    """Of all ranks of both. Witnesses are those of the lowest hash, so adding the same ranks twice changes nothing, and what they hold has
    no part in who they are: a bottom-k sample (Cohen and Kaplan, "Summarizing data using bottom-k sketches", PODC 2007)."""
    witnesses = sorted({*one.witnesses, *other.witnesses}, key=lambda witness: zlib.crc32(witness[0].to_bytes(8, "little")))
    differs = one.differs or other.differs or len({common for _, common in witnesses}) > 1
    return UsualLabel(label=one.label, differs=differs, witnesses=tuple(witnesses[:WITNESSES_MAX]))


@dataclass(slots=True, kw_only=True)
class Gathering:
    """One milestone of one span, at whoever has asked its parts.

    Attributes:
        asked: parts that have not answered -> when they were asked, or last said that they still gather (s).
        missing: heads that were left out or passed by, and are in no answer yet.
    """

    span: Span
    asked: dict[Span, float]
    missing: set[int]
    sum: Sum = field(default_factory=Sum)

    def take(self, answer: Gathered) -> None:
        """An answer, of one of the parts or of a smaller or larger span that they belong to by now."""
        first, stop = answer.first, answer.stop
        if any(part[0] <= first and stop <= part[1] and part != (first, stop) for part in self.asked):
            return  # a part of a part: its own answer says so too
        waited = [part for part in self.asked if first <= part[0] and part[1] <= stop]
        was_open = {rank for rank in answer.missing if rank in self.missing or any(start <= rank < end for start, end in waited)}
        for part in waited:
            del self.asked[part]
        self.missing = {rank for rank in self.missing if not first <= rank < stop} | was_open
        self.sum.add(answer)

    def still(self, span: Span, now: float) -> None:
        """The head of that part lives."""
        if span in self.asked:
            self.asked[span] = now

    def pass_by(self, span: Span, fan_out: int, is_left_out: Callable[[int], bool], now: float) -> list[Span]:
        """Its head says nothing: its parts, which are to be asked in its place."""
        del self.asked[span]
        spans, left_out = speakable(split(span[0] + 1, span[1], fan_out), fan_out, is_left_out)
        self.missing |= {span[0], *left_out}
        self.asked.update(dict.fromkeys(spans, now))
        return spans

    def restart(self, now: float) -> None:
        """T3: who was late itself cannot say that others are."""
        self.asked = dict.fromkeys(self.asked, now)
