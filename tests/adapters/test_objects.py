"""An object comes back as the same object with equal contents, sharing nothing with the snapshot that it came from."""

from __future__ import annotations

import collections
import dataclasses
import threading
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perdure.adapters import objects
from perdure.core.snapshot_index import ALIGNMENT
from perdure.errors import UsageError


@dataclass
class Plain:
    size: int = 0
    table: dict[str, int] = field(default_factory=dict)


@dataclass(slots=True)
class Slotted:
    size: int = 0
    field: Any = None


@dataclass(slots=True)
class Both(Plain):
    """Its fields are in slots, and it has a __dict__ from its base."""

    more: float = 0.0


@dataclass(frozen=True)
class Constant:
    size: int = 0


def stored(value: Any) -> np.ndarray:
    frozen = objects.freeze("item", value)
    slot = np.full(frozen.nbytes, 0xEE, np.uint8)
    frozen.store(slot)
    return slot


def there_and_back(value: Any) -> Any:
    slot = stored(value)
    again = objects.thaw("item", slot)
    slot[:] = 0
    return again


PLAIN_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary() | st.complex_numbers(allow_nan=False),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner, inner) | st.sets(st.integers()),
    max_leaves=20,
)


@settings(deadline=None)  # a loaded machine
@given(st.dictionaries(st.text(), PLAIN_VALUES) | st.lists(PLAIN_VALUES))
def test_any_picklable_object(live: Any) -> None:
    assert there_and_back(live) == live


def test_arrays_lie_beside_the_pickle_and_are_writeable_again() -> None:
    big, fortran = np.arange(100_000.0), np.asfortranarray(np.arange(12).reshape(3, 4))
    live = {
        "big": big,
        "fortran": fortran,
        "strided": big[::7],
        "none": np.empty(0),
        "structured": np.zeros(3, [("a", "i4"), ("b", "M8[s]")]),
    }
    frozen = objects.freeze("item", live)
    assert any(len(part) == big.nbytes for part in frozen.parts[1:]), "a large array was pickled in the stream, at the cost of a copy"
    assert all(start % ALIGNMENT == 0 for start in frozen.starts)
    again = there_and_back(live)
    for name, array in live.items():
        assert again[name].dtype == array.dtype
        assert again[name].tobytes() == array.tobytes()
        assert again[name].flags.writeable
    again["big"][0] = -1
    assert big[0] == 0


def test_what_was_one_object_is_one_object_again() -> None:
    shared: list[Any] = [np.arange(3)]
    live = {"a": shared, "b": shared, "array": shared[0]}
    live["self"] = live
    again = there_and_back(live)
    assert again["a"] is again["b"]
    assert again["a"][0] is again["array"]
    assert again["self"] is again


def test_equal_objects_are_equal_bytes() -> None:
    slots = [np.full(objects.freeze("item", {"a": np.arange(5)}).nbytes, fill, np.uint8) for fill in (0, 255)]
    for slot in slots:
        objects.freeze("item", {"a": np.arange(5)}).store(slot)
    assert slots[0].tobytes() == slots[1].tobytes(), "gaps between the parts hold what was there before"


@pytest.mark.parametrize(
    ("live", "value"),
    [
        ({"old": 1, "kept": 2}, {"kept": 3, "new": [4]}),
        (collections.OrderedDict(b=1), collections.OrderedDict(a=1, b=2)),
        ([1, 2, 3], [4]),
        (Plain(1, {"a": 1}), Plain(2, {"b": 2})),
        (Slotted(1, "a"), Slotted(2, ["b"])),
        (Both(1, {}, 1.5), Both(2, {"b": 2}, 2.5)),
    ],
    ids=["dict", "ordered dict", "list", "dataclass", "dataclass with slots", "slots below a plain class"],
)
def test_a_refilled_object_is_the_same_object_with_equal_contents(live: Any, value: Any) -> None:
    known_elsewhere = [live]
    objects.restore("item", stored(value), live)
    assert live == value
    assert known_elsewhere[0] is live


def test_attributes_that_are_no_fields_come_back_too() -> None:
    live, value = Plain(), Plain()
    live.gone, value.extra = 1, 2  # type: ignore[attr-defined]
    objects.restore("item", stored(value), live)
    assert vars(live) == {**dataclasses.asdict(value), "extra": 2}


def test_what_is_an_object() -> None:
    assert all(map(objects.is_object, ({}, [], collections.defaultdict(int), Plain(), Slotted())))
    assert not any(map(objects.is_object, (1, "a", (), set(), np.zeros(2), Constant(), Plain, None)))


def test_what_cannot_be_pickled_is_the_programs_mistake_and_named() -> None:
    with pytest.raises(UsageError, match=r"'lock' holds at \['lock'\] a lock that cannot be pickled"):
        objects.freeze("lock", {"lock": threading.Lock()})
