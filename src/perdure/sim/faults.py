"""What a fault does to the simulated job when its time has come."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from perdure.sim.scenario import Fault

if TYPE_CHECKING:
    from perdure.sim.cluster import Cluster
    from perdure.sim.nodes import Node

FROZEN_S: Final = {"pause": 1.0, "stun": 15.0, "silence": 1e9}
CUT_S: Final = (0.5, 2.0, 8.0, 30.0)


def strike(cluster: Cluster, fault: Fault) -> None:
    """Does it to the victim, counted among those that there are; nothing if there are none."""
    living = [node for node in cluster.nodes.values() if node.alive]
    match fault.kind:
        case "orchestrator":
            cluster.supervisor.kill_orchestrator()
        case "rival":
            cluster.supervisor.start_orchestrator()
        case "join":
            cluster.start_node()
        case "crash":
            workers = [worker for node in living for worker in node.workers.values() if worker.alive]
            if workers:
                workers[fault.victim % len(workers)].end("was killed")
        case _ if living:
            _strike_node(cluster, fault, living)
        case _:
            pass


def _strike_node(cluster: Cluster, fault: Fault, living: list[Node]) -> None:
    victim = living[fault.victim % len(living)]
    match fault.kind:
        case "kill":
            cluster.end_node(victim)
        case "domain":
            for node in (living[fault.victim :] + living[: fault.victim])[: max(cluster.scenario.parity, 1)]:
                cluster.end_node(node)
        case "spare":
            spares = [node for node in living if node.state.plan is None]
            if spares:
                cluster.end_node(spares[fault.victim % len(spares)])
        case "silence" | "stun" | "pause":
            cluster.touched.add(victim.number)
            victim.freeze(cluster.schedule.now + FROZEN_S[fault.kind])
        case "cut":
            other = living[(fault.victim // len(living) + fault.victim + 1) % len(living)]
            cluster.touched |= {victim.number, other.number}
            cluster.network.cut(victim.number, other.number, cluster.schedule.now + _cut_s(fault))
        case "deaf":
            cluster.touched.add(victim.number)
            cluster.network.cut(victim.number, -cluster.supervisor.current.number, cluster.schedule.now + _cut_s(fault))
        case "flip":
            _flip(cluster, victim)
        case _:
            raise AssertionError(fault)


def _cut_s(fault: Fault) -> float:
    return CUT_S[fault.victim // 7 % len(CUT_S)]


def _flip(cluster: Cluster, victim: Node) -> None:
    for held in victim.vault.held.values():
        if held.snapshot:
            cluster.flipped = True
            held.snapshot = bytes([held.snapshot[0] ^ 1]) + held.snapshot[1:]
            held.right_data &= ~1
