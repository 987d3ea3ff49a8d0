"""Names that the program has for parts of an object go on meaning them after a restore, or the restore is refused."""

from __future__ import annotations

import datetime
import decimal
import enum
import types
import uuid
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from perdure.adapters import objects, sharing
from perdure.adapters.encoding import Encoding
from perdure.adapters.names import Names
from perdure.adapters.places import Items, at
from perdure.adapters.references import names_outside
from perdure.errors import UsageError


def stored(value: Any) -> np.ndarray:
    frozen = objects.freeze("item", value)
    frozen.try_restore()
    slot = np.full(frozen.nbytes, 0xEE, np.uint8)
    frozen.store(slot)
    return slot


def restored(live: Any, later: Any) -> None:
    """Restore `later` into `live`, and check that all of it is there."""
    slot = stored(later)
    objects.restore("item", slot, live)
    assert objects.freeze("item", live).equals(slot)


# ---- objects that say how they are made ----------------------------------------------------------------------------------


def test_attributes_that_are_gone_are_gone_after_a_restore() -> None:
    """`del namespace.warmup` in the loop: a loss brought `warmup` back."""
    live = {"ns": types.SimpleNamespace(warmup=True, n=0, grid=np.zeros(2))}
    namespace, grid = live["ns"], live["ns"].grid
    restored(live, {"ns": types.SimpleNamespace(n=2, grid=np.ones(2))})
    assert live["ns"] is namespace
    assert sorted(vars(namespace)) == ["grid", "n"]
    assert namespace.grid is grid
    assert grid.tolist() == [1, 1]


def test_the_advice_for_a_class_of_a_library_is_to_keep_its_parts() -> None:
    """Nobody can change `__getstate__` of NumPy's classes."""
    with pytest.raises(UsageError, match=r"Polynomial is a class of the library numpy, so keep what it is made of in the item instead"):
        stored({"fit": np.polynomial.Polynomial([1.0, 2.0])})


# ---- seed sequences ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ahead", [0, 1, 5])
def test_a_seed_sequence_goes_on_where_it_was(ahead: int) -> None:
    """The children of a name for it repeated after a loss."""
    seeds, later = np.random.SeedSequence(7), np.random.SeedSequence(7)
    seeds.spawn(ahead)
    later.spawn(3)
    live = {"seeds": seeds}
    restored(live, {"seeds": later})
    assert live["seeds"] is seeds
    assert seeds.spawn(1)[0].state == later.spawn(1)[0].state


def test_a_seed_sequence_of_other_entropy_is_made_the_committed_one() -> None:
    """`SeedSequence()` in front of the loop has other entropy in each process."""
    seeds, later = np.random.SeedSequence(), np.random.SeedSequence([1, 2], spawn_key=(3,), pool_size=8, n_children_spawned=4)
    live = {"rng": np.random.default_rng(seeds)}
    restored(live, {"rng": np.random.default_rng(later)})
    assert live["rng"].bit_generator.seed_seq is seeds  # type: ignore[attr-defined]
    assert seeds.state == later.state
    assert seeds.generate_state(4).tolist() == later.generate_state(4).tolist()
    assert live["rng"].spawn(1)[0].random() == np.random.default_rng(later.spawn(1)[0]).random()


def test_a_name_for_a_seed_sequence_that_has_gone_is_refused() -> None:
    seeds = np.random.SeedSequence(7)
    live = {"seeds": seeds}
    with pytest.raises(UsageError, match=r"another object at \['seeds'\]"):
        objects.restore("item", stored({"seeds": 1}), live)
    assert seeds.n_children_spawned == 0


def test_only_names_of_the_program_count_for_seed_sequences() -> None:
    made = Encoding("item", {"rng": np.random.default_rng(7), "seeds": [np.random.SeedSequence(7)], "old": np.random.RandomState(3)})
    assert names_outside(made) == {}


def test_two_items_cannot_share_a_seed_sequence() -> None:
    seeds = np.random.SeedSequence(7)
    items = [("a", Encoding("a", {"seeds": seeds})), ("b", Encoding("b", [np.random.default_rng(seeds)]))]
    with pytest.raises(UsageError, match=r"share an object \(\['seeds'\] and \[0\]\.bit_generator\.seed_seq\)"):
        sharing.check(items)


# ---- keys ----------------------------------------------------------------------------------------------------------------


class Side(enum.Enum):
    BUY = 1
    SELL = 2


@dataclass(frozen=True)
class Edge:
    start: int
    end: int
    weight: float = field(default=1.0, repr=False)


@dataclass(frozen=True, slots=True)
class Slotted:
    start: int


class Town:
    def __init__(self, name: str) -> None:
        self.name = name


class Stateful(Town):
    """It is hashed by its identity and says itself how it is made."""

    def __getstate__(self) -> dict[str, Any]:
        return vars(self)


KEYS: dict[str, Callable[[], Any]] = {
    "number": lambda: 3,
    "none": lambda: None,
    "tuple": lambda: (1, ("a", None)),
    "frozen set": lambda: frozenset("abc"),
    "class": lambda: Town,
    "numpy number": lambda: np.int64(3),
    "numpy text": lambda: np.str_("s"),
    "enum": lambda: Side.BUY,
    "enums in a tuple": lambda: (Side.BUY, Side.SELL),
    "date": lambda: datetime.date(2026, 1, 2),
    "decimal": lambda: decimal.Decimal("1.10"),
    "uuid": lambda: uuid.UUID(int=5),
    "path": lambda: Path("a/b"),
    "frozen dataclass": lambda: Edge(0, 1),
    "frozen dataclass with slots": lambda: Slotted(0),
    "frozen dataclass in a tuple": lambda: (Edge(0, 1), 2),
}
"""Keys that are known by their value."""
BY_POSITION: dict[str, Callable[[], Any]] = {
    "object": lambda: Town("a"),
    "object that says how it is made": lambda: Stateful("a"),
    "object in a tuple": lambda: (Town("a"), 1),
}


@pytest.mark.parametrize("name", KEYS)
def test_what_stands_under_a_key_is_found_by_the_value_of_the_key(name: str) -> None:
    """A name for a value was refused after each loss, or would mean the value under another key."""
    live = {"first": [0], KEYS[name](): [1], "last": [2]}
    value = live[KEYS[name]()]
    restored(live, {"new": [8], "last": [7], KEYS[name](): [6]})
    assert live[KEYS[name]()] is value
    assert value == [6]


@pytest.mark.parametrize("name", KEYS)
def test_a_name_for_what_stands_under_a_key_is_followed_wherever_the_key_has_moved(name: str) -> None:
    """Each commit was refused with "has left its place", which was not so."""
    live: dict[Any, Any] = {"first": [0], KEYS[name](): [1]}
    value = live[KEYS[name]()]
    names = Names()
    names.note(Encoding("item", live))
    del live["first"]
    live[KEYS[name]()] = live.pop(KEYS[name]())
    live["log"] = [[], []]
    now = Encoding("item", live)
    names.check(now, Counter)
    place = Items([("item", now)]).place_of(value)
    assert place is not None
    assert at(now, place.words) is value
    live[KEYS[name]()] = [2]
    assert at(Encoding("item", live), place.words) is not value


@pytest.mark.parametrize("name", BY_POSITION)
def test_what_stands_under_an_object_is_found_by_its_position(name: str) -> None:
    keys = [BY_POSITION[name]() for _ in range(3)]
    live = {"first": [0]} | {key: [number] for number, key in enumerate(keys)}
    values = list(live.values())[1:]
    towns = [key for key in keys if isinstance(key, Town)]
    del keys
    restored(live, {BY_POSITION[name](): [10 + number] for number in range(3)} | {"first": [9]})
    assert [value for key, value in live.items() if key != "first"] == values == [[10], [11], [12]]
    assert all(one is two for one, two in zip(list(live.values()), values, strict=False))
    assert all(one is two for one, two in zip(list(live), towns, strict=False))


@pytest.mark.parametrize("name", BY_POSITION)
def test_a_name_for_what_stands_under_an_object_is_followed_by_its_position(name: str) -> None:
    keys = [BY_POSITION[name]() for _ in range(3)]
    live: dict[Any, Any] = {"first": [0]} | {key: [number] for number, key in enumerate(keys)}
    value = live[keys[1]]
    names = Names()
    names.note(Encoding("item", live))
    del live["first"]
    live["log"] = [[], []]
    names.check(Encoding("item", live), Counter)
    del live[keys[0]]
    with pytest.raises(UsageError, match=r"the part (\.key)?\[<\w+> #\d\] of the item 'item' has left its place"):
        names.check(Encoding("item", live), Counter)
    assert value == [1]


def test_parts_of_an_object_that_says_how_it_is_made_are_followed() -> None:
    live: dict[str, Any] = {"first": [0], "ns": types.SimpleNamespace(grid=np.zeros(2))}
    grid = live["ns"].grid
    names = Names()
    names.note(Encoding("item", live))
    del live["first"]
    live["log"] = [[], []]
    names.check(Encoding("item", live), Counter)
    live["ns"].grid = np.ones(2)
    with pytest.raises(UsageError, match="has left its place"):
        names.check(Encoding("item", live), Counter)
    assert grid.tolist() == [0, 0]


def test_equal_texts_of_different_keys_are_different_steps() -> None:
    one, two = Edge(0, 1, 1.0), Edge(0, 1, 2.0)
    live = {one: [1], two: [2]}
    values = list(live.values())
    made = Encoding("item", live)
    places = [Items([("item", made)]).place_of(value) for value in values]
    assert len({place.words for place in places if place is not None}) == 2
    assert [at(made, place.words) for place in places if place is not None] == values
    restored(live, {two: [20], one: [10]})
    assert values == [[10], [20]]
    assert live[one] is values[0]


def test_the_place_that_errors_name_is_the_one_that_decides() -> None:
    """A part that stood at two places became what stood at the other one, and a name for it meant the wrong object."""
    part = [1]
    live: dict[str, Any] = {"deep": [part], "flat": part}
    names = Names()
    names.note(Encoding("item", live))
    later: dict[str, Any] = {"deep": [[2]], "flat": [1, 3]}
    restored(live, later)
    assert live["flat"] is part
    assert part == [1, 3]
    assert live["deep"] == [[2]]


def test_a_key_that_refers_to_itself_is_known_by_its_position() -> None:
    town = Stateful("a")
    town.me = (town, [town])  # type: ignore[attr-defined]
    live = {town: [0], (town,): [1]}
    value = live[town]
    other = Stateful("b")
    other.me = (other, [other])  # type: ignore[attr-defined]
    restored(live, {other: [5], (other,): [6]})
    assert value == [5]
    assert next(iter(live)) is town
    assert town.name == "b"
