"""Who may connect to an agent: one who knows the job's token, which travels in configurations only, and on one machine has its user id.

A connection's first bytes are a HELLO: the token, the role of who dials, a number. Until they are complete and the token is right nothing
else of it is read, so nothing that comes from a stranger is ever decoded. An encrypted scheme of `perdure.streams` checks certificates
before that.
"""

from __future__ import annotations

import hmac
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from perdure.comm.transports.pending_connections import PendingConnections
from perdure.runtime.loop import Loop
from perdure.streams import Listener, Stream

HELLO: Final = struct.Struct("<32s8sI")
"""token, role, number: a generation (data), an agent (peer), a round (orchestrator)."""
ORCHESTRATOR, PEER, DATA = b"orch", b"peer", b"data"


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


Welcome = Callable[[bytes, int, Stream], None]
"""welcome(role, number, stream): the stream is the caller's from then on."""


class Reception:
    """Accepts what a listener brings, in a loop that it never blocks. `expire` is to be called now and then."""

    def __init__(self, loop: Loop, listener: Listener, admission: Admission, welcome: Welcome) -> None:
        self._admission, self._welcome = admission, welcome
        self._pending = PendingConnections(listener, lambda stream: loop.watch(stream, lambda: self._listen_to(stream)), loop.unwatch)
        loop.watch(listener, self._pending.let_in)

    def expire(self, now: float) -> None:
        """Hangs up on who has not said a whole hello in time."""
        self._pending.expire(now)

    def _listen_to(self, stream: Stream) -> None:
        pending = self._pending.heard(stream.fileno(), HELLO.size)
        if pending is None:
            return
        found = self._admission.admitted(pending.said)
        if found is None:
            self._pending.refuse(pending, "does not know the job's token")
            return
        pending.drop_files()
        self._welcome(*found, pending.stream)
