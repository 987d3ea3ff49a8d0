"""Memory that all members of a communicator on one host have mapped, for collectives that would move the same bytes through messages.

Every member owns a memory file, writes nothing else, and reads the others'. A file has two halves for calls in turn: who writes a half
again has heard in the call between that everybody has finished the call before, so no reader is overtaken. All of it belongs to one
communicator of one generation: a rank that unwinds leaves it to those that still look at it, and meets anew.

The bytes are ordered by the messages that speak of them: a ring keeps stores in order, and a socket does so all the more. `window_setup`
has these messages; nothing here sends or waits.
"""

from __future__ import annotations

import contextlib
import os
import struct
from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from perdure.mapping import HUGE_BYTES, Bytes, collapse, map_file

Array = NDArray[Any]
HALF_BYTES: Final = HUGE_BYTES
"""The longest vector that goes through it. Longer ones are not helped: they do not fit into the caches between one copy and the next."""
_MARK_AT: Final = 2 * HALF_BYTES
_FILE_BYTES: Final = _MARK_AT + 4096
_MARK_BYTES: Final = 16
_PLACE: Final = struct.Struct(f"<II{_MARK_BYTES}s")
"""Process, file descriptor, and the mark at the end of the file: a number may mean another process to who lives in a container."""
PLACE_BYTES: Final = _PLACE.size


class SharedWindow:
    """The mapped files of all members, by rank of the communicator."""

    def __init__(self, files: Sequence[Bytes]) -> None:
        self._files = files
        self._turn = 0

    def vectors(self, like: Array) -> list[Array]:
        """Every member's place in the next call, in the order of ranks: arrays like `like`, (n,); only the own may be written."""
        start = self._turn * HALF_BYTES
        self._turn = 1 - self._turn
        return [file[start : start + like.nbytes].view(like.dtype) for file in self._files]


@contextlib.contextmanager
def new_file() -> Iterator[tuple[bytes, Bytes]]:
    """Make this rank's file. Yield its place, for `mapped` of the others, and the mapped file; the place is valid until the block ends.

    The halves are huge pages, if there are such: touching the file page by page takes milliseconds, and every generation begins with a
    new one.
    """
    fd = os.memfd_create("perdure-shared-window", os.MFD_CLOEXEC)
    try:
        os.ftruncate(fd, _FILE_BYTES)
        own = map_file(fd, _FILE_BYTES)
        own[:_MARK_AT:HUGE_BYTES] = 0
        collapse(own[:_MARK_AT])
        mark = os.urandom(_MARK_BYTES)
        own[_MARK_AT : _MARK_AT + _MARK_BYTES] = np.frombuffer(mark, np.uint8)
        yield _PLACE.pack(os.getpid(), fd, mark), own
    finally:
        os.close(fd)


def mapped(place: bytes) -> Bytes | None:
    """Return another member's file, to read. None: it cannot be opened from here, or is not the one that was meant."""
    pid, number, mark = _PLACE.unpack(place)
    try:
        fd = os.open(f"/proc/{pid}/fd/{number}", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        if os.fstat(fd).st_size != _FILE_BYTES:
            return None
        file = map_file(fd, _FILE_BYTES, writable=False)
    finally:
        os.close(fd)
    return file if file[_MARK_AT : _MARK_AT + len(mark)].tobytes() == mark else None
