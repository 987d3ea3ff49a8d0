"""Accepted connections that have not sent their first bytes yet, so their peers are unknown.

A peer that dials sends its first bytes at once. It may be stopped, or its link cut, just before that: for seconds, after which the job goes
on. Nobody would make a connection again that was closed meanwhile. So a connection may stay pending for as long as a job waits for a node
(rule T5), does not delay any other, and the oldest is closed when there are too many.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from perdure.comm.transports.refused_connections import RefusedConnections, peer_of
from perdure.comm.transports.resource_limits import check_resources, is_exhausted
from perdure.streams.protocol import PATIENCE_S
from perdure.streams.tcp_options import tune

PENDING_MAX: Final = 1024
"""Of one listener. Arbitrary, above what a job's own dials can be."""
NO_MORE: Final = "no connection can be accepted any more"


@dataclass(slots=True)
class PendingConnection:
    """Its connection, when it came, and what it has brought: bytes, and descriptors of files, which are the receiver's to close."""

    sock: socket.socket
    since: float
    said: bytes = b""
    fds: list[int] = field(default_factory=list)

    def drop_files(self) -> None:
        """What it has brought beside bytes is of no use, or of no more."""
        while self.fds:
            os.close(self.fds.pop())

    def close(self) -> None:
        """Hangs up."""
        self.drop_files()
        self.sock.close()


class PendingConnections:
    """Those of one listener. `watch` and `unwatch` are told of each: `heard` is to be called when a pending connection can be read."""

    def __init__(self, listener: socket.socket, watch: Callable[[socket.socket], None], unwatch: Callable[[socket.socket], None]) -> None:
        listener.setblocking(False)
        self._listener, self._watch, self._unwatch = listener, watch, unwatch
        self._pending: dict[int, PendingConnection] = {}
        """By descriptor, in the order in which they came."""
        self.refused = RefusedConnections()

    def let_in(self) -> None:
        """One that waits at the listener. Raises ConfigError when this process has no means for it: nobody could reach it any more. Before
        that the pending connections go, the oldest first, or strangers could do that to it."""
        try:
            sock, _ = self._listener.accept()
        except OSError as error:
            if is_exhausted(error) and self._pending:
                return self._refuse_oldest()
            check_resources(NO_MORE, error)
            return None  # it hung up before it was accepted, or the listener is closed
        sock.setblocking(False)
        tune(sock)
        pending = PendingConnection(sock, time.monotonic())
        if sock.family == socket.AF_UNIX and peer_credentials(sock)[1] != os.getuid():
            return self._refuse(pending, "belongs to another user")
        self.expire(pending.since)
        if len(self._pending) >= PENDING_MAX:
            self._refuse_oldest()
        self._pending[sock.fileno()] = pending
        return self._watch(sock)

    def heard(self, fd: int, nbytes: int) -> PendingConnection | None:
        """Read what is left of the first `nbytes` of a connection, and return it, no longer pending, with the last of them.

        None: they are not complete, or the peer has hung up. Raises ConfigError as `let_in` does.
        """
        pending = self._pending.get(fd)
        if pending is None:
            return None
        try:
            data, fds, flags, _ = socket.recv_fds(pending.sock, nbytes - len(pending.said), 1)
        except BlockingIOError:
            return None
        except OSError:
            data, fds, flags = b"", [], 0
        pending.said += data
        pending.fds += fds
        if flags & socket.MSG_CTRUNC and not fds:  # it has brought a file, for which there is no descriptor
            check_resources(NO_MORE)
        if flags & socket.MSG_CTRUNC:
            self._refuse(pending, "has brought more than one file")
        elif not data:
            self._refuse(pending, "hung up" if pending.said else "")
        elif len(pending.said) == nbytes:
            self._forget(pending)
            return pending
        return None

    def refuse(self, pending: PendingConnection, why: str) -> None:
        """One who has left with its first bytes: they are not right."""
        self.refused.tell(peer_of(pending.sock), why)
        pending.close()

    def expire(self, now: float) -> None:
        """Hangs up on those who have not said enough in time."""
        for pending in [pending for pending in self._pending.values() if now - pending.since > PATIENCE_S]:
            self._refuse(pending, "said nothing")

    def close(self) -> None:
        """Hangs up on all."""
        for pending in list(self._pending.values()):
            self._forget(pending)
            pending.close()

    def _forget(self, pending: PendingConnection) -> None:
        if self._pending.pop(pending.sock.fileno(), None) is not None:
            self._unwatch(pending.sock)

    def _refuse_oldest(self) -> None:
        self._refuse(next(iter(self._pending.values())), "said nothing")

    def _refuse(self, pending: PendingConnection, why: str) -> None:
        """A peer may end before it has said anything, which is no news."""
        self._forget(pending)
        if why:
            self.refuse(pending, why)
        else:
            pending.close()


def peer_credentials(sock: socket.socket) -> tuple[int, int]:
    """(process id, user id) of the other end of a Unix socket, as its kernel tells."""
    credentials = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
    return int.from_bytes(credentials[:4], "little"), int.from_bytes(credentials[4:8], "little")
