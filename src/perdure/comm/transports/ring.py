"""A ring of bytes in shared memory, for one producer and one consumer that may be different processes.

Theory of operation. Two counters only grow: `head`, the bytes ever written, belongs to the producer; `tail`, the bytes ever read, to the
consumer. Each is one aligned word that its owner stores *after* the bytes it speaks of, so whoever is killed in the middle of a copy has
published nothing. There is no lock and no futex, hence nothing that the dead could own.

Who waits in the kernel says so in a word first (`arm`), looks once more, and only then polls; who publishes looks at that word afterwards
and rings. Both sides store and then load, which x86 may reorder, so a full barrier lies between: an acquired and released lock, which is
a locked instruction. Machines with a weaker order than x86 use sockets (see `available`).
"""

from __future__ import annotations

import fcntl
import mmap
import os
import platform
import threading
from collections.abc import Sequence
from typing import Final

CAPACITY: Final = 256 * 1024
"""Bytes in flight between two ranks, a power of two: a few messages of the largest size that is copied through the ring. Not tuned."""
PIECE_BYTES: Final = 16 * 1024
"""Of a long body, published before the rest is copied: the consumer copies at the same time."""
_PAGE: Final = 4096
_HEAD, _TAIL, _CONSUMER_SLEEPS, _PRODUCER_SLEEPS = 0, 16, 32, 48
"""Words of the first page, each in a pair of cache lines of its own (the second line is fetched along with the first)."""
_F_ADD_SEALS: Final = 1033
_SEALS: Final = 0x0001 | 0x0002 | 0x0004
"""SEAL, SHRINK, GROW: who maps the memory can never be hurt by a change of its size."""


def available() -> bool:
    """Whether this machine keeps stores in order (x86) and has sealed memory files."""
    return platform.machine() in ("x86_64", "AMD64") and hasattr(os, "memfd_create")


def allocate() -> int:
    """The file of a new ring; the caller maps it, passes it on, and closes it."""
    fd = os.memfd_create("perdure-ring", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.ftruncate(fd, _PAGE + CAPACITY)
    fcntl.fcntl(fd, _F_ADD_SEALS, _SEALS)
    return fd


class Ring:
    """One end. Only the producer calls `write*` and `producer_*`, only the consumer the others. `data`: (CAPACITY,) bytes."""

    def __init__(self, fd: int) -> None:
        if os.fstat(fd).st_size != _PAGE + CAPACITY:
            raise OSError("the memory file is not a ring of perdure")
        whole = memoryview(mmap.mmap(fd, _PAGE + CAPACITY))
        self._words = whole[:_PAGE].cast("Q")
        self.data = whole[_PAGE:]
        self._head = self._tail = 0
        barrier = threading.Lock()
        self._acquire, self._release = barrier.acquire, barrier.release

    # ---- the producer -----------------------------------------------------------------------------------------------------

    def write(self, pieces: Sequence[memoryview | bytes]) -> int:
        """Copies what fits and publishes it at once. Returns the bytes taken."""
        start = head = self._head
        room = CAPACITY - (head - self._tail)
        data = self.data
        for piece in pieces:
            size = len(piece)
            if size > room:
                self._tail = self._words[_TAIL]
                room = CAPACITY - (head - self._tail)
                size = min(size, room)
            at = head & (CAPACITY - 1)
            end = at + size
            if end <= CAPACITY:
                data[at:end] = piece if size == len(piece) else piece[:size]
            else:
                first = CAPACITY - at
                data[at:] = piece[:first]
                data[: size - first] = piece[first:size]
            head += size
            room -= size
            if size < len(piece):
                break
        self._head = self._words[_HEAD] = head
        return head - start

    def write_whole(self, head: bytes, body: memoryview) -> bool:
        """`write` of two pieces, if there is room for both and neither goes round the end: the usual case in a few steps."""
        start = self._head
        at = start & (CAPACITY - 1)
        middle = at + len(head)
        end = middle + len(body)
        if end > CAPACITY or start - self._tail + end - at > CAPACITY:
            return False
        data = self.data
        data[at:middle] = head
        if end - middle > PIECE_BYTES:
            first = middle + PIECE_BYTES
            data[middle:first] = body[:PIECE_BYTES]
            self._words[_HEAD] = start + first - at
            data[first:end] = body[PIECE_BYTES:]
        else:
            data[middle:end] = body
        self._head = self._words[_HEAD] = start + end - at
        return True

    def consumer_sleeps(self) -> bool:
        """After `write`: must it be rung for?"""
        self._acquire()
        self._release()
        return self._words[_CONSUMER_SLEEPS] != 0

    def has_room(self) -> bool:
        """Would `write` take anything?"""
        return self._head - self._words[_TAIL] < CAPACITY

    def producer_arms(self, *, armed: bool) -> None:
        """It is about to wait for room, or is back."""
        self._words[_PRODUCER_SLEEPS] = armed
        self._fence()

    # ---- the consumer -----------------------------------------------------------------------------------------------------

    def has_data(self) -> bool:
        """Would `read_into` find anything?"""
        return self._words[_HEAD] != self._tail

    def lies_at(self, nbytes: int) -> int:
        """Where in `data` the next `nbytes` lie; -1 unless they are there and in one piece. They stay there until `skip`."""
        tail = self._tail
        at = tail & (CAPACITY - 1)
        return -1 if at + nbytes > CAPACITY or self._words[_HEAD] - tail < nbytes else at

    def skip(self, nbytes: int) -> None:
        """So many bytes were read in place; `give_back` gives back the room."""
        self._tail += nbytes

    def read_into(self, view: memoryview) -> int:
        """Copies what is there, at most as much as fits; the room it took is given back by `give_back`."""
        tail = self._tail
        size = self._words[_HEAD] - tail
        if not size:
            return 0
        if size > len(view):
            size = len(view)
        at = tail & (CAPACITY - 1)
        end = at + size
        if end <= CAPACITY:
            if size == len(view):
                view[:] = self.data[at:end]
            else:
                view[:size] = self.data[at:end]
        else:
            first = CAPACITY - at
            view[:first] = self.data[at:]
            view[first:size] = self.data[: size - first]
        self._tail = tail + size
        return size

    def give_back(self) -> bool:
        """Publishes what was read. True when the producer waits for it."""
        words = self._words
        words[_TAIL] = self._tail
        self._acquire()
        self._release()
        return words[_PRODUCER_SLEEPS] != 0

    def consumer_arms(self, *, armed: bool) -> None:
        """It is about to wait for data, or is back."""
        self._words[_CONSUMER_SLEEPS] = armed
        self._fence()

    def _fence(self) -> None:
        self._acquire()
        self._release()
