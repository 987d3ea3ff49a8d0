"""Two runs that computed the same say so, and two that did not never do."""

from __future__ import annotations

import copy
import enum
import pickle
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from perdure.adapters.canonical import digest


class Colour(enum.Enum):
    RED = 1
    BLUE = 2


@dataclass
class Point:
    x: float
    y: Any


@dataclass
class Place:
    x: float
    y: Any


class Reduced:
    """Neither a container nor a dataclass: what it is made of, its pickle says."""

    def __init__(self, content: Any) -> None:
        self.content = content


DIFFERENT = [
    None, True, False, 0, 1, -1, 2**70, 0.0, -0.0, 1.0, float("nan"), float("inf"), 1j, "", "1", "\ud800", b"", b"1", bytearray(b"1"),
    [], (), {}, set(), frozenset(), [1], (1,), [1, 2], [2, 1], [[1], 2], [1, [2]], [[1, 2]], [1.0], [True], ["1"], [b"1"], {1: 2}, {2: 1},
    {1}, {1, 2}, {"a": 1, "b": 2}, {"b": 2, "a": 1}, Point(1.0, 2), Point(2.0, 1), Place(1.0, 2), Colour.RED, Colour.BLUE, Colour,
    np.zeros(2), np.zeros((2, 1)), np.zeros(2, "f4"), np.zeros(2, "M8[s]"), np.zeros(2, "M8[ms]"), np.float64(0.0),
    np.float32(0.0), np.array([None, 1]), np.array([None, 2]), np.zeros(1, [("a", "f8")]), np.zeros(1, [("b", "f8")]), len, max,
    Reduced(1), Reduced(2), np.random.default_rng(1), np.random.default_rng(2),
]  # fmt: skip


def test_different_values_have_different_digests() -> None:
    found: dict[int, Any] = {}
    for value in DIFFERENT:
        assert found.setdefault(digest(value), value) is value, f"{value!r} and {found[digest(value)]!r} have one digest"


@pytest.mark.parametrize("value", DIFFERENT, ids=lambda value: f"{type(value).__name__} {value!r}".partition(" at 0x")[0][:40])
def test_a_copy_has_the_digest_of_the_original(value: Any) -> None:
    assert digest(copy.deepcopy(value)) == digest(value)
    assert digest(pickle.loads(pickle.dumps([value]))) == digest([value])


def test_whether_equal_parts_are_one_object_does_not_count() -> None:
    one, other = "".join(["a", "b"]), "".join(["a", "b"])
    assert one is not other
    assert digest({"x": [one, one]}) == digest({"x": [one, other]})
    array = np.arange(3)
    assert digest([array, array]) == digest([array, array.copy()])


def test_the_order_in_which_a_set_was_filled_does_not_count() -> None:
    assert digest({f"{i}" for i in range(100)}) == digest({f"{i}" for i in reversed(range(100))})


def test_the_memory_order_of_an_array_does_not_count() -> None:
    array = np.arange(12).reshape(3, 4)
    assert digest(array) == digest(np.asfortranarray(array)) == digest(array[::-1].copy()[::-1])


def test_the_byte_order_of_an_array_does_not_count_for_its_pickle_may_forget_it() -> None:
    array = np.arange(6, dtype=">f8")[::2]
    assert digest(array) == digest(array.astype("f8"))
    assert digest(pickle.loads(pickle.dumps(array))) == digest(array)


def test_a_container_may_hold_itself() -> None:
    def knot(depth: int) -> list[Any]:
        value: list[Any] = []
        inner = value
        for _ in range(depth):
            inner.append([])
            inner = inner[0]
        inner.append(value)
        return value

    assert digest(knot(1)) == digest(knot(1))
    assert digest(knot(1)) != digest(knot(2))


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner, inner),
    max_leaves=12,
)


@given(VALUES, VALUES)
def test_any_two_values(one: Any, other: Any) -> None:
    assert digest(pickle.loads(pickle.dumps(one))) == digest(one)
    assume(repr(one) != repr(other))
    assert digest(one) != digest(other)
