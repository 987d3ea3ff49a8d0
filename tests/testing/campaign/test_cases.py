"""The cases of a campaign: none loses more than the parity covers, and all dangerous instants come."""

from __future__ import annotations

import pytest

from perdure.core.faults import parse_fault
from perdure.launch.shapes import shape_of
from perdure.testing.campaign.baseline import Baseline, baseline_of
from perdure.testing.campaign.cases import Case, draw


def baseline(
    *,
    ranks: int = 4,
    ranks_per_node: int = 1,
    parity: int = 1,
    spares: int = 1,
    group_size: int | None = None,
    labels: str = "",
    tight: bool = False,
) -> Baseline:
    """`labels`: the rack of each node, a letter for one; empty: nothing is known of racks."""
    racks = {node: {"rack": rack} for node, rack in enumerate(labels)}
    shape = shape_of(ranks, ranks_per_node, spares, parity, group_size, ("rack",) if labels else (), racks)
    return baseline_of(shape, spares=spares, supersteps=100, commits=range(0, 100, 5), wall_s=1.5, tight=tight)


def domain_cases(on: Baseline) -> list[Case]:
    return [case for case in (draw(seed, on) for seed in range(200)) if case.fault == "kill domain"]


def test_tight_mode_has_instants_of_its_own() -> None:
    on = baseline(tight=True)
    seen = " ".join(fault for seed in range(100) for fault in draw(seed, on).faults)
    assert "phase=keeping" in seen
    assert "phase=waiting" in seen


def losses(case: Case, on: Baseline) -> int:
    """Of nodes with ranks, at the most."""
    nodes = len(on.homes) + case.spares
    faults = [parse_fault(text, nodes=nodes, ranks=on.plan.size) for text in (*case.before, *case.faults)]
    kinds = [fault.kind for fault in faults if fault.kind != "orchestrator" and fault.node not in on.spares]
    return sum(kind in ("kill", "stop", "process", "freeze") for kind in kinds)


@pytest.mark.parametrize("parity", [1, 2, 3])
def test_a_case_never_loses_more_than_the_parity_covers(parity: int) -> None:
    on = baseline(ranks=5, parity=parity)
    for seed in range(500):
        case = draw(seed, on)
        assert losses(case, on) <= parity, case


def test_as_many_losses_as_there_is_parity_come() -> None:
    on = baseline(ranks=5, parity=3)
    assert {losses(draw(seed, on), on) for seed in range(500)} == {0, 1, 2, 3}


def test_the_same_seed_is_the_same_case() -> None:
    """Or the seed that a failure prints would be of no use."""
    assert [draw(seed, baseline()) for seed in range(80)] == [draw(seed, baseline()) for seed in range(80)]
    assert len({draw(seed, baseline()).faults for seed in range(200)}) > 100


def test_every_dangerous_instant_comes_within_a_hundred_seeds() -> None:
    seen = " ".join(fault for seed in range(100) for fault in draw(seed, baseline(parity=2)).faults)
    for phase in (
        "copying", "encoding", "prepared", "committing", "sealed", "unwinding", "installing", "restoring", "rebuilding", "entering",
        "greeted", "greeting", "starting", "sealing", "choosing", "assigning", "resuming",
    ):  # fmt: skip
        assert f"phase={phase}" in seen
    for kind in ("stop:", "hang:", "crash:", "orchestrator:superstep", "process:after", "freeze:after"):
        assert kind in seen


def test_a_replacement_is_only_struck_where_there_is_a_spare() -> None:
    cases = [draw(seed, baseline(spares=1)) for seed in range(200)]
    assert all(case.spares >= 1 for case in cases if case.fault == "kill replacement")
    assert any(case.spares == 0 for case in cases)
    assert all(case.fault != "kill replacement" for case in (draw(seed, baseline(spares=0)) for seed in range(200)))


@pytest.mark.parametrize("labels", ["", "aabb" + "ab"])
def test_the_replacement_that_is_struck_gets_ranks(labels: str) -> None:
    """Of two spares it is the one in the rack of the lost node, where racks are known."""
    on = baseline(spares=2, labels=labels, group_size=2)
    for case in [case for case in (draw(seed, on) for seed in range(300)) if case.fault == "kill replacement"]:
        lost, struck = (parse_fault(text, nodes=6, ranks=4).node for text in (*case.before, *case.faults))
        assert struck == (4 if not labels else 4 + (lost > 1)), case


def test_votes_are_struck_where_plans_are_chosen_by_votes() -> None:
    """Two parity chunks for four ranks: two majorities need not meet, so the register chooses and nobody is asked for a vote."""
    for parity, phases in ((1, {"recovery: accepting", "recovery: chosen"}), (2, set())):
        drawn = {case.phase for case in (draw(seed, baseline(parity=parity, spares=2)) for seed in range(100))}
        assert drawn & {"recovery: accepting", "recovery: chosen"} == phases
        assert "recovery: choosing" in drawn


def test_a_whole_rack_is_lost_with_its_spares_where_parity_gives_it_back() -> None:
    on = baseline(spares=2, labels="aabb" + "ab")
    assert on.not_drawn() == ""
    lost = [parse_fault(case.faults[0], nodes=6, ranks=4) for case in domain_cases(on)]
    assert {frozenset(fault.nodes) for fault in lost} == {frozenset({0, 1, 4}), frozenset({2, 3, 5})}
    assert {case.phase for case in domain_cases(on)} == {"superstep", "prepared", "recovery: sealed"}
    assert {case.spares for case in (draw(seed, on) for seed in range(200))} == {2}, "they are part of the layout"


def test_the_crash_before_the_loss_of_a_rack_is_elsewhere() -> None:
    """A second loss in a domain is none."""
    on = baseline(spares=2, labels="aabb" + "ab")
    for case in [case for case in domain_cases(on) if case.before]:
        crash, kill = (parse_fault(text, nodes=6, ranks=4) for text in (*case.before, *case.faults))
        assert on.plan.placements[crash.rank].node not in kill.nodes


@pytest.mark.parametrize(
    ("on", "says"),
    [
        (baseline(labels="aabba", group_size=4), "the campaign kills no whole failure domain: rack a holds 2 members of group 0"),
        (baseline(parity=0, labels="aabba"), "the campaign kills no whole failure domain, because --parity 0"),
        (baseline(labels="abcde"), "none has ranks and more than one node"),
        (baseline(ranks=5, group_size=5, spares=0, labels="aabcd"), "the campaign kills no whole failure domain: rack a"),
        (baseline(ranks=3, group_size=3, spares=2, labels="aabcb"), ""),
    ],
)
def test_a_rack_that_cannot_be_lost_is_not_and_the_reason_is_told(on: Baseline, says: str) -> None:
    assert (says in on.not_drawn()) if says else not on.not_drawn()
    assert bool(domain_cases(on)) == (not says)


def test_of_several_racks_those_are_lost_that_can_be() -> None:
    on = baseline(ranks=6, group_size=3, spares=0, labels="aaabbc")
    assert on.not_drawn().startswith("the campaign does not kill every failure domain as a whole: rack a holds 2 members")
    assert {case.faults[0].split(",")[0] for case in domain_cases(on)} == {"kill:node=3+4"}


def test_nodes_that_get_no_ranks_in_their_racks_are_spares() -> None:
    """Four ranks, six nodes, four of them in one rack: two of these get ranks."""
    on = baseline(spares=2, labels="aaaabb")
    assert on.homes == (0, 1, 4, 5)
    assert on.spares == (2, 3)
    assert on.ranks_of(4) == [2]
    for seed in range(200):
        faults = [parse_fault(text, nodes=6, ranks=4) for text in draw(seed, on).before]
        assert all(fault.node in on.homes for fault in faults if fault.kind == "kill")


def test_two_faults_of_a_case_never_strike_the_same_node() -> None:
    """The second would find it gone, and the case would be about nothing."""
    for seed in range(300):
        case = draw(seed, baseline(ranks=8, ranks_per_node=2, parity=2))
        faults = [parse_fault(text, nodes=9, ranks=8) for text in (*case.before, *case.faults)]
        nodes = [fault.node if fault.node >= 0 else fault.rank // 2 for fault in faults if fault.node >= 0 or fault.rank >= 0]
        assert len(nodes) == len(set(nodes)), case


def test_without_parity_no_node_is_lost() -> None:
    on = baseline(parity=0)
    assert {losses(draw(seed, on), on) for seed in range(100)} == {0}
