"""Memory that all members of a communicator on one host have mapped, for collectives that would move the same bytes through messages.

Every member owns a memory file, writes nothing else, and reads the others'. A file has two halves for calls in turn: who writes a half
again has heard in the call between that everybody has finished the call before, so no reader is overtaken. All of it belongs to one
communicator of one generation: a rank that unwinds leaves it to those that still look at it, and meets anew.

The bytes are ordered by the messages that speak of them: a ring keeps stores in order, and a socket does so all the more.
"""

from __future__ import annotations

import contextlib
import os
import struct
from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from perdure.comm.comm_state import Exchange
from perdure.comm.matching import Receive
from perdure.comm.operations import Schedule
from perdure.mapping import HUGE_BYTES, Bytes, collapse, map_file

Array = NDArray[Any]
HALF_BYTES: Final = HUGE_BYTES
"""The longest vector that goes through it. Longer ones are not helped: they do not fit into the caches between one copy and the next."""
RANKS_MAX: Final = 8
"""Every member speaks to all others; beyond, messages along a tree are fewer."""
_MARK_AT: Final = 2 * HALF_BYTES
_FILE_BYTES: Final = _MARK_AT + 4096
_PLACE: Final = struct.Struct("<II16s")
"""Process, file descriptor, and the mark at the end of the file: a number may mean another process to who lives in a container."""
_COUNT: Final = struct.Struct("<Q")


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


def meet(x: Exchange) -> Schedule:
    """Maps everybody's file. Returns the `SharedWindow`; on all members None if it cannot be had on one of them."""
    with _new_file() as (fd, own):
        mark = os.urandom(16)
        own[_MARK_AT : _MARK_AT + len(mark)] = np.frombuffer(mark, np.uint8)
        places: dict[int, Any] = {rank: x.receive(rank, memoryview(bytearray(_PLACE.size))) for rank in range(x.size) if rank != x.rank}
        place = memoryview(_PLACE.pack(os.getpid(), fd, mark))
        yield from [x.send(rank, place) for rank in places]
        yield from places.values()
        files: list[Bytes | None] = []
        for rank in range(x.size):
            if rank == x.rank:
                files.append(own)
                continue
            x.check(places[rank], _PLACE.size)
            files.append(_mapped(*_PLACE.unpack(told(places[rank]))))
        have_all = all(file is not None for file in files)
        answers = {rank: x.receive(rank, memoryview(bytearray(1))) for rank in places}
        yield from [x.send(rank, memoryview(bytes([have_all]))) for rank in places]
        yield from answers.values()
    agreed = have_all and all(bytes(told(answer)) == b"\1" for answer in answers.values())
    return SharedWindow([file for file in files if file is not None]) if agreed else None


@contextlib.contextmanager
def _new_file() -> Iterator[tuple[int, Bytes]]:
    """Open while the others look for it. Its halves are huge pages, if there are such: touching it page by page takes milliseconds, and
    every generation begins with a new one."""
    fd = os.memfd_create("perdure-shared-window", os.MFD_CLOEXEC)
    try:
        os.ftruncate(fd, _FILE_BYTES)
        own = map_file(fd, _FILE_BYTES)
        own[:_MARK_AT:HUGE_BYTES] = 0
        collapse(own[:_MARK_AT])
        yield fd, own
    finally:
        os.close(fd)


def _mapped(pid: int, number: int, mark: bytes) -> Bytes | None:
    """Another member's file, to read. None: it cannot be opened from here, or is not the one that was meant."""
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


def told(wanted: Receive) -> memoryview:
    """What a receive that is done has received."""
    assert wanted.data is not None
    return wanted.data


def everybody(x: Exchange, nbytes: int) -> Schedule:
    """Returns when all members are here; `MPI.Exception`: one of them has a vector of another length."""
    count = memoryview(_COUNT.pack(nbytes))
    others = [(x.rank + step) % x.size for step in range(1, x.size)]
    wanted = [x.receive(rank, memoryview(bytearray(_COUNT.size))) for rank in others]
    yield from [x.send(rank, count) for rank in others]
    for one in wanted:
        yield one
        x.check(one, _COUNT.size)
        (theirs,) = _COUNT.unpack(told(one))
        if theirs != nbytes:
            raise x.disagreement(one, theirs, nbytes)
