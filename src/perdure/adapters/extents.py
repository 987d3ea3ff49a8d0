"""The extents of arrays in memory, and groups of arrays that overlap."""

from __future__ import annotations

import bisect
import mmap
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Extent = tuple[int, int]
"""The first address, and the one after the last."""


def extent(array: Array) -> Extent:
    """Return the bytes in memory between an array's first and its last; an empty array has none."""
    first = last = int(array.__array_interface__["data"][0])
    if array.size == 0:
        return first, first
    for length, stride in zip(array.shape, array.strides, strict=True):
        if stride < 0:
            first += (length - 1) * stride
        else:
            last += (length - 1) * stride
    return first, last + array.itemsize


def extent_of_buffer(value: Any) -> Extent:
    """Return where the bytes of a `bytearray` or an `array.array` lie."""
    return extent(np.frombuffer(value, np.uint8)) if len(value) else (0, 0)


def is_mapped_file(array: Array) -> bool:
    """Return whether an array's memory is that of a mapped file."""
    base: Any = array
    while base is not None:
        if isinstance(base, mmap.mmap | np.memmap):
            return True
        base = base.obj if isinstance(base, memoryview) else getattr(base, "base", None)
    return False


class Extents:
    """Extents that do not overlap, each with its holder's name."""

    def __init__(self) -> None:
        self._found: list[tuple[int, int, str]] = []

    def overlapping(self, looked_for: Extent) -> str:
        """Return the name of an extent that this one overlaps, or nothing."""
        first, last = looked_for
        at = bisect.bisect_left(self._found, (first, last, ""))
        return next((holder for start, end, holder in self._found[max(at - 1, 0) : at + 1] if first < end and start < last), "")

    def add(self, added: Extent, name: str) -> None:
        """Add an extent that overlaps none."""
        if added[0] < added[1]:
            bisect.insort(self._found, (*added, name))


def groups(extents: Iterable[Extent]) -> Iterator[list[int]]:
    """Yield the indices of extents that overlap, directly or by others; each extent is in one group, empty ones alone."""
    found = list(extents)
    current: list[int] = []
    end = 0
    for index in sorted(range(len(found)), key=lambda index: found[index]):
        first, last = found[index]
        if current and (first >= end or first == last):
            yield current
            current = []
        if first == last:
            yield [index]
            continue
        end = max(end, last) if current else last
        current.append(index)
    if current:
        yield current
