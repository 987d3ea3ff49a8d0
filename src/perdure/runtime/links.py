"""The data plane between agents: READ a range of a chunk, WRITE a chunk, fetch OFFERS. One connection a task and peer.

A link belongs to one generation: its first bytes say which. An older one is refused; a newer one waits until this agent has installed
that generation. `shut` ends all links of the generations up to one, and `quiet` waits until none of their threads runs.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import msgspec
import numpy as np
import xxhash
from numpy.typing import NDArray

from perdure.core.ids import Label
from perdure.core.layout import Geometry
from perdure.core.offers import Offer
from perdure.runtime.channel import connect
from perdure.runtime.vault import Vault

Bytes = NDArray[np.uint8]

HELLO: Final = struct.Struct("<8sI")
REQUEST: Final = struct.Struct("<BIqIIQQQ")
"""verb, label (generation, superstep), rank, code position, offset, length, digest of the whole chunk or 0."""
READ, WRITE, OFFERS, REPLICATED = 1, 2, 3, 4
SOCKET_BUFFER: Final = 4 << 20
"""Bytes; measured: larger ones bring nothing on loopback."""
LINK_TIMEOUT_S: Final = 60.0
"""A link without any byte for this long; a loss is known long before, and shuts the link."""


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


@dataclass(slots=True)
class Sent:
    """Bytes of chunks put on links so far, by purpose."""

    parity: int = 0
    rebuild: int = 0


class Links:
    """Takes and makes links of one generation at a time."""

    def __init__(self, vault: Vault, geometry_of: Callable[[int], Geometry], stored: Callable[[int, Label, int], None]) -> None:
        self._vault = vault
        self._geometry_of = geometry_of
        self._stored = stored
        self._changed = threading.Condition()
        self._generation = 0
        self._shut = 0
        self._socks: dict[socket.socket, int] = {}
        self._running: dict[int, int] = {}
        self.sent = Sent()

    def open(self, generation: int) -> None:
        """From now on links of this generation are served."""
        with self._changed:
            self._generation = generation
            self._changed.notify_all()

    def shut(self, generation: int) -> None:
        """Ends all links up to `generation`; every thread that is blocked in one wakes."""
        with self._changed:
            self._shut = max(self._shut, generation)
            socks = [sock for sock, g in self._socks.items() if g <= generation]
            self._changed.notify_all()
        with self._vault.changed:
            self._vault.changed.notify_all()
        for sock in socks:
            with contextlib.suppress(OSError):  # it may have ended by itself
                sock.shutdown(socket.SHUT_RDWR)

    def wait_quiet(self, generation: int) -> None:
        """Blocks until no thread works for generations up to `generation`."""
        with self._changed:
            self._changed.wait_for(lambda: not any(count for g, count in self._running.items() if g <= generation))

    def run(self, generation: int, work: Callable[[], None], name: str) -> None:
        """Runs `work` on a thread that counts as this generation's; a link that ends also ends the work, silently (see LinkDown)."""

        def body() -> None:
            try:
                with contextlib.suppress(LinkDown):  # the loss behind it is reported by whoever detects it
                    work()
            finally:
                with self._changed:
                    self._running[generation] -= 1
                    self._changed.notify_all()

        with self._changed:
            self._running[generation] = self._running.get(generation, 0) + 1
        threading.Thread(target=body, name=name, daemon=True).start()

    def count(self, label: Label, nbytes: int) -> None:
        """Bytes of chunks that are about to be sent. Those of an older generation's label can only be for a rebuild."""
        with self._changed:
            if label.generation < self._generation:
                self.sent.rebuild += nbytes
            else:
                self.sent.parity += nbytes

    def over(self, generation: int) -> bool:
        """Has the generation been shut?"""
        return generation <= self._shut

    def dial(self, name: str, generation: int) -> socket.socket:
        """A link to the agent that listens at `name`."""
        try:
            sock = connect(name, LINK_TIMEOUT_S)
        except OSError as error:
            raise LinkDown(str(error)) from None
        try:
            self._keep(sock, generation)
            sock.sendall(HELLO.pack(b"data", generation))
        except OSError as error:
            self.hang_up(sock)
            raise LinkDown(str(error)) from None
        return sock

    def _keep(self, sock: socket.socket, generation: int) -> None:
        for option in (socket.SO_SNDBUF, socket.SO_RCVBUF):
            sock.setsockopt(socket.SOL_SOCKET, option, SOCKET_BUFFER)
        with self._changed:
            self._socks[sock] = generation
            if generation <= self._shut:
                raise LinkDown("the generation is over")

    def hang_up(self, sock: socket.socket) -> None:
        """The task is done with its link."""
        with self._changed:
            self._socks.pop(sock, None)
        sock.close()

    def serve(self, sock: socket.socket, generation: int) -> None:
        """Answers one link until it ends; runs on a thread of its own, started by `run`."""
        sock.settimeout(None)
        try:
            self._keep(sock, generation)
            with self._changed:
                self._changed.wait_for(lambda: self._generation >= generation or generation <= self._shut)
                if self._generation != generation or generation <= self._shut:
                    return
            while True:
                self._answer(sock, generation)
        finally:
            self.hang_up(sock)

    def _answer(self, sock: socket.socket, generation: int) -> None:
        head = bytearray(REQUEST.size)
        receive_into(sock, memoryview(head))
        verb, g, superstep, rank, position, offset, length, digest = REQUEST.unpack(head)
        label = Label(g, superstep)
        geometry = self._geometry_of(rank)
        try:
            if verb in (READ, REPLICATED, OFFERS):
                self.wait_for_memory(generation, rank, label)
            if verb == READ:
                view = self._vault.chunk_view(rank, label, geometry, position)[offset : offset + length]
                self.count(label, length)
                sock.sendall(view.data)
            elif verb == REPLICATED:
                region = self._vault.replicated_view(rank, label)
                self.count(label, len(region))
                sock.sendall(region.data)
            elif verb == OFFERS:
                body = msgspec.msgpack.encode(self._vault.held(rank, label).member_offers)
                sock.sendall(struct.pack("<Q", len(body)) + body)
            elif verb == WRITE:
                self._take(sock, generation, rank, label, geometry, position, offset, length, digest)
        except OSError as error:
            raise LinkDown(str(error)) from None

    def _take(
        self, sock: socket.socket, generation: int, rank: int, label: Label, geometry: Geometry, position: int, offset: int, length: int,
        digest: int,
    ) -> None:  # fmt: skip
        """A piece of a chunk; the last piece carries the digest of the whole one."""
        self.wait_for_memory(generation, rank, label)
        view = self._vault.chunk_view(rank, label, geometry, position)
        receive_into(sock, view[offset : offset + length].data)
        if offset + length == len(view):
            self.finish_chunk(rank, label, geometry, position, digest)

    def wait_for_memory(self, generation: int, rank: int, label: Label) -> None:
        """Blocks until the label has its group's offers, so its chunks have their places; woken by `shut`.

        Members learn of one another's offers at different moments, so a chunk may be asked for, or come, before its place is known.
        """

        def there() -> bool:
            try:
                return self._vault.held(rank, label).parity is not None or self.over(generation)
            except KeyError:
                return self.over(generation)

        with self._vault.changed:
            self._vault.changed.wait_for(there)
        if self.over(generation):
            raise LinkDown("the generation is over")

    def finish_chunk(self, rank: int, label: Label, geometry: Geometry, position: int, digest: int) -> None:
        """A chunk is complete: if its bytes have the sender's digest it counts."""
        view = self._vault.chunk_view(rank, label, geometry, position)
        if xxhash.xxh3_64_intdigest(view.data) != digest:
            raise LinkDown(f"chunk {position} of rank {rank} at {label} did not arrive as it was sent")
        if position >= geometry.d:
            self._vault.held(rank, label).digests[position - geometry.d] = digest
        self._stored(rank, label, position)


def request(sock: socket.socket, verb: int, label: Label, rank: int, position: int, offset: int, length: int, digest: int = 0) -> None:
    """Sends one request head."""
    try:
        sock.sendall(REQUEST.pack(verb, label.generation, label.superstep, rank, position, offset, length, digest))
    except OSError as error:
        raise LinkDown(str(error)) from None


def ask_offers(sock: socket.socket, label: Label, rank: int) -> tuple[Offer, ...]:
    """All offers of the group of `rank` at a label."""
    request(sock, OFFERS, label, rank, 0, 0, 0)
    head = bytearray(8)
    receive_into(sock, memoryview(head))
    body = bytearray(struct.unpack("<Q", head)[0])
    receive_into(sock, memoryview(body))
    return msgspec.msgpack.decode(body, type=tuple[Offer, ...])
