"""How do bytes get from one rank to another?

A `Transport` belongs to one process: it has an address that others dial, and it dials theirs. A dial gives a `OneWayStream`, a one-way
channel of bytes in order, whose first bytes are a greeting. Streams (`perdure.streams`), shared memory between processes of one host, and
plain memory between threads of one process all look like this to the engine, so what a rank computes cannot depend on which of them it is.

`perdure.testing.TransportTests` is the suite that every transport passes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol

from perdure.errors import InternalError
from perdure.streams.addresses import tcp_address, unix_address
from perdure.streams.protocol import GivenUp, never

Kind = Literal["shared", "unix", "tcp", "threads"]
KINDS: tuple[Kind, ...] = ("shared", "unix", "tcp", "threads")
BETWEEN_PROCESSES: tuple[Kind, ...] = ("shared", "unix", "tcp")


class LinkRefused(ConnectionError):
    """Nobody listens at an address, or whoever does wants nothing of us."""


class OneWayStream(Protocol):
    """One end of a one-way channel. Used by one thread; nothing here blocks.

    Attributes:
        fd: to be polled: readable when something arrived or the other end is gone, writable (streams) when there is room.
        in_memory: `ready` is a look at memory, so that a waiting rank can spin on it; before it polls it must `arm`.
        reads_ahead: `recv_into` may have something although `fd` is not readable: before a rank polls it looks at `ready`.
        direct: a message may be offered by its address; the receiver copies it once, with `read_directly`.
    """

    fd: int
    in_memory: bool
    reads_ahead: bool
    direct: bool

    def send(self, pieces: Sequence[memoryview | bytes]) -> int:
        """Takes as many bytes as there is room for, of the pieces one after the other. OSError: the other end is gone."""

    def recv_into(self, view: memoryview) -> int | None:
        """Bytes put into `view`; None: nothing is there yet; 0: the other end is gone and all it sent was read."""

    def settle(self) -> None:
        """After a burst of `recv_into`: tells the sender that there is room."""

    def ready(self) -> bool:
        """In memory, or where the stream reads ahead: would `recv_into` (receiver) or `send` (sender) do something now?"""

    def arm(self, *, armed: bool) -> None:
        """In memory: this end is about to poll `fd`, so the other one must ring; or it is back."""

    def hear(self) -> bool:
        """`fd` became readable: takes the ring off. False when the other end is gone."""

    def read_directly(self, address: int, target: memoryview) -> bool:
        """Copies the sender's memory at `address` into `target`. False: the system does not allow it. OSError: the sender is gone."""

    def close(self) -> None:
        """Gives everything back; the other end sees the end of the stream."""


class Transport(Protocol):
    """The end of one process. `accept` is called by a thread of its own; `dial` by any."""

    address: str

    def dial(self, address: str, greeting: bytes, given_up: GivenUp = never) -> OneWayStream:
        """The sending end of a new stream. Blocks for a few seconds at most, and not once `given_up()`; LinkRefused: nobody is there."""

    def accept(self, greeting_bytes: int) -> tuple[bytes, OneWayStream] | None:
        """The next greeting of that length, and the receiving end. Blocks until one comes; None once the transport is closed."""

    def close(self) -> None:
        """Wakes `accept`, and refuses later dials. Streams live on."""


def make(kind: Kind, name: str, host: str = "127.0.0.1") -> Transport:
    """The transport of this process. `name` is unique on this machine; `host` is the number by which others reach it."""
    if kind in ("unix", "tcp"):
        from perdure.comm.transports.stream_transport import StreamTransport

        return StreamTransport(unix_address(name) if kind == "unix" else tcp_address(host))
    if kind == "threads":
        from perdure.comm.transports.threads import ThreadTransport

        return ThreadTransport(name)
    if kind == "shared":
        from perdure.comm.transports.shared import SharedTransport

        return SharedTransport(name)
    raise InternalError(f"unknown transport {kind!r}")
