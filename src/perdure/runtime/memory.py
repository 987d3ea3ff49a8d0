"""Memory files: where slots lie. They have no name, and are gone with the last process that holds them.

A page costs most when it is first touched, and again when it is freed (measured, 256 MiB: 140 ms to touch, 23 to map in the next process,
54 to free). So files consist of huge pages where the kernel can make them of the very file (18, 1 and 1 ms); what is left is written
before it is mapped (75 ms to write zeros, 30 to map what is there); and spares do all that beforehand. A file grows in one process at a
time: in the worker that fills the slot, or in the agent that reserves or restores it.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import threading
from collections.abc import Callable, Iterator
from typing import Final

import numpy as np

from perdure.errors import ConfigError
from perdure.mapping import HUGE_BYTES, Bytes, collapse, map_file, populate
from perdure.runtime.posix import available_bytes, stand_back

Pair = tuple[int, int]
"""The memory files of the two slots of a rank."""
_ZEROS: Final = bytes(HUGE_BYTES)
"""Written at a time; a spare that is needed now waits for no more than that."""


def grow(fd: int, nbytes: int) -> Bytes:
    """The memory file as (>= nbytes,) uint8; it grows if need be. ConfigError when there is no memory."""
    size, wanted = os.fstat(fd).st_size, _pages(nbytes)
    if wanted > size and wanted - size > available_bytes():  # the kernel would sooner kill a process than refuse it
        raise ConfigError(f"not enough memory for a snapshot of {wanted} bytes: only {available_bytes()} bytes are available")
    mapped = map_file(fd, max(size, wanted))
    while size < wanted:
        size += _append(fd, mapped, size)
    populate(mapped)
    return mapped


def has_huge_pages() -> bool:
    """Does the kernel make huge pages of memory files?"""
    fd = os.memfd_create("perdure-try")
    try:
        os.pwrite(fd, b"\0", HUGE_BYTES - 1)
        return collapse(map_file(fd, HUGE_BYTES))
    finally:
        os.close(fd)


def _pages(nbytes: int) -> int:
    """Rounded up to whole pages, at least one: there are no mappings of nothing."""
    return -(-max(nbytes, 1) // mmap.PAGESIZE) * mmap.PAGESIZE


def _append(fd: int, mapped: Bytes, size: int) -> int:
    """Zeros at the end of a file of `size` bytes, which is `mapped` in its coming length: real memory, so a lack of it is an error and not
    a signal. Returns how many."""
    try:
        if size % HUGE_BYTES == 0 and size + HUGE_BYTES <= len(mapped):
            os.pwrite(fd, b"\0", size + HUGE_BYTES - 1)
            if collapse(mapped[size : size + HUGE_BYTES]):
                return HUGE_BYTES
        return os.pwrite(fd, memoryview(_ZEROS)[: len(mapped) - size], size)
    except OSError as error:
        raise ConfigError(f"no memory for a snapshot of {len(mapped)} bytes: {error.strerror}") from None


def new_pair(name: object) -> Pair:
    """Two empty memory files. `name` is shown under /proc, and has no other meaning."""
    return os.memfd_create(f"perdure-{name}-0"), os.memfd_create(f"perdure-{name}-1")


class MemoryReserve:
    """Touched memory for ranks that may come. May be taken from while it is still being filled: then as far as it has come."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._pairs: list[Pair] = []
        self._writing: object = None
        """The pair, or the memory for parity, that is touched at this instant: the lock is not held meanwhile, or who takes something would
        hardly get it."""
        self._maps: dict[Pair, tuple[Bytes, ...]] = {}
        self._parity: list[Bytes] = []
        self._taken = False
        """The ranks have come: nothing is touched any more."""

    def fill(self, ranks: int, snapshot_bytes: int, parity_bytes: int, ready: Callable[[Pair], None]) -> None:
        """To be called once, on a thread of its own: it can take seconds. `ready` is told of each pair when its first slot is whole, in
        which a lost rank's memory comes back, and again when the second one is. From the first on this thread stands back: what `ready`
        starts is needed sooner than the rest. A loss meanwhile ends it: the ranks have come.

        Raises:
            ConfigError: there is no memory; what there was is kept.
        """
        for _ in range(ranks):
            pair = new_pair("spare")
            with self._changed:
                self._pairs.append(pair)
            for fd in pair:
                if not self._touch(pair, fd, snapshot_bytes):
                    return
                mapped = grow(fd, 0)
                with self._changed:
                    if pair not in self._pairs:
                        return
                    self._maps[pair] = (*self._maps.get(pair, ()), mapped)
                ready(pair)
                stand_back()
            for _ in pair:
                self._touch_parity(parity_bytes)

    def _touch(self, pair: Pair, fd: int, nbytes: int) -> bool:
        """False if the pair was taken meanwhile: its files are another's to grow then."""
        size, mapped = 0, map_file(fd, _pages(nbytes))
        while size < len(mapped):
            with self._while_there(pair, lambda: pair in self._pairs) as is_there:
                if not is_there:
                    return False
                size += _append(fd, mapped, size)
        return True

    def _touch_parity(self, nbytes: int) -> None:
        parity = np.empty(nbytes, np.uint8)
        with self._changed:
            self._parity.append(parity)
        for start in range(0, nbytes, len(_ZEROS)):
            with self._while_there(parity, lambda: not self._taken) as is_there:
                if not is_there:
                    return
                parity[start : start + len(_ZEROS)] = 0

    @contextlib.contextmanager
    def _while_there(self, touched: object, is_there: Callable[[], bool]) -> Iterator[bool]:
        """Nobody takes it while the block runs, if it is there."""
        with self._changed:
            there = is_there()
            self._writing = touched if there else None
        try:
            yield there
        finally:
            with self._changed:
                self._writing = None
                self._changed.notify_all()

    def take(self) -> tuple[Pair, tuple[Bytes, ...]] | None:
        """A pair, with the mappings of those of its files that are whole; None when there is none."""
        with self._changed:
            self._taken = True
            if not self._pairs:
                return None
            pair = self._pairs.pop()
            self._changed.wait_for(lambda: self._writing is not pair)
            return pair, self._maps.pop(pair, ())

    def take_parity(self, nbytes: int) -> Bytes | None:
        """At least (nbytes,) uint8 for parity chunks, if there is such."""
        with self._changed:
            self._taken = True
            if not self._parity or len(self._parity[-1]) < nbytes:
                return None
            parity = self._parity.pop()
            self._changed.wait_for(lambda: self._writing is not parity)
            return parity
