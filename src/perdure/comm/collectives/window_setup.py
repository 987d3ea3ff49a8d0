"""How members of a communicator come to share a window, and how they agree before each use that all are there."""

from __future__ import annotations

import struct
from typing import Any, Final

from perdure.comm.messaging import shared_window
from perdure.comm.messaging.comm_state import Exchange
from perdure.comm.messaging.matching import Receive
from perdure.comm.messaging.operations import Schedule
from perdure.comm.messaging.shared_window import PLACE_BYTES, SharedWindow, new_file
from perdure.mapping import Bytes

RANKS_MAX: Final = 8
"""Every member speaks to all others; beyond, messages along a tree are fewer."""
_COUNT: Final = struct.Struct("<Q")


def meet(x: Exchange) -> Schedule:
    """Map everybody's file. Return the `SharedWindow`; on all members None if one of them cannot map a file."""
    with new_file() as (place, own):
        places: dict[int, Any] = {rank: x.receive(rank, memoryview(bytearray(PLACE_BYTES))) for rank in range(x.size) if rank != x.rank}
        yield from [x.send(rank, memoryview(place)) for rank in places]
        yield from places.values()
        files: list[Bytes | None] = []
        for rank in range(x.size):
            if rank == x.rank:
                files.append(own)
                continue
            x.check(places[rank], PLACE_BYTES)
            files.append(shared_window.mapped(bytes(told(places[rank]))))
        have_all = all(file is not None for file in files)
        answers = {rank: x.receive(rank, memoryview(bytearray(1))) for rank in places}
        yield from [x.send(rank, memoryview(bytes([have_all]))) for rank in places]
        yield from answers.values()
    agreed = have_all and all(bytes(told(answer)) == b"\1" for answer in answers.values())
    return SharedWindow([file for file in files if file is not None]) if agreed else None


def told(wanted: Receive) -> memoryview:
    """Return the bytes of a receive that is done."""
    assert wanted.data is not None
    return wanted.data


def everybody(x: Exchange, nbytes: int) -> Schedule:
    """Return when all members are here; `MPI.Exception`: one of them has a vector of another length."""
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
