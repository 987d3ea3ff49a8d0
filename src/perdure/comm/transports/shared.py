"""Streams in shared memory, between processes of one host.

A ring carries the bytes; a Unix socket beside it carries the ring's file at the start, a byte for each ring of the bell, and shows by its
end that the other process is gone. Large messages are not copied into the ring: the receiver takes them from the sender's memory.
Where rings cannot be had (another processor family) the same sockets carry everything.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
from collections.abc import Sequence

from perdure.comm.transports import LinkRefused, OneWayStream, direct
from perdure.comm.transports.pending_connections import PendingConnection, peer_credentials
from perdure.comm.transports.resource_limits import check_resources
from perdure.comm.transports.ring import Ring, allocate, available
from perdure.comm.transports.sockets import StreamEnd, UnixTransport, connected
from perdure.streams.protocol import GivenUp, never


class _RingStream:
    """What both ends share: the bell."""

    in_memory = True

    def __init__(self, sock: socket.socket, ring: Ring) -> None:
        sock.setblocking(False)
        self._sock, self.ring = sock, ring
        self.fd = sock.fileno()
        self.direct = True

    def wake(self) -> None:
        """Rings the bell. OSError: the other end is gone."""
        with contextlib.suppress(BlockingIOError):  # it has rung so often already that the socket is full
            self._sock.send(b"!")

    def hear(self) -> bool:
        try:
            return self._sock.recv(4096) != b""
        except BlockingIOError:
            return True
        except ConnectionError:
            return False

    def settle(self) -> None:
        """Nothing to tell."""

    def close(self) -> None:
        self._sock.close()


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

    def __init__(self, sock: socket.socket, ring: Ring, pid: int) -> None:
        super().__init__(sock, ring)
        self._reader = direct.Reader(pid) if pid else None
        self._something = select.poll()
        self._something.register(sock, select.POLLIN)
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
        """Looks at the socket afterwards: while it is open, the process that was read cannot have been another of the same number."""
        if self._reader is None or not self._reader.read(address, target):
            return False
        if self._something.poll(0) and self._sock.recv(1, socket.MSG_PEEK) == b"":
            raise ConnectionResetError("the sender is gone")
        return True


class SharedTransport(UnixTransport):
    """Rings between the processes of one user on one host."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.address = "shared:" + name

    def dial(self, address: str, greeting: bytes, given_up: GivenUp = never) -> OneWayStream:
        sock = connected(address.removeprefix("shared:"), given_up)
        try:
            if not available():
                socket.send_fds(sock, [greeting], [])
                return StreamEnd(sock)
            fd = allocate()
            try:
                ring = Ring(fd)
                socket.send_fds(sock, [greeting], [fd])
            finally:
                os.close(fd)
        except OSError as error:
            sock.close()
            check_resources("no memory can be shared with another rank", error)
            raise LinkRefused(str(error)) from None
        return RingSender(sock, ring)

    def _stream(self, pending: PendingConnection) -> OneWayStream:
        if not pending.fds:
            return StreamEnd(pending.sock)
        try:
            return RingReceiver(pending.sock, Ring(pending.fds[0]), peer_credentials(pending.sock)[0])
        finally:
            pending.drop_files()
