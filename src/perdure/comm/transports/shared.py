"""Streams in shared memory, between processes of one host.

A ring carries the bytes; a local stream beside it carries the ring's file at the start, a byte for each ring of the bell, and shows by its
end that the other process is gone. Large messages are not copied into the ring: the receiver takes them from the sender's memory.
Where rings cannot be had (another processor family) the same streams carry everything.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from typing import Final

from perdure.comm.transports import LinkRefused, OneWayStream, direct
from perdure.comm.transports.pending_connections import PendingConnection
from perdure.comm.transports.resource_limits import check_resources
from perdure.comm.transports.ring import Ring, allocate, available
from perdure.comm.transports.stream_transport import StreamEnd, StreamTransport, connected
from perdure.streams.addresses import unix_address
from perdure.streams.protocol import GivenUp, Stream, never

_RING: Final = (b"!",)


class _RingStream:
    """What both ends share: the bell."""

    in_memory = True
    reads_ahead = False

    def __init__(self, stream: Stream, ring: Ring) -> None:
        self._stream, self.ring = stream, ring
        self._try_send, self._try_receive = stream.try_send, stream.try_receive_bytes
        self.fd = stream.fileno()
        self.direct = True

    def wake(self) -> None:
        """Rings the bell. OSError: the other end is gone."""
        self._try_send(_RING)  # where none is taken, it has rung so often already that the stream is full

    def hear(self) -> bool:
        return self._try_receive(4096) != b""

    def settle(self) -> None:
        """Nothing to tell."""

    def close(self) -> None:
        self._stream.close()


class RingSender(_RingStream):
    """The sending end."""

    def send(self, pieces: Sequence[memoryview | bytes]) -> int:
        sent = self.ring.write(pieces)
        if self.ring.consumer_sleeps():
            self.wake()
        return sent

    def recv_into(self, view: memoryview) -> int | None:
        return None

    def ready(self) -> bool:
        return self.ring.has_room()

    def arm(self, *, armed: bool) -> None:
        self.ring.producer_arms(armed=armed)

    def read_directly(self, address: int, target: memoryview) -> bool:
        return False


class RingReceiver(_RingStream):
    """The receiving end. `pid`: of the sender."""

    def __init__(self, stream: Stream, ring: Ring, pid: int) -> None:
        super().__init__(stream, ring)
        self._reader = direct.Reader(pid) if pid else None
        self._ended = False
        self.ready = ring.has_data

    def send(self, pieces: Sequence[memoryview | bytes]) -> int:
        return 0

    def recv_into(self, view: memoryview) -> int | None:
        return self.ring.read_into(view) or (0 if self._ended else None)

    def hear(self) -> bool:
        if not super().hear():
            self._ended = True
        return not self._ended or self.ring.has_data()

    def settle(self) -> None:
        if self.ring.give_back():
            with contextlib.suppress(ConnectionError):  # it is gone; the end of the stream says so
                self.wake()

    def arm(self, *, armed: bool) -> None:
        self.ring.consumer_arms(armed=armed)

    def read_directly(self, address: int, target: memoryview) -> bool:
        """Looks at the stream afterwards: while it is open, the process that was read cannot have been another of the same number."""
        if self._reader is None or not self._reader.read(address, target):
            return False
        if self._stream.has_ended():
            raise ConnectionResetError("the sender has exited")
        return True


class SharedTransport(StreamTransport):
    """Rings between the processes of one user on one host."""

    def __init__(self, name: str) -> None:
        super().__init__(unix_address(name))
        self.address = "shared:" + name

    def dial(self, address: str, greeting: bytes, given_up: GivenUp = never) -> OneWayStream:
        stream = connected(unix_address(address.removeprefix("shared:")), given_up)
        try:
            if not available():
                stream.send(greeting)
                return StreamEnd(stream)
            fd = allocate()
            try:
                ring = Ring(fd)
                stream.send_file(greeting, fd)
            finally:
                os.close(fd)
        except OSError as error:
            stream.close()
            check_resources("no shared memory is available", error)
            raise LinkRefused(str(error)) from None
        return RingSender(stream, ring)

    def _stream(self, pending: PendingConnection) -> OneWayStream:
        if not pending.fds:
            return StreamEnd(pending.stream)
        try:
            peer = pending.stream.credentials()
            return RingReceiver(pending.stream, Ring(pending.fds[0]), peer.pid if peer else 0)
        finally:
            pending.drop_files()
