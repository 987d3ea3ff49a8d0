"""The blocks of an item that may have changed since a label, from the pages that the kernel saw written (rule C4', `track_writes`).

What is kept of an item is, for each of the last two labels, the blocks that were written after the live array was asked about for that
label's copy. A slot holds the label before the last one, so that is what its bytes can differ in. All of it lives and ends with one entry
of `main`: after a recovery nothing is known, and blocks are compared as without it.

Blocks that are not wholly in watched pages, at an array's ends, count as written each time. So does everything if the array is not watched:
it has moved, its memory was mapped anew, or most of it changes, so that page faults would cost more than the comparison.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from perdure.core.ids import Label
from perdure.core.snapshot_index import BLOCK_BYTES, Range
from perdure.mapping import Bytes
from perdure.runtime.dirty_pages import PAGE_BYTES, DirtyPages

Flags = NDArray[np.bool_]
WATCH_FROM_BYTES: Final = 4 * BLOCK_BYTES
"""Shorter arrays are compared: an array's ends always are. Arbitrary."""
WATCH_BELOW, FORGET_ABOVE = 1 / 4, 1 / 2
"""Limits for the share of an item's blocks that changed, or were written, at the last commit. Arbitrary; a first write costs 1 us for each
4 KiB (measured: 0.7 to 1.3), as much as a copy of them."""


@dataclass(slots=True)
class _Watched:
    """An item's array. `written`: by label, for each block, whether it was written since the copy for that label began."""

    address: int
    nbytes: int
    written: dict[Label, Flags] = field(default_factory=dict)

    @property
    def pages(self) -> Range:
        """Return the range of pages completely inside the array: other pages hold other data, and may be watched for another item."""
        return -(-self.address // PAGE_BYTES) * PAGE_BYTES, (self.address + self.nbytes) // PAGE_BYTES * PAGE_BYTES

    @property
    def ends(self) -> Flags:
        """For each block, whether a part of it is not in these pages. The last page may hold parts of two blocks."""
        first, last = self.pages
        flags = np.zeros(-(-self.nbytes // BLOCK_BYTES), np.bool_)
        flags[: -(-(first - self.address) // BLOCK_BYTES)] = True
        if last < self.address + self.nbytes:
            flags[(last - self.address) // BLOCK_BYTES :] = True
        return flags


def tracker() -> Tracker | None:
    """Return a tracker, or None if the kernel cannot or may not record writes: then blocks are compared."""
    try:
        return Tracker(DirtyPages())
    except OSError:
        return None


class Tracker:
    """The writes to the items of one entry of `main`."""

    def __init__(self, pages: DirtyPages) -> None:
        self._pages = pages
        self._items: dict[str, _Watched] = {}

    def candidates(self, name: str, source: Bytes, label: Label, since: Label | None, hot: bytes) -> Flags | None:
        """Before an item is copied for `label`, at each commit: the blocks in which it can differ from what it was at `since`.

        Args:
            source: (n,) uint8, the live array.
            hot: for each block, 1 if it changed at the last commit; empty: not known.

        Returns:
            (blocks,) bool, or None: all of them.
        """
        one = self._items.get(name)
        is_there = one is not None and (one.address, one.nbytes) == (source.ctypes.data, len(source))
        written = self._taken(one) if one is not None and is_there else None
        if one is not None and written is not None and written.mean() <= FORGET_ABOVE:
            for flags in one.written.values():
                flags |= written | one.ends
            found = one.written.get(since) if since else None
            self._begin(one, label)
            return found
        self._forget(name)
        if written is None and len(source) >= WATCH_FROM_BYTES and hot and hot.count(1) <= WATCH_BELOW * len(hot):
            self._watch(name, source, label)
        return None

    def _watch(self, name: str, source: Bytes, label: Label) -> None:
        one = _Watched(source.ctypes.data, len(source))
        try:
            self._pages.watch(*one.pages)
        except OSError:  # shared, or mapped from a file; or a kernel's limit
            self._pages.forget(*one.pages)
            return
        self._items[name] = one
        self._begin(one, label)

    def _begin(self, one: _Watched, label: Label) -> None:
        """Forget all known labels except the last one: a later commit can ask for no other."""
        last = max(one.written, default=label)
        one.written = {known: flags for known, flags in one.written.items() if known == last}
        one.written[label] = np.zeros(-(-one.nbytes // BLOCK_BYTES), np.bool_)

    def _taken(self, one: _Watched) -> Flags | None:
        """The blocks of whose pages some were written since the last time; None: nobody knows."""
        first, last = one.pages
        try:
            found = self._pages.take(first, last) - one.address
        except OSError:  # not all of these pages are watched any more
            return None
        ends = np.zeros(-(-one.nbytes // BLOCK_BYTES) + 1, np.int64)
        np.add.at(ends, found[:, 0] // BLOCK_BYTES, 1)
        np.add.at(ends, (found[:, 1] - 1) // BLOCK_BYTES + 1, -1)
        written: Flags = np.cumsum(ends[:-1]) > 0
        return written

    def _forget(self, name: str) -> None:
        one = self._items.pop(name, None)
        if one is not None:
            self._pages.forget(*one.pages)

    def close(self) -> None:
        """Stop watching all arrays."""
        self._items.clear()
        self._pages.close()
