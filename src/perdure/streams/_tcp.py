"""Streams between hosts: TCP, and what every TCP connection of a job is set to.

TCP decides nothing here. Heartbeats decide who is lost, and a connection that gives up while the job still waits for a silent node
(rule T5) would lose what was sent on it: its patience is longer than the detector's.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
from typing import Final

from perdure.streams import _sockets
from perdure.streams._sockets import SocketListener, SocketStream
from perdure.streams.addresses import host_and_port, tcp_address
from perdure.streams.protocol import PATIENCE_S, GivenUp

REPEAT_MS: Final = 1000
"""The longest pause between two repetitions, so that a link that is back is used at once. Linux 6.15 and later; before it they double."""
_TCP_RTO_MAX_MS: Final = 44


class TcpScheme:
    """`tcp:HOST:PORT`."""

    def listen(self, rest: str) -> SocketListener:
        host, port = host_and_port(rest)
        sock = _new(host)
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind((host, port))
            return SocketListener(sock, tcp_address(*sock.getsockname()[:2]), tune)
        except OSError:
            sock.close()
            raise

    def dial(self, rest: str) -> SocketStream:
        host, port = host_and_port(rest)
        sock = _new(host)
        tune(sock)
        sock.setblocking(False)
        code = sock.connect_ex((host, port))
        if code not in (0, errno.EINPROGRESS):
            sock.close()
            raise OSError(code, os.strerror(code))
        sock.settimeout(None)
        return SocketStream(sock, is_connecting=True)

    def connect(self, rest: str, given_up: GivenUp) -> SocketStream:
        host, port = host_and_port(rest)
        sock = _new(host)
        tune(sock)
        return _sockets.connect(sock, (host, port), given_up, PATIENCE_S)


def _new(host: str) -> socket.socket:
    return socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)


def tune(sock: socket.socket) -> None:
    """Set what every connection has."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, PATIENCE_S // 3)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, PATIENCE_S // 9)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, PATIENCE_S * 1000)
    with contextlib.suppress(OSError):  # an older kernel
        sock.setsockopt(socket.IPPROTO_TCP, _TCP_RTO_MAX_MS, REPEAT_MS)
