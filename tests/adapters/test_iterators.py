"""An iterator over a part that has advanced is seen; one that has not, or that leads to no part, is not."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from perdure.adapters.encoding import Encoding
from perdure.adapters.iterators import position_of
from perdure.adapters.places import Items

STATE: dict[str, Any] = {
    "list": [1, 2, 3, 4], "dict": {1: 2, 3: 4}, "set": {1, 2, 3}, "deque": deque([1, 2, 3]), "array": np.arange(4), "rows": [[1], [2], [3]],
}  # fmt: skip


def generator(rows: list[Any]) -> Iterator[Any]:
    for number in range(3):
        yield rows[number]


MADE: list[Callable[[], Iterator[Any]]] = [
    lambda: iter(STATE["list"]), lambda: reversed(STATE["list"]), lambda: iter(STATE["dict"]), lambda: iter(STATE["dict"].items()),
    lambda: iter(STATE["set"]), lambda: iter(STATE["deque"]), lambda: iter(STATE["array"]), lambda: STATE["array"].flat,
    lambda: enumerate(STATE["list"]), lambda: zip(itertools.count(), STATE["rows"], strict=False), lambda: map(len, STATE["rows"]),
    lambda: filter(None, STATE["list"]), lambda: itertools.islice(STATE["list"], 3), lambda: itertools.cycle(STATE["list"]),
    lambda: itertools.chain(STATE["list"], STATE["rows"]), lambda: itertools.pairwise(STATE["list"]),
    lambda: (one for one in STATE["rows"]), lambda: generator(STATE["rows"]), lambda: itertools.repeat(STATE["list"], 3),
]  # fmt: skip


@pytest.mark.parametrize("make", MADE)
def test_each_step_is_another_position(make: Callable[[], Iterator[Any]]) -> None:
    items = Items([("state", Encoding("state", STATE))])
    iterator = make()
    seen = [position_of(iterator, items)]
    assert seen[0] is not None
    assert position_of(iterator, items) == seen[0]
    for _ in range(2):
        next(iterator)
        seen.append(position_of(iterator, items))
    tokens = [one and one.token for one in seen]
    assert len(set(tokens)) == 3


@pytest.mark.parametrize("value", [iter([1, 2]), itertools.count(), (one for one in range(3)), [1], STATE["list"], None])
def test_what_leads_to_no_part_has_no_position(value: Any) -> None:
    assert position_of(value, Items([("state", Encoding("state", STATE))])) is None
