"""Streams that are connected from their beginning."""

from __future__ import annotations

import socket

from perdure.streams._sockets import SocketStream
from perdure.streams.protocol import Stream


def pair() -> tuple[Stream, Stream]:
    """Return both ends of a new stream between processes of this host."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    return SocketStream(ours), SocketStream(theirs)


def adopt(fd: int) -> Stream:
    """Return the stream whose end another process has left open for this one under this descriptor; `close` closes it. OSError: it is
    no socket."""
    return SocketStream(socket.socket(fileno=fd))
