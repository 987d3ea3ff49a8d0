"""Plans and addresses travel as differences: what an agent puts together must be what the orchestrator meant."""

from __future__ import annotations

import dataclasses
import random

from perdure.core import commands as do
from perdure.core import messages as msg
from perdure.core.ids import Label
from perdure.core.plan import Placement
from perdure.core.planner import Seat, first_plan
from tests.core.test_rules import Chief, Node, chief, plan_of

__all__ = ["chief"]


def test_an_amended_plan_is_the_plan_itself_and_looks_up_the_same() -> None:
    for seed in range(200):
        dice = random.Random(seed)
        seats = [Seat(agent=number + 1, node=number, address=f"a{number}") for number in range(6)]
        plan = first_plan(seats[: dice.randint(2, 5)], 8, dice.choice((1, 2)), 4, 1)
        placements = list(plan.placements)
        for rank in dice.sample(range(8), dice.randint(0, 4)):
            seat = dice.choice(seats)
            placements[rank] = Placement(rank=rank, agent=seat.agent, node=seat.node, incarnation=placements[rank].incarnation + 1)
        agents = sorted({place.agent for place in placements})
        new = dataclasses.replace(
            plan, generation=2, placements=tuple(placements), base=Label(1, 3), positions=(4, 5),
            addresses=tuple((agent, f"a{agent - 1}") for agent in agents),
        )  # fmt: skip
        made = plan.amended(plan.change_to(new))
        assert made == new
        assert made.agents() == new.agents() == tuple(agents)
        for agent in range(1, 7):
            assert made.ranks_of(agent) == new.ranks_of(agent)
        for rank in range(8):
            assert (made.group_index(rank), made.member_of(rank)) == (new.group_index(rank), new.member_of(rank))


def test_r4_addresses_that_build_on_a_resume_that_never_came_are_asked_for() -> None:
    """It was said by an orchestrator that this agent did not hear any more."""
    node = Node()
    node.told(msg.Greet(round=1))
    node.told(msg.Install(plan=plan_of(), restore=()))
    node.worker(msg.Loaded(address="w0", pid=7))
    ask = do.TellOrchestrator(message=msg.AskAddresses(generation=1))
    assert node.told(msg.Resume(generation=1, since=7, addresses=((1, "w1"),))) == [ask]
    assert not node.state.current.resumed
    node.told(msg.Resume(generation=1, since=0, addresses=((0, "w0"), (1, "w1"))))
    assert node.state.current.resumed
    assert node.state.addresses == ("w0", "w1")


def test_r4_who_asks_for_addresses_is_told_all_of_them(chief: Chief) -> None:
    assert chief.said(2, msg.AskAddresses(generation=1)) == [
        do.TellAgent(agent=2, message=msg.Resume(generation=1, since=0, addresses=(), whole=("w0", "w1")))
    ]


def test_d6_who_is_behind_by_more_than_a_generation_does_not_amend() -> None:
    node = Node()
    node.told(msg.Greet(round=1))
    change = plan_of().change_to(plan_of(2))
    assert node.told(msg.Amend(generation=2, change=change, restore=())) == []
    node.told(msg.Install(plan=plan_of(), restore=()))
    node.told(msg.Amend(generation=3, change=change, restore=()))
    assert node.state.generation == 1
