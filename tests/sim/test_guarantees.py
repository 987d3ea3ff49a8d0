"""A whole job in virtual time: it commits and ends with its result, whatever is killed, crashed, silenced or handed over, and whenever.

What fails here prints the one command that runs the same schedule again.
"""

from __future__ import annotations

import itertools

import pytest

from perdure.core.layout import Geometry
from perdure.sim import Cluster, Failure, Scenario, SimFault, Verdict, run_seeds
from perdure.sim.campaign import run_scenario
from perdure.sim.cluster import SETTINGS
from perdure.sim.scenario import CUSTODY_PHASES, EARLY, KINDS, PHASES, parse
from perdure.sim.transcript import in_words

SHAPES = ((2, 1), (4, 1), (4, 2), (3, 0))
SLOW = ("row", "rival", "rack", "domain", "deaf", "silence")
"""Kinds of faults whose schedules take longest."""


def verdict_of(scenario: Scenario) -> Verdict:
    """How it ended; a broken promise is this test's failure, with its story."""
    came = run_scenario(scenario)
    assert isinstance(came, Verdict), str(came)
    return came


@pytest.mark.parametrize(("ranks", "parity"), [*SHAPES, (16, 2)])
def test_an_undisturbed_job_ends_with_its_result_in_its_first_generation(ranks: int, parity: int) -> None:
    for seed in range(10):
        verdict = verdict_of(Scenario(ranks=ranks, parity=parity, seed=seed, count=6))
        assert (verdict.error, verdict.generations) == ("", 1)


@pytest.mark.parametrize("block", range(4))
def test_a_thousand_seeds_break_no_promise(block: int) -> None:
    for _, came in run_seeds(range(250 * block, 250 * (block + 1))):
        assert not isinstance(came, Failure), str(came)


@pytest.mark.parametrize("block", [0, *(pytest.param(block, marks=pytest.mark.long) for block in range(1, 8))])
def test_a_flipped_bit_is_never_used_whatever_else_happens(block: int) -> None:
    """Every snapshot, every repaired chunk and the result are compared with those of an undisturbed run."""
    for _, came in run_seeds(range(125 * block, 125 * (block + 1)), flips=True):
        assert not isinstance(came, Failure), str(came)


def test_r1_a_wrong_replicated_region_that_was_copied_does_not_count_as_right() -> None:
    """The rank that it came from would copy it back in the next generation, and so on. A few of many schedules come to that."""
    loss = "kill:ParityStored,nth=6,victim=1"
    said = [
        verdict_of(
            parse(f"ranks=2 parity=1 count=3 seed={seed} skew {loss} flip:Committed,nth={a},victim=1 flip:Committed,nth={b},victim=14")
        ).text
        for seed, a, b in itertools.product(range(8), range(6, 11), range(8, 13))
    ]
    assert any("corrupt on all remaining ranks" in text for text in said)


@pytest.mark.parametrize("kind", [pytest.param(kind, marks=[pytest.mark.long] * (kind in SLOW)) for kind in KINDS if kind != "flip"])
def test_every_fault_at_every_phase_breaks_no_promise(kind: str) -> None:
    """Phases of a decision or a rebuild are reached after a first loss only."""
    for number, ((ranks, parity), phase) in enumerate(itertools.product(SHAPES, PHASES)):
        first = SimFault(
            kind="kill" if number % 2 else "crash", phase="Prepared", nth=1 + number % 17, delay=number % 4, victim=number // 3
        )
        cut = number % 3 == 0 and kind in ("kill", "orchestrator")
        fault = SimFault(kind=kind, phase=phase, nth=1 + number // 11 % 3, delay=number // 5 % 5, victim=number // 2, cut=cut)
        late = phase not in EARLY and phase not in ("AskResult", "Traffic", "Result")
        faults = (first, fault) if late or number % 2 else (fault,)
        verdict_of(Scenario(ranks=ranks, parity=parity, seed=number, spares=number % 3, faults=faults))


@pytest.mark.parametrize(
    "shape", ["ranks=6 parity=2 spares=3 racks=3 group_size=6", "ranks=8 ranks_per_node=2 parity=2 spares=2 racks=2 group_size=4"]
)
def test_the_loss_of_a_whole_rack_at_any_phase_is_survived(shape: str) -> None:
    """A rack holds as many members of each group as the parity gives back, and no more."""
    for number, phase in enumerate(PHASES):
        first = "" if phase in EARLY else "crash:Prepared,nth=5"
        verdict = verdict_of(parse(f"{shape} seed={number} {first} rack:{phase},nth={1 + number % 3},victim={number}"))
        assert verdict.error == "", phase


def test_the_same_loss_where_nobody_knows_of_racks_is_not() -> None:
    """Or the test above would show nothing: in the order of nodes a group of two lies in one rack."""
    kills = "kill:Committed,nth=9,victim=0 kill:Committed,nth=9,victim=0"
    assert verdict_of(parse(f"ranks=4 parity=1 group_size=2 seed=1 {kills}")).error == "Unrecoverable"
    assert verdict_of(parse("ranks=4 parity=1 group_size=2 spares=2 racks=2 seed=1 rack:Committed,nth=9")).error == ""


def test_t5_more_silent_nodes_than_the_parity_gives_back_are_waited_for() -> None:
    """Two of four nodes are stopped for a while, and one chunk of a stripe is all that may be missing."""
    for seed in range(20):
        faults = tuple(SimFault(kind="stun", phase="Prepared", nth=10, victim=victim) for victim in (1, 2))
        assert verdict_of(Scenario(ranks=4, parity=1, seed=seed, faults=faults)).error == ""


def test_d6_what_a_node_that_was_excluded_holds_makes_a_further_loss_good() -> None:
    """It was stopped, its rank is rebuilt on a spare, and before that is done as many nodes of its group end as there is parity. It is
    waited for, and is the custodian of what nobody else has; not one of these jobs is lost, whatever else is going on."""
    read = 0
    phases = PHASES[PHASES.index("Amend") : PHASES.index("Rebuilt")]
    for number, (phase, (ranks, parity)) in enumerate(itertools.product(phases, ((2, 1), (4, 1), (5, 2)))):
        stop = SimFault(kind="stun", phase="Committed", nth=4 + number % 7, victim=1)
        kills = [SimFault(kind="kill", phase=phase, nth=1 + number % 2, victim=number % 2 * one) for one in range(parity)]
        more = [SimFault(kind="orchestrator", phase=CUSTODY_PHASES[0], delay=number % 5)] if number % 3 else []
        fan_out = 2 if number % 4 == 3 else 0
        scenario = Scenario(
            ranks=ranks, parity=parity, seed=number, spares=3, superstep_ms=500, fan_out=fan_out, faults=(stop, *kills, *more)
        )  # fmt: skip
        cluster = Cluster(scenario, log=1_000_000)
        assert cluster.run().error == "", f'perdure simulate replay "{scenario}"'
        read += any(" from custodian " in line for line in in_words(cluster.world.log))
    assert read > 10


def test_d7_who_is_behind_is_told_the_plan_while_a_mute_agent_is_waited_for() -> None:
    """Silent to those who have the plan, it would be excluded for that."""
    faults = "stun:Committed,nth=3,victim=3 kill:Amend,nth=2,victim=1 orchestrator:LinksQuiet,nth=5"
    assert verdict_of(parse(f"ranks=4 parity=1 seed=979 count=6 superstep_ms=500 {faults}")).error == ""


def test_m2_a_rank_that_was_held_and_that_its_job_goes_on_without_is_only_ended() -> None:
    """In tight mode its unwinding waits for quiet links, and so does the plan that excludes its node."""
    assert verdict_of(parse("ranks=5 parity=1 seed=3 count=2 superstep_ms=2000 memory=tight doze:ParityStored,nth=8,victim=2")).error == ""


def test_t5_patience_ends() -> None:
    faults = tuple(SimFault(kind="silence", phase="Prepared", nth=10, victim=victim) for victim in (1, 2))
    verdict = verdict_of(Scenario(ranks=4, parity=1, seed=1, faults=faults))
    assert verdict.error == "Unrecoverable"
    assert verdict.virtual_s > SETTINGS.unreachable_timeout_s


def test_r5_a_flipped_bit_in_a_snapshot_is_found_before_it_is_used() -> None:
    """The generation after a crash verifies every slot: the rank whose bytes are wrong is rebuilt from its group."""
    for seed in range(20):
        faults = (SimFault(kind="flip", phase="Committed", nth=6, victim=seed), SimFault(kind="crash", phase="Committed", nth=6, delay=1))
        verdict = verdict_of(Scenario(ranks=4, parity=1, seed=seed, count=6, faults=faults))
        assert verdict.error in ("", "Unrecoverable")
        assert verdict.generations > 1 or verdict.error


@pytest.mark.parametrize(("ranks", "parity"), [(2, 1), (4, 1), (4, 2), (8, 3)])
def test_c4_an_undisturbed_commit_moves_exactly_the_computed_bytes(ranks: int, parity: int) -> None:
    """n (n - 1) c for a group: every data chunk once to its encoder, every parity chunk but the encoder's own once to its holder. Where
    parity is taken over, the same of those bytes of a stripe at which some data chunk has changed."""
    from perdure.sim import program

    cluster = Cluster(Scenario(ranks=ranks, parity=parity, seed=3))
    cluster.run()
    geometry = Geometry(ranks, parity)
    chunk = -(-max(program.size_of(rank) for rank in range(ranks)) // geometry.d)
    count = cluster.world.scenario.count

    def moved(superstep: int) -> int:
        """By all, for the state before a superstep."""
        is_whole = superstep < 2 or any((7 * rank + superstep) % 37 == 3 for rank in range(ranks))
        new, old = (
            [program.state_of(rank, at).ljust(ranks * chunk, b"\0") for rank in range(ranks)] for at in (superstep, max(superstep - 2, 0))
        )
        total = 0
        for stripe in range(ranks):
            places = [(geometry.member(stripe, t), t * chunk) for t in range(geometry.d)]
            total += sum(is_whole or any(new[rank][at + i] != old[rank][at + i] for rank, at in places) for i in range(chunk))
        return (ranks - 1) * total

    labels = {key for node in cluster.nodes.values() for key in node.vault.moved_parity}
    assert len(labels) > 3
    for key in labels:
        expected = moved(program.before(key[1].superstep, count))
        assert sum(node.vault.moved_parity.get(key, 0) for node in cluster.nodes.values()) == expected, key


def test_a_rebuild_moves_no_more_than_the_computed_bytes() -> None:
    """n (d + f - 1) c for f losses of a group: a decoder that holds a source need not move it."""
    from perdure.sim import program

    cluster = Cluster(Scenario(ranks=5, parity=1, seed=2, count=6, faults=(SimFault(kind="kill", phase="Committed", nth=9, victim=2),)))
    cluster.run()
    chunk = -(-max(program.size_of(rank) for rank in range(5)) // 4)
    moved = sum(node.vault.moved_rebuild for node in cluster.nodes.values())
    assert 0 < moved <= 5 * 4 * chunk
