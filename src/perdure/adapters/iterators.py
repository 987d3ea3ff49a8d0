"""The positions of iterators over parts of items.

An iterator that is made before the loop and advanced inside of it begins anew after a recovery. So one that leads to a part has a
position, which is compared at each commit. It leads to a part directly (`iter(state["rows"])`), or through other iterators: `enumerate`,
`zip`, `map`, those of `itertools`, generators. Iterators over anything else are variables that the program does not declare, like counters.
"""

from __future__ import annotations

import gc
import itertools
import operator
from dataclasses import dataclass
from types import GeneratorType
from typing import Any, Final

import numpy as np

from perdure.adapters.encoding import ATOMS
from perdure.adapters.places import Items, Place

STEPS_MAX: Final = 64
"""Iterators and what they hold that are looked at behind one. Arbitrary."""
_LIST_ITERATORS: Final[tuple[type, ...]] = (type(iter([])), type(reversed([])), type(iter(())))


@dataclass(frozen=True, slots=True)
class Position:
    """The position of an iterator: two iterators with equal positions yield the same values."""

    part: Place
    token: tuple[Any, ...]

    def __str__(self) -> str:
        """Return the text for an error message."""
        return f"an iterator over {self.part}"


def position_of(value: Any, items: Items) -> Position | None:
    """Return the position of an iterator that leads to a part of an item; None for anything else."""
    if not _is_iterator(value):
        return None
    part: Place | None = None
    tokens: list[Any] = []
    todo, seen = [value], {id(value)}
    for _ in range(STEPS_MAX):
        if not todo:
            break
        one = todo.pop()
        if not _is_iterator(one) and type(one) is not tuple:
            part = part or items.place_of(one)
            continue
        tokens.append(_token(one))
        for inner in _held(one):
            if id(inner) not in seen and type(inner) not in ATOMS:
                seen.add(id(inner))
                todo.append(inner)
    return None if part is None else Position(part, tuple(tokens))


def _is_iterator(value: Any) -> bool:
    if isinstance(value, GeneratorType):
        return not value.gi_running and value.gi_frame is not None
    cls = type(value)
    return cls.__module__ in ("builtins", "itertools", "collections", "numpy", "_collections") and hasattr(cls, "__next__")


def _held(one: Any) -> list[Any]:
    if isinstance(one, np.flatiter):
        return [one.base]
    found = gc.get_referents(one)
    if isinstance(one, GeneratorType):
        assert one.gi_frame is not None
        found += one.gi_frame.f_locals.values()
    return found


def _token(one: Any) -> Any:
    """Return what changes when an iterator is advanced, besides the iterators that it holds."""
    cls = type(one)
    if cls is tuple:
        return len(one)
    if isinstance(one, GeneratorType):
        assert one.gi_frame is not None
        return one.gi_frame.f_lasti, tuple(sorted((name, repr(at)) for name, at in one.gi_frame.f_locals.items() if type(at) in ATOMS))
    if cls in _LIST_ITERATORS:
        return one.__reduce__()[2:]
    if cls is enumerate:
        return one.__reduce__()[1][1]
    if cls is itertools.count:
        return repr(one)
    if isinstance(one, np.flatiter):
        return one.index
    return operator.length_hint(one, -1)
