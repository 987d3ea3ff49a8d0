"""What every TCP connection of a job is set to.

TCP decides nothing here. Who is lost is said by heartbeats, and a connection that gives up while the job still waits for a silent node
(rule T5) would lose what was sent on it: its patience is longer than the detector's.
"""

from __future__ import annotations

import contextlib
import socket
from typing import Final

from perdure.streams.protocol import PATIENCE_S

REPEAT_MS: Final = 1000
"""The longest pause between two repetitions, so that a link that is back is used at once. Linux 6.15 and later; before it they double."""
_TCP_RTO_MAX_MS: Final = 44
_BULK: Final = 2
"""TC_PRIO_BULK: the last band of the usual queues of a network card (tc-prio(8))."""


def tune(sock: socket.socket, patience_s: int = PATIENCE_S) -> None:
    """What every TCP connection of ours is set to; nothing for a Unix socket."""
    if sock.family == socket.AF_UNIX:
        return
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, PATIENCE_S // 3)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, PATIENCE_S // 9)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, patience_s * 1000)
    with contextlib.suppress(OSError):  # an older kernel
        sock.setsockopt(socket.IPPROTO_TCP, _TCP_RTO_MAX_MS, REPEAT_MS)


def give_way(sock: socket.socket) -> None:
    """What this host has to send on other connections goes first: the program's messages and heartbeats, before what protects them."""
    if sock.family != socket.AF_UNIX:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_PRIORITY, _BULK)
