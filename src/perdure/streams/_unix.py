"""Streams between processes of one host: Unix sockets with abstract names, which lie in no file system."""

from __future__ import annotations

import errno
import os
import socket
from typing import Final

from perdure.streams import _sockets
from perdure.streams._sockets import SocketListener, SocketStream
from perdure.streams.addresses import unix_address
from perdure.streams.protocol import GivenUp

DIAL_TIMEOUT_S: Final = 1.0
"""Seconds that `dial` waits while the backlog is full; no other condition makes it wait."""
CONNECT_TIMEOUT_S: Final = 2.0
"""Seconds that `connect` waits for a listener that does not accept."""


class UnixScheme:
    """`unix:NAME`."""

    def listen(self, rest: str) -> SocketListener:
        sock = _new()
        try:
            sock.bind("\0" + rest)
            return SocketListener(sock, unix_address(rest), lambda _: None)
        except OSError:
            sock.close()
            raise

    def dial(self, rest: str) -> SocketStream:
        sock = _new()
        sock.settimeout(DIAL_TIMEOUT_S)
        code = sock.connect_ex("\0" + rest)
        if code:
            sock.close()
            late = code in (errno.EAGAIN, errno.EINPROGRESS)
            raise TimeoutError("nobody accepts") if late else OSError(code, os.strerror(code))
        sock.settimeout(None)
        return SocketStream(sock)

    def connect(self, rest: str, given_up: GivenUp) -> SocketStream:
        return _sockets.connect(_new(), "\0" + rest, given_up, CONNECT_TIMEOUT_S)


def _new() -> socket.socket:
    return socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
