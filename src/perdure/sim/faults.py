"""What a fault does to the simulated job when its time has come."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Final

from perdure.sim import program
from perdure.sim.scenario import SimFault

if TYPE_CHECKING:
    from perdure.sim.cluster import Cluster
    from perdure.sim.nodes import SimNode

FROZEN_S: Final = {"pause": 1.0, "doze": 3.6, "stun": 15.0, "silence": 1e9}
STOPPED_S: Final = (1.0, 4.0, inf)
"""How long an orchestrator stops. Its silence is forgiven for 3 s."""
CUT_S: Final = (0.5, 2.0, 8.0, 30.0)


def strike(cluster: Cluster, fault: SimFault) -> None:
    """Does it to the victim, counted among those that there are; nothing if there are none."""
    living = [node for node in cluster.nodes.values() if node.alive]
    match fault.kind:
        case "orchestrator" | "rival" | "orchestrator_stop" | "orchestrators" | "standby":
            _strike_orchestrator(cluster, fault)
        case "lost_start" | "late_start" | "failed_start" | "refused_start" | "bad_program":
            _strike_start(cluster, fault)
        case "row":
            _stop_a_row(cluster, fault)
        case "join":
            cluster.supervisor.node_came()
        case "late_node" | "late_grant" | "refused_node":
            cluster.supervisor.engine.answers.append(fault.kind)
            cluster.supervisor.node_came()
        case "unavailable":
            cluster.world.touched |= {*cluster.supervisor.starting_nodes}
            cluster.supervisor.engine.become_unavailable(fault.victim)
        case "crash" | "hangup":
            workers = [worker for node in living for worker in node.workers.values() if worker.alive]
            if workers:
                worker = workers[fault.victim % len(workers)]
                worker.end("was killed") if fault.kind == "crash" else worker.hang_up()
        case "arrive":
            if (number := cluster.supervisor.node_came()) in cluster.nodes:
                cluster.world.arrived_at_s[number] = cluster.world.schedule.now
        case _ if living:
            _strike_node(cluster, fault, living)
        case _:
            pass


def _strike_orchestrator(cluster: Cluster, fault: SimFault) -> None:
    supervisor = cluster.supervisor
    current = supervisor.current
    match fault.kind:
        case "rival":
            supervisor.report_false_end()
        case "standby" if supervisor.state.standby is not None:
            waiting = supervisor.orchestrators.get(supervisor.state.standby.number)
            if waiting is not None and fault.victim % 2:
                waiting.freeze(inf)
            elif waiting is not None:
                supervisor.end_orchestrator(waiting)
        case "orchestrator_stop" if current is not None:
            current.freeze(cluster.world.schedule.now + STOPPED_S[fault.victim % len(STOPPED_S)])
        case "orchestrator" | "orchestrators":
            supervisor.ends_orchestrators |= fault.kind == "orchestrators"
            if current is not None:
                supervisor.end_orchestrator(current)
        case _:
            pass


def _strike_start(cluster: Cluster, fault: SimFault) -> None:
    """One of the processes that are being started; nothing if there are none."""
    supervisor = cluster.supervisor
    role = "orchestrator" if fault.phase == "StartOrchestrator" else "agent"
    starting = supervisor.starting_orchestrators if role == "orchestrator" else supervisor.starting_nodes
    if not starting:
        return
    number = starting[fault.victim % len(starting)]
    if role == "agent":
        cluster.world.touched.add(number)
    match fault.kind:
        case "lost_start":
            supervisor.lose_start(role, number)
        case "late_start":
            supervisor.delay_start(role, number)
        case "failed_start":
            supervisor.fail_start(role, number)
        case "refused_start":
            supervisor.refuse_start(role, number)
        case _ if role == "agent":
            cluster.nodes[number].cannot_import = True
        case _:
            pass


def _strike_node(cluster: Cluster, fault: SimFault, living: list[SimNode]) -> None:
    victim = living[fault.victim % len(living)]
    match fault.kind:
        case "kill":
            cluster.end_node(victim)
        case "domain":
            for node in (living[fault.victim :] + living[: fault.victim])[: max(cluster.world.scenario.parity, 1)]:
                cluster.end_node(node)
        case "rack":
            for node in _of_one_rack(cluster, victim, living):
                cluster.end_node(node)
        case "spare":
            spares = [node for node in living if node.state.plan is None]
            if spares:
                cluster.end_node(spares[fault.victim % len(spares)])
        case "silence" | "stun" | "doze" | "pause":
            cluster.world.touched.add(victim.number)
            victim.freeze(cluster.world.schedule.now + FROZEN_S[fault.kind])
        case "cut":
            other = living[(fault.victim // len(living) + fault.victim + 1) % len(living)]
            cluster.world.touched |= {victim.number, other.number}
            cluster.world.network.cut(victim.number, other.number, cluster.world.schedule.now + _cut_s(fault))
        case "deaf":
            newest = cluster.supervisor.newest
            cluster.world.touched.add(victim.number)
            deaf_to = -newest.number if newest is not None else -1
            cluster.world.network.cut(victim.number, deaf_to, cluster.world.schedule.now + _cut_s(fault))
        case "unlink":
            for node in [*living[fault.victim % len(living) :], *living]:
                if node.vault.fail_link():
                    break
        case "flip":
            _flip(cluster, victim)
        case "drain":
            cluster.world.touched.add(victim.number)
            cluster.supervisor.engine.drain(victim, fault.victim)
        case "false_end":
            cluster.world.touched.add(victim.number)
            cluster.supervisor.engine.report_false_end(victim)
        case _:
            raise AssertionError(fault)


def _stop_a_row(cluster: Cluster, fault: SimFault) -> None:
    """A failure domain without power: the same member of every group, as a layout over racks would place them."""
    plan = cluster.decisions.chosen[-1] if cluster.decisions.chosen else None
    for agent in {plan.agent_of(group[fault.victim % len(group)]) for group in plan.groups} if plan else ():
        cluster.world.touched.add(agent)
        cluster.nodes[agent].freeze(cluster.world.schedule.now + FROZEN_S["silence"])


def _of_one_rack(cluster: Cluster, victim: SimNode, living: list[SimNode]) -> list[SimNode]:
    racks = cluster.world.scenario.racks
    return [node for node in living if (node.number - victim.number) % racks == 0] if racks else [victim]


def _cut_s(fault: SimFault) -> float:
    return CUT_S[fault.victim // 7 % len(CUT_S)]


def _flip(cluster: Cluster, victim: SimNode) -> None:
    """One bit of one chunk, or of a replicated region, of a committed label: before that it may not be in the parity yet."""
    plan, dice = victim.state.plan, cluster.world.schedule.dice
    if plan is None:
        return
    safe = (victim.state.current.committed, plan.base)
    kept = [(rank, held) for (rank, label), held in victim.vault.held.items() if label in safe]
    if not kept:
        return
    rank, held = dice.choice(kept)
    chunks = [("snapshot", 0)] * bool(held.snapshot) + [("data", t) for t in held.data if held.data[t]]
    chunks += [("parity", p) for p in held.parity] + [("replicated", 0)] * bool(held.replicated)
    if not chunks:
        return
    what, number = dice.choice(chunks)
    cluster.world.flipped = held.flipped = True
    match what:
        case "snapshot":
            assert held.snapshot is not None
            at = dice.randrange(len(held.snapshot))
            held.snapshot = _flipped(held.snapshot, at)
            held.right_data &= ~(1 << at // program.chunk_bytes(plan.geometry(plan.group_index(rank)), held.members))
        case "data":
            held.data[number] = _flipped(held.data[number], dice.randrange(len(held.data[number])))
            held.right_data &= ~(1 << number)
        case "parity":
            held.parity[number] = _flipped(held.parity[number], dice.randrange(len(held.parity[number])))
            held.right_parity &= ~(1 << number)
        case _:
            assert held.replicated is not None
            held.replicated = _flipped(held.replicated, dice.randrange(len(held.replicated)))


def _flipped(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
