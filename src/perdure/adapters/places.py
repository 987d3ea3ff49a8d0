"""The places of the program's objects in declared items."""

from __future__ import annotations

import array
import bisect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from perdure.adapters.encoding import Encoding
from perdure.adapters.extents import extent
from perdure.adapters.keys import pairs_of
from perdure.adapters.nodes import NOWHERE, child

Array = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Place:
    """A place in an item.

    Attributes:
        words: the steps from the item's object to the part; none for the item itself.
        index: the part's node; -1 for an array that is an item.
        view: of a view of the part: its offset, shape, strides and dtype.
    """

    item: str
    words: tuple[str, ...]
    index: int
    view: tuple[int, tuple[int, ...], tuple[int, ...], str] | None = None

    def __str__(self) -> str:
        """Return the text for an error message."""
        view = "a view of " if self.view else ""
        return f"{view}the part {''.join(self.words)} of the item {self.item!r}" if self.words else f"{view}the item {self.item!r}"


class Items:
    """The items at one moment: the name of each, and its array or its object taken apart."""

    def __init__(self, items: Sequence[tuple[str, Array | Encoding]]) -> None:
        self._items = dict(items)
        self._sorted: list[tuple[int, int, str, int]] | None = None
        self._longest = 0

    def place_of(self, value: Any) -> Place | None:
        """Return the place of a part that can change, or of a view of one; None for anything else."""
        for name, item in self._items.items():
            if item is value:
                return Place(name, (), -1)
            if isinstance(item, Encoding) and id(value) in item.mutable:
                index = item.index_of(id(value))
                return Place(name, item.words(index), index)
        seen = _as_array(value)
        return self._place_of_view(seen) if seen is not None and seen.size else None

    def hold(self, value: Any) -> bool:
        """Return whether an object of the program is in an item, even as a part that cannot change."""
        return any(isinstance(item, Encoding) and any(part is value for part in item.parts) for item in self._items.values())

    def stands_at(self, place: Place, value: Any) -> bool:
        """Return whether what stands at a place now is `value`."""
        item = self._items.get(place.item)
        if isinstance(item, Encoding):
            there = standing(item, place.index, place.words)
        else:
            there = item
        if place.view is None:
            return there is value
        part, seen = _as_array(there), _as_array(value)
        return part is not None and seen is not None and _view(part, seen) == place.view

    def _place_of_view(self, value: Array) -> Place | None:
        if self._sorted is None:
            found: list[tuple[int, int, str, int]] = []
            for name, item in self._items.items():
                if isinstance(item, Encoding):
                    found += [(first, last, name, index) for index, (first, last) in item.arrays if first < last]
                elif item.size:
                    found.append((*extent(item), name, -1))
            self._sorted = sorted(found)
            self._longest = max((last - first for first, last, _, _ in found), default=0)
        first, last = extent(value)
        number = bisect.bisect_left(self._sorted, (first - self._longest, 0, "", 0))
        for start, end, name, index in self._sorted[number:]:
            if start >= last:
                break
            if first < end:
                item = self._items[name]
                part = _as_array(item.parts[index] if isinstance(item, Encoding) else item)
                if part is not None:
                    return Place(name, item.words(index) if isinstance(item, Encoding) else (), index, _view(part, value))
        return None


def _as_array(value: Any) -> Array | None:
    """Return an array, or the bytes of what has some: a buffer, a view of one, a row of a structured array."""
    if isinstance(value, np.ndarray):
        return value
    if isinstance(value, bytearray | array.array):
        return np.frombuffer(value, np.uint8) if len(value) else None
    if isinstance(value, np.void) or (isinstance(value, memoryview) and value.contiguous):
        return np.frombuffer(value, np.uint8) if value.nbytes else None
    return None


def _view(part: Array, value: Array) -> tuple[int, tuple[int, ...], tuple[int, ...], str]:
    offset = int(value.__array_interface__["data"][0]) - int(part.__array_interface__["data"][0])
    return offset, value.shape, value.strides, value.dtype.str


def standing(item: Encoding, index: int, words: tuple[str, ...]) -> Any:
    """Return what stands at a place of an object, or `NOWHERE`. `index`: the node that stood there, which often still does."""
    is_found = index < len(item.parts) and item.words(index) == words
    return item.parts[index] if is_found else at(item, words)


def at(item: Encoding, words: tuple[str, ...]) -> Any:
    """Return what stands at a place of an object, or `NOWHERE`."""
    cell: Any = (0,)
    for word in words:
        if type(cell) is not tuple:
            return NOWHERE
        cell = _under_key(item, cell[0], word) if word.startswith(("[", ".key[")) else child(item.nodes[cell[0]], word)
    return item.parts[cell[0]] if type(cell) is tuple else cell


def _under_key(item: Encoding, index: int, word: str) -> Any:
    """Return the cell under the key of a dict, that key's own one, or that at an index of anything else."""
    keys, values = pairs_of(item.nodes[index])
    if not keys:
        return child(item.nodes[index], word)
    step = word.removeprefix(".key")
    words = item.key_words(index)
    if step not in words:
        return child(item.nodes[index], word)
    return (values if step is word else keys)[words.index(step)]
