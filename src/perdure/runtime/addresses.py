"""Where an agent is reached: `unix:NAME`, an abstract Unix socket of one machine, or `tcp:HOST:PORT` between machines.

Nothing that dials may block: a connection to a machine that is switched off is under way for minutes.
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterable
from typing import Final

from perdure.comm.transports.tcp import tune

BACKLOG: Final = 1024
"""Connections that wait to be accepted: every agent and every worker of a job may dial at the same moment."""
LOCAL_TIMEOUT_S: Final = 1.0
"""For a Unix socket, whose backlog may be full; nothing else makes it wait."""


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


def on_one_host(addresses: Iterable[tuple[int, str]], address: str) -> list[int]:
    """The agents whose addresses name the same host as `address` does. Of 10,000 at each new generation: so none is taken apart."""
    kind, _, _ = address.partition(":")
    start = f"tcp:{host_of(address)}:" if kind == "tcp" else "unix:"
    return [agent for agent, its_address in addresses if its_address.startswith(start)]


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
    host, _, port = rest.rpartition(":")
    return (socket.AF_INET6 if ":" in host else socket.AF_INET), (host, int(port))
