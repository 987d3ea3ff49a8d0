"""Connections of packets between processes of one host. Each packet is sent and received as a whole, with the files that it brings."""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from typing import Final

PACKET_BYTES: Final = 65536
FILES_MAX: Final = 8


class PacketSocket:
    """One end. Any thread may send; one receives."""

    fileno: Callable[[], int]

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self.fileno = sock.fileno

    def send(self, data: bytes, fds: Sequence[int] = ()) -> None:
        """Send one packet and the descriptors of files. OSError: the peer is gone."""
        if fds:
            socket.send_fds(self._sock, [data], list(fds))
        else:
            self._sock.send(data)

    def receive(self) -> tuple[bytes, list[int]]:
        """Return the next packet and its files, which are the receiver's to close. Blocks until there is one; empty: the peer is gone."""
        try:
            data, fds, _, _ = socket.recv_fds(self._sock, PACKET_BYTES, FILES_MAX)
        except ConnectionError:
            return b"", []
        return data, fds

    def close(self) -> None:
        """Give the descriptor back; the peer receives the end."""
        self._sock.close()


def packet_pair() -> tuple[PacketSocket, PacketSocket]:
    """Return both ends of a new connection."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    return PacketSocket(ours), PacketSocket(theirs)
