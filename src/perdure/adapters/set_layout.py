"""The exact order of a set: where each element lies in its table.

A set is iterated, and popped, in the order of its table, which follows from its history: elements that are gone leave marks, and a table
that has grown does not shrink. A set that is merely filled again has other orders, and so sums have other bits. CPython's table is an
array of (key, hash) and a few counts (Objects/setobject.c, the same from 3.11 to 3.14); it is read and written here as it lies in memory.
`is_supported` tries that first on sets of several histories.
"""

from __future__ import annotations

import ctypes
import functools
import sys
from collections.abc import Sequence
from typing import Any, Final

from perdure.errors import InternalError

Layout = tuple[int, int, tuple[int, ...], tuple[int, ...], tuple[int, ...]]
"""(mask, finger, slots of the marks, slots of the elements, their hashes), elements in the order of iteration."""
_FILL, _USED, _MASK, _TABLE, _FINGER = 2, 3, 4, 5, 7
"""Indices of fields of a set object, in words of 8 bytes; fields 0 and 1 are the head of every object."""
_WORDS: Final = 8
_MARK_HASH: Final = -1


def _fields(value: Any) -> Any:
    return (ctypes.c_ssize_t * _WORDS).from_address(id(value))


def _table(value: Any) -> Any:
    fields = _fields(value)
    return (ctypes.c_ssize_t * (2 * (fields[_MASK] + 1))).from_address(fields[_TABLE])


def layout_of(value: set[Any] | frozenset[Any]) -> Layout:
    """Return where the elements of a set lie."""
    fields, table = _fields(value), _table(value)
    keys, hashes = table[0::2], table[1::2]
    full = [at for at, key in enumerate(keys) if key]
    marks = tuple(at for at in full if hashes[at] == _MARK_HASH)
    slots = tuple(at for at in full if hashes[at] != _MARK_HASH)
    return fields[_MASK], fields[_FINGER], marks, slots, tuple(hashes[at] for at in slots)


def hashes_are(layout: Layout, elements: Sequence[Any]) -> bool:
    """Return whether the elements have the hashes of the layout: not so if they follow from addresses."""
    return all(hash(one) == known for one, known in zip(elements, layout[4], strict=True))


def arrange(value: set[Any], layout: Layout, elements: Sequence[Any]) -> None:
    """Make a set consist of these elements, in the order of iteration, each where it lay."""
    value.clear()
    if layout[0] != _fields(value)[_MASK]:
        value.update(_filling(layout))
    _write(value, layout, elements)


def frozen(layout: Layout, elements: Sequence[Any]) -> frozenset[Any]:
    """Return a frozenset of these elements, as `arrange` makes a set."""
    if not elements:
        return frozenset()
    value = frozenset(_filling(layout))
    _write(value, layout, elements)
    return value


def _filling(layout: Layout) -> set[int]:
    """Return what makes a table of just this length: `set.update` doubles the number of elements and takes the next power of two."""
    length = layout[0] + 1
    return set(range(1 if length == 8 else max(length // 4, 5)))


def _write(value: Any, layout: Layout, elements: Sequence[Any]) -> None:
    mask, finger, marks, slots, hashes = layout
    fields, table = _fields(value), _table(value)
    if fields[_MASK] != mask:
        raise InternalError(f"a set's table has {fields[_MASK] + 1} entries where {mask + 1} were expected")
    for at in range(mask + 1):
        if table[2 * at] and table[2 * at + 1] != _MARK_HASH:
            ctypes.pythonapi.Py_DecRef(ctypes.c_void_p(table[2 * at]))
    ctypes.memset(fields[_TABLE], 0, 16 * (mask + 1))
    mark = _mark() if marks else 0
    for at in marks:
        table[2 * at], table[2 * at + 1] = mark, _MARK_HASH
    for at, known, one in zip(slots, hashes, elements, strict=True):
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(one))
        table[2 * at], table[2 * at + 1] = id(one), known
    fields[_FILL], fields[_USED], fields[_FINGER] = len(marks) + len(slots), len(slots), finger


@functools.cache
def _mark() -> int:
    """Return the address of the object that marks an entry whose element is gone."""
    sample = {1}
    sample.discard(1)
    return int(next(key for key in _table(sample)[0::2] if key))


@functools.cache
def is_supported() -> bool:
    """Return whether tables can be read and written in this interpreter."""
    if sys.implementation.name != "cpython" or not (3, 11) <= sys.version_info[:2] <= (3, 14) or sys.maxsize < 2**62:
        return False
    if set.__basicsize__ != 200 or not getattr(sys, "_is_gil_enabled", lambda: True)():
        return False
    for size in (0, 1, 5, 30, 300):
        sample = {7 * number for number in range(size)}
        for number in range(0, size, 3):
            sample.discard(7 * number)
        if size > 1:
            sample.pop()
        again: set[int] = set()
        arrange(again, layout_of(sample), list(sample))
        if layout_of(frozen(layout_of(sample), list(sample)))[3:] != layout_of(sample)[3:]:
            return False
        if layout_of(again) != layout_of(sample) or again != sample or list(again) != list(sample):
            return False
    return True
