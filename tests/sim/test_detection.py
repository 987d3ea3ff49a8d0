"""How soon is a loss known, and is anybody called lost who is not? Default settings, virtual time."""

from __future__ import annotations

from dataclasses import replace
from math import inf

import pytest

from perdure.core.settings import Settings
from perdure.sim import Cluster, Scenario, SimFault
from perdure.sim.nodes import SimNode
from perdure.sim.scenario import parse

SPIKE_EVERY_S = 2.0
SPIKES_S = (0.3, 0.7, 1.5, 2.4)
"""How long a loaded machine may keep a process from running. Silence is a loss after 3 s."""


SOON_S = 3.5
SHAPES = {
    "each speaks to the orchestrator": Scenario(ranks=4, parity=1, superstep_ms=2000),
    "two by two": Scenario(ranks=4, parity=1, group_size=2, superstep_ms=2000),
    "by a tree": Scenario(ranks=9, parity=1, group_size=3, superstep_ms=2000, fan_out=2),
}
"""Words of a large job go by a tree of agents, and the orchestrator hears of a node only if it asks."""


def known_after_s(scenario: Scenario) -> float:
    """From the fault to the moment when the orchestrator seals the generation."""
    cluster = Cluster(scenario, Settings(), log=100_000)
    cluster.run()
    return _sealed_at_s(cluster, struck_at_s := _struck_at_s(cluster)) - struck_at_s


def _struck_at_s(cluster: Cluster) -> float:
    return next(moment.now_s for moment in cluster.world.log if moment.who == "***")


def _sealed_at_s(cluster: Cluster, since_s: float) -> float:
    return next(moment.now_s for moment in cluster.world.log if moment.now_s >= since_s and "Seal(" in str(moment.commands))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("seed", range(10))
def test_a_silent_node_is_known_within_three_and_a_half_seconds(seed: int, shape: str) -> None:
    """Power off, a cut link, a stop: nothing tells but the heartbeats that do not come."""
    fault = SimFault(kind="silence", phase="Committed", nth=9, victim=seed % 4)
    assert known_after_s(replace(SHAPES[shape], seed=seed, faults=(fault,))) <= SOON_S


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("seed", range(10))
def test_t6_a_link_that_is_cut_one_way_is_known_within_three_and_a_half_seconds(seed: int, shape: str) -> None:
    """Both ends are heard of, so it takes a watcher's word; its doubt has stood for a second by then."""
    cluster = Cluster(replace(SHAPES[shape], seed=seed), Settings(), log=100_000)
    cluster.watch_for(4.0 + seed / 40)
    plan = cluster.decisions.chosen[-1]
    one, other, *_ = (plan.agent_of(rank) for rank in plan.groups[seed % len(plan.groups)])
    cluster.world.touched |= {one, other}
    cluster.world.network.cut(one, other, inf)
    cluster.watch_for(10.0)
    assert _sealed_at_s(cluster, 4.0) - (4.0 + seed / 40) <= SOON_S
    assert len(cluster.decisions.chosen) == 2, "one of the two has to go, and the job to go on"


@pytest.mark.parametrize("seed", range(10))
def test_a_rack_without_power_is_known_within_three_and_a_half_seconds(seed: int) -> None:
    """One node of each group, all at one instant: what is left can be decoded, and the job goes on without them."""
    fault = SimFault(kind="row", phase="Committed", nth=19, victim=seed)
    cluster = Cluster(replace(SHAPES["by a tree"], spares=3, seed=seed, faults=(fault,)), Settings(), log=100_000)
    assert cluster.run().error == ""
    before, after = cluster.decisions.chosen[0], cluster.decisions.chosen[-1]
    assert len(set(before.agents()) - set(after.agents())) == len(before.groups) == 3
    struck_at_s = _struck_at_s(cluster)
    assert _sealed_at_s(cluster, struck_at_s) - struck_at_s <= SOON_S


@pytest.mark.parametrize("dead", [slice(0, 4), slice(0, 6), slice(0, 9)], ids=["a group and its watcher", "two groups", "all"])
@pytest.mark.parametrize("seed", range(5))
def test_t2_dead_nodes_whose_watchers_are_dead_too_are_noticed(seed: int, dead: slice) -> None:
    """Nobody complains of a whole group that ends with its watcher; where nobody at all is left the orchestrator judges by itself. They
    are waited for (rule T5), and then the job says what was lost."""
    cluster = Cluster(replace(SHAPES["by a tree"], seed=seed), Settings(unreachable_timeout_s=10.0), log=100_000)
    cluster.watch_for(4.0)
    plan = cluster.decisions.chosen[-1]
    ranks = [rank for group in plan.groups for rank in group][dead]
    for agent in {plan.agent_of(rank) for rank in ranks}:
        cluster.world.touched.add(agent)
        cluster.nodes[agent].freeze(inf)
    verdict = cluster.run()
    assert verdict.error == "Unrecoverable"
    assert _sealed_at_s(cluster, 4.0) - 4.0 <= (SOON_S if len(ranks) < plan.size else 2 * Settings().silence_s)


@pytest.mark.parametrize("kind", ["kill", "crash"])
@pytest.mark.parametrize("seed", range(10))
def test_the_end_of_a_process_is_known_within_50_ms(seed: int, kind: str) -> None:
    fault = SimFault(kind=kind, phase="Committed", nth=9, victim=seed % 4)
    assert known_after_s(Scenario(ranks=4, parity=1, seed=seed, superstep_ms=2000, faults=(fault,))) <= 0.05


@pytest.mark.parametrize(
    "shape", ["each speaks to the orchestrator", *(pytest.param(shape, marks=pytest.mark.long) for shape in ("by a tree", "two by two"))]
)
def test_an_hour_of_load_spikes_is_no_loss(shape: str) -> None:
    """Some node or other does not run for a while, every two seconds; the supersteps are long, so that there is nothing but watching."""
    cluster = Cluster(replace(SHAPES[shape], seed=1, superstep_ms=4_000_000), Settings())
    schedule = cluster.world.schedule

    def spike() -> None:
        node: SimNode = schedule.dice.choice([node for node in cluster.nodes.values() if node.awake])
        node.freeze(schedule.now + schedule.dice.choice(SPIKES_S))
        schedule.after(SPIKE_EVERY_S, spike)

    schedule.after(1.0, spike)
    cluster.watch_for(3600.0)
    assert cluster.decisions.chosen
    assert len(cluster.decisions.chosen) == 1
    assert not cluster.world.touched, "a node was called lost, and ended"


@pytest.mark.parametrize("seed", [14, 16, 22])
def test_nobody_is_cut_off_from_a_member_that_was_not_told_of_the_plan(seed: int) -> None:
    """The orchestrator ends when some are told of generation 2, and the next one waits for a member that is silent. Those in generation 1
    and those in generation 2 hear nothing of one another meanwhile, and all of them are well."""
    faults = f"kill:Committed,nth={6 + seed % 5},victim=4 orchestrator:Sealed,nth=4,cut doze:Accepted orchestrator:Accepted,nth=4"
    cluster = Cluster(parse(f"ranks=5 parity=2 seed={seed} spares=2 group_size=5 engine=late {faults}"))
    assert cluster.run().error == ""
