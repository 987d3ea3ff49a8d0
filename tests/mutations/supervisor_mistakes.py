"""Mistakes in the supervisor's machine and in the register: a start, a hand-over, or what is published goes wrong."""

from __future__ import annotations

from perdure.core.register import MemoryRegister
from perdure.core.supervisor import nodes, orchestrators, publishing
from perdure.sim.scenario import ENGINE_KINDS, Scenario, SimFault
from tests.mutations.planting import Mutation


def with_a_start_that_fails(seed: int) -> Scenario:
    """A node never runs, ends at once, or is up when its time is over."""
    kind = ("lost_start", "late_start", "failed_start")[seed % 3]
    fault = SimFault(kind=kind, phase="StartNode", victim=seed)
    return Scenario(ranks=3 + seed % 3, parity=1, seed=seed, engine=("prompt", "late")[seed // 3 % 2], faults=(fault,))


def with_a_program_that_one_node_cannot_import(seed: int) -> Scenario:
    """Its verdict comes first, or too late to count."""
    return Scenario(ranks=3, parity=1, seed=seed, engine="late", faults=(SimFault(kind="bad_program", phase="StartNode", victim=seed),))


def with_orchestrators_that_end(seed: int) -> Scenario:
    """From some commit on, each orchestrator ends when it begins."""
    ends = SimFault(kind="orchestrators", phase="Committed", nth=3 + seed % 9)
    return Scenario(ranks=3, parity=1, seed=seed, superstep_ms=2000, faults=(ends,))


def with_an_end_that_is_not_reported(seed: int) -> Scenario:
    """The orchestrator ends, and no engine says so."""
    end = SimFault(kind="orchestrator", phase=("Committed", "RegisterHolds", "AgentUp")[seed % 3], nth=1 + seed % 2)
    return Scenario(ranks=3, parity=1, seed=seed, engine="never", spares=2, faults=(end,))


def with_a_hand_over_at_a_commit(seed: int) -> Scenario:
    """A node ends, and the orchestrator at about the time of a commit, which the next one finds committed."""
    kill = SimFault(kind="kill", phase="Committed", nth=4 + seed % 5, victim=seed)
    end = SimFault(kind="orchestrator", phase="Committed", nth=2 + seed % 17, delay=seed // 17 % 4)
    return Scenario(ranks=4, parity=1, seed=seed, count=6, faults=(kill, end))


def with_a_rival(seed: int) -> Scenario:
    """The end of an orchestrator is reported, and it goes on: what it does then counts no more."""
    crash = SimFault(kind="crash", phase="Committed", nth=3 + seed % 7, victim=seed)
    rival = SimFault(kind="rival", phase=("Committed", "Seal", "Propose", "WorkerEnded")[seed % 4], nth=1 + seed % 3)
    return Scenario(ranks=3, parity=1, seed=seed, count=6, engine=("prompt", "late")[seed // 4 % 2], faults=(crash, rival))


def with_a_stopped_standby(seed: int) -> Scenario:
    """The process of the next orchestrator stops, and then the orchestrator ends."""
    stop = SimFault(kind="standby", phase="Committed", nth=4 + seed % 9, victim=1)
    end = SimFault(kind="orchestrator", phase="Committed", nth=13 + seed % 20)
    return Scenario(ranks=3, parity=1, seed=seed, count=6, superstep_ms=30, faults=(stop, end))


def with_two_proposals(seed: int) -> Scenario:
    """An orchestrator has proposed the first plan to a register that answers late. The next one has read it before, and knows of a node
    that has ended meanwhile, so its plan is another."""
    hand_over = SimFault(kind=("rival", "orchestrator")[seed % 2], phase="Propose", delay=seed // 2 % 2)
    kill = SimFault(kind="kill", phase="Propose", delay=seed // 4 % 2, victim=seed % 2)
    return Scenario(ranks=2, parity=1, seed=seed, engine="late", spares=2, faults=(hand_over, kill))


def with_an_engine_that_errs(seed: int) -> Scenario:
    """A node comes late or never, drains, or is reported as ended while it goes on; or the engine is unavailable."""
    kind = ENGINE_KINDS[seed % len(ENGINE_KINDS)]
    fault = SimFault(kind=kind, phase=("Committed", "AgentUp")[seed // 6 % 2], nth=1 + seed // 12 % 4, victim=seed)
    return Scenario(ranks=3, parity=1, seed=seed, superstep_ms=4000, spares=2, faults=(fault,))


def with_an_engine_that_loses_calls(seed: int) -> Scenario:
    """While it is unavailable a node comes, or one ends, or one that is silent is to be ended."""
    away = SimFault(kind="unavailable", phase="Committed", nth=3, victim=(1, 2)[seed % 2])
    second = SimFault(kind=("join", "kill", "silence")[seed // 2 % 3], phase="Committed", nth=3 + seed // 6 % 3, victim=seed // 6)
    return Scenario(ranks=3, parity=1, seed=seed, superstep_ms=3000, spares=2, count=6, faults=(away, second))


def with_an_engine_that_loses_starts(seed: int) -> Scenario:
    """It is unavailable when the first nodes are started."""
    away = SimFault(kind="unavailable", phase="StartNode", nth=1 + seed % 4, victim=seed)
    return Scenario(ranks=3, parity=1, seed=seed, engine=("prompt", "late")[seed % 2], faults=(away,))


SUPERVISOR_MISTAKES = (
    Mutation(
        name="a node that never comes up is waited for", rule="L1", function=nodes.tick,
        right="agent.phase in NOT_UP and agent.due <= now", wrong="False", scenario=with_a_start_that_fails,
    ),
    Mutation(
        name="a late message of a node that was given up counts", rule="L1", function=nodes.reported,
        right=" if agent.phase is AgentPhase.STARTING else []", wrong="", scenario=with_a_start_that_fails,
    ),
    Mutation(
        name="a verdict on the program is overwritten", rule="L2", function=nodes._judged,
        right="if state.is_loadable:", wrong="if False:", scenario=with_a_program_that_one_node_cannot_import,
    ),
    Mutation(
        name="an orchestrator that is not heard is not ended", rule="L3", function=orchestrators.tick,
        right="if now - one.heard_at > HEARTBEAT_TIMEOUT_S:", wrong="if False:", scenario=with_an_end_that_is_not_reported,
    ),
    Mutation(
        name="an orchestrator whose end is not reported is not replaced", rule="L3", function=orchestrators.tick,
        right="now >= one.end_due", wrong="False", scenario=with_an_end_that_is_not_reported,
    ),
    Mutation(
        name="the next orchestrator begins although it is stopped", rule="L3", function=orchestrators.begin_next,
        right='("orchestrator", one.number) in state.stopped', wrong="False", scenario=with_a_stopped_standby,
    ),
    Mutation(
        name="orchestrators are restarted without a limit", rule="L4", function=orchestrators._replace,
        right="state.restarts > MAX_RESTARTS", wrong="False", scenario=with_orchestrators_that_end,
    ),
    Mutation(
        name="a replaced orchestrator is obeyed", rule="L5", function=orchestrators.reported,
        right="one is None or one.number != number", wrong="one is None", scenario=with_a_rival,
    ),
    Mutation(
        name="a commit that is counted again shows that orchestrators work", rule="L4", function=orchestrators._published,
        right="if not publishing.is_new(state, one, event):", wrong="state.restarts = 0\n    if not publishing.is_new(state, one, event):",
        scenario=with_orchestrators_that_end,
    ),
    Mutation(
        name="a commit is published again by the next orchestrator", rule="L6", function=publishing.is_new,
        right="return label > newest", wrong="return label >= newest", scenario=with_a_hand_over_at_a_commit,
    ),
    Mutation(
        name="a loss is published again by the next orchestrator", rule="L6", function=publishing.is_new,
        right="return _is_first(state.lost, (node, one.pids.get(node, 0)))", wrong="return True", scenario=with_a_hand_over_at_a_commit,
    ),
    Mutation(
        name="an orchestrator receives facts of nodes before the register has answered", rule="L8", function=orchestrators.tell,
        right="one.phase is OrchestratorPhase.SERVING", wrong="one.phase in (OrchestratorPhase.READING, OrchestratorPhase.SERVING)",
        scenario=with_a_start_that_fails,
    ),
    Mutation(
        name="the register takes a second plan of a generation", rule="D0, L8", function=MemoryRegister.create,
        right="plan.generation > self._newest.generation", wrong="plan.generation >= self._newest.generation", scenario=with_two_proposals,
    ),
    Mutation(
        name="a request that takes its time is given up", rule="L1", function=nodes.pending,
        right='agent.due = float("inf")', wrong="pass", scenario=with_an_engine_that_errs,
    ),
    Mutation(
        name="a node that is granted too late is kept", rule="L1", function=nodes.granted,
        right="return _release(agent)", wrong="return []", scenario=with_an_engine_that_errs,
    ),
    Mutation(
        name="a node that comes later and is refused ends the job", rule="L1", function=nodes.refused,
        right="if agent.is_first:", wrong="if True:", scenario=with_an_engine_that_errs,
    ),
    Mutation(
        name="a node whose end is not certain is not ended", rule="L9", function=nodes.engine_reported,
        right="may_run=not is_certain", wrong="may_run=False", scenario=with_an_engine_that_errs,
    ),
    Mutation(
        name="a node that drains is published each time it is reported", rule="L9", function=nodes._draining,
        right=" or agent.is_draining", wrong="", scenario=with_an_engine_that_errs,
    ),
    Mutation(
        name="a request that the engine has lost is not repeated", rule="L9", function=nodes.engine_available,
        right="out.append(do.RequestNode(agent=agent.agent, replaces=agent.replaces))", wrong="pass",
        scenario=with_an_engine_that_loses_calls,
    ),
    Mutation(
        name="a node that ended while the engine was unavailable is not missed", rule="L9", function=nodes.engine_available,
        right="agent.phase is not AgentPhase.ENDED and not is_held", wrong="False", scenario=with_an_engine_that_loses_calls,
    ),
    Mutation(
        name="a node that the engine should have ended runs on", rule="L9", function=nodes.engine_available,
        right="orchestrators.end_node(agent) if is_held else []", wrong="[]", scenario=with_an_engine_that_loses_calls,
    ),
    Mutation(
        name="a start that the engine has lost is not repeated", rule="L9", function=nodes.engine_available,
        right="out += start(state, agent, now)", wrong="pass", scenario=with_an_engine_that_loses_starts,
    ),
)  # fmt: skip
