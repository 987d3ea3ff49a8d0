"""`mpi4py.util.pkl5`: communicators whose lower-case calls leave large buffers out of the pickle (pickle protocol 5).

One message holds all: lengths, the pickle, and the buffers, each at a multiple of `ALIGNMENT`. What is received is the memory of the arrays
that are made of it.
"""

from __future__ import annotations

import struct
from typing import Any, Final

import numpy as np

from perdure.comm.datatypes.pickles import Pickle, PickleCodec
from perdure.comm.messaging import probes, requests
from perdure.comm.mpi import communicator

ALIGNMENT: Final = 64
"""The alignment of each part in bytes: a cache line, which is enough for any dtype."""
_COUNT: Final = struct.Struct("<Q")
pickle = Pickle()


def dump(obj: Any) -> memoryview:
    """Return an object's bytes."""
    data, buffers = pickle.dumps_oob(obj)
    parts = [memoryview(data), *(buffer.raw() for buffer in buffers)]
    head = struct.pack(f"<{len(parts) + 1}Q", len(parts), *map(len, parts))
    places, end = _places(len(head), [len(part) for part in parts])
    whole = np.empty(end, np.uint8).data
    whole[: len(head)] = head
    for at, part in zip(places, parts, strict=True):
        whole[at : at + len(part)] = part
    return whole


def load(data: Any) -> Any:
    """Return the object of these bytes, which its arrays keep."""
    whole = memoryview(data)
    (count,) = _COUNT.unpack_from(whole)
    lengths = struct.unpack_from(f"<{count}Q", whole, _COUNT.size)
    places, _ = _places((count + 1) * _COUNT.size, lengths)
    first, *buffers = (whole[at : at + length] for at, length in zip(places, lengths, strict=True))
    return pickle.loads_oob(first, buffers)


def _places(head: int, lengths: Any) -> tuple[list[int], int]:
    """Return the starts of the parts, and the end of the last one."""
    places, end = [], head
    for length in lengths:
        places.append(-(-end // ALIGNMENT) * ALIGNMENT)
        end = places[-1] + length
    return places, end


CODEC: Final = PickleCodec(dump, load)


class Request(requests.Request):
    """A request of these communicators."""


class Message(probes.Message):
    """A matched message of these communicators."""

    _codec = CODEC


class Comm(communicator.Comm):
    """A communicator of this kind."""

    _codec = CODEC
    _message_class = Message
    _request_class = Request


class Intracomm(Comm, communicator.Intracomm):
    """A communicator of one group, of this kind."""


class Intercomm(Comm, communicator.Intercomm):
    """Only the null one, as of `MPI`."""
