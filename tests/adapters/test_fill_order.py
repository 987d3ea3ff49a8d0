"""A dict or a set in a cycle is filled when its keys have their attributes, from which their hashes follow."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from perdure.adapters import objects
from perdure.adapters.fill_order import Unhashable
from perdure.errors import UsageError


class Vertex:
    """It is hashed by its name, and refers to other ones by dicts and sets."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.near: dict[Any, float] = {}
        self.seen: set[Any] = set()
        self.more: Any = None

    def __hash__(self) -> int:
        return hash(self.name)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Vertex) and self.name == other.name


class Pickled(Vertex):
    """It says itself how it is made."""

    def __getstate__(self) -> dict[str, Any]:
        return vars(self)


class Quiet(Vertex):
    """It has a hash without its attributes too, which is another one."""

    name = ""


@dataclass(unsafe_hash=True)
class City:
    name: str
    roads: dict[Any, float] = field(default_factory=dict, hash=False, compare=False)


@dataclass(frozen=True)
class Road:
    """Its hash follows from those of other objects."""

    ends: tuple[Vertex, Vertex]


def stored(value: Any) -> np.ndarray:
    frozen = objects.freeze("item", value)
    frozen.try_restore()
    slot = np.zeros(frozen.nbytes, np.uint8)
    frozen.store(slot)
    return slot


def again(value: Any) -> Any:
    """Return what comes back, after checking that it is the same, restored into itself too."""
    slot = stored(value)
    made = objects.thaw("item", slot)
    assert objects.freeze("item", made).equals(slot)
    objects.restore("item", slot, value)
    assert objects.freeze("item", value).equals(slot)
    return made


@pytest.mark.parametrize("cls", [Vertex, Pickled, Quiet])
@pytest.mark.parametrize("size", [1, 2, 7])
def test_a_graph_of_objects_that_are_hashed_by_their_names(cls: type[Vertex], size: int) -> None:
    """It was refused, or found nothing in its dicts any more."""
    graph = [cls(f"v{number}") for number in range(size)]
    for number, one in enumerate(graph):
        for two in (graph[number - 1], graph[(number - 3) % size]):
            one.near[two] = two.near[one] = float(number)
            one.seen.add(two)
        one.more = graph[number - 1]
    made = again(graph)
    for one, two in zip(graph, made, strict=True):
        assert list(one.near.items()) == list(two.near.items())
        assert all(vertex in two.near and vertex is made[int(vertex.name[1:])] for vertex in two.near)
        assert all(vertex in two.seen for vertex in two.seen)


def test_keys_within_keys() -> None:
    one, two = Vertex("a"), Vertex("b")
    one.more = {Road((one, two)): [two]}
    two.more = defaultdict(list, {(one, (two, 1)): [one]})
    made = again({"two": two, "one": one})
    assert made["one"].more[Road((one, two))] == [two]
    assert made["two"].more[one, (two, 1)] == [one]


def test_dataclasses_that_are_hashed_by_a_field() -> None:
    cities = [City(f"c{number}") for number in range(5)]
    for one in cities:
        for two in cities:
            one.roads[two] = 1.0
    parent = {city: cities[number // 2] for number, city in enumerate(cities)}
    made = again({"parent": parent, "cities": cities})
    assert made["parent"][made["cities"][4]] is made["cities"][2]
    assert made["cities"][0].roads[City("c3")] == 1


def test_a_hash_that_follows_from_what_holds_the_key_is_refused_with_its_place() -> None:
    """The error named an attribute that the object has."""
    vertex = Vertex("a")
    vertex.more = frozenset([vertex])
    with pytest.raises(UsageError, match=r"holds at \['here'\]\.more a frozenset with a key whose hash follows from that frozenset itself"):
        stored({"here": vertex})


def test_the_error_names_the_table_too_where_no_place_is_known() -> None:
    vertex = Vertex("a")
    vertex.more = frozenset([vertex])
    frozen = objects.freeze("item", {"here": vertex})
    slot = np.zeros(frozen.nbytes, np.uint8)
    frozen.store(slot)
    with pytest.raises(Unhashable, match="use a name or a number as the key"):
        objects.thaw("item", slot)


def test_a_large_graph_is_linear() -> None:
    graph = [Vertex(str(number)) for number in range(3000)]
    for number, one in enumerate(graph):
        one.more = graph[number - 1]
        one.near[graph[number // 2]] = 1.0
        graph[number // 2].near[one] = 1.0
    made = objects.thaw("item", stored(graph))
    assert made[2999].near[made[1499]] == 1
