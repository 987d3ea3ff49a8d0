"""Streams between hosts: TCP."""

from __future__ import annotations

import errno
import os
import socket

from perdure.streams import _sockets
from perdure.streams._sockets import SocketListener, SocketStream
from perdure.streams._tcp_options import tune
from perdure.streams.addresses import host_and_port, tcp_address
from perdure.streams.protocol import PATIENCE_S, GivenUp


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
