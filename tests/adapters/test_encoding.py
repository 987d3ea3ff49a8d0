"""Whatever a program observes of an object comes back as it was, or the object is refused with the path to what cannot."""

from __future__ import annotations

import array
import collections
import contextlib
import copyreg
import dataclasses
import datetime
import decimal
import enum
import functools
import math
import mmap
import random
import re
import threading
import types
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perdure.adapters import objects
from perdure.adapters.encoding import Encoding
from perdure.errors import UsageError


class Book(dict):  # type: ignore[type-arg]
    total = 0


class Words(list):  # type: ignore[type-arg]
    pass


class Node:
    def __init__(self, value: Any = 0) -> None:
        self.value = value
        self.near: list[Node] = []


class Slotted:
    __slots__ = ("left", "right")


class Below(Slotted):
    """It has slots and a __dict__."""


class Colour(enum.Enum):
    RED = 1


class Tagged(np.ndarray):
    pass


class Cached:
    def __init__(self, size: int) -> None:
        self.size = size

    @functools.cached_property
    def table(self) -> list[int]:
        return list(range(self.size))


class Strict:
    """Its own way of setting attributes must not be used."""

    def __init__(self) -> None:
        self.__dict__["value"] = 1

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(name)


class Careful:
    """It leaves its lock out of its pickle, and makes another."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.value = [1, 2]

    def __getstate__(self) -> dict[str, Any]:
        return {"value": self.value}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__()  # type: ignore[misc]
        self.value = state["value"]


class Forgetful:
    def __init__(self) -> None:
        self.kept, self.cache = 1, {"a": 1}

    def __getstate__(self) -> dict[str, Any]:
        return {"kept": self.kept}


class Fickle:
    """Its hash is another one in each process."""

    salt = 1

    def __init__(self, value: int) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Fickle) and other.value == self.value

    def __hash__(self) -> int:
        return self.value + Fickle.salt


class Sealed:
    """It is pickled as `copyreg` says."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def __reduce__(self) -> Any:
        raise TypeError("sealed")


def sealed(value: Any) -> Sealed:
    return Sealed(value)


copyreg.pickle(Sealed, lambda one: (sealed, (one.value,)))
MISSING = object()
DEFAULT = (1, "a")
NO_DATA = float("nan")
TABLE = [("count", "i4"), ("value", "f8", 2)]
Pair = collections.namedtuple("Pair", "left right")


@dataclass(frozen=True)
class Constant:
    values: tuple[int, ...]


def stored(value: Any) -> np.ndarray:
    frozen = objects.freeze("item", value)
    frozen.try_restore()
    slot = np.full(frozen.nbytes, 0xEE, np.uint8)
    frozen.store(slot)
    return slot


def again(value: Any) -> Any:
    """Return what comes back, after checking that it is the same in all that is observed."""
    made = objects.thaw("item", stored(value))
    assert objects.freeze("item", made).equals(stored(value))
    return made


def _with_history(operations: list[tuple[bool, int]]) -> set[int]:
    made: set[int] = set()
    for is_added, number in operations:
        if is_added:
            made.add(number)
        else:
            made.discard(number)
    return made


def _slotted(cls: type) -> Any:
    made = cls()
    made.left = [1]
    if cls is Below:
        made.more = made.left
    return made


def _tagged() -> Any:
    made = np.arange(3).view(Tagged)
    made.tag = "t"
    return made


VALUES = {
    "dict with attributes": lambda: Book({1: 2}),
    "list with attributes": lambda: Words([1, 2]),
    "slots": lambda: _slotted(Slotted),
    "slots and attributes": lambda: _slotted(Below),
    "masked array": lambda: np.ma.array([1.0, 2.0, 3.0], mask=[0, 1, 0], fill_value=7),
    "array subclass": _tagged,
    "record array": lambda: np.zeros(2, [("a", "i4"), ("b", "f8")]).view(np.recarray),
    "defaultdict": lambda: collections.defaultdict(list, {1: [2]}),
    "ordered dict": lambda: collections.OrderedDict([("b", 1), ("a", 2)]),
    "bounded deque": lambda: collections.deque([1, [2]], 3),
    "counter": lambda: collections.Counter("aab"),
    "named tuple": lambda: Pair(1, [2]),
    "enum": lambda: Colour.RED,
    "frozen dataclass": lambda: Constant((1, 2)),
    "cached property": lambda: Cached(3),
    "its own setattr": lambda: Strict(),
    "a lock that it makes anew": lambda: Careful(),
    "random.Random": lambda: random.Random(3),
    "generator": lambda: np.random.default_rng(3),
    "old random state": lambda: np.random.RandomState(3),
    "seed sequence": lambda: np.random.SeedSequence([3, 4], spawn_key=(1,), n_children_spawned=2),
    "namespace": lambda: types.SimpleNamespace(b=[1], a=2),
    "partial": lambda: functools.partial(math.pow, 2),
    "bound method": lambda: Cached(3).__init__,  # type: ignore[misc]
    "decimal": lambda: decimal.Decimal("1.10"),
    "date": lambda: datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC),
    "path": lambda: Path("a/b"),
    "large integer": lambda: 10**5000,
    "numpy scalar": lambda: np.float64(2.5),
    "fortran order": lambda: np.asfortranarray(np.arange(12.0).reshape(3, 4)),
    "strided": lambda: np.arange(100.0).reshape(10, 10)[::2, ::-3],
    "transposed": lambda: np.arange(24.0).reshape(2, 3, 4).transpose(1, 2, 0)[:, ::2],
    "broadcast": lambda: np.broadcast_to(np.float64(3), (4,)),
    "read-only": lambda: np.frombuffer(b"12345678", np.int64),
    "objects in an array": lambda: np.array([[1, "a"], [None, [3]]], dtype=object),
    "no elements": lambda: np.empty((0, 3)),
    "no dimensions": lambda: np.array(2.5),
    "other byte order": lambda: np.arange(3, dtype=">i4"),
    "bytearray": lambda: bytearray(b"ab"),
    "array.array": lambda: array.array("d", [1.5]),
    "set with a history": lambda: _with_history([(True, n * 64) for n in range(40)] + [(False, n * 128) for n in range(20)]),
    "frozenset": lambda: frozenset("abc"),
    "function": lambda: math.sin,
    "class": lambda: Node,
    "ellipsis and types": lambda: [..., type(None), NotImplemented, int, np.float32, np.dtype("f4")],
    "exception": lambda: ValueError("a", 1),
    "deep": lambda: functools.reduce(lambda inner, _: [inner], range(5000), []),
    "nan": lambda: [math.nan, float("nan"), np.nan, complex("nan")],
    "surrogate": lambda: "\udcff",
    "sentinels": lambda: [MISSING, dataclasses.MISSING, np.ma.masked, MISSING],
    "constants": lambda: [DEFAULT, NO_DATA, (DEFAULT, NO_DATA)],
    "by copyreg": lambda: Sealed([1, {"a": 2}]),
    "structured": lambda: np.array([(1, (2.5, -0.0)), (3, (np.nan, 4))], TABLE),
    "row as an array": lambda: np.array(np.array([(1, (2.5, -0.0))], TABLE)[0]),
}


@pytest.mark.parametrize("name", VALUES)
def test_every_kind_comes_back_as_it_was(name: str) -> None:
    value = VALUES[name]()
    if isinstance(value, Book | Words):
        value.total = 5  # type: ignore[union-attr]
    made = again({"value": value, "twice": value})
    assert made["value"] is made["twice"] or isinstance(value, int | str)
    assert type(made["value"]) is type(value)


def test_attributes_of_containers_come_back() -> None:
    book = Book({1: 2})
    book.total = 7
    assert again([book])[0].total == 7


def test_the_order_of_a_set_and_what_it_pops_come_back() -> None:
    value = _with_history([(True, n * 64) for n in range(40)] + [(False, n * 128) for n in range(20)])
    made = again([value])[0]
    for number in range(100):
        value.add(number * 7)
        made.add(number * 7)
        assert value.pop() == made.pop()
    assert list(made) == list(value)


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 2000))))
def test_sets_of_any_history(operations: list[tuple[bool, int]]) -> None:
    value = _with_history(operations)
    made = again([value, frozenset(value)])
    assert list(made[0]) == list(value)
    assert list(made[1]) == list(frozenset(value))


def test_views_go_on_showing_their_array() -> None:
    full = np.zeros((6, 6))
    made = again({"full": full, "inner": full[1:-1, 1:-1], "backwards": full[::-1], "flat": full.reshape(-1)})
    made["inner"] += 1
    assert made["full"].sum() == made["flat"].sum() == made["backwards"].sum() == 16


def test_the_identity_of_nan_comes_back() -> None:
    mine = float("nan")
    made = again({"missing": mine, "values": [mine, 1.0], "others": [float("nan")], "numpy": [np.nan]})
    assert made["missing"] in made["values"]
    assert made["missing"] not in made["others"]
    assert np.nan in made["numpy"]


def test_spawned_children_count() -> None:
    rng = np.random.default_rng(1)
    rng.spawn(3)
    made = again([rng])[0]
    assert made.spawn(1)[0].random() == rng.spawn(1)[0].random()


def test_a_large_mesh_of_objects_is_linear() -> None:
    size = 60
    mesh = [[Node(row * size + column) for column in range(size)] for row in range(size)]
    for row in range(size):
        for column in range(size):
            mesh[row][column].near = [mesh[row - 1][column], mesh[row][column - 1]]
    made = again({"mesh": mesh})["mesh"]
    assert made[3][4].near[0] is made[2][4]


def test_cycles_through_every_container() -> None:
    node = Node()
    ring: list[Any] = []
    ring.append((ring, {"ring": ring, node: ring}, collections.deque([ring])))
    node.value = ring
    made = again(ring)
    assert made[0][0] is made[0][1]["ring"] is made[0][2][0] is made


ATOMS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.binary(max_size=5) | st.complex_numbers()


def _nodes(value: Any) -> Node:
    made = Node(value)
    made.near = [made]
    return made


class Named:
    """It is hashed by its name, and holds a dict in which it is a key."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.near = {self: name}

    def __hash__(self) -> int:
        return hash(self.name)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Named) and other.name == self.name


KEYS = st.sampled_from(
    [
        Colour.RED,
        datetime.date(2026, 1, 1),
        decimal.Decimal("1.5"),
        Constant((1, 2)),
        (Colour.RED, 1),
        np.int64(7),
        frozenset("ab"),
        Node,
        None,
    ]
) | st.sampled_from("abc").flatmap(lambda name: st.builds(Named, st.just(name)) | st.builds(Node, st.just(name)))
NESTED = st.recursive(
    ATOMS | st.sampled_from(list(VALUES)).filter(lambda name: name != "deep").map(lambda name: VALUES[name]()),
    lambda inner: (
        st.lists(inner, max_size=4).flatmap(lambda some: st.just(some + some[:1]))  # the same part twice
        | st.dictionaries(st.text(max_size=3) | st.integers(0, 99) | KEYS, inner, max_size=4)
        | st.tuples(inner, inner)
        | inner.map(_nodes)
        | st.lists(inner, max_size=3).map(collections.deque)
        | st.lists(inner, max_size=3).map(Words)
    ),
    max_leaves=15,
)


@settings(deadline=None, max_examples=200)
@given(NESTED)
def test_any_nest_of_them(value: Any) -> None:
    again({"value": value})


@settings(deadline=None, max_examples=200)
@given(NESTED, NESTED)
def test_any_nest_is_restored_into_any_other(value: Any, other: Any) -> None:
    live = {"value": other}
    slot = stored({"value": value})
    with contextlib.suppress(UsageError):  # hypothesis itself may have names for parts of `other`
        objects.restore("item", slot, live)
    assert objects.freeze("item", live).equals(slot)


VIEWS = {"memory view": lambda: memoryview(bytearray(3)), "row": lambda: np.zeros(2, TABLE)[1], "lock": threading.Lock}


@settings(deadline=None, max_examples=50)
@given(NESTED, st.lists(st.sampled_from(["key", 0, "near"]), max_size=4), st.sampled_from(sorted(VIEWS)))
def test_what_cannot_come_back_is_refused_wherever_it_is(beside: Any, path: list[Any], what: str) -> None:
    value: Any = VIEWS[what]()
    for step in path:
        value = {"key": value} if step == "key" else [value, beside] if step == 0 else _nodes(value)
    where = "".join("['key']" if step == "key" else "[0]" if step == 0 else ".value" for step in reversed(path))
    with pytest.raises(UsageError, match=re.escape(f"['here']{where} a ")):
        objects.freeze("item", {"here": value, "beside": beside})


REFUSED = {
    "a lock": (lambda: threading.Lock(), "lock"),
    "a bare object": (lambda: object(), "bare object"),
    "a lambda": (lambda: lambda: 1, "lambda or a local function"),
    "a memory view": (lambda: memoryview(bytearray(3)), "memoryview"),
    "a module": (lambda: math, "module"),
    "a generator": (lambda: (one for one in ()), "generator"),
    "a row of a structured array": (lambda: np.zeros(2, [("a", "i4")])[0], "row of a structured array"),
    "a copy of a row": (lambda: np.zeros(2, [("a", "i4")])[0].copy(), r"or np.array\(row\), instead"),
    "a mapped file": (lambda: np.frombuffer(mmap.mmap(-1, 64), np.uint8), "mapped file"),
    "an object that forgets": (lambda: Forgetful(), "loses cache"),
    "a set of tuples by address": (lambda: {(None, 1)}, "hashed by their address"),
    "a set by address": (lambda: {Node(), Node()}, "hashed by their address"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_come_back_is_refused_with_its_place(name: str) -> None:
    make, words = REFUSED[name]
    with pytest.raises(UsageError, match=words) as caught:
        stored({"outer": [make()]})
    assert "'item' holds at ['outer'][0]" in str(caught.value)


def test_a_buffer_and_an_array_of_it_are_refused() -> None:
    raw = bytearray(8)
    with pytest.raises(UsageError, match="memory that"):
        stored({"raw": raw, "seen": np.frombuffer(raw, np.uint8)})


def test_ids_as_keys_are_refused() -> None:
    node = Node()
    with pytest.raises(UsageError, match=r"id\(\) of \['node'\]"):
        stored({"node": node, "found": {id(node): 1}})


def test_equal_objects_are_equal_bytes() -> None:
    one, two = ({"a": Book({1: [2, 3]}), "b": np.arange(5)[::2]} for _ in range(2))
    assert Encoding("x", one).head() == Encoding("x", two).head()
    assert objects.freeze("x", one).digest() == objects.freeze("x", two).digest()


# ---- in place ---------------------------------------------------------------------------------------------------------------


def test_names_of_parts_go_on_meaning_them() -> None:
    model, grid, rng = Node(1), np.zeros(4), np.random.default_rng(1)
    live = {"model": model, "grid": grid, "rng": rng, "list": [model]}
    later = {"model": Node(5), "grid": np.arange(4.0), "rng": np.random.default_rng(9), "list": [Node(6), Node(7)]}
    later["list"][0] = later["model"]  # type: ignore[index]
    objects.restore("item", stored(later), live)
    assert live["model"] is model is live["list"][0]  # type: ignore[index]
    assert model.value == 5
    assert live["grid"] is grid
    assert grid.tolist() == [0, 1, 2, 3]
    assert live["rng"] is rng
    assert rng.random() == np.random.default_rng(9).random()


def test_a_name_that_would_be_out_of_date_is_refused() -> None:
    grid = np.zeros(4)
    live = {"grid": grid}
    with pytest.raises(UsageError, match=r"another object at \['grid'\]"):
        objects.restore("item", stored({"grid": np.zeros(5)}), live)


def test_a_part_without_a_name_may_be_replaced() -> None:
    live = {"grid": np.zeros(4), "node": Node([1])}
    objects.restore("item", stored({"grid": np.zeros(5), "node": [Node()]}), live)
    assert live["grid"].shape == (5,)  # type: ignore[union-attr]


def test_a_set_with_other_hashes_in_another_process_is_refused() -> None:
    slot = stored({"set": {Fickle(1), Fickle(2)}})
    Fickle.salt += 1
    with pytest.raises(UsageError, match="other hashes in this process"):
        objects.thaw("item", slot)
