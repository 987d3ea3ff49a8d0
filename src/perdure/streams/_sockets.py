"""Streams and listeners over sockets of the kernel, whatever their family."""

from __future__ import annotations

import contextlib
import os
import select
import socket
import struct
from collections.abc import Callable, Sequence
from typing import Any, Final

from perdure.streams._connecting import connect_in_steps
from perdure.streams.protocol import Bytes, Credentials, EndOfStream, GivenUp, Parcel

CALL_BYTES: Final = 16 << 20
"""At most so many go through one call that never waits (arbitrary): with a peer that keeps up, one call would last as long as the message,
and a revoke would wait for it. The kernel takes less than 2 GiB at once anyway."""
BACKLOG: Final = 1024
"""Connections that wait to be accepted: every agent and every worker of a job may dial at the same moment."""
_AT_ONCE: Final = int(socket.MSG_DONTWAIT)
"""A plain number: to look it up in an enumeration of another module takes a twentieth of a short call."""
_BULK: Final = 2
"""TC_PRIO_BULK: the last band of the usual queues of a network card (tc-prio(8))."""
_FILES: Final = (socket.SOL_SOCKET, socket.SCM_RIGHTS)
_FD: Final = struct.Struct("@i")
_TIMEVAL: Final = struct.Struct("@ll")
_CREDENTIALS: Final = struct.Struct("@iII")
"""pid, uid, gid (unix(7))."""


class SocketStream:
    """A blocking stream over a socket. Calls that never wait pass a flag of their own."""

    reads_ahead = False
    fileno: Callable[[], int]

    def __init__(self, sock: socket.socket, *, is_connecting: bool = False) -> None:
        """`sock` has no timeout, or is not this process's alone. `is_connecting`: the connection may still be under way."""
        self._sock, self._is_connecting = sock, is_connecting
        self.is_local = self.passes_files = sock.family == socket.AF_UNIX
        self.fileno, self._recv, self._recv_into = sock.fileno, sock.recv, sock.recv_into
        self._send, self._sendall, self._sendmsg = sock.send, sock.sendall, sock.sendmsg
        self._timeout_s: float | None = None
        self._polls: dict[int, select.poll] = {}

    def pending(self) -> int:
        return 0

    def try_send(self, pieces: Sequence[Bytes]) -> int:
        last = pieces[-1]
        try:
            if len(last) > CALL_BYTES:
                return self._sendmsg([*pieces[:-1], last[:CALL_BYTES]], (), _AT_ONCE)
            return self._send(last, _AT_ONCE) if len(pieces) == 1 else self._sendmsg(pieces, (), _AT_ONCE)
        except BlockingIOError:
            return 0

    def try_receive(self, view: memoryview) -> int | None:
        try:
            return self._recv_into(view if len(view) <= CALL_BYTES else view[:CALL_BYTES], 0, _AT_ONCE)
        except BlockingIOError:
            return None
        except OSError:  # TCP has many words for an end
            return 0

    def try_receive_bytes(self, nbytes: int) -> bytes | None:
        try:
            return self._recv(nbytes, _AT_ONCE)
        except BlockingIOError:
            return None
        except OSError:
            return b""

    def try_receive_parcel(self, nbytes: int) -> Parcel | None:
        try:
            return self._parcel(nbytes, _AT_ONCE)
        except BlockingIOError:
            return None
        except OSError:
            return Parcel(b"", [])

    def is_quiet(self) -> bool:
        return not self._is_ready(select.POLLIN | select.POLLRDHUP)

    def has_ended(self) -> bool:
        return self._is_ready(select.POLLRDHUP)

    def _is_ready(self, events: int) -> bool:
        if events not in self._polls:
            self._polls[events] = select.poll()
            self._polls[events].register(self._sock, events)
        return bool(self._polls[events].poll(0))

    def awaits_peer(self) -> bool:
        return False

    def send(self, *parts: Bytes) -> None:
        if self._is_connecting:
            self._wait_connected()
        try:
            for part in parts:
                self._sendall(part)
        except BlockingIOError:
            raise self._too_late() from None

    def receive_exactly(self, view: memoryview) -> None:
        try:
            while len(view):
                count = self._recv_into(view, len(view), socket.MSG_WAITALL)
                if not count:
                    raise EndOfStream("end of stream")
                view = view[count:]
        except BlockingIOError:
            raise self._too_late() from None

    def receive_bytes(self, nbytes: int) -> bytes:
        try:
            return self._recv(nbytes)
        except BlockingIOError:
            raise self._too_late() from None
        except OSError:
            return b""

    def send_file(self, data: Bytes, fd: int) -> None:
        try:
            sent = socket.send_fds(self._sock, [data], [fd])
        except BlockingIOError:
            raise self._too_late() from None
        if sent < len(data):
            self.send(data[sent:])

    def receive_file(self, nbytes: int) -> Parcel:
        try:
            return self._parcel(nbytes, socket.MSG_WAITALL)
        except BlockingIOError:
            raise self._too_late() from None

    def _parcel(self, nbytes: int, flags: int) -> Parcel:
        """Not by `socket.recv_fds`, which ignores flags."""
        data, brought, found, _ = self._sock.recvmsg(nbytes, socket.CMSG_LEN(_FD.size), flags)
        fds = [fd for level, kind, packed in brought if (level, kind) == _FILES for (fd,) in _FD.iter_unpack(packed)]
        return Parcel(data, fds, bool(found & socket.MSG_CTRUNC))

    def set_timeout(self, seconds: float | None) -> None:
        """In the kernel, because a timeout of Python's would hold for all calls."""
        self._timeout_s = seconds
        whole = int(seconds or 0)
        value = _TIMEVAL.pack(whole, int(((seconds or 0) - whole) * 1e6))
        for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
            self._sock.setsockopt(socket.SOL_SOCKET, option, value)

    def _too_late(self) -> TimeoutError:
        return TimeoutError(f"no bytes were transferred for {self._timeout_s} s")

    def _wait_connected(self) -> None:
        """By a poll: not every kernel lets `shut_down` wake a thread that waits for a connection inside of a send."""
        poll = select.poll()
        poll.register(self._sock, select.POLLOUT)
        if not poll.poll(None if self._timeout_s is None else self._timeout_s * 1e3):
            raise self._too_late()
        code = self._sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            raise OSError(code, os.strerror(code))
        self._is_connecting = False

    def set_bulk(self, buffer_bytes: int) -> None:
        """TCP finds the size of its buffers itself, and would be held to the kernel's limit for those who ask for one."""
        if self.is_local:
            for option in (socket.SO_SNDBUF, socket.SO_RCVBUF):
                self._sock.setsockopt(socket.SOL_SOCKET, option, buffer_bytes)
        else:
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_PRIORITY, _BULK)

    def set_patience(self, seconds: int) -> None:
        if not self.is_local:
            self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, seconds * 1000)

    def peer(self) -> str:
        try:
            name = self._sock.getpeername()
        except OSError:
            return "the peer has closed the connection"
        return "this machine" if self.is_local else str(name[0])

    def credentials(self) -> Credentials | None:
        if not self.is_local:
            return None
        pid, uid, _ = _CREDENTIALS.unpack(self._sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))
        return Credentials(pid, uid)

    def end_sending(self) -> None:
        self._sock.shutdown(socket.SHUT_WR)

    def shut_down(self) -> None:
        with contextlib.suppress(OSError):  # it may have ended by itself
            self._sock.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._sock.close()


class SocketListener:
    """A listener over a socket. `tune` is called with each that is accepted."""

    fileno: Callable[[], int]

    def __init__(self, sock: socket.socket, address: str, tune: Callable[[socket.socket], None]) -> None:
        sock.listen(BACKLOG)
        sock.setblocking(False)
        self._sock, self.address, self._tune = sock, address, tune
        self.fileno = sock.fileno

    def accept(self) -> SocketStream:
        sock, _ = self._sock.accept()
        self._tune(sock)
        return SocketStream(sock)

    def close(self) -> None:
        with contextlib.suppress(OSError):  # a listener is not connected: shutting it down is only to wake the accepting thread
            self._sock.shutdown(socket.SHUT_RDWR)
        self._sock.close()


def connect(sock: socket.socket, target: Any, given_up: GivenUp, timeout_s: float) -> SocketStream:
    """See `connect_in_steps`; the socket is closed if that fails."""
    try:
        connect_in_steps(sock, target, given_up, timeout_s)
    except OSError:
        sock.close()
        raise
    sock.settimeout(None)
    return SocketStream(sock)
