"""Connections that a thread awaits and may have to give up."""

from __future__ import annotations

import errno
import os
import select
import socket
import time
from typing import Any, Final

from perdure.streams.protocol import GivenUp

LOOK_AGAIN_S: Final = 0.005
"""Seconds between two checks of whether the caller still wants the connection: a revoke must be noticed within 50 ms."""
UNREACHABLE: Final = (errno.EHOSTUNREACH, errno.ENETUNREACH, errno.ENETDOWN)
"""The kernel gives up on a host whose link was down for three seconds, which is no longer than a job waits for it."""
UNREACHABLE_S: Final = 10.0
"""Seconds during which an unreachable host is dialled. Arbitrary: longer than `silence_s`, after which it counts as lost, and short enough
to report a firewall soon."""


def connect_in_steps(sock: socket.socket, target: Any, given_up: GivenUp, timeout_s: float) -> None:
    """Connect a socket, which does not block afterwards.

    A Unix socket returns EAGAIN while too many wait to be accepted. A host that cannot be reached is tried again, for its link may come
    back.

    Raises:
        OSError: refused, too late, or given up.
    """
    sock.setblocking(False)
    taken = select.poll()  # not `select`, which takes no descriptor above 1023
    taken.register(sock, select.POLLOUT)
    began = time.monotonic()
    while (code := sock.connect_ex(target)) not in (0, errno.EISCONN):
        waited_s = time.monotonic() - began
        if code not in (errno.EAGAIN, errno.EINPROGRESS, errno.EALREADY) and not (code in UNREACHABLE and waited_s < UNREACHABLE_S):
            raise OSError(code, os.strerror(code))
        if given_up() or waited_s > timeout_s:
            raise TimeoutError("the generation is over" if given_up() else "nobody accepts")
        if code in (errno.EAGAIN, *UNREACHABLE):  # nothing is under way, so no event follows
            time.sleep(LOOK_AGAIN_S)
        else:
            taken.poll(LOOK_AGAIN_S * 1e3)
