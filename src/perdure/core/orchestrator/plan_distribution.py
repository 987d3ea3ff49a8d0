"""What each agent is told of a plan: to whom the whole of it, to whom what differs, and to whom nothing (rules D6 to D8, R4).

An agent that was counted in the generation before knows most of the next plan. In a large job the tree carries the words to those who have
no more to do than to go on.
"""

from __future__ import annotations

from collections.abc import Mapping

from perdure.core import commands as do
from perdure.core import messages as msg
from perdure.core import planner
from perdure.core.multicast_tree import Milestone
from perdure.core.orchestrator import broadcast
from perdure.core.orchestrator.state import GenerationPhase, OrchestratorState
from perdure.core.plan import Plan, PlanChange

Commands = list[do.OrchestratorCommand]


def installs(state: OrchestratorState, plan: Plan, before: Plan | None, change: PlanChange | None, now: float) -> Commands:
    """The difference to those whose seal was counted, the whole plan to others. The first plan is the same for all."""
    sources = planner.restore_sources(plan, state.seal.holdings) if state.seal.holdings else {}
    by_tree = broadcast.is_large(state) and (change is not None or before is None)
    one_by_one = _concerned(state, plan, before, change, sources) if by_tree else state.members()
    out: Commands = []
    for agent in one_by_one:
        restore, difference = sources.get(agent, ()), change if before and broadcast.is_counted(state, before, agent) else None
        if difference is None:
            state.current.told_whole.add(agent)
            out.append(do.TellAgent(agent=agent, message=msg.Install(plan=plan, restore=restore)))
        else:
            out.append(do.TellAgent(agent=agent, message=msg.Amend(generation=plan.generation, change=difference, restore=restore)))
    state.gatherings.clear()
    if not by_tree:
        return out
    word = (
        msg.Amend(generation=plan.generation, change=change, restore=(), since=state.resumed[0])
        if change
        else msg.Install(plan=plan, restore=())
    )
    return out + broadcast.ask(state, (Milestone.INSTALLED, Milestone.READY), word, one_by_one, now)


def _concerned(
    state: OrchestratorState,
    plan: Plan,
    before: Plan | None,
    change: PlanChange | None,
    sources: Mapping[int, tuple[msg.RestoreSource, ...]],
) -> list[int]:
    """Living agents for whom a plan means more than to go on: who comes in, whose seal did not come by the tree, who restores a rank."""
    if before is None or change is None:
        return []
    comes_in = {place.agent for place in change.placements if not before.ranks_of(place.agent)}
    found = {agent for agent in comes_in | sources.keys() if plan.ranks_of(agent) and state.alive(agent)}
    return sorted(found | broadcast.not_by_the_tree(state, plan))


def install_behind(state: OrchestratorState, plan: Plan) -> Commands:
    """D7: whoever does not know the plan yet is silent to those who do, so it hears of it as soon as everybody has answered."""
    behind = [agent for agent in state.members() if state.is_behind(agent) and agent not in state.current.told_whole]
    for agent in behind:
        state.forget_complaints(agent)
    state.current.told_whole.update(behind)
    return [do.TellAgent(agent=agent, message=msg.Install(plan=plan, restore=())) for agent in behind]


def resumes(state: OrchestratorState, plan: Plan, now: float) -> Commands:
    """R4: the addresses that differ from what this orchestrator has told; all of them where it has told nothing."""
    since, old = state.resumed
    addresses, changed = list(old) if since else [""] * plan.size, []
    for rank, address in sorted(broadcast.new_addresses(state).items()):
        if not since or addresses[rank] != address:
            addresses[rank] = address
            changed.append((rank, address))
    state.resumed = (plan.generation, tuple(addresses))
    some = msg.Resume(generation=plan.generation, since=since, addresses=tuple(changed))
    by_tree = bool(state.gatherings)
    one_by_one = [agent for agent in sorted(state.directly) if state.alive(agent)] if by_tree else plan.agents()
    whole = msg.Resume(generation=plan.generation, since=0, addresses=(), whole=state.resumed[1]) if since else some
    out: Commands = [do.TellAgent(agent=agent, message=whole if agent in state.current.told_whole else some) for agent in one_by_one]
    return out + broadcast.ask(state, (Milestone.RESUMED,), some, one_by_one, now) if by_tree else out


def ask_after_raise(state: OrchestratorState) -> Commands:
    """W3: a member that does not answer any more is lost, and the error an echo of that."""
    state.nonce += 1
    state.current.raised_unheard = set(state.members())
    return [do.TellAgent(agent=agent, message=msg.AskAlive(nonce=state.nonce)) for agent in state.members()]


def reserve(state: OrchestratorState) -> Commands:
    """Spares have memory ready as soon as the sizes are known."""
    facts = [fact for known in state.current.prepared.values() for fact in known.values()]
    if not facts or state.phase is not GenerationPhase.COUNTING:
        return []
    out: Commands = []
    for node in state.spares():
        if not node.reserved:
            node.reserved = True
            sizes = msg.Reserve(
                snapshot_bytes=max(fact.snapshot_bytes for fact in facts),
                parity_bytes=max(fact.parity_bytes for fact in facts),
                ranks=state.shape.ranks_per_node,
            )
            out.append(do.TellAgent(agent=node.agent, message=sizes))
    return out
