"""What the supervising process keeps of the job's plans."""

from __future__ import annotations

from perdure.core.plan import Placement, Plan, PlanChange
from perdure.core.planner import Seat, first_plan
from perdure.launch.register import TextRegister
from perdure.runtime.orchestrator import plan_to_json

SEATS = [Seat(agent=number, node=number - 1, address=f"a{number}") for number in (1, 2, 3)]


def plans() -> list[Plan]:
    """Of four generations that follow one another."""
    found = [first_plan(SEATS, 3, 1, 3, 1)]
    for _ in range(3):
        found.append(found[-1].amended(PlanChange(base=None, positions=(0, 1), placements=(), addresses=())))
    return found


def test_the_first_plan_of_a_generation_stays() -> None:
    one, two, *_ = map(plan_to_json, plans())
    register = TextRegister()
    assert register.propose(one) == one
    assert register.propose(two) == two
    assert register.propose(one | {"parity": 0}) == two
    assert register.propose(two | {"parity": 0}) == two


def test_notes_that_come_late_or_twice_change_nothing() -> None:
    one, two, three, _ = map(plan_to_json, plans())
    register = TextRegister()
    register.propose(one)
    for plan in (three, two, three):
        register.note(plan)
        assert register.text == three


def test_a_plan_may_be_proposed_although_the_one_before_was_never_told() -> None:
    """Or a job whose votes gave way to the register would stop there."""
    one, _, three, four = map(plan_to_json, plans())
    register = TextRegister()
    register.propose(one)
    register.note(three)
    assert register.propose(four) == four


def test_who_can_be_spared_follows_from_what_was_noted() -> None:
    """Faults that the clock chooses shall not strike a spare, or more than the parity covers."""
    one = plans()[0]
    moved = Placement(rank=2, agent=4, node=3, incarnation=2)
    register = TextRegister()
    register.propose(plan_to_json(one))
    assert [register.can_spare(agent) for agent in (3, 4)] == [True, False]
    register.note(plan_to_json(one.amended(PlanChange(base=None, positions=(0, 1), placements=(moved,), addresses=((4, "a4"),)))))
    assert [register.can_spare(agent) for agent in (3, 4)] == [False, True]
