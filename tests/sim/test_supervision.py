"""The supervisor's machine under a start that goes wrong and under hand-overs: the job goes on, or ends with the error that says why."""

from __future__ import annotations

import pytest

from perdure.core.supervisor.state import END_TIMEOUT_S, HEARTBEAT_TIMEOUT_S, MAX_RESTARTS
from perdure.sim import Broken, Cluster, Verdict
from perdure.sim.campaign import run_scenario
from perdure.sim.cluster import SETTINGS
from perdure.sim.engine import REFUSED
from perdure.sim.scenario import ENGINE_KINDS, START_KINDS, parse
from perdure.sim.transcript import in_words

SEEDS = range(12)


def verdict_of(text: str) -> Verdict:
    came = run_scenario(parse(text))
    assert isinstance(came, Verdict), str(came)
    return came


@pytest.mark.parametrize("engine", ["prompt", "late", "never"])
@pytest.mark.parametrize("kind", ["lost_start", "late_start", "failed_start"])
def test_l1_a_node_that_does_not_come_up_is_done_without(kind: str, engine: str) -> None:
    for seed in SEEDS:
        verdict = verdict_of(f"ranks=3 parity=1 seed={seed} spares=2 engine={engine} {kind}:StartNode,victim={seed}")
        assert verdict.error == ""


@pytest.mark.parametrize("kind", ["lost_start", "late_start", "failed_start"])
@pytest.mark.parametrize("nth", [1, 2, 3], ids=["the first", "the standby", "after a hand-over"])
def test_l3_an_orchestrator_that_does_not_start_is_replaced(kind: str, nth: int) -> None:
    for seed in SEEDS:
        end = f"orchestrator:Committed,nth={4 + seed}"
        verdict = verdict_of(f"ranks=3 parity=1 seed={seed} superstep_ms=2000 {kind}:StartOrchestrator,nth={nth} {end}")
        assert verdict.error == ""


def test_l1_no_node_comes_up() -> None:
    """All are lost before any has a verdict, and the error says for how long they were waited for."""
    lost = " ".join(f"lost_start:StartNode,nth={nth},victim={nth - 1}" for nth in (1, 2))
    verdict = verdict_of(f"ranks=2 parity=1 spares=0 {lost}")
    assert verdict.error == "EngineFailed"
    assert "no node was up after 5 s" in verdict.text
    assert verdict.virtual_s < SETTINGS.start_timeout_s + 1.0


@pytest.mark.parametrize("phase", ["StartNode", "StartOrchestrator"])
def test_a_start_that_is_refused_ends_the_job(phase: str) -> None:
    verdict = verdict_of(f"ranks=3 parity=1 refused_start:{phase}")
    assert (verdict.error, verdict.text) == ("EngineFailed", REFUSED)


def test_a_standby_that_is_refused_ends_nothing() -> None:
    for seed in SEEDS:
        faults = f"refused_start:StartOrchestrator,nth=2 orchestrator:Committed,nth={4 + seed}"
        assert verdict_of(f"ranks=3 parity=1 seed={seed} superstep_ms=2000 {faults}").error == ""


def test_l2_the_first_verdict_on_the_program_counts() -> None:
    """One of five nodes cannot import it: sometimes it is the first to report that, and mostly it is not."""
    errors = [verdict_of(f"ranks=4 parity=1 seed={seed} engine=late bad_program:StartNode,victim={seed}").error for seed in range(30)]
    assert 0 < errors.count("UsageError") < 20
    assert errors.count("UsageError") + errors.count("") == len(errors)


@pytest.mark.parametrize("phase", ["StartOrchestrator", "BeginRound", "RegisterHolds", "AgentUp", "NoMoreNodes"])
@pytest.mark.parametrize("engine", ["prompt", "late", "never"])
def test_l3_l8_an_orchestrator_ends_before_it_serves_or_in_a_hand_over(phase: str, engine: str) -> None:
    for seed in SEEDS:
        end = f"orchestrator:{phase},nth={1 + seed % 4},delay={seed // 4}"
        first = f"orchestrator:Committed,nth={3 + seed}"
        assert verdict_of(f"ranks=3 parity=1 seed={seed} spares=2 superstep_ms=500 engine={engine} {first} {end}").error == ""


def test_l3_an_orchestrator_that_stops_for_ever_is_ended_and_replaced() -> None:
    """In the middle of a recovery, which waits for the next one and no longer."""
    for seed in SEEDS:
        scenario = f"ranks=3 parity=1 seed={seed} crash:Committed,nth=5 orchestrator_stop:Seal,nth={1 + seed % 3},victim=2"
        verdict = verdict_of(scenario)
        assert verdict.error == ""
        assert verdict.virtual_s < HEARTBEAT_TIMEOUT_S + END_TIMEOUT_S


def test_l4_orchestrators_that_end_again_and_again_end_the_job() -> None:
    for seed in SEEDS:
        verdict = verdict_of(f"ranks=3 parity=1 seed={seed} superstep_ms=2000 orchestrators:Committed,nth={4 + seed % 8}")
        assert verdict.error == "EngineFailed"
        assert verdict.text == f"the orchestrator ended {MAX_RESTARTS + 1} times, the last time it was killed"


def test_l5_a_rival_is_not_obeyed() -> None:
    """The engine reports the end of an orchestrator that goes on: the next one serves, and the job ends once."""
    cluster = Cluster(parse("ranks=3 parity=1 superstep_ms=500 rival:Committed,nth=6"), log=1_000_000)
    assert cluster.run().error == ""
    begun = [line for line in in_words(cluster.world.log) if "BeginRound" in line]
    assert len(begun) == 2
    assert len([one for one in cluster.supervisor.orchestrators.values() if one.alive and one.began_s < cluster.world.schedule.now]) == 2


@pytest.mark.parametrize("kind", START_KINDS)
def test_a_start_that_is_over_is_not_struck(kind: str) -> None:
    assert verdict_of(f"ranks=3 parity=1 {kind}:Committed,nth=9").error == ""


def test_what_the_supervisor_publishes_twice_is_found() -> None:
    """Or the simulator would say nothing about rule L6."""
    from perdure.core import commands as do
    from perdure.core import events as ev
    from perdure.core.job_events import NodeLostEvent

    cluster = Cluster(parse("ranks=3 parity=1"))
    lost = do.Publish(event=NodeLostEvent(node=0, reason="was killed"))
    cluster.supervisor.checks.after(ev.Tick(late_s=0.0), [lost])
    with pytest.raises(Broken, match="node_lost of node 0 is published twice"):
        cluster.supervisor.checks.after(ev.Tick(late_s=0.0), [lost])


@pytest.mark.parametrize("kind", ENGINE_KINDS)
@pytest.mark.parametrize("engine", ["prompt", "late", "never"])
def test_l9_the_job_goes_on_whatever_its_engine_reports(kind: str, engine: str) -> None:
    for seed in SEEDS:
        fault = f"{kind}:Committed,nth={2 + seed},victim={seed}"
        assert verdict_of(f"ranks=3 parity=1 seed={seed} spares=2 superstep_ms=2000 engine={engine} {fault}").error == ""


@pytest.mark.parametrize("second", ["kill", "join", "orchestrator", "drain", "late_node"])
def test_l9_what_happens_while_the_engine_is_unavailable_is_made_up_for(second: str) -> None:
    for seed in SEEDS:
        faults = f"unavailable:Committed,nth=3,victim={seed} {second}:Committed,nth={3 + seed % 4},victim={seed}"
        assert verdict_of(f"ranks=3 parity=1 seed={seed} spares=2 superstep_ms=2000 {faults}").error == ""


def test_l9_an_engine_that_is_unavailable_at_the_start_delays_it() -> None:
    """What it has lost is asked for again when it is available; without that each of these nodes would be lost after 5 s."""
    for seed in SEEDS:
        verdict = verdict_of(f"ranks=3 parity=1 seed={seed} unavailable:StartNode,nth=1,victim={seed % 2}")
        assert verdict.error == ""
        assert verdict.virtual_s < SETTINGS.start_timeout_s


def test_l1_a_node_that_comes_later_and_is_refused_is_not_missed() -> None:
    for kind in ("refused_node:Committed,nth=3", "join:Committed,nth=3 refused_start:StartNode,nth=5"):
        for seed in SEEDS:
            assert verdict_of(f"ranks=3 parity=1 seed={seed} superstep_ms=500 {kind}").error == ""
