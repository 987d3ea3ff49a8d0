"""The frames that come in on a link, and where their bytes go."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

import numpy as np

from perdure.comm.messaging.links import DATA, HEAD, HEAD_BYTES, OFFER, REFUSED, TAKEN, Inward
from perdure.comm.messaging.matching import Arrival, Receive
from perdure.comm.messaging.monitor import Monitor

if TYPE_CHECKING:
    from perdure.comm.transports.ring import Ring

_WITHOUT_BYTES: Final = frozenset((OFFER, TAKEN, REFUSED))
"""Frames that are nothing but a head."""


class Receiver(Protocol):
    """Who is told of frames."""

    def head_arrived(self, arrival: Arrival, rank: int) -> tuple[Receive | None, memoryview | None] | None:
        """A frame begins: the receive that it belongs to and where its bytes may go; None when it has none that anybody waits for."""

    def message_arrived(self, arrival: Arrival, wanted: Receive | None) -> None:
        """All its bytes are there."""

    def receive_for(self, context: int, source: int, tag: int, room: int) -> Receive | None:
        """See `Mailbox.receive_for`."""


class Intake:
    """Takes what comes on the links of one generation. `revoked`: nothing more is taken. `interval`: as of `MessageEngine`."""

    def __init__(self, generation: int, receiver: Receiver, monitor: Monitor) -> None:
        self.revoked = False
        self.interval = 0
        self._generation, self._receiver, self._monitor = generation, receiver, monitor

    def pull(self, inward: Inward) -> bool:
        """Takes one message of a link. False: the link has ended.

        No more, because it may be the one that is waited for: a rank that went on reading would fill its memory with the messages of a
        faster one, while the stream holds that one up.
        """
        if inward.near is not None and inward.arrival is None and not inward.filled and self._take(inward, inward.near.ring):
            inward.stream.settle()
            return True
        recv_into = inward.stream.recv_into
        count: int | None = None
        while not self.revoked:
            if inward.arrival is None:
                count = recv_into(inward.view[inward.filled :] if inward.filled else inward.view)
                if not count:
                    break
                inward.filled += count
                if inward.filled == HEAD_BYTES and self._begin(inward):
                    break
            else:
                assert inward.target is not None
                count = recv_into(inward.target[inward.filled :] if inward.filled else inward.target)
                if not count:
                    break
                inward.filled += count
                if inward.filled == inward.arrival.length:
                    self._end(inward)
                    break
                self._monitor.progressed()
        inward.stream.settle()
        return count != 0

    def _take(self, inward: Inward, ring: Ring) -> bool:
        """The usual frame in a few steps: it lies in the ring, and is an answer, an offer, or for a receive that waits for it and has room.
        False: it is not that, and nothing was taken."""
        at = ring.lies_at(HEAD_BYTES)
        if at < 0 or self.revoked:
            return False
        sequence, context, length, address, tag, generation, kind, ticket, interval = HEAD.unpack_from(ring.data, at)
        wanted = None
        if kind == DATA:
            if interval != self.interval:
                return False
            wanted = self._receiver.receive_for(context, inward.rank, tag, length)
            if wanted is None:
                return False
        elif kind not in _WITHOUT_BYTES:
            return False
        inward.due(sequence, generation, self._generation)
        ring.skip(HEAD_BYTES)
        if wanted is None:
            self._receiver.head_arrived(Arrival(context, inward.rank, tag, length, kind, ticket, address, interval), inward.rank)
            return True
        assert wanted.buffer is not None
        target = wanted.buffer[:length]
        filled = 0
        while filled < length and (count := ring.read_into(target[filled:] if filled else target)):
            filled += count
        if filled < length:
            arrival = inward.arrival = Arrival(context, inward.rank, tag, length, kind, ticket, address, interval)
            arrival.placed = True
            inward.target, inward.wanted, inward.filled = target, wanted, filled
            self._monitor.progressed()
            return True
        wanted.from_rank, wanted.from_tag, wanted.length, wanted.data = inward.rank, tag, length, target
        wanted.done = True
        self._monitor.moved(length)
        return True

    def _begin(self, inward: Inward) -> bool:
        """A head is here: its bytes go where a posted receive wants them, or into fresh memory. True: there are none."""
        arrival = inward.unpack(self._generation)
        place = self._receiver.head_arrived(arrival, inward.rank)
        if place is None:
            return True
        inward.arrival, (inward.wanted, buffer) = arrival, place
        arrival.placed = buffer is not None and len(buffer) >= arrival.length
        inward.target = buffer[: arrival.length] if buffer is not None and arrival.placed else fresh(arrival.length)
        if arrival.length == 0:
            self._end(inward)
        return arrival.length == 0

    def _end(self, inward: Inward) -> None:
        arrival, wanted = inward.arrival, inward.wanted
        assert arrival is not None
        arrival.data = inward.target
        inward.arrival = inward.target = inward.wanted = None
        inward.filled = 0
        self._monitor.moved(arrival.length)
        self._receiver.message_arrived(arrival, wanted)


def fresh(nbytes: int) -> memoryview:
    """Memory for a message that nobody has a buffer for. (nbytes,) bytes, not cleared when large."""
    return memoryview(bytearray(nbytes)) if nbytes < 4096 else np.empty(nbytes, np.uint8).data
