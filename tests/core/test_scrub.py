"""Rules S1 to S4 and the divergence of replicated items (C6): an event in, exactly these commands out."""

from __future__ import annotations

import dataclasses

import pytest

from perdure.core import agreement, planner
from perdure.core import commands as do
from perdure.core import events as ev
from perdure.core import messages as msg
from perdure.core.agent.scrub import repair_tasks
from perdure.core.holdings import known_one_by_one
from perdure.core.messages import Chunks, LabelReport, RankReport
from perdure.core.records import replace
from perdure.core.settings import Settings
from tests.core import test_planner as planning
from tests.core.test_rules import FIRST, SECOND, Node, node, prepared, seal, to_orchestrator

__all__ = ["node"]
RATE = Settings().scrub_bytes_per_s
SCRUB = do.Scrub(rank=0, label=FIRST, bytes_per_s=RATE)
WRONG = Chunks(data=1)


def commands_of(node: Node, kind: type) -> list[do.AgentCommand]:
    """What the next tick asks for."""
    return [command for command in node.step(ev.Tick(late_s=0.0)) if isinstance(command, kind)]


@pytest.fixture
def scrubbing(node: Node) -> Node:
    """Superstep 0 is committed, and is being read."""
    node.prepare(FIRST)
    assert commands_of(node, do.Scrub) == [], "what is not committed may still be overwritten"
    node.peer(prepared(FIRST, 1))
    assert commands_of(node, do.Scrub) == [SCRUB]
    return node


def scrubbed(wrong: Chunks) -> ev.Scrubbed:
    return ev.Scrubbed(rank=0, label=FIRST, wrong=wrong)


def repaired(wrong: Chunks) -> ev.Repaired:
    return ev.Repaired(rank=0, label=FIRST, wrong=wrong)


def test_s1_one_read_at_a_time(scrubbing: Node) -> None:
    assert commands_of(scrubbing, do.Scrub) == []
    assert scrubbing.step(scrubbed(Chunks())) == []
    assert commands_of(scrubbing, do.Scrub) == [SCRUB]


def test_s1_nothing_is_read_where_that_is_switched_off(scrubbing: Node) -> None:
    scrubbing.step(scrubbed(Chunks()))
    scrubbing.state.settings = dataclasses.replace(scrubbing.state.settings, scrub_bytes_per_s=0)
    assert commands_of(scrubbing, do.Scrub) == []


def test_s1_the_answer_for_a_label_that_was_given_up_is_not_waited_for(scrubbing: Node) -> None:
    """Its thread ends without a word; the scrub must go on with the next label."""
    scrubbing.prepare(SECOND)
    scrubbing.peer(prepared(SECOND, 1))
    assert commands_of(scrubbing, do.Scrub) == [replace(SCRUB, label=SECOND)]
    assert scrubbing.step(scrubbed(WRONG)) == [], "it comes late, and counts for nothing"


def test_s2_a_wrong_chunk_is_told_is_an_erasure_and_is_decoded_from_the_group(scrubbing: Node) -> None:
    task = msg.DecodeTask(label=FIRST, group=0, stripe=1, sources=((1, 1),), wanted=((0, 0),), urgent=False)
    assert scrubbing.step(scrubbed(WRONG)) == [
        to_orchestrator(msg.ChunksWrong(generation=1, rank=0, label=FIRST, wrong=WRONG)),
        do.Repair(rank=0, label=FIRST, tasks=(task,), replicated_from_rank=-1),
    ]
    scrubbing.told(seal())
    (answer,) = scrubbing.step(ev.LinksQuiet(generation=1))
    assert isinstance(answer, do.TellOrchestrator)
    assert isinstance(answer.message, msg.Sealed)
    (label,) = answer.message.ranks[0].labels
    assert (label.prepared, label.data, label.parity) == (True, 0, 1), "committed it stays; the planner must know what is there"


def test_s3_what_has_its_digest_again_counts_again(scrubbing: Node) -> None:
    scrubbing.step(scrubbed(WRONG))
    told = msg.ChunksRepaired(generation=1, rank=0, label=FIRST, repaired=WRONG, left=Chunks())
    assert scrubbing.step(repaired(Chunks())) == [to_orchestrator(told)]
    assert scrubbing.step(repaired(Chunks())) == [], "said twice it changes nothing"
    assert not scrubbing.state.hosted[0].slots[FIRST].wrong
    assert scrubbing.state.hosted[0].slots[FIRST].data == 1


def test_s4_what_cannot_be_repaired_is_told_and_no_generation_is_spent_on_it(scrubbing: Node) -> None:
    scrubbing.step(scrubbed(WRONG))
    told = msg.ChunksRepaired(generation=1, rank=0, label=FIRST, repaired=Chunks(), left=WRONG)
    assert scrubbing.step(repaired(WRONG)) == [to_orchestrator(told)]
    assert commands_of(scrubbing, do.Scrub) == [SCRUB]
    assert scrubbing.step(scrubbed(WRONG)) == [], "it is known"


def test_s2_a_wrong_replicated_region_is_fetched_from_another_rank(scrubbing: Node) -> None:
    wrong = Chunks(replicated=True)
    *_, repair = scrubbing.step(scrubbed(wrong))
    assert repair == do.Repair(rank=0, label=FIRST, tasks=(), replicated_from_rank=1)


def test_a_seal_freezes_a_repair(scrubbing: Node) -> None:
    """D1: nothing is completed after the answer, or two orchestrators would count differently."""
    scrubbing.step(scrubbed(WRONG))
    scrubbing.told(seal())
    assert scrubbing.step(repaired(Chunks())) == []
    assert scrubbing.state.hosted[0].slots[FIRST].data == 0


@pytest.mark.parametrize(("ranks", "parity"), [(4, 1), (4, 2), (6, 3)])
def test_s4_each_other_member_is_left_out_by_some_attempt_if_the_parity_allows_it(ranks: int, parity: int) -> None:
    """So one more wrong chunk in the stripe, wherever it is, does not prevent the repair."""
    plan = planning.plan_of(ranks, parity)
    left_out: set[int] = set()
    for attempt in range(ranks - 1):
        (task,) = repair_tasks(plan, 2, FIRST, Chunks(parity=1), attempt)
        sources = {rank for _, rank in task.sources}
        assert len(sources) == ranks - parity
        assert 2 not in sources
        left_out |= set(range(ranks)) - sources - {2}
    assert left_out == (set(range(ranks)) - {2} if parity > 1 else set())


# ---- a base with wrong chunks ---------------------------------------------------------------------------------------------


def report_of(rank: int, *, data: int = 7, replicated: bool = True, common: int = 0) -> RankReport:
    label = LabelReport(label=FIRST, prepared=True, data=data, parity=1, replicated=replicated, common=common)
    return RankReport(rank=rank, incarnation=1, worker_lives=True, labels=(label,))


def test_d3_a_committed_label_stays_the_base_although_a_chunk_of_it_is_wrong() -> None:
    plan = planning.plan_of(4, 1)
    reports = [report_of(0, data=6), *(report_of(rank) for rank in (1, 2, 3))]
    answer = planner.next_plan(plan, known_one_by_one(plan, reports), planning.seats(4), [], {}, ())
    assert isinstance(answer, planner.Plan)
    assert answer.base == FIRST


def test_d3_a_loss_and_a_wrong_chunk_in_one_stripe_are_two_erasures_and_it_is_said_whose() -> None:
    plan = planning.plan_of(4, 1)
    reports = [report_of(0, data=0), *(report_of(rank) for rank in (1, 2))]
    answer = planner.next_plan(plan, known_one_by_one(plan, reports), planning.seats(3), planning.seats(1, 4), {}, ())
    assert isinstance(answer, planner.Lost)
    assert "rank 3 was lost, the data of rank 0 was not rebuilt yet or is corrupt" in answer.text


def test_r1_a_rank_whose_replicated_items_are_wrong_fetches_them_and_gives_them_to_nobody() -> None:
    plan = dataclasses.replace(planning.plan_of(4, 1), base=FIRST)
    sources = planner.restore_sources(plan, known_one_by_one(plan, [report_of(0, replicated=False), *(report_of(rank) for rank in (1, 2))]))
    found = {source.rank: source.replicated_from_rank for given in sources.values() for source in given}
    assert found.keys() == {0, 3}
    assert 0 not in found.values()


def test_d3_replicated_items_that_are_right_nowhere_are_unrecoverable() -> None:
    plan = planning.plan_of(2, 1)
    answer = planner.next_plan(
        plan, known_one_by_one(plan, [report_of(rank, data=1, replicated=False) for rank in (0, 1)]), planning.seats(2), [], {}, ()
    )
    assert isinstance(answer, planner.Lost)
    assert "corrupt on all remaining ranks" in answer.text


# ---- replicated items that differ -----------------------------------------------------------------------------------------


def fact(rank: int, value: int) -> msg.Prepared:
    digests = (msg.ItemDigest(name="common", kind="replicated", signature=1, digest=value),)
    return replace(prepared(FIRST, 0), rank=rank, digests=digests)


@pytest.mark.parametrize(
    ("values", "ranks", "majority"),
    [((1, 1, 2), (2,), True), ((2, 1, 1, 1), (0,), True), ((1, 2), (0, 1), False), ((1, 1, 2, 2), (0, 1, 2, 3), False)],
)
def test_c6_the_minority_is_named_if_there_is_one(values: tuple[int, ...], ranks: tuple[int, ...], majority: bool) -> None:
    (found,) = agreement.divergences(fact(rank, value) for rank, value in enumerate(values))
    assert (found.item, found.ranks, found.majority) == ("common", ranks, majority)


def test_c6_all_alike_is_no_divergence() -> None:
    assert agreement.divergences(fact(rank, 5) for rank in range(3)) == ()


@pytest.mark.parametrize(("agreed", "base"), [(True, FIRST), (False, SECOND)])
def test_d3_a_label_at_which_ranks_differ_is_a_base_only_where_it_may_have_been_committed(agreed: bool, base: object) -> None:
    plan = dataclasses.replace(planning.plan_of(2, 1), base=FIRST)
    labels = [(LabelReport(label=SECOND, prepared=True, data=1, parity=1, common=rank), report_of(rank).labels[0]) for rank in (0, 1)]
    reports = [RankReport(rank=rank, incarnation=1, worker_lives=True, labels=of_rank) for rank, of_rank in enumerate(labels)]
    assert planner.choose_base(plan, known_one_by_one(plan, reports), agreed=agreed) == base


def test_r1_replicated_items_come_from_the_majority() -> None:
    plan = dataclasses.replace(planning.plan_of(4, 1), base=FIRST)
    sources = planner.restore_sources(
        plan, known_one_by_one(plan, [report_of(0, common=9), report_of(1, common=5), report_of(2, common=5)])
    )
    assert [source.replicated_from_rank in (1, 2) for given in sources.values() for source in given] == [True]
