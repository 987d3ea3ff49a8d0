"""Words that are passed on and answers that are added up: every rank is reached once, and whoever is not there is named, not waited for."""

from __future__ import annotations

import random

import pytest

from perdure.core import commands as do
from perdure.core import events as ev
from perdure.core import messages as msg
from perdure.core.agent import AgentState, step
from perdure.core.agent.state import Slot, Stage, full_masks
from perdure.core.holdings import Holdings
from perdure.core.ids import Ballot, Label
from perdure.core.multicast_tree import WITNESSES_MAX, Gathering, Span, Sum, speakable, split
from perdure.core.plan import Plan
from perdure.core.planner import Seat, choose_base, first_plan
from perdure.core.settings import Settings
from perdure.sim import program

NONE = Ballot(0, 0)
SEALED = "sealed"


def plan_of(ranks: int, ranks_per_node: int = 1) -> Plan:
    nodes = -(-ranks // ranks_per_node)
    return first_plan([Seat(agent=n + 1, node=n, address=f"a{n}") for n in range(nodes)], ranks, ranks_per_node, 4, 1)


def answer(first: int, stop: int, *missing: int, labels: tuple[msg.UsualLabel, ...] | None = None) -> msg.Gathered:
    return msg.Gathered(milestone=SEALED, generation=1, ballot=NONE, first=first, stop=stop, missing=missing, labels=labels)


def held(label: Label, values: dict[int, int]) -> msg.UsualLabel:
    return msg.UsualLabel(label=label, differs=len(set(values.values())) > 1, witnesses=tuple(values.items()))


def gathering(*asked: Span) -> Gathering:
    return Gathering(span=(0, 100), asked=dict.fromkeys(asked, 0.0), missing=set())


def test_every_rank_is_the_head_of_exactly_one_span_or_left_out() -> None:
    for seed in range(100):
        dice = random.Random(seed)
        size, fan_out = dice.randint(1, 200), dice.randint(1, 9)
        gone = set(dice.sample(range(size), dice.randint(0, size // 2)))
        heads: list[int] = []
        out: list[int] = []
        todo = [(-1, size)]
        while todo:
            first, stop = todo.pop()
            spans, left_out = speakable(split(first + 1, stop, fan_out), fan_out, gone.__contains__)
            heads += [span[0] for span in spans]
            out += left_out
            todo += spans
        assert sorted(heads) == sorted(set(range(size)) - gone)
        assert sorted(out) == sorted(gone)


def test_a_head_that_is_passed_by_is_missing_until_it_answers_after_all() -> None:
    asked = gathering((0, 50), (50, 100))
    parts = asked.pass_by((50, 100), 2, lambda rank: False, 1.0)
    assert parts == [(51, 76), (76, 100)]
    for first, stop in [(0, 50), *parts]:
        asked.take(answer(first, stop))
    assert (asked.asked, asked.missing) == ({}, {50})
    asked.take(answer(50, 51))
    assert asked.missing == set()


def test_a_late_answer_takes_nothing_back_that_others_have_answered() -> None:
    """The one who was passed by knows less of its parts than they have said themselves meanwhile."""
    asked = gathering((0, 100))
    for first, stop in asked.pass_by((0, 100), 2, lambda rank: False, 1.0):
        asked.take(answer(first, stop))
    asked.take(answer(0, 100, 7, 60))
    assert (asked.asked, asked.missing) == ({}, set())


def test_an_answer_that_comes_twice_changes_nothing() -> None:
    asked = gathering((0, 50), (50, 100))
    for _ in range(2):
        asked.take(answer(0, 50, 3))
    assert (set(asked.asked), asked.missing) == ({(50, 100)}, {3})


def test_d3_only_labels_that_all_have_prepared_are_left() -> None:
    total = Sum()
    old, new, newest = Label(1, 1), Label(1, 2), Label(1, 3)
    for labels in ((old, new), None, (new, newest)):
        total.add(answer(0, 1, labels=None if labels is None else tuple(held(label, {0: 0}) for label in labels)))
    assert total.labels == {new: held(new, {0: 0})}


@pytest.mark.parametrize(("odd", "differs"), [(0, False), (1, True), (499, True)])
def test_c6_one_rank_that_differs_is_noticed_among_many_and_answers_do_not_grow(odd: int, differs: bool) -> None:
    """In whatever order they come, and however often."""
    values = {rank: int(rank == odd and differs) for rank in range(1000)}
    found = []
    for seed in range(3):
        parts = [{rank: values[rank]} for rank in values]
        random.Random(seed).shuffle(parts)
        total = Sum()
        for part in [*parts, *parts[:99]]:
            total.add_labels([held(Label(1, 1), part)])
        assert total.labels is not None
        found.append(total.labels[Label(1, 1)])
    assert [one.differs for one in found] == [differs] * 3
    assert len({one.witnesses for one in found}) == 1
    assert len(found[0].witnesses) == WITNESSES_MAX
    assert all(values[rank] == value for rank, value in found[0].witnesses)


def test_r1_replicated_items_come_from_the_majority_of_a_large_job_too() -> None:
    """Neither from the one whose answer was its own, nor from a witness that is lost, nor from one of the minority."""
    plan, label, total = plan_of(100), Label(1, 1), Sum()
    for rank in range(100):
        total.add_labels([held(label, {rank: 7 if rank % 4 else 8})])
    assert total.labels is not None
    lost = total.labels[label].witnesses[0][0]
    own = next(rank for rank in range(100) if rank not in dict(total.labels[label].witnesses))
    report = msg.LabelReport(label=label, prepared=True, data=0, parity=0, common=8)
    reports = {own: msg.RankReport(rank=own, incarnation=1, worker_lives=True, labels=(report,))}
    known = Holdings(reports=reports, missing=(lost,), usual=total.labels)
    ranks = known.with_replicated(plan, label, 1)
    assert ranks
    assert all(rank % 4 for rank in ranks)
    assert not {own, lost} & set(ranks)
    assert not known.agree_on(label)
    assert choose_base(plan, known, agreed=True) is None
    assert choose_base(plan, known) == label


def test_r1_where_all_are_alike_sources_are_spread_over_the_job() -> None:
    plan, label = plan_of(100), Label(1, 1)
    usual = {label: held(label, {rank: 7 for rank in range(15)})}
    report = msg.LabelReport(label=label, prepared=True, data=0, parity=0, replicated=False)
    known = Holdings(reports={0: msg.RankReport(rank=0, incarnation=1, worker_lives=True, labels=(report,))}, missing=(25, 26), usual=usual)
    assert known.with_replicated(plan, label, 4) == [1, 27, 50, 75]
    assert known.with_replicated(plan, label, 1) == [1]


# ---- an agent that passes on ----------------------------------------------------------------------------------------------


class Inner:
    """Agent 1 of a job of seven nodes, which heads the ranks 0 to 6 and passes on to two others."""

    def __init__(self) -> None:
        self.state = AgentState(me=1, node=0, settings=Settings(fan_out=2))
        self.now = 0.0
        self.told(msg.Greet(round=1))
        self.told(msg.Install(plan=plan_of(7), restore=()))

    def step(self, event: ev.AgentEvent) -> list[do.AgentCommand]:
        return step(self.state, event, self.now)

    def told(self, message: msg.ToAgent) -> list[do.AgentCommand]:
        return self.step(ev.OrchestratorSaid(message=message))

    def seal(self, without: tuple[int, ...] = ()) -> list[do.AgentCommand]:
        reach = msg.Reach(first=0, stop=7, without=without)
        return self.told(msg.Seal(ballot=Ballot(1, 1), generation=1, reach=reach))

    def answers(self, first: int, stop: int, *missing: int) -> list[do.AgentCommand]:
        said = msg.Gathered(milestone=SEALED, generation=1, ballot=Ballot(1, 1), first=first, stop=stop, missing=missing)
        return self.step(ev.PeerSaid(agent=first + 1, message=said))


def passed_on(commands: list[do.AgentCommand]) -> list[tuple[int, Span]]:
    """To whom, and for which ranks."""
    return [
        (command.agent, (command.message.reach.first, command.message.reach.stop))
        for command in commands
        if isinstance(command, do.TellPeer) and isinstance(command.message, msg.Seal) and command.message.reach
    ]


def gathered(commands: list[do.AgentCommand]) -> list[msg.Gathered]:
    return [command.message for command in commands if isinstance(command, do.TellOrchestrator | do.TellPeer)
            and isinstance(command.message, msg.Gathered)]  # fmt: skip


def test_d1_a_seal_is_passed_on_and_answered_as_one() -> None:
    inner = Inner()
    assert passed_on(inner.seal()) == [(2, (1, 4)), (5, (4, 7))]
    assert gathered(inner.step(ev.LinksQuiet(generation=1))) == []
    assert gathered(inner.answers(1, 4)) == []
    (whole,) = gathered(inner.answers(4, 7, 5))
    assert (whole.first, whole.stop, whole.missing) == (0, 7, (5,))


@pytest.mark.parametrize("wrong", [msg.Chunks(data=1), msg.Chunks(parity=1), msg.Chunks(replicated=True)])
def test_s2_a_rank_of_which_something_is_wrong_answers_for_itself(wrong: msg.Chunks) -> None:
    """Its label stays prepared, but the tree says of the labels of all that they are whole."""
    inner, label = Inner(), Label(1, 1)
    plan = plan_of(7)
    data, parity = full_masks(plan, 0)
    offers = {0: program.offer_of(0, b"", program.common_of(0))}
    slot = Slot(label=label, index=0, stage=Stage.PREPARED, offers=offers, data=data, parity=parity, replicated=True)
    inner.state.hosted[0].slots[label] = slot
    slot.erase(wrong)
    inner.seal()
    inner.step(ev.LinksQuiet(generation=1))
    inner.answers(1, 4)
    (whole,) = gathered(inner.answers(4, 7))
    assert whole.labels is None
    ((one,),) = (report.labels for report in whole.others)
    assert (one.prepared, one.data == data, one.parity == parity, one.replicated) == (
        True, not wrong.data, not wrong.parity, not wrong.replicated,
    )  # fmt: skip


def test_d1_who_is_left_out_is_not_spoken_to_and_its_part_is() -> None:
    assert passed_on(Inner().seal(without=(2,))) == [(3, (2, 3)), (4, (3, 4)), (5, (4, 7))]


def test_d1_a_head_that_says_nothing_is_passed_by_and_one_that_gathers_is_not() -> None:
    inner = Inner()
    inner.seal()
    inner.step(ev.LinksQuiet(generation=1))
    inner.now = 0.9
    still = msg.StillGathering(milestone=SEALED, generation=1, first=4, stop=7)
    inner.step(ev.PeerSaid(agent=5, message=still))
    inner.now = 1.1
    assert passed_on(inner.step(ev.Tick(late_s=0.0))) == [(3, (2, 3)), (4, (3, 4))]


def test_d1_what_comes_after_the_answer_is_passed_on() -> None:
    inner = Inner()
    inner.seal(without=(2,))
    inner.step(ev.LinksQuiet(generation=1))
    for first, stop in ((2, 3), (3, 4), (4, 7)):
        inner.answers(first, stop)
    (late,) = gathered(inner.answers(1, 2))
    assert (late.first, late.stop) == (1, 2)


def test_d7_a_seal_of_an_older_orchestrator_that_agents_still_pass_on_is_not_obeyed() -> None:
    """The new one has counted this agent as one that goes on; nobody would ever wake it."""
    inner = Inner()
    inner.told(msg.Greet(round=2))
    old = msg.Seal(ballot=Ballot(1, 9), generation=1, reach=msg.Reach(first=0, stop=7, without=()))
    assert inner.step(ev.PeerSaid(agent=3, message=old)) == []
