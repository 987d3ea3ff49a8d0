"""How is a connection awaited by a thread that may have to give it up?"""

from __future__ import annotations

import errno
import os
import select
import socket
import time
from typing import Any, Final

from perdure.streams.protocol import GivenUp

LOOK_AGAIN_S: Final = 0.005
"""How often a caller that waits for a connection is asked whether it still wants it: a revoke must be noticed within 50 ms."""


def connect_in_steps(sock: socket.socket, target: Any, given_up: GivenUp, timeout_s: float) -> None:
    """Connect a socket, which does not block afterwards.

    A Unix socket returns EAGAIN while too many wait to be accepted.

    Raises:
        OSError: refused, too late, or given up.
    """
    sock.setblocking(False)
    taken = select.poll()  # not `select`, which takes no descriptor above 1023
    taken.register(sock, select.POLLOUT)
    deadline = time.monotonic() + timeout_s
    while (code := sock.connect_ex(target)) not in (0, errno.EISCONN):
        if code not in (errno.EAGAIN, errno.EINPROGRESS, errno.EALREADY):
            raise OSError(code, os.strerror(code))
        if given_up() or time.monotonic() > deadline:
            raise TimeoutError("the generation is over" if given_up() else "nobody accepts")
        if code == errno.EAGAIN:  # not even queued, so no event follows
            time.sleep(LOOK_AGAIN_S)
        else:
            taken.poll(LOOK_AGAIN_S * 1e3)
