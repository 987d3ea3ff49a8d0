"""Streams over sockets: Unix ones between processes of one host, TCP between hosts."""

from __future__ import annotations

import contextlib
import errno
import os
import select
import socket
import time
from collections.abc import Sequence
from typing import Final

from perdure.comm.transports import GivenUp, LinkRefused, Stream, never
from perdure.comm.transports.strangers import Strangers, peer_of
from perdure.comm.transports.tcp import FOR_EVER_S, PATIENCE_S, tune

DIAL_TIMEOUT_S: Final = 2.0
"""For a Unix socket that nobody accepts, and for the greeting's first bytes to be taken by the kernel."""
GREETINGS_MAX: Final = 1024
"""Connections that have not said yet whose they are; of more the oldest is closed."""
LOOK_AGAIN_S: Final = 0.005
"""Who waits for a link to be taken asks so often whether it is still wanted: a revoke must be heard within 50 ms."""
OUT_OF_MEANS: Final = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM))
BACKLOG: Final = 1024
"""A dial of a Unix socket blocks when so many wait to be accepted; more ranks than this on one host are not expected."""


class SocketStream:
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
            return self._sock.sendmsg(pieces)
        except BlockingIOError:
            return 0

    def recv_into(self, view: memoryview) -> int | None:
        try:
            return self._sock.recv_into(view)
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
    """What the two families share.

    A dialler sends its greeting at once, and may be stopped, or its link cut, just before that: for seconds, after which the job goes on.
    A connection that is closed meanwhile would be missed by nobody, so it may be silent for as long as a job waits for a node; and no
    other one waits for it.
    """

    def __init__(self, listener: socket.socket, address: str) -> None:
        self._listener, self.address = listener, address
        self._closed = False
        self._strangers = Strangers()
        self._fd = listener.fileno()
        self._ungreeted: dict[int, tuple[socket.socket, float]] = {}
        """By descriptor, in the order in which they came, with when that was."""
        self._poll = select.poll()
        self._poll.register(listener, select.POLLIN)
        listener.setblocking(False)
        listener.listen(BACKLOG)

    def accept(self, greeting_bytes: int) -> tuple[bytes, Stream] | None:
        while not self._closed:
            for fd, _ in self._poll.poll():
                if fd == self._fd:
                    self._let_in(greeting_bytes)
                elif fd in self._ungreeted and (greeted := self._hear(fd, greeting_bytes)):
                    return greeted
        for fd in list(self._ungreeted):
            self._take(fd).close()
        return None

    def _let_in(self, greeting_bytes: int) -> None:
        try:
            sock, _ = self._listener.accept()
        except OSError as error:
            if error.errno in OUT_OF_MEANS:
                raise
            return  # closed, or it hung up before it was accepted
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, greeting_bytes)  # TCP may cut a greeting; Unix sockets do not
        now = time.monotonic()
        for fd, (_, since) in list(self._ungreeted.items()):
            if now - since > PATIENCE_S or len(self._ungreeted) >= GREETINGS_MAX:
                self._take(fd).close()
        self._ungreeted[sock.fileno()] = (sock, now)
        self._poll.register(sock, select.POLLIN)

    def _take(self, fd: int) -> socket.socket:
        self._poll.unregister(fd)
        return self._ungreeted.pop(fd)[0]

    def _hear(self, fd: int, greeting_bytes: int) -> tuple[bytes, Stream] | None:
        sock = self._take(fd)
        if _has_hung_up(sock):  # killed before it said anything, which is no news
            sock.close()
            return None
        try:
            greeted = self._greeted(sock, greeting_bytes)
        except OSError:
            greeted = None
        if greeted is None:
            self._strangers.tell(peer_of(sock), "did not say whose it is")
            sock.close()
        else:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, 1)
        return greeted

    def _greeted(self, sock: socket.socket, greeting_bytes: int) -> tuple[bytes, Stream] | None:
        """The greeting and the stream of a new connection; None, or an OSError, when it is none of ours. All of it is there, or the end."""
        if sock.family == socket.AF_UNIX and peer_credentials(sock)[1] != os.getuid():
            return None
        greeting = sock.recv(greeting_bytes)
        return (greeting, SocketStream(sock)) if len(greeting) == greeting_bytes else None

    def close(self) -> None:
        self._closed = True
        with contextlib.suppress(OSError):  # a listener is not connected: shutting it down is only to wake the accepting thread
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


class UnixTransport(_Listener):
    """Abstract Unix sockets: nothing lies in the file system. Only processes of the same user are listened to."""

    def __init__(self, name: str) -> None:
        super().__init__(bound(name), "unix:" + name)

    def dial(self, address: str, greeting: bytes, given_up: GivenUp = never) -> Stream:
        sock = connected(address.removeprefix("unix:"), given_up)
        try:
            sock.sendall(greeting)
        except OSError as error:
            sock.close()
            raise LinkRefused(str(error)) from None
        return SocketStream(sock)


class TcpTransport(_Listener):
    """TCP on a free port of one address of this machine. Silence is nobody's loss here: who dials waits until the detector has judged."""

    def __init__(self, host: str = "127.0.0.1") -> None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listener = socket.create_server((host, 0), family=family)
        super().__init__(listener, f"tcp:{host}:{listener.getsockname()[1]}")

    def dial(self, address: str, greeting: bytes, given_up: GivenUp = never) -> Stream:
        host, _, port = address.removeprefix("tcp:").rpartition(":")
        sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
        try:
            _connect(sock, (host, int(port)), given_up, PATIENCE_S)
            sock.sendall(greeting)
        except OSError as error:
            sock.close()
            raise LinkRefused(str(error)) from None
        return SocketStream(sock)


def _has_hung_up(sock: socket.socket) -> bool:
    try:
        return not sock.recv(1, socket.MSG_PEEK)
    except OSError:
        return True


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
    """Connects in small steps. OSError: refused, too late, or given up. A Unix socket says EAGAIN while too many wait to be accepted."""
    sock.setblocking(False)
    taken = select.poll()  # not `select`, which knows no descriptor above 1023
    taken.register(sock, select.POLLOUT)
    deadline = time.monotonic() + timeout_s
    while (code := sock.connect_ex(address)) not in (0, errno.EISCONN):
        if code not in (errno.EAGAIN, errno.EINPROGRESS, errno.EALREADY):
            raise OSError(code, os.strerror(code))
        if given_up() or time.monotonic() > deadline:
            raise TimeoutError("the generation is over" if given_up() else "nobody accepts")
        if code == errno.EAGAIN:  # not even queued, so there is nothing to be told of
            time.sleep(LOOK_AGAIN_S)
        else:
            taken.poll(LOOK_AGAIN_S * 1e3)
    sock.settimeout(DIAL_TIMEOUT_S)


def peer_credentials(sock: socket.socket) -> tuple[int, int]:
    """(process id, user id) of the other end of a Unix socket, as its kernel tells."""
    credentials = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
    return int.from_bytes(credentials[:4], "little"), int.from_bytes(credentials[4:8], "little")
