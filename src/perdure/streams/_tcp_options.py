"""The options of every TCP connection of a job.

TCP decides nothing here. Heartbeats decide on losses, and a connection that gives up while the job still waits for a silent node
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


def tune(sock: socket.socket) -> None:
    """Set a TCP connection as every one of a job is set."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, PATIENCE_S // 3)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, PATIENCE_S // 9)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, PATIENCE_S * 1000)
    with contextlib.suppress(OSError):  # an older kernel
        sock.setsockopt(socket.IPPROTO_TCP, _TCP_RTO_MAX_MS, REPEAT_MS)
