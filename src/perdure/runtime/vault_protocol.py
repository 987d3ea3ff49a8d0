"""The message format of a link between two agents: requests, their framing, and how a link fails.

READ a range of a chunk · WRITE a range of a chunk · FINISH it, with the digest of the whole · OFFERS of a group · REPLICATED region ·
MAP: the memory file that a chunk of data lies in, for an agent on the same machine · RING: memory through which a chunk will be handed over
on the same machine, and TAKE what lies there (see `rings`) · CONFIRM: were all chunks of that rank and label that
were read or mapped on this link the label's until now?

`vault_client` sends requests, `vault_server` answers them.
"""

from __future__ import annotations

import contextlib
import os
import socket
import struct
from collections.abc import Iterator
from typing import Final

from perdure.comm.transports.resource_limits import check_resources
from perdure.core.ids import Label

REQUEST: Final = struct.Struct("<BIqIIQQQ")
"""verb, label (generation, superstep), rank, code position, offset, length, digest of the chunk (FINISH) or place (TAKE)."""
READ, WRITE, FINISH, OFFERS, REPLICATED, MAP, CONFIRM, RING, TAKE = 1, 2, 3, 4, 5, 6, 7, 8, 9
MAPPED: Final = struct.Struct("<Q")
"""The answer to MAP beside the file descriptor: where in the file the chunk begins."""
YES: Final = b"\1"
TILE_BYTES: Final = 1 << 20
"""What is worked on at once: received, encoded and sent while it is in the cache. A rebuild takes 7 % less than with half of it."""


class LinkDown(ConnectionError):
    """The link ended: the peer is gone, or the generation is over. Whoever waits for the task's result hears of that elsewhere."""


def receive_into(sock: socket.socket, view: memoryview) -> None:
    """Fills `view` or raises LinkDown."""
    while len(view):
        try:
            count = sock.recv_into(view, len(view), socket.MSG_WAITALL)
        except OSError as error:
            raise LinkDown(str(error)) from None
        if not count:
            raise LinkDown("end of stream")
        view = view[count:]


@contextlib.contextmanager
def received_file(sock: socket.socket, nbytes: int) -> Iterator[tuple[bytes, int]]:
    """The next `nbytes` of the link, and the descriptor of a memory file that comes with them, closed after the block; or LinkDown.
    ConfigError when there is no descriptor for it."""
    try:
        head, fds, flags, _ = socket.recv_fds(sock, nbytes, 1, socket.MSG_WAITALL)
    except OSError as error:
        raise LinkDown(str(error)) from None
    try:
        if flags & socket.MSG_CTRUNC:
            check_resources("no memory file of another agent can be taken")
        if len(head) != nbytes or len(fds) != 1:
            raise LinkDown("end of stream")
        yield head, fds[0]
    finally:
        for fd in fds:
            os.close(fd)


def send_file(sock: socket.socket, head: bytes, fd: int) -> None:
    """Sends a memory file's descriptor with some bytes, or raises LinkDown."""
    try:
        socket.send_fds(sock, [head], [fd])
    except OSError as error:
        raise LinkDown(str(error)) from None


def send(sock: socket.socket, *parts: bytes | memoryview) -> None:
    """Sends all of it or raises LinkDown."""
    try:
        for part in parts:
            sock.sendall(part)
    except OSError as error:
        raise LinkDown(str(error)) from None


def request(sock: socket.socket, verb: int, label: Label, rank: int, position: int, offset: int, length: int, digest: int = 0) -> None:
    """Sends one request head."""
    send(sock, REQUEST.pack(verb, label.generation, label.superstep, rank, position, offset, length, digest))
