"""Addresses of processes: `unix:NAME` on this host, or `SCHEME:HOST:PORT`, such as `tcp:HOST:PORT`, between hosts."""

from __future__ import annotations

import socket
from collections.abc import Iterable


def unix_address(name: str) -> str:
    """Return the address of a name that lies in no file system and is gone with its last process."""
    return f"unix:{name}"


def tcp_address(host: str, port: int = 0) -> str:
    """Return the address of a host, which is a number and not a name. Port 0: any that is free, for a listener."""
    return f"tcp:{host}:{port}"


def host_of(address: str) -> str:
    """Return the host that an address names; the loopback interface for a name on this host."""
    scheme, _, rest = address.partition(":")
    return "127.0.0.1" if scheme == "unix" else rest.rpartition(":")[0]


def on_one_host(addresses: Iterable[tuple[int, str]], address: str) -> list[int]:
    """Return the agents whose addresses name the same host as `address`. It is called for 10,000 at each new generation, so none of
    them is taken apart."""
    scheme, _, _ = address.partition(":")
    start = "unix:" if scheme == "unix" else f"{scheme}:{host_of(address)}:"
    return [agent for agent, its_address in addresses if its_address.startswith(start)]


def host_and_port(rest: str) -> tuple[str, int]:
    """Return both of `HOST:PORT`; an IPv6 address has colons of its own."""
    host, _, port = rest.rpartition(":")
    return host, int(port)


def number_of(host: str) -> str:
    """Return the numeric address of a host's name. OSError: it has none."""
    return str(socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)[0][4][0])
