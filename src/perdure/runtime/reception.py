"""Who may connect to an agent: one who knows the job's token, which travels in configurations only, and on one machine has its user id.

A connection's first bytes are a HELLO: the token, the role of who dials, a number. Until they are complete and the token is right nothing
else of it is read, so nothing that comes from a stranger is ever decoded. A certificate in the place of the token belongs here too.
"""

from __future__ import annotations

import hmac
import os
import socket
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from perdure.comm.transports.strangers import Strangers, peer_of
from perdure.comm.transports.tcp import PATIENCE_S, tune
from perdure.runtime.loop import Loop

HELLO: Final = struct.Struct("<32s8sI")
"""token, role, number: a generation (data), an agent (peer), a round (orchestrator)."""
ORCHESTRATOR, PEER, DATA = b"orch", b"peer", b"data"
HELLO_TIMEOUT_S: Final = float(PATIENCE_S)
"""Who dials says its hello at once; if it is stopped, or cut off, just before that, the job may wait for it (rule T5), and a connection
that ended meanwhile would be made again by nobody."""
WAITING_MAX: Final = 1024
"""Connections without a whole hello; the oldest goes for a newer one. Arbitrary, above what a job's own dials can be."""


@dataclass(frozen=True, slots=True)
class Admission:
    """What all processes of a job know, and nobody else: 32 bytes."""

    token: bytes

    def hello(self, role: bytes, number: int) -> bytes:
        """The first bytes of a connection."""
        return HELLO.pack(self.token, role, number)

    def admitted(self, hello: bytes) -> tuple[bytes, int] | None:
        """Role and number of who said `hello`; None: a stranger."""
        token, role, number = HELLO.unpack(hello)
        return (role.rstrip(b"\0"), number) if hmac.compare_digest(token, self.token) else None


@dataclass(slots=True)
class _Guest:
    sock: socket.socket
    since: float
    said: bytes = b""


Welcome = Callable[[bytes, int, socket.socket], None]
"""welcome(role, number, sock): the connection is the caller's from then on, non-blocking."""


class Reception:
    """Accepts what a listener brings, in a loop that it never blocks. `expire` is to be called now and then."""

    def __init__(self, loop: Loop, listener: socket.socket, admission: Admission, welcome: Welcome) -> None:
        self._loop, self._listener, self._admission, self._welcome = loop, listener, admission, welcome
        self._guests: dict[int, _Guest] = {}
        self._strangers = Strangers()
        listener.setblocking(False)
        loop.watch(listener, self._accept)

    def expire(self, now: float) -> None:
        """Hangs up on who has not said a whole hello in time."""
        for guest in [guest for guest in self._guests.values() if now - guest.since > HELLO_TIMEOUT_S]:
            self._refuse(guest, "said nothing")

    def _accept(self) -> None:
        try:
            sock, _ = self._listener.accept()
        except OSError:
            return  # it hung up before it was accepted
        sock.setblocking(False)
        tune(sock)
        guest = _Guest(sock, time.monotonic())
        if sock.family == socket.AF_UNIX and _uid(sock) != os.getuid():
            return self._refuse(guest, "belongs to another user")
        if len(self._guests) >= WAITING_MAX:
            self._refuse(next(iter(self._guests.values())), "said nothing")
        self._guests[sock.fileno()] = guest
        return self._loop.watch(sock, lambda: self._listen_to(guest))

    def _listen_to(self, guest: _Guest) -> None:
        try:
            data = guest.sock.recv(HELLO.size - len(guest.said))
        except BlockingIOError:
            return None
        except OSError:
            data = b""
        guest.said += data
        if not data:
            return self._refuse(guest, "hung up" if guest.said else "")
        if len(guest.said) < HELLO.size:
            return None
        found = self._admission.admitted(guest.said)
        if found is None:
            return self._refuse(guest, "does not know the job's token")
        self._forget(guest)
        return self._welcome(*found, guest.sock)

    def _forget(self, guest: _Guest) -> None:
        if self._guests.pop(guest.sock.fileno(), None) is not None:
            self._loop.unwatch(guest.sock)

    def _refuse(self, guest: _Guest, why: str) -> None:
        """A peer may end before it has said anything, which is no news."""
        self._forget(guest)
        if why:
            self._strangers.tell(peer_of(guest.sock), why)
        guest.sock.close()


def _uid(sock: socket.socket) -> int:
    return int.from_bytes(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)[4:8], "little")
