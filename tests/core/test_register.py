"""What a job's register keeps of its plans."""

from __future__ import annotations

from perdure.core.plan import Plan, PlanChange
from perdure.core.planner import Seat, first_plan
from perdure.core.register import MemoryRegister

SEATS = [Seat(agent=number, node=number - 1, address=f"a{number}") for number in (1, 2, 3)]


def plans() -> list[Plan]:
    """Of four generations that follow one another."""
    found = [first_plan(SEATS, 3, 1, 3, 1)]
    for _ in range(3):
        found.append(found[-1].amended(PlanChange(base=None, positions=(0, 1), placements=(), addresses=())))
    return found


def test_the_first_plan_of_a_generation_stays() -> None:
    one, two, *_ = plans()
    _, other, *_ = plans()
    register = MemoryRegister()
    assert register.read() is None
    assert register.create(one) is one
    assert register.create(two) is two
    assert register.create(other) is two
    assert register.create(one) is two


def test_notes_that_come_late_or_twice_change_nothing() -> None:
    one, two, three, _ = plans()
    register = MemoryRegister()
    register.create(one)
    for plan in (three, two, three):
        register.note(plan)
        assert register.read() is three


def test_a_plan_may_be_created_although_the_one_before_was_never_noted() -> None:
    """Or a job whose votes gave way to the register would stop there."""
    one, _, three, four = plans()
    register = MemoryRegister()
    register.create(one)
    register.note(three)
    assert register.create(four) is four
