"""Where an agent is reached: `unix:NAME`, an abstract Unix socket of one machine, or `tcp:HOST:PORT` between machines.

TCP decides nothing here. Who is lost is said by heartbeats, and a connection that gives up while the job still waits for a silent node
(rule T5) would lose what was sent on it: its patience is longer than the detector's. So nothing that dials may block either: a connection
to a machine that is switched off is under way for minutes.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
from typing import Final

BACKLOG: Final = 1024
"""Connections that wait to be accepted: every agent and every worker of a job may dial at the same moment."""
LOCAL_TIMEOUT_S: Final = 1.0
"""For a Unix socket, whose backlog may be full; nothing else makes it wait."""
PATIENCE_S: Final = 90
"""How long TCP repeats what nobody acknowledges: more than `unreachable_timeout_s` and `silence_s` together."""
REPEAT_MS: Final = 1000
"""The longest pause between two repetitions, so that a link that is back is used at once. Linux 6.15 and later; before it they double."""
_TCP_RTO_MAX_MS: Final = 44


def unix_address(name: str) -> str:
    """Nothing in any file system, gone with its last process."""
    return f"unix:{name}"


def tcp_address(host: str, port: int = 0) -> str:
    """`host` is a number, not a name. Port 0: any that is free, for who listens."""
    return f"tcp:{host}:{port}"


def host_of(address: str) -> str:
    """The host that a TCP address names; the loopback interface for a Unix socket."""
    kind, _, rest = address.partition(":")
    return rest.rpartition(":")[0] if kind == "tcp" else "127.0.0.1"


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


def tune(sock: socket.socket) -> None:
    """What every TCP connection of ours is set to; nothing for a Unix socket."""
    if sock.family == socket.AF_UNIX:
        return
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, PATIENCE_S // 3)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, PATIENCE_S // 9)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, PATIENCE_S * 1000)
    with contextlib.suppress(OSError):  # an older kernel
        sock.setsockopt(socket.IPPROTO_TCP, _TCP_RTO_MAX_MS, REPEAT_MS)


def _parse(address: str) -> tuple[socket.AddressFamily, str | tuple[str, int]]:
    kind, _, rest = address.partition(":")
    if kind == "unix":
        return socket.AF_UNIX, "\0" + rest
    host, _, port = rest.rpartition(":")
    return (socket.AF_INET6 if ":" in host else socket.AF_INET), (host, int(port))
