"""Losses, seals, the next plan, and the way back to counting (rules D1 to D7, R3, R4, T2, T5, W5)."""

from __future__ import annotations

from perdure.core import channel_sums, planner
from perdure.core import commands as do
from perdure.core import events as ev
from perdure.core import messages as msg
from perdure.core.domains import fatal_loss, why_degraded
from perdure.core.ids import END, Ballot, Label
from perdure.core.job_events import AgentStartedEvent, GenerationStartedEvent, NodeLostEvent, ResumedEvent, WaitingEvent
from perdure.core.layout import nodes_with_ranks
from perdure.core.multicast_tree import Milestone
from perdure.core.orchestrator import broadcast, consensus, exclusion, moves, plan_distribution
from perdure.core.orchestrator.state import GenerationPhase, GenerationState, Node, NodeState, OrchestratorState, SealState
from perdure.core.plan import Plan

Commands = list[do.OrchestratorCommand]


def agent_up(state: OrchestratorState, event: ev.AgentUp, now: float) -> Commands:
    """The engine started an agent: it is greeted, and is a spare until a plan says otherwise."""
    if event.agent in state.nodes:
        return []
    node = Node(agent=event.agent, node=event.node, address=event.address, pid=event.pid, heard_at=now)
    if state.plan and event.agent in state.plan.agents():
        node.state = NodeState.MEMBER
    state.add(node)
    state.ungreeted.add(event.agent)
    state.current.living = None
    state.started_at = now
    return [
        do.TellAgent(agent=event.agent, message=msg.Greet(round=state.round)),
        do.Publish(event=AgentStartedEvent(node=event.node, pid=event.pid)),
        *plan_distribution.reserve(state),
    ]


def agent_lost(state: OrchestratorState, agent: int, reason: str, now: float) -> Commands:
    """T1, T2: irreversible. The node is fenced whatever the reason."""
    node = state.nodes.get(agent)
    if node is None or node.state is NodeState.LOST:
        return []
    if node.state is NodeState.EXCLUDED:
        return exclusion.ended(state, agent)
    exclusion.forget(state, agent)
    state.give_up(agent)
    return [do.KillAgent(agent=agent), *_go_on_without(state, node, reason, now)]


def agent_excluded(state: OrchestratorState, agent: int, reason: str, now: float) -> Commands:
    """T2, T6, D6: as irreversible, but its process may live, and so may what it holds."""
    exclusion.exclude(state, agent)
    return _go_on_without(state, state.nodes[agent], reason, now)


def _go_on_without(state: OrchestratorState, node: Node, reason: str, now: float) -> Commands:
    agent = node.agent
    silent_s = state.settings.silence_s if reason == _silent_for(state) else None
    out: Commands = [do.Publish(event=NodeLostEvent(node=node.node, reason=reason, silent_s=silent_s))]
    if (
        state.plan
        and agent in state.plan.agents()
        and state.phase in (GenerationPhase.COUNTING, GenerationPhase.REBUILDING, GenerationPhase.ENDING)
    ):
        out += start_seal(state, now)
    else:
        out += broadcast.lost(state, agent, now)
    return out


def agent_silent(state: OrchestratorState, agent: int, now: float) -> Commands:
    """T2: a spare is lost at once, for nothing depends on it. A member is asked for its seal; T5: `_decide` says what its silence means."""
    node = state.nodes[agent]
    if state.plan is None or agent not in state.plan.agents():
        return agent_lost(state, agent, _silent_for(state), now)
    node.silent = True
    state.silences.add(agent)
    return start_seal(state, now) if state.phase in (GenerationPhase.COUNTING, GenerationPhase.REBUILDING, GenerationPhase.ENDING) else []


def _silent_for(state: OrchestratorState) -> str:
    return f"silent for {state.settings.silence_s:g} s"


def start_seal(state: OrchestratorState, now: float) -> Commands:
    """D1: the current generation is over; ask everybody what there is."""
    assert state.plan is not None
    state.become(GenerationPhase.SEALING)
    state.seal = SealState(ballot=Ballot(state.round, state.ballot.attempt + 1), since=now)
    state.current.raised = None
    state.gatherings.clear()
    seal = msg.Seal(ballot=state.ballot, generation=state.plan.generation)
    excluded: Commands = [do.TellAgent(agent=agent, message=seal) for agent in exclusion.sealing(state)]
    if not broadcast.is_large(state):
        return [*(do.TellAgent(agent=agent, message=seal) for agent in state.members()), *excluded]
    to_the_silent: Commands = [do.TellAgent(agent=agent, message=seal) for agent in sorted(state.silences)]
    return excluded + to_the_silent + broadcast.ask(state, (Milestone.SEALED,), seal, state.silences, now)


def register_holds(state: OrchestratorState, plan: Plan | None, now: float) -> Commands:
    """D5: the register's word makes a plan chosen. At the start it may hold an earlier orchestrator's plan."""
    return _chosen(state, plan, now) if plan is not None and _is_newer(state, plan) else []


def told_of(state: OrchestratorState, plan: Plan, now: float) -> Commands:
    """D5, D7: an agent has installed this plan, so it was chosen. The register may not know, if votes have chosen it. Whoever has greeted
    before says now whether it is a custodian."""
    if not _is_newer(state, plan):
        return []
    greeted = [(agent, node.status) for agent, node in state.nodes.items() if node.status is not None]
    out = [do.Note(plan=plan), *_chosen(state, plan, now)]
    return out + [command for agent, status in greeted for command in exclusion.greeted(state, agent, status)]


def _greet_again(state: OrchestratorState) -> Commands:
    """D7: facts of a generation say nothing to who does not know its plan, so whoever has told them already is asked for them again."""
    told = [agent for agent, node in state.nodes.items() if node.status is not None and state.alive(agent)]
    state.ungreeted.update(told)
    return [do.TellAgent(agent=agent, message=msg.Greet(round=state.round)) for agent in told]


def _is_newer(state: OrchestratorState, plan: Plan) -> bool:
    return plan.generation > state.generation


def _chosen(state: OrchestratorState, plan: Plan, now: float) -> Commands:
    """D5: `plan` was chosen. What this orchestrator knows leads on to its own plan only; another one is installed, and sealed again."""
    phase, before, seal = state.phase, state.plan, state.seal
    is_own = before is None or (seal.holdings is not None and (plan is seal.proposal or plan == seal.proposal))
    is_greeting = phase in (GenerationPhase.STARTING, GenerationPhase.GREETING)
    state.current = GenerationState(plan=plan, workers_gone=_still_gone(state, plan), holding=None if is_greeting else False)
    for agent in [agent for agent in state.idle if plan.ranks_of(agent)]:
        state.place(agent)
    if plan.base != state.crash_base:
        state.crashes.clear()
        state.crash_base = plan.base
    state.committed = plan.base or state.committed
    out = exclusion.chosen(state)
    if is_greeting:
        state.become(GenerationPhase.GREETING)
        return out + _greet_again(state)
    if phase is GenerationPhase.CHOOSING and is_own:
        return out + _install(state, plan, before, now)
    return out + _seal_the_newer(state, plan, now)


def _still_gone(state: OrchestratorState, plan: Plan) -> dict[int, int]:
    """Return the ranks whose worker has ended and that `plan` gives no new one, with the incarnation that has ended."""
    return {rank: gone for rank, gone in state.current.workers_gone.items() if plan.placements[rank].incarnation == gone}


def _seal_the_newer(state: OrchestratorState, plan: Plan, now: float) -> Commands:
    """D7: an earlier orchestrator's plan was chosen after this one had asked. Whoever lacks it gets it, and it is sealed."""
    install = msg.Install(plan=plan, restore=())
    out: Commands = [do.TellAgent(agent=agent, message=install) for agent in state.members()]
    return out + start_seal(state, now)


def _install(state: OrchestratorState, plan: Plan, before: Plan | None, now: float) -> Commands:
    """D6: everybody in the plan gets it, with where to find what was lost; who was sealed in the generation before gets what differs."""
    state.become(GenerationPhase.REBUILDING)
    state.current.rebuilding_since = now
    state.current.reads_from = planner.custodians_read(plan, state.seal.holdings) if state.seal.holdings else frozenset()
    change = before.change_to(plan) if before and plan.generation == before.generation + 1 and plan.groups == before.groups else None

    def home(rank: int) -> int:
        return plan.placements[rank].node

    started = GenerationStartedEvent(
        generation=plan.generation,
        placement={place.rank: place.node for place in (change.placements if change and broadcast.is_large(state) else plan.placements)},
        degraded=bool(plan.crowded_groups()),
        why=why_degraded([plan.groups[index] for index in sorted(plan.crowded_groups())], home),
        risk=fatal_loss(plan.groups, home, plan.parity, state.shape.domains),
    )
    out: Commands = [do.Publish(event=started), *plan_distribution.installs(state, plan, before, change, now)]
    known = all(map(state.nodes.__contains__, plan.agents()))
    if state.current.workers_gone or not known or state.silences or any(plan.ranks_of(agent) for agent in state.lost):
        out += start_seal(state, now)
    return out


def advance(state: OrchestratorState, now: float) -> Commands:
    """Goes on from a phase whose condition has become true."""
    match state.phase:
        case GenerationPhase.STARTING:
            return _first_plan(state, now)
        case GenerationPhase.GREETING:
            return _after_greeting(state, now)
        case GenerationPhase.SEALING:
            return _decide(state, now)
        case GenerationPhase.CHOOSING:
            return _choose(state, now)
        case GenerationPhase.REBUILDING:
            return _rebuild_or_resume(state, now)
        case GenerationPhase.COUNTING:
            return _move_on(state, now)
        case _:
            return []


def _first_plan(state: OrchestratorState, now: float) -> Commands:
    if not state.all_nodes_up or (
        state.ungreeted and now - state.started_at < min(state.settings.silence_s, state.settings.start_timeout_s)
    ):
        return []
    nodes_wanted = nodes_with_ranks(state.shape.ranks, state.shape.ranks_per_node)
    up = [node for node in state.spares() if node.status is not None]
    if not up:
        return []
    patience_s = state.settings.silence_s if len(up) >= nodes_wanted else state.settings.start_timeout_s
    if len(up) < len(state.spares()) and now - state.started_at < patience_s:
        return []
    shape = state.shape
    plan = planner.first_plan(consensus.seats_of(up), shape.ranks, shape.ranks_per_node, shape.group_size, shape.parity, shape.domains)
    state.become(GenerationPhase.CHOOSING)
    return consensus.ask(state, plan, now)


def _after_greeting(state: OrchestratorState, now: float) -> Commands:
    """D7: a hand-over alone starts no generation. If everybody runs, count on; otherwise the generation is sealed with a higher ballot."""
    assert state.plan is not None
    plan = state.plan
    if state.newer or not state.all_nodes_up or any(plan.ranks_of(agent) and agent not in state.silences for agent in state.ungreeted):
        return []
    if state.ungreeted and consensus.is_by_votes(state) and now - state.started_at < state.settings.silence_s:
        return plan_distribution.install_behind(
            state, plan
        )  # one without ranks in it may know a newer plan, which the register has not been told
    silent = [agent for agent in state.members() if state.nodes[agent].silent]
    statuses = [status for agent in state.members() if (status := state.nodes[agent].status)]
    workers_live = all(report.worker_lives for status in statuses for report in status.ranks)
    undisturbed = len(state.members()) == len(plan.agents()) and all(
        status.generation == plan.generation and status.phase == "member" and status.resumed for status in statuses
    )
    if undisturbed and workers_live and not (state.current.workers_gone or silent or state.divergences or state.chunk_losses):
        state.become(GenerationPhase.COUNTING)
        state.current.frames_moved_at = now
        return end_if_committed(state) + (plan_distribution.ask_after_raise(state) if state.current.raised else [])
    state.current.workers_gone |= {
        report.rank: report.incarnation for status in statuses for report in status.ranks if not report.worker_lives
    }
    return plan_distribution.install_behind(state, plan) + start_seal(state, now)


def _decide(state: OrchestratorState, now: float) -> Commands:
    """D2 and D3: every member has answered, or is lost, or is silent; what they hold decides.

    T5: silence counts as a loss only if the rest is decodable. Otherwise silent nodes are waited for, also those that were excluded before:
    their vaults may come back.
    """
    assert state.plan is not None
    absent = broadcast.absent(state)
    if absent is None or any(not state.nodes[agent].silent for agent in absent):
        return []
    patient = now - state.seal.since < state.settings.unreachable_timeout_s
    away = [*absent, *exclusion.away(state)]
    answer = consensus.value(state, away, patient=patient)
    if isinstance(answer, planner.Lost):
        if away and patient:
            return _wait_for(state, away)
        return finish(state, "Unrecoverable", answer.text)
    out: Commands = []
    for agent in absent:
        out += agent_excluded(state, agent, _silent_for(state), now)
    state.become(GenerationPhase.CHOOSING)
    return [*out, *consensus.ask(state, answer, now)]


def _choose(state: OrchestratorState, now: float) -> Commands:
    """D5; the register answers by itself. T5: the silent may come back with their votes."""
    if not consensus.is_by_votes(state) or state.seal.proposal is None:
        return []
    if consensus.is_chosen(state):
        return [do.Note(plan=state.seal.proposal), *_chosen(state, state.seal.proposal, now)]
    if consensus.may_be_chosen(state, without_the_silent=True):
        return []
    patient = now - state.seal.choosing_since < state.settings.unreachable_timeout_s
    if patient and consensus.may_be_chosen(state, without_the_silent=False):
        return _wait_for(state, sorted(state.silences))
    return finish(state, "Unrecoverable", "too many nodes were lost while the others agreed on the next generation: start the job again")


def _wait_for(state: OrchestratorState, absent: list[int]) -> Commands:
    if state.seal.patience_published:
        return []
    state.seal.patience_published = True
    nodes = tuple(state.nodes[agent].node for agent in absent)
    return [do.Publish(event=WaitingEvent(nodes=nodes, patience_s=state.settings.unreachable_timeout_s))]


def _move_on(state: OrchestratorState, now: float) -> Commands:
    """E3: a change that nothing forces."""
    if moves.must_seal_at_once(state):
        return start_seal(state, now)
    return moves.hold(state)


def _rebuild_or_resume(state: OrchestratorState, now: float) -> Commands:
    """R3 and R4."""
    assert state.plan is not None
    plan = state.plan
    if exclusion.is_read_in_vain(state):
        return start_seal(state, now)
    out: Commands = []
    if not state.current.assigned and broadcast.all_installed(state):
        state.current.assigned = True
        tasks = planner.decode_tasks(plan, state.seal.holdings) if state.seal.holdings else {}
        out += [
            do.TellAgent(agent=agent, message=msg.Assign(generation=plan.generation, tasks=assigned)) for agent, assigned in tasks.items()
        ]
    if not state.current.assigned or not broadcast.all_ready(state):
        return out
    if plan.base is not None and plan.base.superstep == END:
        state.become(GenerationPhase.ENDING)
        return [*out, *ask_result(state, plan.base)]
    if plan.base is not None and (crossing := channel_sums.crossing(broadcast.transits(state).values(), plan.size)):
        return finish(state, "UsageError", channel_sums.refusal(crossing, plan.base.superstep))
    state.become(GenerationPhase.COUNTING)
    state.current.frames_moved_at = 0.0
    out += plan_distribution.resumes(state, plan, now)
    superstep = plan.base.superstep if plan.base else 0
    return [*out, do.Publish(event=ResumedEvent(superstep=superstep, generation=plan.generation)), *plan_distribution.reserve(state)]


def end_if_committed(state: OrchestratorState) -> Commands:
    """C10: the end is committed, and no generation is being made: the result can be asked for. Otherwise the next one starts from it."""
    if state.phase is not GenerationPhase.COUNTING or state.committed is None or state.committed.superstep != END:
        return []
    state.become(GenerationPhase.ENDING)
    return ask_result(state, state.committed)


def ask_result(state: OrchestratorState, label: Label) -> Commands:
    """C10: the end is committed; rank 0's agent has the result, and every agent knows what it sent."""
    state.traffic.clear()
    state.result = None
    ask = msg.AskResult(label=label)
    return [do.TellAgent(agent=agent, message=ask) for agent in state.members()]


def finish(state: OrchestratorState, error: str, text: str, payload: bytes = b"") -> Commands:
    """C10: the job is over. The supervisor gets the result before any agent ends: if this orchestrator ends while a large result is on its
    way, the next one asks the agents for it again."""
    state.become(GenerationPhase.ENDED)
    to_agents: Commands = [
        do.TellAgent(agent=agent, message=msg.EndJob(reason=error or "finished"))
        for agent in state.nodes
        if state.alive(agent) or agent in state.excluded
    ]
    return [do.Finish(error=error, text=text, payload=payload), *to_agents]
