"""A worker's progress page: one page of shared memory that the worker writes and its agent reads.

No lock: every field is one word, which a `memoryview` of words reads and writes at once. (`struct.pack_into` sets all bytes to zero first,
and the agent reads at any moment.)
"""

from __future__ import annotations

import mmap
import os
from typing import Final

_CALLS, _FRAMES, _SUPERSTEP, _COUNT, _IS_INSIDE = range(5)
_INSIDE_AT: Final = 64
_INSIDE_BYTES: Final = 128
_padded: Final[dict[str, bytes]] = {}
"""The name of a call -> its bytes on the page."""


class Page:
    """`calls` counts job calls, `frames` messages, and pieces of messages, that moved.

    `superstep` is the one of this generation, of `count` (-1: none yet, not known). `inside` names the current job call.
    """

    def __init__(self, fd: int) -> None:
        os.ftruncate(fd, mmap.PAGESIZE)
        self._map = memoryview(mmap.mmap(fd, mmap.PAGESIZE))
        self._words = self._map[:_INSIDE_AT].cast("q")
        self.calls = self.frames = 0
        self.superstep = self.count = -1
        self._call = ""

    def clear(self) -> None:
        """For a new process: nothing was done yet."""
        self._map[: _INSIDE_AT + _INSIDE_BYTES] = bytes(_INSIDE_AT + _INSIDE_BYTES)
        self._words[_SUPERSTEP] = self._words[_COUNT] = -1

    def write(self) -> None:
        """Publishes the counters. Whoever sees the superstep sees the count that belongs to it."""
        words = self._words
        words[_CALLS], words[_FRAMES], words[_COUNT], words[_SUPERSTEP] = self.calls, self.frames, self.count, self.superstep

    def enter(self, call: str) -> None:
        """The rank is inside a job call from now on."""
        words = self._words
        if call != self._call:
            self._call = call
            name = _padded.get(call)
            if name is None:
                name = _padded[call] = call.encode()[:_INSIDE_BYTES].ljust(_INSIDE_BYTES, b"\0")
            self._map[_INSIDE_AT : _INSIDE_AT + _INSIDE_BYTES] = name
        words[_IS_INSIDE] = 1
        self.calls += 1
        words[_CALLS] = self.calls

    @property
    def is_inside(self) -> bool:
        """Whether the rank is inside a job call."""
        return bool(self._words[_IS_INSIDE])

    def leave(self) -> None:
        """The rank is in user code again."""
        words = self._words
        words[_IS_INSIDE] = 0
        self.calls += 1
        words[_CALLS] = self.calls

    def moved(self) -> None:
        """One more message moved, or a piece of one."""
        self.frames += 1
        self._words[_FRAMES] = self.frames

    def read(self) -> tuple[int, int, int, int, str]:
        """(calls, frames, superstep, count, inside), as the agent sees them; not inside anything: an empty name."""
        words = self._words
        calls, frames, superstep, count = words[_CALLS], words[_FRAMES], words[_SUPERSTEP], words[_COUNT]
        if not words[_IS_INSIDE]:
            return calls, frames, superstep, count, ""
        inside = bytes(self._map[_INSIDE_AT : _INSIDE_AT + _INSIDE_BYTES]).rstrip(b"\0").decode(errors="replace")
        return calls, frames, superstep, count, inside
