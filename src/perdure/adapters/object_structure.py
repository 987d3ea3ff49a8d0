"""The structure of Python objects: the base class in C, the attributes, and the reduce method.

An object of a *plain* class (one made by a `class` statement) is its base's contents (none for `object`, the elements of a list, ...) and
its attributes: those in `__dict__` and those in slots. Reading and setting both directly restores it exactly, whatever its `__init__`
or `__setattr__` do. An object whose class customises pickling, or whose base in C is unknown, is asked by `__reduce_ex__`.
"""

from __future__ import annotations

import collections
import functools
import operator
import sys
import types
from collections.abc import Callable, Iterator
from typing import Any, Final, TypeVar

import numpy as np

_HEAP_TYPE: Final = 1 << 9
"""Py_TPFLAGS_HEAPTYPE."""
STRUCTURAL: Final = (
    object, dict, list, tuple, set, frozenset, int, float, complex, str, bytes, bytearray, np.ndarray,
    collections.OrderedDict, collections.defaultdict, collections.deque,
)  # fmt: skip
"""Bases whose contents `encoding` reads and `decoding` sets."""
_NEVER_CHANGE: Final = (slice, operator.itemgetter, operator.attrgetter, operator.methodcaller)
_PICKLING: Final = ("__reduce__", "__reduce_ex__", "__getstate__", "__setstate__", "__getnewargs__", "__getnewargs_ex__")
MISSING: Final = object()
_Answer = TypeVar("_Answer")


def _cached(function: Callable[[type], _Answer]) -> Callable[[type], _Answer]:
    """Return a function that answers once for each class."""
    return functools.cache(function)


@_cached
def is_plain(cls: type) -> bool:
    """Return whether a `class` statement has made `cls`: it adds no state in C to that of its bases."""
    if not cls.__flags__ & _HEAP_TYPE:
        return False
    if "__slots__" in vars(cls) or "__weakref__" in vars(cls):
        return True
    return bool(cls.__basicsize__ == max(base.__basicsize__ for base in cls.__bases__)) and "__new__" not in _builtin_names(cls)


def _builtin_names(cls: type) -> list[str]:
    return [name for name, value in vars(cls).items() if isinstance(value, types.BuiltinFunctionType)]


@_cached
def c_base(cls: type) -> type:
    """Return the base whose contents are in C: the first class of the method resolution order that is not plain.

    Of several that are related the most derived one comes first there (`OrderedDict` before `dict`).
    """
    bases = [base for base in cls.__mro__ if not is_plain(base) and base is not object]
    return bases[0] if bases else object


@_cached
def is_reduced(cls: type) -> bool:
    """Return whether objects of `cls` are taken apart by `__reduce_ex__` and not attribute by attribute."""
    base = c_base(cls)
    if base is np.ndarray:
        return False  # subclasses keep their attributes beside the data, and pickling them forgets some
    if base not in STRUCTURAL:
        return True
    customised = {
        name for one in cls.__mro__ if is_plain(one) and one is not collections.Counter for name in _PICKLING if name in vars(one)
    }
    return bool(customised - ({"__getnewargs__"} if base is tuple else set()))  # which a named tuple has


@_cached
def slot_names(cls: type) -> tuple[tuple[str, Any], ...]:
    """Return the slots of all plain classes of `cls`: each name as it is set, and its descriptor."""
    found = []
    for one in cls.__mro__:
        if is_plain(one):
            for name, member in vars(one).items():
                if isinstance(member, types.MemberDescriptorType):
                    found.append((f"{one.__qualname__}.{name}", member))
    return tuple(found)


def attributes(value: Any) -> Iterator[tuple[str, Any]]:
    """Yield the names and values of an object's own attributes: of its slots by `Class.name`, then those in `__dict__` in order."""
    for name, member in slot_names(type(value)):
        try:
            yield name, member.__get__(value)
        except AttributeError:
            continue
    own = namespace(value)
    if own:
        yield from own.items()


def namespace(value: Any) -> dict[str, Any] | None:
    """Return the `__dict__` of an object of a plain class, or None. Others make one when they are asked, which their pickle would show."""
    if type(value).__dictoffset__ == 0 or not is_plain(type(value)):
        return None
    own = getattr(value, "__dict__", None)
    return own if isinstance(own, dict) else None


def set_attributes(value: Any, found: dict[str, Any]) -> None:
    """Make these an object's own attributes, and no others; neither `__setattr__` nor a property is called.

    `__dict__` stays the same object, for the program may have a name for it (`vars(value)`).
    """
    found = dict(found)
    for name, member in slot_names(type(value)):
        wanted = found.pop(name, MISSING)
        if wanted is not MISSING:
            member.__set__(value, wanted)
        elif _has(member, value):
            member.__delete__(value)
    own = namespace(value)
    if own is not None:
        own.clear()
        own.update(found)


def _has(member: Any, value: Any) -> bool:
    try:
        member.__get__(value)
    except AttributeError:
        return False
    return True


def may_change(value: Any) -> bool:
    """Return whether an object with a reduce method may change: an immutable one is hashed by its value."""
    hashed: Any = type(value).__hash__
    return (hashed is None or hashed is object.__hash__) and not isinstance(value, _NEVER_CHANGE)


@_cached
def is_frozen(cls: type) -> bool:
    """Return whether a class is a frozen dataclass."""
    parameters = getattr(cls, "__dataclass_params__", None)
    return bool(parameters is not None and parameters.frozen)


def is_constant(value: Any) -> bool:
    """Return whether an object is one that nothing changes: two items may share it."""
    return is_frozen(type(value)) or isinstance(value, tuple | frozenset | int | float | complex | str | bytes)


def find_global(module: str, qualname: str) -> Any:
    """Return what a module calls by that name, importing the module if need be; `MISSING` if there is no such thing."""
    try:
        found: Any = sys.modules.get(module) or __import__(module, fromlist=["_"])
        for part in qualname.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError):
        return MISSING
    return found
