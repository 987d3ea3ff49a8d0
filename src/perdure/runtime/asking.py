"""What one agent asks of another on a link: the requests, and the asking side's end of them.

READ a range of a chunk · WRITE a range of a chunk · FINISH it, with the digest of the whole · OFFERS of a group · REPLICATED region ·
MAP: the memory file that a chunk of data lies in, for an agent on the same machine · RING: memory through which a chunk will be handed over
on the same machine, and TAKE what lies there (see `rings`) · CONFIRM: were all chunks of that rank and label that
were read or mapped on this link the label's until now?
"""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import threading
from collections.abc import Callable, Collection, Iterator
from typing import Final

import msgspec

from perdure.core.ids import Label
from perdure.core.offers import Offer
from perdure.mapping import Bytes, map_file

Home = tuple[int, int]
"""A rank, and the agent that hosts it."""

REQUEST: Final = struct.Struct("<BIqIIQQQ")
"""verb, label (generation, superstep), rank, code position, offset, length, digest of the chunk (FINISH), place (TAKE) or bytes that
will be read (MAP)."""
READ, WRITE, FINISH, OFFERS, REPLICATED, MAP, CONFIRM, RING, TAKE = 1, 2, 3, 4, 5, 6, 7, 8, 9
MAPPED: Final = struct.Struct("<Q")
"""The answer to MAP beside the file descriptor: where in the file the chunk begins."""
YES: Final = b"\1"
_OFFERS: Final = msgspec.msgpack.Decoder(tuple[Offer, ...])
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
    """The next `nbytes` of the link, and the descriptor of a memory file that comes with them, closed after the block; or LinkDown."""
    try:
        head, fds, _, _ = socket.recv_fds(sock, nbytes, 1, socket.MSG_WAITALL)
    except OSError as error:
        raise LinkDown(str(error)) from None
    try:
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


def ask_offers(sock: socket.socket, label: Label, rank: int) -> tuple[Offer, ...]:
    """All offers of the group of `rank` at a label."""
    request(sock, OFFERS, label, rank, 0, 0, 0)
    head = bytearray(8)
    receive_into(sock, memoryview(head))
    body = bytearray(struct.unpack("<Q", head)[0])
    receive_into(sock, memoryview(body))
    return _OFFERS.decode(body)


def ask_confirm(sock: socket.socket, label: Label, rank: int) -> None:
    """Asks whether all that was read of the rank's label on this link was the label's (rule R1); `confirmed` waits for the answer."""
    request(sock, CONFIRM, label, rank, 0, 0, 0)


def confirmed(sock: socket.socket, label: Label, rank: int) -> None:
    """LinkDown unless it was."""
    answer = bytearray(1)
    receive_into(sock, memoryview(answer))
    if answer != YES:
        raise LinkDown(f"{label} of rank {rank} was given up while it was read")


class PeerMaps:
    """Read-only mappings of other agents' memory files on this machine, kept from commit to commit: mapping costs, reading does not.

    The peer may overwrite what is mapped at any time; bytes count only after `confirm`.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._maps: dict[tuple[int, int], tuple[Home, Bytes]] = {}

    def asked(self, sock: socket.socket, label: Label, rank: int, agent: int, position: int, nbytes: int, read: int) -> Callable[[], Bytes]:
        """Asks for a chunk of data in place, of which `read` bytes will be read. To be called once, blocking: (nbytes,) uint8, read-only.
        It stays mapped for as long as it is held, or the rank is at home there."""
        request(sock, MAP, label, rank, position, 0, nbytes, read)

        def answer() -> Bytes:
            with received_file(sock, MAPPED.size) as (head, fd):
                (start,) = MAPPED.unpack(head)
                return self._map(fd, (rank, agent))[start : start + nbytes]

        return answer

    def _map(self, fd: int, home: Home) -> Bytes:
        """The whole file, its pages as they are read. Its number is given to no other file while it is mapped, so it is a key."""
        found = os.fstat(fd)
        key = (found.st_dev, found.st_ino)
        with self._lock:
            _, mapped = self._maps.get(key, (home, None))
            if mapped is None or len(mapped) < found.st_size:
                mapped = map_file(fd, found.st_size, writable=False)
            self._maps[key] = home, mapped
            return mapped

    def keep(self, homes: Collection[Home]) -> None:
        """Lets go of the memory of ranks that are at home elsewhere now. Freeing it can take 0.1 s: no rank may wait for it."""
        with self._lock:
            gone = [key for key, (home, _) in self._maps.items() if home not in homes]
            doomed = [self._maps.pop(key) for key in gone]
        del doomed
