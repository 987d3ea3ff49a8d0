"""Accepted connections that have not sent their first bytes yet, so their peers are unknown.

A peer that dials sends its first bytes at once. It may be stopped, or its link cut, just before that: for seconds, after which the job goes
on. Nobody would make a connection again that was closed meanwhile. So a connection may stay pending for as long as a job waits for a node
(rule T5), does not delay any other, and the oldest is closed when there are too many.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from perdure.comm.transports.refused_connections import RefusedConnections
from perdure.comm.transports.resource_limits import check_resources, is_exhausted
from perdure.streams.protocol import PATIENCE_S, Listener, Stream

PENDING_MAX: Final = 1024
"""Of one listener. Arbitrary, above what a job's own dials can be."""
NO_MORE: Final = "no more connections can be accepted"


@dataclass(slots=True)
class PendingConnection:
    """A stream, when it was accepted, and what it has brought: bytes, and descriptors of files, which are the receiver's to close."""

    stream: Stream
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
        self.stream.close()


class PendingConnections:
    """Those of one listener. `watch` and `unwatch` are told of each: `heard` is to be called when a pending connection can be read."""

    def __init__(self, listener: Listener, watch: Callable[[Stream], None], unwatch: Callable[[Stream], None]) -> None:
        self._listener, self._watch, self._unwatch = listener, watch, unwatch
        self._pending: dict[int, PendingConnection] = {}
        """By descriptor, in the order in which they came."""
        self.refused = RefusedConnections()

    def let_in(self) -> None:
        """One that waits at the listener. Raises ConfigError when this process has no means for it: nobody could reach it any more. Before
        that the pending connections go, the oldest first, or strangers could do that to it."""
        try:
            stream = self._listener.accept()
        except OSError as error:
            if is_exhausted(error) and self._pending:
                return self._refuse_oldest()
            check_resources(NO_MORE, error)
            return None  # it hung up before it was accepted, or the listener is closed
        pending = PendingConnection(stream, time.monotonic())
        peer = stream.credentials()
        if peer is not None and peer.uid != os.getuid():
            return self._refuse(pending, "belongs to another user")
        self.expire(pending.since)
        if len(self._pending) >= PENDING_MAX:
            self._refuse_oldest()
        self._pending[stream.fileno()] = pending
        return self._watch(stream)

    def heard(self, fd: int, nbytes: int) -> PendingConnection | None:
        """Read what is left of the first `nbytes` of a connection, and return it, no longer pending, with the last of them.

        None: they are not complete, or the peer has hung up. Raises ConfigError as `let_in` does.
        """
        pending = self._pending.get(fd)
        while pending is not None and (parcel := pending.stream.try_receive_parcel(nbytes - len(pending.said))) is not None:
            pending.said += parcel.data
            pending.fds += parcel.fds
            if parcel.is_cut and not parcel.fds:  # it has brought a file, for which there is no descriptor
                check_resources(NO_MORE)
            if parcel.is_cut:
                self._refuse(pending, "sent more than one file descriptor")
                return None
            if not parcel.data:
                self._refuse(pending, "hung up" if pending.said else "")
                return None
            if len(pending.said) == nbytes:
                self._forget(pending)
                return pending
            if not pending.stream.pending():
                return None
        return None

    def refuse(self, pending: PendingConnection, why: str) -> None:
        """One who has left with its first bytes: they are not right."""
        self.refused.tell(pending.stream.peer(), why)
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
        if self._pending.pop(pending.stream.fileno(), None) is not None:
            self._unwatch(pending.stream)

    def _refuse_oldest(self) -> None:
        self._refuse(next(iter(self._pending.values())), "said nothing")

    def _refuse(self, pending: PendingConnection, why: str) -> None:
        """A peer may end before it has said anything, which is no news."""
        self._forget(pending)
        if why:
            self.refuse(pending, why)
        else:
            pending.close()
