"""One-way streams over those of `perdure.streams`: between processes of one host, and between hosts."""

from __future__ import annotations

import select
import time
from typing import Final

from perdure import streams
from perdure.comm.transports import LinkRefused, OneWayStream
from perdure.comm.transports.pending_connections import PendingConnection, PendingConnections
from perdure.streams.protocol import FOR_EVER_S, PATIENCE_S, GivenUp, Stream, never

LOOK_AGAIN_S: Final = 0.005
"""How often a caller that waits is asked whether it still wants the stream: a revoke must be noticed within 50 ms."""


class StreamEnd:
    """Either end of a connected stream. `send` and `recv_into` are the stream's own calls: one call less for each message."""

    in_memory = False
    direct = False

    def __init__(self, stream: Stream) -> None:
        stream.set_patience(FOR_EVER_S)
        self._stream = stream
        self.fd, self.reads_ahead = stream.fileno(), stream.reads_ahead
        self.send, self.recv_into = stream.try_send, stream.try_receive

    def settle(self) -> None:
        """The kernel tells the sender."""

    def ready(self) -> bool:
        return self._stream.pending() > 0

    def arm(self, *, armed: bool) -> None:
        """The kernel rings always."""

    def hear(self) -> bool:
        return True

    def read_directly(self, address: int, target: memoryview) -> bool:
        return False

    def close(self) -> None:
        self._stream.close()


class StreamTransport:
    """A listener at an address of `perdure.streams`. Of the processes of one host only those of the same user are listened to."""

    def __init__(self, address: str) -> None:
        self._listener = streams.listen(address)
        self.address = self._listener.address
        self._closed = False
        self._fd = self._listener.fileno()
        self._poll = select.poll()
        self._poll.register(self._listener, select.POLLIN)
        self._pending = PendingConnections(
            self._listener, lambda stream: self._poll.register(stream, select.POLLIN), lambda stream: self._poll.unregister(stream)
        )

    def dial(self, address: str, greeting: bytes, given_up: GivenUp = never) -> OneWayStream:
        stream = connected(address, given_up)
        try:
            _send(stream, greeting, given_up)
        except OSError as error:
            stream.close()
            raise LinkRefused(str(error)) from None
        return StreamEnd(stream)

    def accept(self, greeting_bytes: int) -> tuple[bytes, OneWayStream] | None:
        while not self._closed:
            for fd, _ in self._poll.poll():
                if fd == self._fd:
                    self._pending.let_in()
                elif pending := self._pending.heard(fd, greeting_bytes):
                    return pending.said, self._stream(pending)
        self._pending.close()
        return None

    def _stream(self, pending: PendingConnection) -> OneWayStream:
        pending.drop_files()
        return StreamEnd(pending.stream)

    def close(self) -> None:
        self._closed = True
        self._listener.close()


def connected(address: str, given_up: GivenUp = never) -> Stream:
    """Return a stream to `address` that is connected, for a greeting. LinkRefused: nobody accepts there, or it was given up."""
    try:
        return streams.connect(address, given_up)
    except OSError as error:
        raise LinkRefused(str(error)) from None


def _send(stream: Stream, greeting: bytes, given_up: GivenUp) -> None:
    """Send a greeting. The kernel takes it at once; an encrypted stream takes it when its peer has answered a handshake."""
    left, deadline = memoryview(greeting), time.monotonic() + PATIENCE_S
    while left := left[stream.try_send([left]) :]:
        if given_up() or time.monotonic() > deadline:
            raise TimeoutError("the generation is over" if given_up() else "nobody answers")
        poll = select.poll()
        poll.register(stream, select.POLLIN if stream.awaits_peer() else select.POLLOUT)
        poll.poll(LOOK_AGAIN_S * 1e3)
