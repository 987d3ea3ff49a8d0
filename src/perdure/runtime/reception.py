"""How does an agent let in those who may connect (`perdure.runtime.admission`), and who on one machine have its user id?

Until a connection's HELLO is complete and its token is right nothing else of it is read, so nothing that comes from a stranger is ever
decoded. An encrypted scheme of `perdure.streams` checks certificates
before that.
"""

from __future__ import annotations

from collections.abc import Callable

from perdure.comm.transports.pending_connections import PendingConnections
from perdure.runtime.admission import HELLO, Admission
from perdure.runtime.loop import Loop
from perdure.streams import Listener, Stream

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
