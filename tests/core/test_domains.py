"""Groups and spares by failure domain: what could be spread is spread, compared with every other choice on small jobs."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator, Sequence

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from perdure.core.domains import Domains, fatal_loss, fullest, risk, spread, why_degraded
from perdure.core.holdings import known_one_by_one
from perdure.core.ids import Label
from perdure.core.layout import dealt_groups, domain_group_size
from perdure.core.messages import LabelReport, RankReport
from perdure.core.plan import Plan
from perdure.core.planner import Seat, first_plan, next_plan

small = settings(deadline=None, max_examples=60)


def most(groups: Sequence[Sequence[int]], homes: Sequence[int], domains: Domains) -> tuple[int, ...]:
    """The most members of one group in one domain, of each kind of domain, the outermost first; the node last."""
    return tuple(
        max(max(Counter(domains.prefixes(homes[rank])[depth] for rank in group).values()) for group in groups)
        for depth in range(len(domains.names) + 1)
    )


def splits(ranks: Sequence[int], sizes: Sequence[int]) -> Iterator[list[tuple[int, ...]]]:
    """All ways to split ranks into groups of these sizes."""
    if not sizes:
        yield []
        return
    for group in itertools.combinations(ranks, sizes[0]):
        rest = [rank for rank in ranks if rank not in group]
        for others in splits(rest, sizes[1:]):
            yield [group, *others]


@st.composite
def placed(draw: st.DrawFn, ranks_max: int = 8) -> tuple[list[int], Domains]:
    """The node of each rank, and two kinds of domains that lie in one another."""
    nodes = draw(st.integers(1, ranks_max))
    paths = tuple((draw(st.sampled_from("ab")), draw(st.sampled_from("xyz"))) for _ in range(nodes))
    homes = draw(st.lists(st.integers(0, nodes - 1), min_size=2, max_size=ranks_max))
    return homes, Domains(names=("row", "rack"), paths=paths)


@small
@given(placed(ranks_max=7), st.integers(1, 7))
def test_no_other_split_spreads_the_ranks_further(job: tuple[list[int], Domains], group_size: int) -> None:
    """Of no kind of domain; so at most m members lie in a domain wherever any layout has that."""
    homes, domains = job
    groups = dealt_groups([domains.path(node) for node in homes], group_size)
    ours = most(groups, homes, domains)
    best = [most(split, homes, domains) for split in splits(range(len(homes)), [len(group) for group in groups])]
    assert ours == tuple(min(column) for column in zip(*best, strict=True))


@small
@given(placed(ranks_max=40), st.integers(1, 40))
def test_every_rank_is_in_one_group_and_sizes_differ_by_one(job: tuple[list[int], Domains], group_size: int) -> None:
    homes, domains = job
    groups = dealt_groups([domains.path(node) for node in homes], group_size)
    assert sorted(rank for group in groups for rank in group) == list(range(len(homes)))
    sizes = [len(group) for group in groups]
    assert max(sizes) <= group_size
    assert max(sizes) - min(sizes) <= 1


@small
@given(placed(), st.integers(1, 8))
def test_the_nodes_that_get_ranks_leave_no_domain_fuller_than_it_must_be(job: tuple[list[int], Domains], wanted: int) -> None:
    _, domains = job
    nodes = list(range(len(domains.paths)))
    assume(wanted <= len(nodes))
    ours = fullest(spread(nodes, domains)[:wanted], domains)
    best = min(fullest(chosen, domains)[0] for chosen in itertools.combinations(nodes, wanted))
    assert ours[0] == best


@small
@given(placed(), st.integers(1, 2))
def test_the_group_size_is_the_largest_that_spreads_far_enough(job: tuple[list[int], Domains], parity: int) -> None:
    homes, domains = job
    assume(len(homes) > parity)
    size = domain_group_size(len(homes), fullest(homes, domains), parity, len(homes))

    def holds(size: int) -> list[bool]:
        groups = dealt_groups([domains.path(node) for node in homes], size)
        return [count <= parity for count in most(groups, homes, domains)]

    valid = [size for size in range(parity + 1, len(homes) + 1) if len(homes) // -(-len(homes) // size) > parity]
    assert holds(size) == max(map(holds, valid))
    assert all(holds(larger) < holds(size) for larger in valid if larger > size)


def after(plan: Plan, lost_nodes: Sequence[int], spares: Sequence[Seat], domains: Domains) -> Plan:
    """The plan after those nodes are lost."""
    label = Label(1, 5)
    reports = []
    for rank in range(plan.size):
        if plan.placements[rank].node not in lost_nodes:
            geometry = plan.geometry(plan.group_index(rank))
            data, parity = geometry.full_masks
            whole = LabelReport(label=label, prepared=True, data=data, parity=parity)
            reports.append(RankReport(rank=rank, incarnation=1, worker_lives=True, labels=(whole,)))
    alive = {place.agent: Seat(agent=place.agent, node=place.node, address="") for place in plan.placements if place.node not in lost_nodes}
    answer = next_plan(plan, known_one_by_one(plan, reports), list(alive.values()), spares, {}, (), domains=domains)
    assert isinstance(answer, Plan), answer.text
    return answer


def too_many(plan: Plan, homes: Sequence[int], domains: Domains) -> tuple[int, ...]:
    """Members of groups beyond the parity, of all domains of a kind together, the outermost first; the node last."""
    found = [0] * (len(domains.names) + 1)
    for group in plan.groups:
        for (depth, _), count in Counter(
            (depth, prefix) for rank in group for depth, prefix in enumerate(domains.prefixes(homes[rank]))
        ).items():
            found[depth] += max(0, count - plan.parity)
    return tuple(found)


@small
@given(st.data(), st.integers(4, 7), st.integers(1, 2), st.integers(1, 4), st.integers(1, 2))
def test_no_other_choice_of_spares_keeps_the_domains_better(
    data: st.DataObject, ranks: int, parity: int, spare_count: int, losses: int
) -> None:
    assume(losses <= min(spare_count, parity))
    paths = tuple((data.draw(st.sampled_from("abc")), data.draw(st.sampled_from("xy"))) for _ in range(ranks + spare_count))
    domains = Domains(names=("row", "rack"), paths=paths)
    seats = [Seat(agent=node + 1, node=node, address="") for node in range(ranks + spare_count)]
    plan = first_plan(seats, ranks, 1, 4, parity, domains)
    used = {place.node for place in plan.placements}
    spares = [seat for seat in seats if seat.node not in used]
    lost = data.draw(st.lists(st.sampled_from(sorted(used)), min_size=losses, max_size=losses, unique=True))
    new = after(plan, lost, spares, domains)
    missing = [place.rank for place in plan.placements if place.node in lost]
    everything = []
    for chosen in itertools.permutations([seat.node for seat in spares], losses):
        homes = [place.node for place in plan.placements]
        for rank, node in zip(missing, chosen, strict=True):
            homes[rank] = node
        everything.append(too_many(plan, homes, domains))
    assert too_many(plan, [place.node for place in new.placements], domains) == min(everything)


def test_without_a_spare_a_lost_rank_goes_to_a_rack_that_has_room() -> None:
    """Rack a holds two members already, rack b one; any node would be as full as the others."""
    domains = Domains(names=("rack",), paths=tuple((rack,) for rack in "aabc"))
    seats = [Seat(agent=node + 1, node=node, address="") for node in range(4)]
    plan = first_plan(seats, 4, 1, 4, 2, domains)
    assert after(plan, [3], [], domains).placements[3].node == 2


def test_a_job_without_domains_is_laid_out_as_before() -> None:
    seats = [Seat(agent=node + 1, node=node, address="") for node in range(6)]
    assert first_plan(seats, 4, 1, 4, 1) == first_plan(seats[:4], 4, 1, 4, 1, Domains())
    assert risk([(0, 1)], lambda rank: 0, 1, Domains()) == ""


@pytest.mark.parametrize(
    ("racks", "parity", "text"),
    [
        ("aabbb", 2, "rack b holds 3 members of group 0 (ranks 2, 3, 4): its loss is more than parity 2 can rebuild; use more racks"),
        ("aabbc", 2, ""),
        ("aabb", 1, "rack a holds 2 members of group 0 (ranks 0, 1): its loss is more than parity 1 can rebuild (and 1 more)"),
        ("aaaa", 0, ""),
    ],
)
def test_what_could_not_be_spread_is_said_in_one_line(racks: str, parity: int, text: str) -> None:
    domains = Domains(names=("rack",), paths=tuple((rack,) for rack in racks))
    said = risk([range(len(racks))], lambda rank: rank, parity, domains)
    assert said.startswith(text) if text else not said
    assert "\n" not in said


def test_racks_of_one_name_in_two_rows_are_two() -> None:
    domains = Domains(names=("row", "rack"), paths=(("a", "1"), ("b", "1")))
    assert fullest([0, 1], domains) == (1, 1, 1)


def test_the_single_loss_that_would_end_the_job_is_named() -> None:
    """Without it a user does not know that the next loss is one too many."""
    homes = {0: 0, 1: 2, 2: 2, 3: 3}
    said = fatal_loss([(0, 1, 2, 3)], homes.__getitem__, 1, Domains())
    assert said.startswith("the loss of node 2 would end the job: it hosts ranks 1 and 2 of one group")
    assert fatal_loss([(0, 1, 2, 3)], homes.__getitem__, 2, Domains()) == ""
    assert fatal_loss([(0, 1), (2, 3)], homes.__getitem__, 1, Domains()) == ""
    assert why_degraded([(0, 1, 2, 3)], homes.__getitem__) == "ranks 1 and 2 of one parity group share node 2"
    assert why_degraded([(0, 1), (2, 3)], homes.__getitem__) == ""
