"""Which bytes of memory make up one element of a datatype (MPI 4.1, section 5.1: the type map), and copying them in and out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Bytes = NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True)
class Typemap:
    """Runs of bytes in the order of the type map: `offsets` and `lengths` (k,) int64, from the element's address on."""

    offsets: Ints
    lengths: Ints
    lb: int
    extent: int

    @cached_property
    def size(self) -> int:
        """Bytes of data in one element."""
        return int(self.lengths.sum())

    @cached_property
    def true_lb(self) -> int:
        """Where its first byte of data lies."""
        return int(self.offsets.min()) if len(self.offsets) else 0

    @cached_property
    def true_extent(self) -> int:
        """From its first to its last byte of data."""
        return int((self.offsets + self.lengths).max()) - self.true_lb if len(self.offsets) else 0

    @cached_property
    def dense(self) -> bool:
        """Elements follow one another without a gap, each its bytes in order: no copy is needed."""
        one = len(self.offsets) == 1 and self.offsets[0] == 0 and self.lb == 0 and self.size == self.extent
        return bool(one) or (self.size == 0 and self.extent == 0)

    def span(self, count: int) -> int:
        """Bytes from the address of the first of `count` elements to the end of the data of the last."""
        if count == 0 or self.size == 0:
            return 0
        return self.true_lb + self.true_extent + max(0, (count - 1) * self.extent)

    @cached_property
    def _unit(self) -> int:
        """The largest power of two, up to 8, that divides all offsets, lengths and the extent."""
        return math.gcd(8, self.extent, *(int(number) for number in np.concatenate([self.offsets, self.lengths])))

    @cached_property
    def _index(self) -> Ints:
        """Of one element, in units: where each of its units lies."""
        starts, counts = self.offsets // self._unit, self.lengths // self._unit
        ends = np.cumsum(counts)
        index: Ints = np.arange(int(ends[-1]) if len(ends) else 0) + np.repeat(starts - (ends - counts), counts)
        return index

    def _places(self, memory: Bytes, count: int) -> tuple[NDArray[Any], Ints]:
        unit = self._unit
        units = memory[: len(memory) // unit * unit].view(f"u{unit}")
        return units, (np.arange(count)[:, None] * (self.extent // unit) + self._index[None, :]).reshape(-1)

    def pack(self, memory: Bytes, count: int) -> Bytes:
        """The data of `count` elements that begin at `memory[0]`, one after the other; a copy unless dense."""
        if self.dense:
            return memory[: count * self.size]
        units, places = self._places(memory, count)
        return units[places].view(np.uint8)

    def unpack(self, memory: Bytes, count: int, data: Bytes) -> None:
        """The reverse. `data` may be shorter: then only its bytes are written."""
        if self.dense:
            memory[: len(data)] = data
        elif len(data) == count * self.size:
            units, places = self._places(memory, count)
            units[places] = data.view(units.dtype)
        else:
            for number, start in enumerate(range(0, len(data), max(self.size, 1))):
                self._unpack_some(memory[number * self.extent :], data[start : start + self.size])

    def _unpack_some(self, memory: Bytes, data: Bytes) -> None:
        start = 0
        for offset, length in zip(self.offsets, self.lengths, strict=True):
            part = data[start : start + length]
            memory[offset : offset + len(part)] = part
            start += length


def plain(size: int) -> Typemap:
    """`size` bytes in a row."""
    return Typemap(offsets=np.array([0]), lengths=np.array([size]), lb=0, extent=size)


def combined(parts: Sequence[tuple[int, int, Typemap]]) -> Typemap:
    """Blocks of elements: (displacement in bytes, number of elements, their type map), in order."""
    offsets: list[Ints] = []
    lengths: list[Ints] = []
    bounds: list[tuple[int, int]] = []
    for displacement, count, of in parts:
        if count == 0:
            continue
        ends = (displacement + of.lb, displacement + of.lb + (count - 1) * of.extent)
        bounds.append((min(ends), max(ends) + of.extent))
        if of.dense and of.size:
            offsets.append(np.array([displacement]))
            lengths.append(np.array([count * of.size]))
        else:
            offsets.append((displacement + np.arange(count)[:, None] * of.extent + of.offsets[None, :]).reshape(-1))
            lengths.append(np.tile(of.lengths, count))
    where = np.concatenate(offsets) if offsets else np.zeros(0, np.int64)
    long = np.concatenate(lengths) if lengths else np.zeros(0, np.int64)
    where, long = _merged(where, long)
    lb = min((low for low, _ in bounds), default=0)
    return Typemap(offsets=where, lengths=long, lb=lb, extent=max((high for _, high in bounds), default=0) - lb)


def scattered(places: Ints, of: Typemap, extent: int) -> Typemap:
    """One element at each of `places` (k,), in bytes, within bounds of 0 and `extent`."""
    offsets, lengths = _merged((places[:, None] + of.offsets[None, :]).reshape(-1), np.tile(of.lengths, len(places)))
    return Typemap(offsets=offsets, lengths=lengths, lb=0, extent=extent)


def _merged(offsets: Ints, lengths: Ints) -> tuple[Ints, Ints]:
    """Runs that follow one another become one."""
    full = lengths > 0
    offsets, lengths = offsets[full], lengths[full]
    if len(offsets) < 2:
        return offsets, lengths
    begins = np.concatenate([[True], offsets[1:] != offsets[:-1] + lengths[:-1]])
    return offsets[begins], np.add.reduceat(lengths, np.flatnonzero(begins))
