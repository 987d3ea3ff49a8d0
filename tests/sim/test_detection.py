"""How soon is a loss known, and is anybody called lost who is not? Default settings, virtual time."""

from __future__ import annotations

import pytest

from perdure.core.settings import Settings
from perdure.sim import Cluster, Fault, Scenario
from perdure.sim.nodes import Node

SPIKE_EVERY_S = 2.0
SPIKES_S = (0.3, 0.7, 1.5, 2.4)
"""How long a loaded machine may keep a process from running. Silence is a loss after 3 s."""


def known_after_s(scenario: Scenario) -> float:
    """From the fault to the moment when the orchestrator seals the generation."""
    cluster = Cluster(scenario, Settings(), log=100_000)
    cluster.run()
    struck = next(moment.now_s for moment in cluster.log if moment.who == "***")
    return next(moment.now_s for moment in cluster.log if moment.now_s >= struck and "Seal(" in str(moment.commands)) - struck


@pytest.mark.parametrize("seed", range(10))
def test_a_silent_node_is_known_within_three_and_a_half_seconds(seed: int) -> None:
    """Power off, a cut link, a stop: nothing tells but the heartbeats that do not come."""
    fault = Fault(kind="silence", phase="Committed", nth=9, victim=seed % 4)
    assert known_after_s(Scenario(ranks=4, parity=1, seed=seed, superstep_ms=2000, faults=(fault,))) <= 3.5


@pytest.mark.parametrize("kind", ["kill", "crash"])
@pytest.mark.parametrize("seed", range(10))
def test_the_end_of_a_process_is_known_within_50_ms(seed: int, kind: str) -> None:
    fault = Fault(kind=kind, phase="Committed", nth=9, victim=seed % 4)
    assert known_after_s(Scenario(ranks=4, parity=1, seed=seed, superstep_ms=2000, faults=(fault,))) <= 0.05


def test_an_hour_of_load_spikes_is_no_loss() -> None:
    """Some node or other does not run for a while, every two seconds; the supersteps are long, so that there is nothing but watching."""
    cluster = Cluster(Scenario(ranks=4, parity=1, seed=1, superstep_ms=4_000_000), Settings())
    schedule = cluster.schedule

    def spike() -> None:
        node: Node = schedule.dice.choice([node for node in cluster.nodes.values() if node.awake])
        node.freeze(schedule.now + schedule.dice.choice(SPIKES_S))
        schedule.after(SPIKE_EVERY_S, spike)

    schedule.after(1.0, spike)
    cluster.watch_for(3600.0)
    assert cluster.decisions.chosen
    assert len(cluster.decisions.chosen) == 1
    assert not cluster.touched, "a node was called lost, and ended"
