"""All declared items go into one slot and come back; a program that declares them otherwise is told what and where."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest

from perdure.adapters import items, objects
from perdure.adapters.adapter import DeclaredItem
from perdure.adapters.array_items import ArrayItem
from perdure.adapters.object_items import ObjectItem
from perdure.core.snapshot_index import ALIGNMENT, Form, Kind, SnapshotIndex, replicated_start
from perdure.errors import UsageError


def array(name: str, live: np.ndarray, kind: Kind = Kind.SHARDED, halo: int = 0, axis: int = 0) -> ArrayItem:
    rows = live.shape[axis] - 2 * halo if live.ndim else 0
    own = live[(slice(None),) * axis + (slice(halo, halo + rows),)] if halo else live
    return ArrayItem(name=name, kind=kind, live=live, own=own, global_shape=live.shape, axis=axis, halo=halo)


def box(name: str, live: Any, kind: Kind = Kind.PRIVATE) -> ObjectItem:
    return ObjectItem(name=name, kind=kind, live=live)


def pack(*entries: DeclaredItem) -> tuple[SnapshotIndex, np.ndarray]:
    made: list[np.ndarray] = []

    def slot(nbytes: int) -> np.ndarray:
        made.append(np.full(nbytes + 100, 0xEE, np.uint8))
        return made[0]

    offer = items.pack(entries, slot, rank=3, next_position=7, ended_at=-1)
    return offer, made[0]


def everything() -> list[DeclaredItem]:
    return [
        array("plate", np.arange(30.0).reshape(6, 5), halo=1),
        box("settings", {"a": 1, "table": np.arange(1000)}),
        array("shared", np.arange(7, dtype="i2"), Kind.REPLICATED),
        box("words", ["x"], Kind.REPLICATED),
        array("none", np.empty((0, 3))),
        array("scalar", np.array(2.5), Kind.PRIVATE),
    ]


def test_everything_comes_back_into_the_same_objects() -> None:
    before, now = everything(), everything()
    offer, slot = pack(*before)
    for entry in now:
        if isinstance(entry, ArrayItem):
            entry.own[...] = 0
        else:
            entry.live.clear()
    lives = [entry.live for entry in now]
    assert items.unpack(now, offer, slot)
    for old, new, live in zip(before, now, lives, strict=True):
        assert new.live is live
        if isinstance(old, ArrayItem) and isinstance(new, ArrayItem):
            assert new.own.tobytes() == old.own.tobytes()
        else:
            assert objects.freeze("x", new.live).digest() == objects.freeze("x", old.live).digest()


def test_an_offer_says_where_everything_lies() -> None:
    offer, slot = pack(*everything())
    assert (offer.rank, offer.next_position, offer.ended_at) == (3, 7, -1)
    assert [item.name for item in offer.items] == ["plate", "settings", "shared", "words", "none", "scalar"]
    for region in (True, False):
        inside = [item for item in offer.items if (item.kind is Kind.REPLICATED) is region]
        ends = [item.offset + item.nbytes for item in inside]
        assert all(item.offset % ALIGNMENT == 0 for item in inside)
        assert all(item.offset >= end for item, end in zip(inside[1:], ends, strict=False)), "items overlap"
        assert ends[-1] == (offer.replicated_bytes if region else offer.coded_bytes)
    shared = next(item for item in offer.items if item.name == "shared")
    start = replicated_start(offer.coded_bytes) + shared.offset
    assert slot[start : start + shared.nbytes].tobytes() == np.arange(7, dtype="i2").tobytes()
    assert (slot[replicated_start(offer.coded_bytes) + offer.replicated_bytes :] == 0xEE).all(), "the copy ran over its end"


def test_ghost_rows_are_neither_kept_nor_counted_in_the_digest() -> None:
    one, other = (array("plate", np.arange(30.0).reshape(6, 5), halo=1) for _ in range(2))
    other.live[0] = other.live[-1] = 99.0
    assert pack(one)[0].items[0].digest == pack(other)[0].items[0].digest
    assert pack(one)[0].items[0].nbytes == 4 * 5 * 8


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("dtype", ["f4", "c8", "i2", "u1", "?", "M8[s]", "m8[ns]", "U3", "S2", [("a", "f8"), ("b", "?")]], ids=str)
def test_ghost_rows_hold_nothing_that_could_pass_for_a_value(dtype: Any, axis: int) -> None:
    entry = array("plate", np.zeros((6, 6), dtype), halo=2, axis=axis)
    offer, slot = pack(entry)
    assert items.unpack([entry], offer, slot)
    ghosts = np.concatenate([np.take(entry.live, range(2), axis), np.take(entry.live, range(4, 6), axis)], axis)
    zero = np.zeros((), entry.live.dtype)
    assert not any(ghost.tobytes() == zero.tobytes() for ghost in ghosts.ravel())
    assert (entry.own == zero).all()
    if entry.live.dtype.kind in "fc":
        assert np.isnan(ghosts).all()


def test_an_item_that_cannot_be_copied_is_named() -> None:
    with pytest.raises(UsageError, match=r"'lock' holds at \[0\] a lock that cannot be pickled"):
        pack(box("lock", [threading.Lock()]))


@pytest.mark.parametrize(
    ("declared", "what"),
    [
        ([], "'plate' was committed and is not declared any more"),
        ([array("plate", np.zeros(4)), box("new", [])], "'new' was not declared when the state was committed"),
        ([array("plate", np.zeros(4), Kind.PRIVATE)], "'plate' was committed as a sharded array and is declared as another"),
        ([box("plate", [], Kind.SHARDED)], "'plate' was committed as a sharded array and is declared as another"),
        ([array("plate", np.zeros(5))], r"'plate' was committed as <f8 \(4,\) and is declared as <f8 \(5,\)"),
        ([array("plate", np.zeros(4, "f4"))], r"'plate' was committed as <f8 \(4,\) and is declared as <f4 \(4,\)"),
    ],
    ids=["missing", "new", "another kind", "another form", "another shape", "another dtype"],
)
def test_declarations_that_differ_from_the_snapshot(declared: list[DeclaredItem], what: str) -> None:
    offer, slot = pack(array("plate", np.arange(4.0)))
    with pytest.raises(UsageError, match=what):
        items.unpack(declared, offer, slot)


def test_each_adapter_has_a_form() -> None:
    assert array("a", np.zeros(1)).form is Form.ARRAY
    assert box("b", {}).form is Form.OBJECT
