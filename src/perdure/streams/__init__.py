"""How do bytes get from one process to another, and what may a caller ask of a connection?

A `Stream` is one end of a connection: bytes in order, in both directions. A `Listener` accepts them at an address, whose text names a
`Scheme`: `unix:NAME` for a name on this host that lies in no file system, `tcp:HOST:PORT` between hosts. A caller asks what a stream can
do (`is_local`, `passes_files`, `reads_ahead`) and never which kind it is, so an encrypted stream is one more scheme: a module here, and a
line in `SCHEMES`. Nothing outside this package imports `socket`.

    protocol    what callers may rely on
    addresses   the text of addresses
    pairs       streams that are connected already: both ends at once, or one that another process has left open for this one
    packets     connections of packets between processes of one host

`perdure.testing.StreamTests` is the suite that every scheme passes.
"""

from __future__ import annotations

from typing import Final

from perdure.errors import InternalError
from perdure.streams._tcp import TcpScheme
from perdure.streams._unix import UnixScheme
from perdure.streams.protocol import (
    FOR_EVER_S,
    PATIENCE_S,
    Credentials,
    EndOfStream,
    GivenUp,
    Listener,
    Parcel,
    Scheme,
    Stream,
    never,
)

__all__ = [
    "FOR_EVER_S", "PATIENCE_S", "SCHEMES", "Credentials", "EndOfStream", "GivenUp", "Listener", "Parcel", "Scheme", "Stream", "connect",
    "dial", "listen", "never",
]  # fmt: skip

SCHEMES: Final[dict[str, Scheme]] = {"unix": UnixScheme(), "tcp": TcpScheme()}
"""By what an address begins with."""


def listen(address: str) -> Listener:
    """Return a listener at `address`. OSError: the address belongs to another listener, or to another host."""
    scheme, rest = _scheme(address)
    return scheme.listen(rest)


def dial(address: str) -> Stream:
    """Begin to connect, without waiting for another host: calls that never wait transfer nothing until the connection is there.

    Raises:
        OSError: nobody listens at `address`, as far as this host knows.
    """
    scheme, rest = _scheme(address)
    return scheme.dial(rest)


def connect(address: str, given_up: GivenUp = never) -> Stream:
    """Connect and wait for it: on this host for 2 s, because its kernel answers at once; to another host as long as a job waits for one.

    Raises:
        OSError: nobody listens at `address`, the time is over, or `given_up()`, which is called every few milliseconds.
    """
    scheme, rest = _scheme(address)
    return scheme.connect(rest, given_up)


def _scheme(address: str) -> tuple[Scheme, str]:
    name, _, rest = address.partition(":")
    if name not in SCHEMES:
        raise InternalError(f"unknown scheme of the address {address!r}")
    return SCHEMES[name], rest
