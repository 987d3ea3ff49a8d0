"""The values that a value of the program holds, and the steps that find them again at a later commit.

A *step* leads from a value to one that it holds: an element, an attribute, the variable that a function captured. It is fixed if the value
cannot be given another one without making another value (a tuple's element, what a bound method belongs to), or if it is a variable itself
(a captured one).
"""

from __future__ import annotations

import functools
from collections import deque
from collections.abc import Callable, Container, Iterable, Iterator
from enum import Enum
from types import BuiltinFunctionType, FunctionType, MethodType, MethodWrapperType, ModuleType, SimpleNamespace
from typing import Any, Final

import numpy as np

from perdure.adapters import object_structure
from perdure.adapters.encoding import ATOMS

Step = tuple[str, Any]
"""The kind of a step, and which of that kind."""
Trail = tuple["Trail | None", Any]
"""The steps to a value: the trail to what holds it and the last step; of a variable itself, None and its root."""

DEPTH: Final = 8
"""Steps from a variable. Arbitrary: a solver that holds a dict of domains that hold lists of fields needs six."""
ELEMENTS_MAX: Final = 10_000
"""The maximal length of a list, tuple or dict whose elements are examined. Arbitrary: a longer one holds data, not names."""
VALUES_MAX: Final = 200_000
"""Values that are looked at in all. Arbitrary; it takes about a second, once in each entry of `main`."""
FIXED_MAX: Final = 64
"""Elements of a tuple that are looked at in each commit, whatever they were before. Arbitrary, for that takes a microsecond each."""
MISSING: Final = object_structure.MISSING
_BUILT_IN_METHODS: Final = (BuiltinFunctionType, MethodWrapperType)
OPAQUE: Final = ATOMS | {ModuleType}
"""Types of values that are no part and hold nothing."""


def walk(
    roots: Iterable[tuple[Any, Any]], part_of: Callable[[Any], Any], modules: Container[str]
) -> Iterator[tuple[Trail, Any, Any, Trail | None]]:
    """Yield what variables hold, breadth first: the trail, the value, what `part_of` returns, and the trail on which it was seen before.

    `roots`: the variables, with their values. `modules`: the names of the program's modules, whose classes are looked into. Neither parts
    of items are looked into, nor values that have been seen before.
    """
    todo: deque[tuple[Trail, Any, int]] = deque(((None, root), value, 0) for root, value in roots)
    seen: dict[int, tuple[Trail, Any]] = {}
    budget = VALUES_MAX
    while todo and budget > 0:
        trail, value, depth = todo.popleft()
        budget -= 1
        part = part_of(value)
        before = seen.get(id(value))
        yield trail, value, part, before[0] if before is not None else None
        if depth < DEPTH and part is None and before is None:
            seen[id(value)] = trail, value  # which keeps a value alive that was made for this, and so its id
            held = contents(value, modules)
            budget -= len(held) // 8
            todo += [((trail, step), one, depth + 1) for step, one in held if type(one) not in OPAQUE]


def root_of(trail: Trail) -> Any:
    """Return the variable that a trail begins with."""
    while trail[0] is not None:
        trail = trail[0]
    return trail[1]


def contents(value: Any, modules: Container[str]) -> list[tuple[Step, Any]]:
    """Return what a value of the program holds, with the step to each. Atoms may be left out."""
    if isinstance(value, type):
        return _of_class(value) if getattr(value, "__module__", None) in modules else []
    found = fixed(value, ELEMENTS_MAX)
    cls = type(value)
    if issubclass(cls, list | deque) and len(value) <= ELEMENTS_MAX:
        found += [(("element", number), one) for number, one in enumerate(list(_iterator(cls)(value)))]
    elif issubclass(cls, dict) and len(value) <= ELEMENTS_MAX:
        entries = list(dict.items(value))
        if all(map(_is_plain_key, dict.keys(value))):
            found += [(("key", key), one) for key, one in entries]
        else:  # a key may be a part of an item, to which a step must not refer
            found += [(("entry", number), one) for number, (_, one) in enumerate(entries)]
    elif cls is np.ndarray and value.dtype == object and value.size <= ELEMENTS_MAX:
        found += [(("flat", number), one) for number, one in enumerate(value.ravel().tolist())]
    elif cls is FunctionType:
        found += [(("default", number), one) for number, one in enumerate(value.__defaults__ or ())]
    found += [(("attribute", name), one) for name, one in _attributes(value)]
    return found


def fixed(value: Any, elements_max: int = FIXED_MAX) -> list[tuple[Step, Any]]:
    """Return what a value holds by fixed steps: a tuple if it has at most so many elements."""
    cls = type(value)
    if cls is FunctionType:
        cells = zip(value.__code__.co_freevars, value.__closure__ or (), strict=True)
        return [(("cell", (number, name)), one) for number, (name, cell) in enumerate(cells) if (one := _content(cell)) is not MISSING]
    if cls is MethodType:
        return [(("own", "__self__"), value.__self__), (("own", "__func__"), value.__func__)]
    if cls in _BUILT_IN_METHODS:
        return [] if value.__self__ is None or isinstance(value.__self__, ModuleType) else [(("own", "__self__"), value.__self__)]
    if issubclass(cls, tuple):
        return [(("field", number), one) for number, one in enumerate(tuple.__iter__(value))] if len(value) <= elements_max else []
    if issubclass(cls, functools.partial):
        found: list[tuple[Step, Any]] = [(("own", "func"), value.func)]
        found += [(("argument", number), one) for number, one in enumerate(value.args)]
        return found + [(("keyword", name), one) for name, one in value.keywords.items()]
    if cls in (staticmethod, classmethod):
        return [(("own", "__func__"), value.__func__)]
    return []


FIXED: Final = frozenset({"cell", "own", "field", "argument", "keyword"})
"""The kinds of steps that `fixed` returns."""


def follow(value: Any, step: Step) -> Any:
    """Return what a value holds at a step now, or `MISSING`."""
    kind, key = step
    try:
        return _FOLLOW[kind](value, key)
    except (LookupError, AttributeError, TypeError):  # the value is another one now, of another type
        return MISSING


def word(value: Any, step: Step) -> str:
    """Return the text of a step from a value, or from `MISSING`, for an error message."""
    kind, key = step
    if kind == "field" and key < len(names := getattr(type(value), "_fields", ())):
        return f".{names[key]}"
    return _WORD[kind](key)


def own_names(value: Any) -> dict[str, Any] | None:
    """Return the `__dict__` of an object whose attributes are looked at, or None."""
    return value.__dict__ if isinstance(value, SimpleNamespace | FunctionType) else object_structure.namespace(value)


def _of_class(cls: type) -> list[tuple[Step, Any]]:
    return [(("class", name), one) for name, one in list(vars(cls).items()) if not (name.startswith("__") and name.endswith("__"))]


def _attributes(value: Any) -> Iterable[tuple[str, Any]]:
    cls = type(value)
    if cls is SimpleNamespace or cls is FunctionType:
        return list(value.__dict__.items())
    if not object_structure.is_plain(cls) or str(cls.__module__).partition(".")[0] == "perdure":
        return ()
    return list(object_structure.attributes(value))


def _iterator(cls: type) -> Callable[[Any], Iterator[Any]]:
    return list.__iter__ if issubclass(cls, list) else deque.__iter__


def _is_plain_key(key: Any) -> bool:
    """Return whether a key of a dict is no part of an item."""
    return type(key) in ATOMS or isinstance(key, Enum | type) or (type(key) is tuple and all(type(one) in ATOMS for one in key))


def _content(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # it is empty
        return MISSING


def _attribute(value: Any, name: str) -> Any:
    own = own_names(value)
    if own is not None and name in own:
        return own[name]
    return dict(object_structure.slot_names(type(value)))[name].__get__(value)


def _element(value: Any, number: int) -> Any:
    return list.__getitem__(value, number) if isinstance(value, list) else deque.__getitem__(value, number)


_FOLLOW: Final[dict[str, Callable[[Any, Any], Any]]] = {
    "element": _element,
    "field": tuple.__getitem__,
    "key": lambda value, key: dict.get(value, key, MISSING),  # `[]` would call `__missing__`
    "entry": lambda value, number: list(dict.values(value))[number],
    "flat": lambda value, number: value.flat[number],
    "attribute": _attribute,
    "class": lambda value, name: type.__getattribute__(value, "__dict__")[name],
    "cell": lambda value, key: _content(value.__closure__[key[0]]),
    "own": getattr,
    "argument": lambda value, number: value.args[number],
    "keyword": lambda value, name: value.keywords[name],
    "default": lambda value, number: value.__defaults__[number],
}
_WORD: Final[dict[str, Callable[[Any], str]]] = {
    "element": "[{}]".format,
    "field": "[{}]".format,
    "key": "[{!r}]".format,
    "entry": ".values()[{}]".format,
    "flat": ".flat[{}]".format,
    "attribute": lambda name: f".{name.rpartition('.')[2]}",
    "class": ".{}".format,
    "cell": lambda key: f".__closure__[{key[1]!r}]",
    "own": ".{}".format,
    "argument": ".args[{}]".format,
    "keyword": ".keywords[{!r}]".format,
    "default": ".__defaults__[{}]".format,
}
