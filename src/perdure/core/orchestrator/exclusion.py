"""Nodes that the job goes on without, and whose memory may not be gone: excluded by silence or a broken link (rules D6, R2, T5).

Theory of operation. Such a node is lost to every generation from then on, and nothing that its agent says counts, but for one word: that it
is the custodian of the base, and what it keeps of it. It is told each plan that goes on without it, so it says that again in each
generation. While the base is the newest label that is committed, its chunks count for what can be decoded; a job that cannot be decoded
without them waits for those that are silent, as it does for silent members. With the first newer label all of them are ended.

What a new orchestrator does not know it hears: an agent with a generation, and without a rank in the plan, is one of these.
"""

from __future__ import annotations

from collections.abc import Iterable

from perdure.core import commands as do
from perdure.core import messages as msg
from perdure.core.ids import END
from perdure.core.job_events import CustodianEvent
from perdure.core.orchestrator.state import Excluded, GenerationPhase, Node, NodeState, OrchestratorState
from perdure.core.plan import Plan

Commands = list[do.OrchestratorCommand]


def exclude(state: OrchestratorState, agent: int) -> None:
    """Not one of the job's nodes any more, for good."""
    state.excluded[agent] = Excluded()
    forget(state, agent)
    state.give_up(agent, NodeState.EXCLUDED)


def forget(state: OrchestratorState, agent: int) -> None:
    """Nobody waits for what it has not said, or counts what it has."""
    state.ungreeted.discard(agent)
    state.silences.discard(agent)
    state.current.living = None
    state.seal.sealed.pop(agent, None)
    state.forget_complaints(agent)
    state.current.raised_unheard.discard(agent)


def greeted(state: OrchestratorState, agent: int, status: msg.AgentStatus) -> Commands:
    """D7: is it one that an earlier orchestrator has excluded?"""
    plan = state.plan
    if plan is None or not 0 < status.generation <= plan.generation or plan.ranks_of(agent) or not state.alive(agent):
        return []
    exclude(state, agent)
    return _release(state, agent) if _is_superseded(state) else _tell(state, agent)


def sealing(state: OrchestratorState) -> list[int]:
    """Whoever was excluded from the generation that is sealed now: it may hold labels that are newer than the base."""
    return [agent for agent in sorted(state.excluded) if state.plan and state.plan.ranks_of(agent)]


def chosen(state: OrchestratorState) -> Commands:
    """The plan is new: whoever was a member and is none now is told, and so is whoever was none before."""
    plan = state.plan
    assert plan is not None
    outside = state.nodes.keys() - set(plan.agents())
    for agent in sorted(agent for agent in outside if state.nodes[agent].state is NodeState.MEMBER):
        exclude(state, agent)
    if plan.base is None:
        return release(state, plan)
    return [command for agent in sorted(state.excluded) for command in _tell(state, agent)]


def _tell(state: OrchestratorState, agent: int) -> Commands:
    """D6. It may be read when it can be reached again."""
    assert state.plan is not None
    state.excluded[agent].told = state.plan.generation
    return [do.TellAgent(agent=agent, message=msg.Install(plan=state.plan, restore=()))]


def heard(state: OrchestratorState, node: Node, message: msg.FromAgent) -> Commands:
    """Its custody, or a sign of life: of one that was silent since it was told, it is asked again. One that was a member until just now
    answers a seal."""
    excluded, plan = state.excluded[node.agent], state.plan
    if plan is None:
        return []
    if isinstance(message, msg.Sealed) and message.ballot == state.ballot and state.phase is GenerationPhase.SEALING:
        excluded.custody = msg.Custody(generation=message.generation, ranks=(*message.ranks, *message.kept))
    if plan.ranks_of(node.agent) or plan.base is None:
        return []
    if not isinstance(message, msg.Custody):
        return [] if excluded.told == plan.generation else _tell(state, node.agent)
    if message.generation != plan.generation:
        return []
    is_new = excluded.custody is None or excluded.custody.ranks != message.ranks
    excluded.custody = message
    if not is_new:
        return []
    ranks, superstep = tuple(report.rank for report in message.ranks), plan.base.superstep
    return [do.Publish(event=CustodianEvent(node=node.node, ranks=ranks, superstep=superstep, end=superstep == END))]


def kept(state: OrchestratorState) -> tuple[tuple[msg.Custodian, msg.RankReport], ...]:
    """R2: what is kept of the base of the generation that is sealed."""
    return tuple(
        (msg.Custodian(agent=agent, address=state.nodes[agent].address), report)
        for agent, excluded in sorted(state.excluded.items())
        for report in _counted(state, excluded)
    )


def _counted(state: OrchestratorState, excluded: Excluded) -> tuple[msg.RankReport, ...]:
    custody, plan = excluded.custody, state.plan
    return custody.ranks if custody is not None and plan is not None and custody.generation == plan.generation else ()


def away(state: OrchestratorState) -> list[int]:
    """T5: who may hold what was committed last, and has not said so; also agents that have never said anything to this orchestrator."""
    plan = state.plan
    if plan is None:
        return []
    silent = [agent for agent, excluded in state.excluded.items() if not _counted(state, excluded)]
    if _is_superseded(state):
        return sorted(agent for agent in silent if plan.ranks_of(agent))
    return sorted([*silent, *(agent for agent in state.ungreeted if not plan.ranks_of(agent))])


def ended(state: OrchestratorState, agent: int) -> Commands:
    """Its process is gone, and its memory with it."""
    del state.excluded[agent]
    state.nodes[agent].become(NodeState.LOST)
    return [do.KillAgent(agent=agent)]


def release(state: OrchestratorState, plan: Plan) -> Commands:
    """D6: a label of this plan's generation is committed, so its base is of no use. Who was excluded from it may have that label."""
    outside = [agent for agent in sorted(state.excluded) if not plan.ranks_of(agent)]
    return [command for agent in outside for command in _release(state, agent)]


def _release(state: OrchestratorState, agent: int) -> Commands:
    """G3: whatever it hears, the engine ends it."""
    return [do.TellAgent(agent=agent, message=msg.EndJob(reason="the job continues without this node")), *ended(state, agent)]


def _is_superseded(state: OrchestratorState) -> bool:
    assert state.plan is not None
    base, newest = state.plan.base, state.committed
    return base is None or (newest is not None and newest > base)


def tick(state: OrchestratorState, now: float) -> Commands:
    """T2: one that is silent is away again. T5: one that a rebuild waits for in vain, for whatever reason, is ended after the same time as
    a silent one."""
    for agent, excluded in state.excluded.items():
        if excluded.custody is not None and now - state.nodes[agent].heard_at > state.settings.silence_s:
            excluded.custody, excluded.told = None, 0
    if state.phase is not GenerationPhase.REBUILDING or now - state.current.rebuilding_since < state.settings.unreachable_timeout_s:
        return []
    return [command for agent in sorted(state.current.reads_from & state.excluded.keys()) for command in _release(state, agent)]


def is_read_in_vain(state: OrchestratorState) -> bool:
    """R1: does the rebuild wait for a custodian that has ended, is silent, or has less than it had?"""
    return state.phase is GenerationPhase.REBUILDING and any(_fails(state, agent) for agent in state.current.reads_from)


def _fails(state: OrchestratorState, agent: int) -> bool:
    assert state.seal.holdings is not None
    excluded = state.excluded.get(agent)
    if excluded is None or excluded.custody is None:
        return True
    counted = [report for custodian, report in state.seal.holdings.kept if custodian.agent == agent]
    return _of_base(state, excluded.custody.ranks) != _of_base(state, counted)


def _of_base(state: OrchestratorState, reports: Iterable[msg.RankReport]) -> list[tuple[int, msg.LabelReport]]:
    assert state.plan is not None
    return sorted(((one.rank, held) for one in reports for held in one.labels if held.label == state.plan.base), key=lambda one: one[0])
