"""The planner: where lost ranks go, from which label the job resumes, and when it must say that it cannot."""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import replace

import pytest

from perdure.core import planner, records
from perdure.core.holdings import known_one_by_one
from perdure.core.ids import Label
from perdure.core.layout import Geometry, parity_groups
from perdure.core.messages import LabelReport, RankReport
from perdure.core.plan import Plan


def seats(count: int, start: int = 0) -> list[planner.Seat]:
    return [planner.Seat(agent=100 + node, node=node, address=f"unix:{node}") for node in range(start, start + count)]


def plan_of(ranks: int, parity: int, ranks_per_node: int = 1, group_size: int | None = None) -> Plan:
    nodes = -(-ranks // ranks_per_node)
    return planner.first_plan(seats(nodes), ranks, ranks_per_node, group_size or ranks, parity)


def report(rank: int, labels: dict[Label, bool], n: int, m: int) -> RankReport:
    full = tuple(
        LabelReport(label=label, prepared=prepared, data=(1 << n - m) - 1, parity=(1 << m) - 1) for label, prepared in labels.items()
    )
    return RankReport(rank=rank, incarnation=1, worker_lives=True, labels=full)


@pytest.mark.parametrize(("n", "m"), [(n, m) for n in range(1, 9) for m in range(min(4, n))])
def test_position_and_member_are_inverse(n: int, m: int) -> None:
    """If they were not, a rebuilt chunk would land on the wrong rank."""
    geometry = Geometry(n, m)
    for stripe, member in itertools.product(range(n), range(n)):
        position = geometry.position(stripe, member)
        assert geometry.member(stripe, position) == member
        if position < geometry.d:
            assert geometry.stripe_of_data(member, position) == stripe
        else:
            assert geometry.stripe_of_parity(member, position - geometry.d) == stripe


@pytest.mark.parametrize("ranks", range(1, 20))
@pytest.mark.parametrize("per_node", [1, 2, 3])
def test_groups_hold_every_rank_once_and_differ_by_one_in_size(ranks: int, per_node: int) -> None:
    groups = parity_groups(ranks, per_node, 4)
    assert sorted(rank for group in groups for rank in group) == list(range(ranks))
    sizes = [len(group) for group in groups]
    assert max(sizes) <= 4
    assert max(sizes) - min(sizes) <= 1


def test_base_is_the_newest_label_that_all_survivors_prepared() -> None:
    """A label that only some prepared may miss data of a lost rank; an older one than necessary would break I2."""
    plan = plan_of(4, 1)
    old, new = Label(1, 10), Label(1, 20)
    reports = [report(rank, {old: True, new: rank != 2}, 4, 1) for rank in (0, 2, 3)]
    answer = planner.next_plan(plan, known_one_by_one(plan, reports), [s for s in seats(4) if s.node != 1], seats(1, 4), {}, (20, 30))
    assert isinstance(answer, Plan)
    assert answer.base == old
    assert answer.positions == (20, 30)


def test_lost_rank_goes_to_the_spare_as_a_new_incarnation() -> None:
    plan = plan_of(4, 1)
    label = Label(1, 5)
    reports = [report(rank, {label: True}, 4, 1) for rank in (0, 1, 3)]
    answer = planner.next_plan(plan, known_one_by_one(plan, reports), [s for s in seats(4) if s.node != 2], seats(1, 4), {}, ())
    assert isinstance(answer, Plan)
    assert answer.placements[2].node == 4
    assert [place.incarnation for place in answer.placements] == [1, 1, 2, 1]


def test_without_a_spare_no_two_ranks_of_a_group_share_a_node_while_another_choice_exists() -> None:
    plan = plan_of(8, 1, ranks_per_node=2, group_size=2)
    label = Label(1, 5)
    survivors = [rank for rank in range(8) if plan.placements[rank].node != 0]
    reports = [report(rank, {label: True}, 2, 1) for rank in survivors]
    answer = planner.next_plan(plan, known_one_by_one(plan, reports), [s for s in seats(4) if s.node != 0], [], {}, ())
    assert isinstance(answer, Plan)
    assert not answer.crowded_groups()


def test_more_losses_than_parity_name_the_ranks_and_the_superstep() -> None:
    plan = plan_of(4, 1)
    label = Label(1, 5)
    reports = [report(rank, {label: True}, 4, 1) for rank in (0, 3)]
    answer = planner.next_plan(plan, known_one_by_one(plan, reports), [s for s in seats(4) if s.node in (0, 3)], seats(2, 4), {}, ())
    assert isinstance(answer, planner.Lost)
    assert answer.ranks == (1, 2)
    assert "superstep 5" in answer.text
    assert "--parity 2" in answer.text


@pytest.mark.parametrize(("n", "m"), [(4, 1), (5, 2), (8, 3)])
def test_tasks_restore_exactly_what_was_erased_from_d_present_chunks(n: int, m: int) -> None:
    plan = plan_of(n, m)
    label = Label(1, 5)
    for lost in itertools.combinations(range(n), m):
        alive = [rank for rank in range(n) if rank not in lost]
        reports = [report(rank, {label: True}, n, m) for rank in alive]
        answer = planner.next_plan(plan, known_one_by_one(plan, reports), [s for s in seats(n) if s.node in alive], seats(m, n), {}, ())
        assert isinstance(answer, Plan)
        tasks = [task for tasks in planner.decode_tasks(answer, known_one_by_one(answer, reports)).values() for task in tasks]
        wanted = sorted((task.stripe, position, rank) for task in tasks for position, rank in task.wanted)
        geometry = Geometry(n, m)
        assert wanted == sorted((stripe, geometry.position(stripe, rank), rank) for stripe in range(n) for rank in lost)
        for task in tasks:
            assert len(task.sources) == n - m
            assert all(rank in alive for _, rank in task.sources)


def test_one_loss_spreads_the_decoding_over_all_survivors() -> None:
    plan = plan_of(5, 1)
    reports = [report(rank, {Label(1, 5): True}, 5, 1) for rank in (0, 1, 2, 3)]
    answer = planner.next_plan(plan, known_one_by_one(plan, reports), seats(4), seats(1, 5), {}, ())
    assert isinstance(answer, Plan)
    tasks = planner.decode_tasks(answer, known_one_by_one(answer, reports))
    assert set(tasks) == {100, 101, 102, 103}


@pytest.mark.parametrize(("spares", "homes"), [(2, [2, 3, 1, 1]), (3, [2, 3, 1, 4])])
def test_ranks_that_shared_a_lost_node_are_spread_over_the_spares(spares: int, homes: list[int]) -> None:
    """On one spare they would be lost together again, which the parity may not give back. A spare that is left relieves a survivor."""
    doubled = plan_of(4, 2, ranks_per_node=2)
    reports = [report(rank, {Label(1, 5): True}, 4, 2) for rank in (2, 3)]
    held, lost = known_one_by_one(doubled, reports), [s for s in seats(2) if s.node == 1]
    spread = planner.next_plan(doubled, held, lost, seats(spares, 2), {}, (), ranks_per_node=1)
    assert isinstance(spread, Plan)
    assert [place.node for place in spread.placements] == homes
    together = planner.next_plan(doubled, held, lost, seats(spares, 2), {}, (), ranks_per_node=2)
    assert isinstance(together, Plan)
    assert [place.node for place in together.placements] == [2, 2, 1, 1]


@pytest.mark.parametrize("lost", range(4))
def test_one_spare_relieves_all_nodes_that_took_in_the_ranks_of_a_lost_one(lost: int) -> None:
    """Two survivors have three ranks each. If the spare took the surplus of one of them only, the other one would stay crowded for good: a
    node that has a rank is no spare any more."""
    whole = plan_of(8, 1, ranks_per_node=2, group_size=4)
    gone = [rank for rank in range(8) if whole.placements[rank].node == lost]
    held = known_one_by_one(whole, [report(rank, {Label(1, 5): True}, 4, 1) for rank in range(8) if rank not in gone])
    others = [seat for seat in seats(4) if seat.node != lost]
    crowded = planner.next_plan(whole, held, others, [], {}, (), ranks_per_node=2)
    assert isinstance(crowded, Plan)
    assert sorted(Counter(place.node for place in crowded.placements).values()) == [2, 3, 3]
    held = known_one_by_one(crowded, [report(rank, {Label(2, 9): True}, 4, 1) for rank in range(8)])
    relieved = planner.next_plan(crowded, held, others, seats(1, 4), {}, (), ranks_per_node=2)
    assert isinstance(relieved, Plan)
    assert sorted(Counter(place.node for place in relieved.placements).values()) == [2, 2, 2, 2]
    assert not relieved.crowded_groups()


def test_what_the_old_home_of_a_moved_rank_has_is_a_custodians() -> None:
    """The rank is missing at its new home, and no chunk of it is erased."""
    doubled = plan_of(4, 1, ranks_per_node=2)
    held = known_one_by_one(doubled, [report(rank, {Label(1, 5): True}, 4, 1) for rank in range(4)])
    moved = planner.next_plan(doubled, held, [], seats(2, 2), {}, (), ranks_per_node=1)
    assert isinstance(moved, Plan)
    assert [place.node for place in moved.placements] == [0, 2, 1, 3]
    seen = planner.after_moves(doubled, moved, held, seats(2, 2))
    assert seen.missing == (1, 3)
    assert [(custodian.agent, one.rank) for custodian, one in seen.kept] == [(doubled.agent_of(1), 1), (doubled.agent_of(3), 3)]
    assert not any(planner.erased_chunks(moved, Label(1, 5), seen).values())


def test_a_rank_that_comes_back_to_a_node_that_keeps_it_is_whole_there() -> None:
    doubled = plan_of(4, 1, ranks_per_node=2)
    held = known_one_by_one(doubled, [report(rank, {Label(1, 5): True}, 4, 1) for rank in range(4)])
    moved = planner.next_plan(doubled, held, [], seats(1, 2), {}, (), ranks_per_node=1)
    assert isinstance(moved, Plan)
    (rank,) = (place.rank for place, old in zip(moved.placements, doubled.placements, strict=True) if place.agent != old.agent)
    seen = planner.after_moves(doubled, moved, held, seats(1, 2))
    back = planner.next_plan(moved, seen, [s for s in seats(1) if s.agent == doubled.agent_of(rank)], [], {}, (), ranks_per_node=2)
    assert isinstance(back, Plan)
    assert back.agent_of(rank) == doubled.agent_of(rank)
    assert planner.after_moves(moved, back, seen, []).missing == ()


def test_a_rank_that_is_half_rebuilt_is_not_moved_again() -> None:
    doubled = plan_of(4, 1, ranks_per_node=2)
    reports = [report(rank, {Label(1, 5): True}, 4, 1) for rank in range(4)]
    half = records.replace(reports[1], labels=tuple(records.replace(one, data=1, prepared=False) for one in reports[1].labels))
    held = known_one_by_one(doubled, [reports[0], half, *reports[2:]])
    moved = planner.next_plan(replace(doubled, base=Label(1, 5)), held, [], seats(2, 2), {}, (), ranks_per_node=1)
    assert isinstance(moved, Plan)
    assert [place.node for place in moved.placements] == [2, 0, 1, 3]
