"""A worker's progress page: one page of shared memory that the worker writes and its agent reads.

No lock: every field is one word, which a `memoryview` of words reads and writes at once. (`struct.pack_into` sets all bytes to zero first,
and the agent reads at any moment.)
"""

from __future__ import annotations

import mmap
import os
from typing import Final

_CALLS, FRAMES, _SUPERSTEP, _COUNT, _IS_INSIDE = range(5)
_NAMES_AT: Final = 64
_NAME_BYTES: Final = 128
_NAMES_MAX: Final = (mmap.PAGESIZE - _NAMES_AT) // _NAME_BYTES
"""Names of calls that lie on the page at once; `_IS_INSIDE` is 0 or the place of one, from 1 on. Further names share the last place."""


class ProgressPage:
    """`calls` counts job calls, `frames` messages, and pieces of messages, that moved.

    `superstep` is the one of this generation, of `count` (-1: none yet, not known). `inside` names the current job call.
    """

    def __init__(self, fd: int) -> None:
        os.ftruncate(fd, mmap.PAGESIZE)
        self._map = memoryview(mmap.mmap(fd, mmap.PAGESIZE))
        self.words = self._map[:_NAMES_AT].cast("q")
        self._places: dict[str, int] = {}
        self.calls = self.frames = 0
        self.superstep = self.count = -1

    def clear(self) -> None:
        """For a new process: nothing was done yet."""
        self._map[:] = bytes(mmap.PAGESIZE)
        self._places.clear()
        self.words[_SUPERSTEP] = self.words[_COUNT] = -1

    def write(self) -> None:
        """Publishes the counters. Whoever sees the superstep sees the count that belongs to it."""
        words = self.words
        words[_CALLS], words[FRAMES], words[_COUNT], words[_SUPERSTEP] = self.calls, self.frames, self.count, self.superstep

    def enter(self, call: str) -> None:
        """The rank is inside a job call from now on."""
        words = self.words
        try:
            words[_IS_INSIDE] = self._places[call]
        except KeyError:
            words[_IS_INSIDE] = self._place(call)
        self.calls = words[_CALLS] = self.calls + 1

    def _place(self, call: str) -> int:
        """Put a name on the page. Return its place."""
        place = len(self._places) + 1
        if place < _NAMES_MAX:
            self._places[call] = place
        start = _NAMES_AT + (place - 1) * _NAME_BYTES
        self._map[start : start + _NAME_BYTES] = call.encode()[:_NAME_BYTES].ljust(_NAME_BYTES, b"\0")
        return place

    @property
    def is_inside(self) -> bool:
        """Whether the rank is inside a job call."""
        return bool(self.words[_IS_INSIDE])

    def leave(self) -> None:
        """The rank is in user code again."""
        words = self.words
        words[_IS_INSIDE] = 0
        self.calls = words[_CALLS] = self.calls + 1

    def moved(self) -> None:
        """One more message moved, or a piece of one."""
        self.frames += 1
        self.words[FRAMES] = self.frames

    def read(self) -> tuple[int, int, int, int, str]:
        """(calls, frames, superstep, count, inside), as the agent sees them; not inside anything: an empty name."""
        words = self.words
        calls, frames, superstep, count = words[_CALLS], words[FRAMES], words[_SUPERSTEP], words[_COUNT]
        place = words[_IS_INSIDE]
        if not place:
            return calls, frames, superstep, count, ""
        start = _NAMES_AT + (place - 1) * _NAME_BYTES
        inside = bytes(self._map[start : start + _NAME_BYTES]).rstrip(b"\0").decode(errors="replace")
        return calls, frames, superstep, count, inside
