"""The two ends of a one-way link between ranks, and the frames on it.

A frame is a head and the bytes that follow it. Heads carry the generation and a sequence number of their channel, so that a frame of an
older generation, or a lost or repeated one, is found and refused; and so that messages can be logged and replayed later. They carry the
sender's commit interval too, the number of commit positions that it has passed: see `MessageEngine.pass_commit`.
"""

from __future__ import annotations

import collections
import struct
from dataclasses import dataclass, field
from typing import Final, Protocol

from perdure.comm.messaging.matching import Arrival, Receive
from perdure.comm.transports import OneWayStream
from perdure.comm.transports.shared import RingReceiver, RingSender
from perdure.errors import InternalError
from perdure.streams.protocol import GivenUp

HEAD: Final = struct.Struct("<QQQQqIIII")
"""sequence number, context, length, address, tag, generation, kind, ticket, commit interval of the sender."""
HEAD_BYTES: Final = HEAD.size
DATA: Final = 0
"""A message; its bytes follow."""
DATA_SYNCHRONOUS: Final = 1
"""The same; the sender waits until it is matched."""
OFFER: Final = 2
"""A message that lies at `address` of the sender; nothing follows."""
TAKEN: Final = 3
"""Back to the sender: the message with that ticket was received, or matched."""
REFUSED: Final = 4
"""Back to the sender: its memory cannot be read from here; send a copy."""
COPY: Final = 5
"""The copy that was asked for; its bytes follow."""


class Send:
    """A message under way. It is done when its bytes may be changed."""

    done = False
    ticket = 0

    def __init__(self, data: memoryview, done: bool = False) -> None:
        self.data = data
        if done:
            self.done = True


GONE: Final = Send(memoryview(b""), done=True)
"""Any message that left at once."""


class Dialer(Protocol):
    """A rank that can connect to others."""

    @property
    def rank(self) -> int:
        """Its number in the job."""

    def dial(self, generation: int, address: str, given_up: GivenUp) -> OneWayStream:
        """Connect to a rank of this generation. LinkRefused: nobody listens there, or `given_up` returned true."""


@dataclass(slots=True, eq=False)
class Outward:
    """The sending end: frames that there was no room for wait in `pending`. `near`: the stream, if it is a ring in memory."""

    rank: int
    stream: OneWayStream
    direct: bool
    sequence: int = 0
    pending: collections.deque[tuple[list[memoryview | bytes], Send | None]] = field(default_factory=collections.deque)
    near: RingSender | None = field(init=False)

    def __post_init__(self) -> None:
        self.near = self.stream if isinstance(self.stream, RingSender) else None

    def push(self) -> int:
        """Gives the stream what it takes. Returns the bytes taken. OSError: the other end is gone."""
        total = 0
        while self.pending:
            pieces, message = self.pending.popleft()
            sent = self.stream.send(pieces)
            total += sent
            left = cut(pieces, sent)
            if left:
                self.pending.appendleft((left, message))
                return total
            if message is not None:
                message.done = True
        return total


def cut(pieces: list[memoryview | bytes], sent: int) -> list[memoryview | bytes]:
    """What is left of them when so many bytes are gone."""
    while pieces and sent >= len(pieces[0]):
        sent -= len(pieces[0])
        pieces = pieces[1:]
    return [memoryview(pieces[0])[sent:], *pieces[1:]] if sent else pieces


@dataclass(slots=True, eq=False)
class Inward:
    """The receiving end. While a frame is half read, `arrival` is it and `target` is where its bytes go. `near`: as of `Outward`."""

    rank: int
    stream: OneWayStream
    sequence: int = 0
    head: bytearray = field(default_factory=lambda: bytearray(HEAD_BYTES))
    view: memoryview = field(init=False)
    filled: int = 0
    arrival: Arrival | None = None
    target: memoryview | None = None
    wanted: Receive | None = None
    near: RingReceiver | None = field(init=False)

    def __post_init__(self) -> None:
        self.view = memoryview(self.head)
        self.near = self.stream if isinstance(self.stream, RingReceiver) else None

    def due(self, sequence: int, of_generation: int, generation: int) -> None:
        """A head is complete, and counted. InternalError: it does not belong here."""
        if of_generation != generation or sequence != self.sequence:
            raise InternalError(
                f"rank {self.rank} sent frame {sequence} of generation {of_generation}; frame {self.sequence} of {generation} was due"
            )
        self.sequence += 1
        self.filled = 0

    def unpack(self, generation: int) -> Arrival:
        """The head that is complete now. InternalError: it does not belong here."""
        sequence, context, length, address, tag, of_generation, kind, ticket, interval = HEAD.unpack(self.head)
        self.due(sequence, of_generation, generation)
        return Arrival(context, self.rank, tag, length, kind, ticket, address, interval)
