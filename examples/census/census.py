"""A census of towns, with state made of ordinary Python objects that refer to each other.

Each rank simulates a town, each superstep a year: people are born, marry, move, fall ill and die. A town is one declared object. It
consists of dataclasses with cyclic references, dicts, deques, sets, Counters, lists of lists, and purses that are views of one array. Each
street has its own random generator (`job.rng.spawn`).

    perdure run examples/census/census.py
    perdure run examples/census/census.py --spares 2 --fault kill:node=1,superstep=40 --fault crash:rank=3,superstep=70
    perdure rehearse examples/census/census.py --campaign --spares 1 --commit-every 5

The variables `town`, `inhabitants` and `purses` are assigned before the loop, and mean the same parts of the state after a loss.
"""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field
from typing import Any

import numpy as np

import perdure

ADULT, OLD = 18, 70
Traveller = tuple[int, int, tuple[float, float]]
"""A person that moves between two towns: number, year of birth, purse."""


@dataclass(eq=False)
class House:
    """A house. `street` is the list that contains it."""

    street: list[House]
    persons: list[Person] = field(default_factory=list)


@dataclass(eq=False)
class Person:
    """A person. `purse` is a row of the town's `purses`, (2,) float64: money and debt. `partner` is mutual."""

    number: int
    born: int
    purse: np.ndarray
    house: House | None = None
    partner: Person | None = None


@dataclass(eq=False)
class Town:
    """The state of a rank. `rows`: free rows of `purses`; `sick`: numbers of persons, in the set's own order."""

    streets: list[list[House]]
    purses: np.ndarray
    random: list[np.random.Generator]
    rows: deque[int]
    vacant: deque[House]
    people: dict[int, Person] = field(default_factory=dict)
    row_of: dict[int, int] = field(default_factory=dict)
    sick: set[int] = field(default_factory=set)
    events: Counter[str] = field(default_factory=Counter)
    chronicle: deque[tuple[int, str, int]] = field(default_factory=lambda: deque(maxlen=40))
    next_number: int = 0


def found(rank: int, streets: int, people: int, random: list[np.random.Generator]) -> Town:
    """Return a town with `people` settlers in `streets` streets."""
    rows = 8 * people
    town = Town(streets=[[] for _ in range(streets)], purses=np.zeros((rows, 2)), random=random, rows=deque(range(rows)), vacant=deque())
    for street in town.streets:
        street.extend(House(street) for _ in range(people // streets))
        town.vacant.extend(street)
    town.next_number = rank * 1_000_000
    for age in range(people):
        settle(town, new_number(town), born=-(age * 7 % 60), money=10.0)
    return town


def new_number(town: Town) -> int:
    """Return a number that no other person has."""
    town.next_number += 1
    return town.next_number


def settle(town: Town, number: int, born: int, money: float, debt: float = 0.0) -> None:
    """Add a person to the town, in the house that has been vacant for the longest time, or without a house."""
    row = town.rows.popleft()
    town.purses[row] = money, debt
    person = town.people[number] = Person(number, born, town.purses[row])
    town.row_of[number] = row
    if town.vacant:
        move_in(person, town.vacant.popleft())


def move_in(person: Person, house: House) -> None:
    """Let the person and the house refer to each other."""
    person.house = house
    house.persons.append(person)


def leave(town: Town, person: Person) -> None:
    """Remove a person, and all references to the person, from the town."""
    del town.people[person.number]
    town.sick.discard(person.number)
    town.rows.append(town.row_of.pop(person.number))
    if person.partner is not None:
        person.partner.partner = None
    if person.house is not None:
        person.house.persons.remove(person)
        if not person.house.persons:
            town.vacant.append(person.house)


def live(town: Town, street: list[House], random: np.random.Generator, year: int) -> list[Person]:
    """Simulate a year of a street. Return the persons who leave the town."""
    leaving = []
    for person in [person for house in street for person in house.persons]:
        age, luck = year - person.born, random.random()
        person.purse += luck, luck * 0.1
        if luck < (0.2 if age > OLD else 0.004) or (person.number in town.sick and luck < 0.3):
            town.events["died"] += 1
            town.chronicle.append((year, "died", person.number))
            leave(town, person)
        elif luck > 0.97 and age >= ADULT:
            leaving.append(person)
        elif luck > 0.9:
            town.sick.add(person.number)
        elif person.partner is not None and age < 45 and luck < 0.2 and len(town.rows) > len(town.purses) // 2:
            town.events["born"] += 1
            settle(town, new_number(town), born=year, money=0.0)
    return leaving


def marry(town: Town, year: int) -> None:
    """Marry adults without a partner, in pairs by age; the second one moves into the house of the first."""
    single = [one for one in town.people.values() if one.partner is None and one.house and year - one.born >= ADULT]
    for one, other in zip(single[::2], single[1::2], strict=False):
        one.partner, other.partner = other, one
        if other.house is not one.house:
            other.house.persons.remove(other)
            if not other.house.persons:
                town.vacant.append(other.house)
            move_in(other, one.house)
        one.purse += other.purse
        other.purse[:] = 0.0
        town.events["married"] += 1
        town.chronicle.append((year, "married", one.number))


def heal(town: Town) -> None:
    """Heal a third of the sick: those that `pop` returns first."""
    for _ in range(len(town.sick) // 3):
        town.events["healed"] += 1
        town.purses[town.row_of[town.sick.pop()], 1] += 1.0


def main(job: perdure.Job, years: int = 120, streets: int = 4, people: int = 48) -> dict[str, Any]:
    """Return the last census and sums that depend on every part."""
    state = job.private("state", init=lambda: {"town": found(job.rank, streets, people, job.rng.spawn(streets))})
    census = job.replicated("census", init=list)
    town: Town = state["town"]
    inhabitants, purses = town.people, town.purses
    for year in job.supersteps(years):
        travellers: list[list[Traveller]] = [[] for _ in range(job.size)]
        for street, random in zip(town.streets, town.random, strict=True):
            for person in live(town, street, random, year):
                travellers[(person.number + year) % job.size].append((person.number, person.born, tuple(person.purse.tolist())))
                leave(town, person)
        for number, born, (money, debt) in (one for arrived in job.comm.alltoall(travellers) for one in arrived):
            town.events["moved"] += 1
            settle(town, number, born, money, debt)
        marry(town, year)
        heal(town)
        houseless = [one for one in inhabitants.values() if one.house is None]
        while houseless and town.vacant:
            move_in(houseless.pop(0), town.vacant.popleft())
        counts = job.comm.allgather((len(inhabitants), len(town.sick), float(purses.sum())))
        census.append([sum(column) for column in zip(*counts, strict=True)])
    events = sum(job.comm.allgather(town.events), Counter())
    last = job.comm.allgather(list(town.chronicle)[-3:])
    return {"people": census[-1][0], "sick": census[-1][1], "money": census[-1][2], "events": dict(events), "last": last}
