"""Streams over sockets: Unix ones between processes of one host, TCP between hosts."""

from __future__ import annotations

import contextlib
import select
import socket
from collections.abc import Sequence
from typing import Final

from perdure.comm.transports import LinkRefused, OneWayStream
from perdure.comm.transports.pending_connections import PendingConnection, PendingConnections
from perdure.streams.connecting import connect_in_steps
from perdure.streams.protocol import FOR_EVER_S, PATIENCE_S, GivenUp, never
from perdure.streams.tcp_options import tune

DIAL_TIMEOUT_S: Final = 2.0
"""For a Unix socket that nobody accepts, and for the greeting's first bytes to be taken by the kernel."""
CALL_BYTES: Final = 16 << 20
"""At most so many go through one system call (arbitrary): with a peer that keeps up, one call would last as long as the message, and a
revoke would wait for it. The kernel takes less than 2 GiB at once anyway."""
BACKLOG: Final = 1024
"""A dial of a Unix socket blocks when so many wait to be accepted; more ranks than this on one host are not expected."""


class StreamEnd:
    """Either end of a connected socket."""

    in_memory = False
    direct = False

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        tune(sock, FOR_EVER_S)
        self._sock = sock
        self.fd = sock.fileno()

    def send(self, pieces: Sequence[memoryview | bytes]) -> int:
        try:
            return self._sock.sendmsg([*pieces[:-1], pieces[-1][:CALL_BYTES]] if len(pieces[-1]) > CALL_BYTES else pieces)
        except BlockingIOError:
            return 0

    def recv_into(self, view: memoryview) -> int | None:
        try:
            return self._sock.recv_into(view, min(len(view), CALL_BYTES))
        except BlockingIOError:
            return None
        except OSError:  # TCP has many words for an end
            return 0

    def settle(self) -> None:
        """The kernel tells the sender."""

    def ready(self) -> bool:
        return False

    def arm(self, *, armed: bool) -> None:
        """The kernel rings always."""

    def hear(self) -> bool:
        return True

    def read_directly(self, address: int, target: memoryview) -> bool:
        return False

    def close(self) -> None:
        self._sock.close()


class _Listener:
    """What the two families share."""

    def __init__(self, listener: socket.socket, address: str) -> None:
        self._listener, self.address = listener, address
        self._closed = False
        self._fd = listener.fileno()
        self._poll = select.poll()
        self._poll.register(listener, select.POLLIN)
        self._pending = PendingConnections(listener, lambda sock: self._poll.register(sock, select.POLLIN), self._poll.unregister)
        listener.listen(BACKLOG)

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
        return StreamEnd(pending.sock)

    def close(self) -> None:
        self._closed = True
        with contextlib.suppress(OSError):  # a listener is not connected: shutting it down is only to wake the accepting thread
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


class UnixTransport(_Listener):
    """Abstract Unix sockets: nothing lies in the file system. Only processes of the same user are listened to."""

    def __init__(self, name: str) -> None:
        super().__init__(bound(name), "unix:" + name)

    def dial(self, address: str, greeting: bytes, given_up: GivenUp = never) -> OneWayStream:
        sock = connected(address.removeprefix("unix:"), given_up)
        try:
            sock.sendall(greeting)
        except OSError as error:
            sock.close()
            raise LinkRefused(str(error)) from None
        return StreamEnd(sock)


class TcpTransport(_Listener):
    """TCP on a free port of one address of this machine. Silence is nobody's loss here: who dials waits until the detector has judged."""

    def __init__(self, host: str = "127.0.0.1") -> None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listener = socket.create_server((host, 0), family=family)
        super().__init__(listener, f"tcp:{host}:{listener.getsockname()[1]}")

    def dial(self, address: str, greeting: bytes, given_up: GivenUp = never) -> OneWayStream:
        host, _, port = address.removeprefix("tcp:").rpartition(":")
        sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
        try:
            _connect(sock, (host, int(port)), given_up, PATIENCE_S)
            sock.sendall(greeting)
        except OSError as error:
            sock.close()
            raise LinkRefused(str(error)) from None
        return StreamEnd(sock)


def bound(name: str) -> socket.socket:
    """A Unix socket with an abstract name."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.bind("\0" + name)
    return sock


def connected(name: str, given_up: GivenUp = never) -> socket.socket:
    """A connection to it; LinkRefused when nobody listens, or does not accept in time, or it was given up."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        _connect(sock, "\0" + name, given_up)
    except OSError as error:
        sock.close()
        raise LinkRefused(str(error)) from None
    return sock


def _connect(sock: socket.socket, address: str | tuple[str, int], given_up: GivenUp, timeout_s: float = DIAL_TIMEOUT_S) -> None:
    """See `connect_in_steps`; what is sent next may block for a while."""
    connect_in_steps(sock, address, given_up, timeout_s)
    sock.settimeout(DIAL_TIMEOUT_S)
