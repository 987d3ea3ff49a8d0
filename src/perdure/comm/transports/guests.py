"""Connections to a listener that have not said yet whose they are.

Who dials says its first bytes at once, and may be stopped, or its link cut, just before that: for seconds, after which the job goes on. A
connection that is closed meanwhile would be made again by nobody. So a guest may be silent for as long as a job waits for a node (rule
T5), no other one waits for it, and of too many the oldest goes.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from perdure.comm.transports.means import check_means, is_lacking
from perdure.comm.transports.strangers import Strangers, peer_of
from perdure.comm.transports.tcp import PATIENCE_S, tune

GUESTS_MAX: Final = 1024
"""Of one listener. Arbitrary, above what a job's own dials can be."""
NO_MORE: Final = "no connection can be accepted any more"


@dataclass(slots=True)
class Guest:
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


class Guests:
    """Those of one listener. `watch` and `unwatch` are told of each: `heard` is to be called when a guest can be read."""

    def __init__(self, listener: socket.socket, watch: Callable[[socket.socket], None], unwatch: Callable[[socket.socket], None]) -> None:
        listener.setblocking(False)
        self._listener, self._watch, self._unwatch = listener, watch, unwatch
        self._guests: dict[int, Guest] = {}
        """By descriptor, in the order in which they came."""
        self.strangers = Strangers()

    def let_in(self) -> None:
        """One that waits at the listener. Raises ConfigError when this process has no means for it: nobody could reach it any more. Before
        that the guests go, the oldest first, or strangers could do that to it."""
        try:
            sock, _ = self._listener.accept()
        except OSError as error:
            if is_lacking(error) and self._guests:
                return self._refuse_oldest()
            check_means(NO_MORE, error)
            return None  # it hung up before it was accepted, or the listener is closed
        sock.setblocking(False)
        tune(sock)
        guest = Guest(sock, time.monotonic())
        if sock.family == socket.AF_UNIX and peer_credentials(sock)[1] != os.getuid():
            return self._refuse(guest, "belongs to another user")
        self.expire(guest.since)
        if len(self._guests) >= GUESTS_MAX:
            self._refuse_oldest()
        self._guests[sock.fileno()] = guest
        return self._watch(sock)

    def heard(self, fd: int, nbytes: int) -> Guest | None:
        """Reads of a guest what is left of its first `nbytes`. It leaves with them; None: they are not complete, or it has hung up. Raises
        ConfigError as `let_in` does."""
        guest = self._guests.get(fd)
        if guest is None:
            return None
        try:
            data, fds, flags, _ = socket.recv_fds(guest.sock, nbytes - len(guest.said), 1)
        except BlockingIOError:
            return None
        except OSError:
            data, fds, flags = b"", [], 0
        guest.said += data
        guest.fds += fds
        if flags & socket.MSG_CTRUNC and not fds:  # it has brought a file, for which there is no descriptor
            check_means(NO_MORE)
        if flags & socket.MSG_CTRUNC:
            self._refuse(guest, "has brought more than one file")
        elif not data:
            self._refuse(guest, "hung up" if guest.said else "")
        elif len(guest.said) == nbytes:
            self._forget(guest)
            return guest
        return None

    def refuse(self, guest: Guest, why: str) -> None:
        """One who has left with its first bytes: they are not right."""
        self.strangers.tell(peer_of(guest.sock), why)
        guest.close()

    def expire(self, now: float) -> None:
        """Hangs up on those who have not said enough in time."""
        for guest in [guest for guest in self._guests.values() if now - guest.since > PATIENCE_S]:
            self._refuse(guest, "said nothing")

    def close(self) -> None:
        """Hangs up on all."""
        for guest in list(self._guests.values()):
            self._forget(guest)
            guest.close()

    def _forget(self, guest: Guest) -> None:
        if self._guests.pop(guest.sock.fileno(), None) is not None:
            self._unwatch(guest.sock)

    def _refuse_oldest(self) -> None:
        self._refuse(next(iter(self._guests.values())), "said nothing")

    def _refuse(self, guest: Guest, why: str) -> None:
        """A peer may end before it has said anything, which is no news."""
        self._forget(guest)
        if why:
            self.refuse(guest, why)
        else:
            guest.close()


def peer_credentials(sock: socket.socket) -> tuple[int, int]:
    """(process id, user id) of the other end of a Unix socket, as its kernel tells."""
    credentials = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
    return int.from_bytes(credentials[:4], "little"), int.from_bytes(credentials[4:8], "little")
