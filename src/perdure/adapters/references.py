"""The parts of an object to which the program refers by names other than the object's.

CPython counts the references to each object. Those that parts of the object hold to each other can be found and counted too; what is over
is a name of the program, in a variable, a closure, or an object that is not declared.
"""

from __future__ import annotations

import gc
import sys
from collections import Counter
from collections.abc import Iterable
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import Any, Final

import numpy as np

from perdure.adapters import object_structure
from perdure.adapters.encoding import ATOMS, Encoding, bits_of

STRUCTURES: Final = frozenset(
    ("object", "dict", "OrderedDict", "defaultdict", "list", "set", "deque", "bytearray", "ndarray", "array.array", "rng", "bits", "seeds")
)
"""Kinds of parts that can change, and that stand for what the program has; others are made by the walk itself."""
WALK_MAX: Final = 200_000
"""Objects that are looked at behind a derived value. Arbitrary; it takes a tenth of a second."""


def named_outside(encoding: Encoding, among: Iterable[int] | None = None) -> list[int]:
    """Return the parts, by node, that something outside of the object refers to; of all but the object itself, or `among` those."""
    return list(names_outside(encoding, among))


def names_outside(encoding: Encoding, among: Iterable[int] | None = None) -> dict[int, int]:
    """Return the parts of `named_outside`, and how many references to each come from outside."""
    counts, owned = _counts(encoding.parts)
    parts = encoding.parts
    found = {}
    for index in range(1, len(parts)) if among is None else among:
        if not _may_be_named(encoding, index) or id(parts[index]) in owned:
            continue
        # one of the list of parts, one of the call itself
        names = sys.getrefcount(parts[index]) - counts[id(parts[index])] - 2
        if names > 0:
            found[index] = names
    return found


def _may_be_named(encoding: Encoding, index: int) -> bool:
    """Return whether it matters that the program has a name for a part: it can change, and its identity is no matter of its value."""
    kind, name, *_ = encoding.nodes[index]
    if kind == "object":
        return len(name) == 2 and not object_structure.is_constant(encoding.parts[index])  # longer: a constant of the program
    return kind in STRUCTURES or (kind == "reduced" and id(encoding.parts[index]) in encoding.mutable)


def references_of(part: Any) -> int:
    """Return how many references to a part come from what it refers to itself: `child.parent`, for example."""
    inner = list(reachable(part))
    spaces = {id(object_structure.namespace(one)) for one in inner}
    counts, _ = _counts([one for one in inner if id(one) not in spaces])
    return counts[id(part)]


def _counts(parts: list[Any]) -> tuple[Counter[int], set[int]]:
    """Return how often each object is referred to by `parts`, by id, and the ids of their `__dict__`s."""
    counts: Counter[int] = Counter()
    owned: set[int] = set()
    for part in parts:
        counts.update(map(id, _referents(part)))
        owned.add(id(object_structure.namespace(part)))
    return counts, owned


def _referents(part: Any) -> list[Any]:
    found = gc.get_referents(part)
    space = object_structure.namespace(part)
    if space is not None and any(one is space for one in found):
        found += gc.get_referents(space)
    if isinstance(part, np.ndarray):
        if part.base is not None:
            found.append(part.base)
        if part.dtype.hasobject:
            found += part.view(np.ndarray).ravel().tolist()
    elif isinstance(part, np.random.Generator | np.random.RandomState):
        found = [bits_of(part)]
    elif isinstance(part, np.random.BitGenerator):
        found = [part.seed_seq]
    return found


def reachable(value: Any) -> Iterable[Any]:
    """Yield what a value refers to, directly or by others: not what functions and classes find in their modules."""
    seen: set[int] = set()
    todo = [value]
    while todo and len(seen) < WALK_MAX:
        one = todo.pop()
        if id(one) in seen or type(one) in ATOMS or isinstance(one, type | ModuleType | BuiltinFunctionType):
            continue
        seen.add(id(one))
        yield one
        if isinstance(one, FunctionType):
            todo += [one.__closure__, one.__defaults__, one.__kwdefaults__]
        elif isinstance(one, np.ndarray):
            todo += [one.base, *(one.ravel().tolist() if one.dtype.hasobject else ())]
        else:
            todo += gc.get_referents(one)
