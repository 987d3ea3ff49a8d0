"""Which plan is asked for, of whom, and is it chosen? (rules D0, D2 to D5)

Looks at what has been answered and remembers what is asked; `recovery` goes on from there.
"""

from __future__ import annotations

import dataclasses

from perdure.core import commands as do
from perdure.core import messages as msg
from perdure.core import planner, seating, votes
from perdure.core.job_events import ProposedEvent
from perdure.core.multicast_tree import Milestone
from perdure.core.orchestrator import broadcast, exclusion
from perdure.core.orchestrator.state import Node, OrchestratorState
from perdure.core.plan import Plan

Commands = list[do.OrchestratorCommand]


def is_by_votes(state: OrchestratorState) -> bool:
    """D0: nobody has a vote for the first plan."""
    return state.plan is not None and votes.decide_after(state.plan)


def value(state: OrchestratorState, absent: list[int], *, patient: bool) -> Plan | planner.Lost:
    """D2 and D3: what those say who have answered the seal. An accepted plan may have been chosen, so it stands, whatever this orchestrator
    would have made of what they hold: where that is another plan, `holdings` is None. `patient`: T5 lets the absent be waited for, if
    the others cannot be decoded; they are not called lost for the sake of a plan either."""
    assert state.plan is not None
    state.seal.holdings = held = dataclasses.replace(broadcast.holdings(state), kept=(*exclusion.kept(state), *broadcast.kept(state)))
    spares = seats_of([node for node in state.spares() if node.status is not None])
    shape = state.shape
    crowded = len(seating.loads(state.plan, held.missing, shape.ranks_per_node)) > len(spares)
    seats = seats_of([state.nodes[agent] for agent in state.members() if agent not in absent]) if crowded else []
    agreed = state.settings.on_divergence != "report"
    answer = planner.next_plan(
        state.plan, held, seats, spares, state.current.workers_gone, broadcast.positions(state),
        agreed=agreed, domains=shape.domains, ranks_per_node=shape.ranks_per_node,
    )  # fmt: skip
    if isinstance(answer, Plan):
        state.seal.holdings = planner.after_moves(state.plan, answer, held, spares)
    if not is_by_votes(state):
        return answer
    missing = broadcast.unanswered(state, Milestone.SEALED, state.seal.sealed)
    answered = missing is not None and votes.are_quorum(state.plan, missing)
    vote = broadcast.newest_vote(state)
    waits = patient and bool(absent) and isinstance(answer, planner.Lost)
    if answered and vote is not None and not waits:
        accepted = state.plan.amended(vote.change)
        state.seal.holdings = state.seal.holdings if accepted == answer else None
        return accepted
    if isinstance(answer, Plan) and not answered:
        return planner.Lost(ranks=held.missing, text="too few nodes are left to agree on the next generation: start the job again")
    return answer


def ask(state: OrchestratorState, plan: Plan, now: float) -> Commands:
    """D4: of every living member, or of the register."""
    state.seal.proposal, state.seal.choosing_since = plan, now
    state.seal.accepted.clear()
    state.seal.patience_published = False
    if state.plan is None or not is_by_votes(state):
        return [do.Propose(plan=plan)]
    accept = msg.Accept(ballot=state.ballot, generation=plan.generation, change=state.plan.change_to(plan))
    proposed = do.Publish(event=ProposedEvent(generation=plan.generation))
    if not broadcast.is_large(state):
        return [*(do.TellAgent(agent=agent, message=accept) for agent in state.members()), proposed]
    one_by_one = sorted(broadcast.not_by_the_tree(state, state.plan) | state.silences)
    told: Commands = [do.TellAgent(agent=agent, message=accept) for agent in one_by_one]
    return [*told, *broadcast.ask(state, (Milestone.ACCEPTED,), accept, one_by_one, now), proposed]


def is_chosen(state: OrchestratorState) -> bool:
    """D5: a quorum has accepted it in this ballot. Votes that were heard count, although the voter may have ended since."""
    assert state.plan is not None
    missing = broadcast.unanswered(state, Milestone.ACCEPTED, state.seal.accepted)
    return missing is not None and votes.are_quorum(state.plan, missing)


def may_be_chosen(state: OrchestratorState, *, without_the_silent: bool) -> bool:
    """Could those who live, with those who have accepted, make a quorum?"""
    plan = state.plan
    assert plan is not None
    missing = broadcast.unanswered(state, Milestone.ACCEPTED, state.seal.accepted)
    if missing is None:
        return True
    waited = {agent for agent in state.members() if not (without_the_silent and agent in state.silences)}
    return votes.are_quorum(plan, [rank for rank in missing if plan.agent_of(rank) not in waited])


def seats_of(nodes: list[Node]) -> list[planner.Seat]:
    """As the planner wants them."""
    return [planner.Seat(agent=node.agent, node=node.node, address=node.address) for node in nodes]
