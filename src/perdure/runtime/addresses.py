"""Sockets that listen at an agent's address and dial one (`perdure.streams.addresses`).

Nothing that dials may block: a connection to a machine that is switched off is under way for minutes.
"""

from __future__ import annotations

import errno
import os
import socket
from typing import Final

from perdure.streams.addresses import host_and_port, tcp_address, unix_address
from perdure.streams.tcp_options import tune

BACKLOG: Final = 1024
"""Connections that wait to be accepted: every agent and every worker of a job may dial at the same moment."""
LOCAL_TIMEOUT_S: Final = 1.0
"""For a Unix socket, whose backlog may be full; nothing else makes it wait."""


def listen(address: str) -> socket.socket:
    """A listening stream socket. OSError: the address is another's, or not this machine's."""
    family, target = _parse(address)
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.bind(target)
        sock.listen(BACKLOG)
    except OSError:
        sock.close()
        raise
    return sock


def address_of(listener: socket.socket) -> str:
    """What others dial."""
    name = listener.getsockname()
    if listener.family == socket.AF_UNIX:
        return unix_address(bytes(name).decode().removeprefix("\0"))
    return tcp_address(name[0], name[1])


def dial(address: str) -> socket.socket:
    """A connection that may still be under way, non-blocking: what is sent meanwhile is refused with BlockingIOError.

    Raises:
        OSError: nobody listens there.
    """
    family, target = _parse(address)
    sock = socket.socket(family, socket.SOCK_STREAM)
    tune(sock)
    sock.settimeout(LOCAL_TIMEOUT_S if family == socket.AF_UNIX else 0)
    code = sock.connect_ex(target)
    if code not in (0, errno.EINPROGRESS):
        sock.close()
        raise OSError(code, os.strerror(code))
    sock.setblocking(False)
    return sock


def _parse(address: str) -> tuple[socket.AddressFamily, str | tuple[str, int]]:
    kind, _, rest = address.partition(":")
    if kind == "unix":
        return socket.AF_UNIX, "\0" + rest
    host, port = host_and_port(rest)
    return (socket.AF_INET6 if ":" in host else socket.AF_INET), (host, port)
