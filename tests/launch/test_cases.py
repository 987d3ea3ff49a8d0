"""The cases of a campaign: none loses more than the parity covers, and all dangerous instants come."""

from __future__ import annotations

import pytest

from perdure.core.faults import parse_fault
from perdure.launch.cases import Case, Ground, draw


def ground(**changes: int) -> Ground:
    shape = {"ranks": 4, "ranks_per_node": 1, "parity": 1, "spares_max": 1, **changes}
    return Ground(**shape, supersteps=100, commits=tuple(range(0, 100, 5)), wall_s=1.5)


def test_tight_mode_has_instants_of_its_own() -> None:
    on = Ground(ranks=4, ranks_per_node=1, parity=1, spares_max=1, supersteps=100, commits=(0, 5, 10), wall_s=1.5, tight=True)
    seen = " ".join(fault for seed in range(100) for fault in draw(seed, on).faults)
    assert "phase=keeping" in seen
    assert "phase=waiting" in seen


def losses(case: Case, on: Ground) -> int:
    """Of nodes with ranks, at the most."""
    faults = [parse_fault(text, nodes=on.nodes + case.spares, ranks=on.ranks) for text in (*case.before, *case.faults)]
    kinds = [fault.kind for fault in faults if fault.kind != "orchestrator" and fault.node < on.nodes]
    return sum(kind in ("kill", "stop", "process", "freeze") for kind in kinds)


@pytest.mark.parametrize("parity", [1, 2, 3])
def test_a_case_never_loses_more_than_the_parity_covers(parity: int) -> None:
    on = ground(ranks=5, parity=parity)
    for seed in range(500):
        case = draw(seed, on)
        assert losses(case, on) <= parity, case


def test_as_many_losses_as_there_is_parity_come() -> None:
    on = ground(ranks=5, parity=3)
    assert {losses(draw(seed, on), on) for seed in range(500)} == {0, 1, 2, 3}


def test_the_same_seed_is_the_same_case() -> None:
    """Or the seed that a failure prints would be of no use."""
    assert [draw(seed, ground()) for seed in range(80)] == [draw(seed, ground()) for seed in range(80)]
    assert len({draw(seed, ground()).faults for seed in range(200)}) > 100


def test_every_dangerous_instant_comes_within_a_hundred_seeds() -> None:
    seen = " ".join(fault for seed in range(100) for fault in draw(seed, ground(parity=2)).faults)
    for phase in (
        "copying", "encoding", "prepared", "committing", "sealed", "unwinding", "installing", "restoring", "rebuilding", "entering",
        "greeted", "greeting", "sealing", "choosing", "assigning", "resuming",
    ):  # fmt: skip
        assert f"phase={phase}" in seen
    for kind in ("stop:", "hang:", "crash:", "orchestrator:superstep", "process:after", "freeze:after"):
        assert kind in seen


def test_a_replacement_is_only_struck_where_there_is_a_spare() -> None:
    cases = [draw(seed, ground(spares_max=0)) for seed in range(200)]
    assert all(case.spares >= 1 for case in cases if case.fault == "kill replacement")
    assert any(case.spares == 0 for case in cases)


def test_two_faults_of_a_case_never_strike_the_same_node() -> None:
    """The second would find it gone, and the case would be about nothing."""
    for seed in range(300):
        case = draw(seed, ground(ranks=8, ranks_per_node=2, parity=2))
        faults = [parse_fault(text, nodes=9, ranks=8) for text in (*case.before, *case.faults)]
        nodes = [fault.node if fault.node >= 0 else fault.rank // 2 for fault in faults if fault.node >= 0 or fault.rank >= 0]
        assert len(nodes) == len(set(nodes)), case


def test_without_parity_no_node_is_lost() -> None:
    on = ground(parity=0)
    assert {losses(draw(seed, on), on) for seed in range(100)} == {0}
