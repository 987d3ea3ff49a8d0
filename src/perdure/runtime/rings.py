"""Chunks handed to an agent of the same machine through a little memory that both have mapped, instead of over the link.

The sender computes a tile where the receiver reads it, says so on the link (TAKE), and uses the place again when the receiver has answered
that the tile is stored. So a tile is written once and read once, in the cache that both share; a socket copies it twice more (measured:
a rebuild of 256 MiB by three senders took 120 ms over sockets).

The receiver never writes here, and the sender nowhere else: a link that is shut ends it, as it ends what goes over links.
"""

from __future__ import annotations

import os
import threading
from typing import Final

from perdure.core.ids import Label
from perdure.mapping import Bytes, map_file
from perdure.runtime.memory import grow
from perdure.runtime.vault_protocol import RING, TAKE, TILE_BYTES, LinkDown, receive_into, received_file, request, send_file
from perdure.streams import Stream

PLACES: Final = 2
"""Tiles of one ring: one under way while the next is computed, both in the cache."""
RING_FROM_BYTES: Final = 4 * PLACES * TILE_BYTES
"""Shorter chunks go over the link: a ring costs two mappings."""
RING_MAX_BYTES: Final = 1 << 30
"""What is mapped of a file that a peer brings."""


class Rings:
    """The memory for the rings of one agent, used again and again: fresh pages are what costs most."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._idle: list[tuple[int, Bytes]] = []

    def prepare(self, tile_bytes: int) -> None:
        """Has memory for one ring. Raises ConfigError when there is none."""
        if not self._idle:
            self.give_back(self.take(tile_bytes))

    def take(self, tile_bytes: int) -> tuple[int, Bytes]:
        """A memory file and its mapping of (PLACES * tile_bytes,) uint8. Raises ConfigError when there is no memory for it."""
        nbytes = PLACES * tile_bytes
        with self._lock:
            while self._idle:
                fd, mapped = self._idle.pop()
                if len(mapped) == nbytes:
                    return fd, mapped
                os.close(fd)
        fd = os.memfd_create("perdure-ring")
        try:
            return fd, grow(fd, nbytes)
        except BaseException:
            os.close(fd)
            raise

    def give_back(self, memory: tuple[int, Bytes]) -> None:
        """The next sender may have it. A receiver that is late stores what it finds there only into a chunk that does not count."""
        with self._lock:
            self._idle.append(memory)

    def close(self) -> None:
        """Gives back what is idle."""
        with self._lock:
            while self._idle:
                os.close(self._idle.pop()[0])


class ChunkRing:
    """The sender's end, for one chunk."""

    def __init__(self, memory: tuple[int, Bytes], stream: Stream, label: Label, rank: int, position: int) -> None:
        self._stream, self._label, self._rank, self._position = stream, label, rank, position
        self._put = self._taken = 0
        fd, mapped = memory
        self._memory = mapped
        request(stream, RING, label, rank, position, 0, 0)
        send_file(stream, b"\0", fd)

    def room(self, width: int) -> Bytes:
        """(width,) uint8, the next tile's place; blocks until the receiver has stored what was there."""
        self._wait_taken(self._put - PLACES + 1)
        return place_of(self._memory, self._put % PLACES, width)

    def put(self, start: int, length: int) -> None:
        """The first `length` bytes of the place that `room` gave last belong at `start` of the chunk."""
        request(self._stream, TAKE, self._label, self._rank, self._position, start, length, self._put % PLACES)
        self._put += 1

    def drain(self) -> None:
        """Blocks until everything is stored: a link that is hung up before would take the answers with it."""
        self._wait_taken(self._put)

    def _wait_taken(self, count: int) -> None:
        while self._taken < count:
            answers = bytearray(count - self._taken)
            receive_into(self._stream, memoryview(answers))
            self._taken += len(answers)


def receive_ring(stream: Stream) -> Bytes:
    """The receiver's end, after RING: (k * PLACES,) uint8, read-only."""
    with received_file(stream, 1) as (_, fd):
        nbytes = os.fstat(fd).st_size
        if nbytes % PLACES or not 0 < nbytes <= RING_MAX_BYTES:
            raise LinkDown(f"a ring of {nbytes} bytes: the peer counts differently")
        return map_file(fd, nbytes, writable=False)


def place_of(ring: Bytes, number: int, length: int) -> Bytes:
    """(length,) uint8: what was put at a place of a ring."""
    each = len(ring) // PLACES
    if number >= PLACES or length > each:
        raise LinkDown(f"{length} bytes at place {number} of a ring: the peer counts differently")
    return ring[number * each : number * each + length]
