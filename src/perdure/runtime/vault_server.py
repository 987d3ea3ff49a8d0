"""The answering end of one link between two agents (see `vault_protocol` for the requests).

The link remembers which `VaultEntry` its bytes came from, so that CONFIRM can tell whether all of them were one label's.
"""

from __future__ import annotations

import os
import struct
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from perdure.core.ids import Label
from perdure.core.layout import Geometry
from perdure.core.snapshot_index import Range
from perdure.mapping import Bytes
from perdure.runtime.chunk_writer import ChunkWriter
from perdure.runtime.digests import joint, tiles_of
from perdure.runtime.posix import stand_back
from perdure.runtime.rings import place_of, receive_ring
from perdure.runtime.vault import NotHeld, VaultEntry
from perdure.runtime.vault_protocol import (
    CONFIRM,
    FINISH,
    MAP,
    MAPPED,
    OFFERS,
    READ,
    REPLICATED,
    REQUEST,
    RING,
    TAKE,
    TILE_BYTES,
    WRITE,
    YES,
    LinkDown,
    receive_into,
    send,
    send_file,
)
from perdure.streams import Stream

if TYPE_CHECKING:
    from perdure.runtime.links import Links


class VaultServer:
    """One link, used by the one thread that serves it."""

    def __init__(self, links: Links, stream: Stream, generation: int) -> None:
        self._links, self._vault, self._stream, self._generation = links, links.vault, stream, generation
        self._read_from: dict[tuple[int, Label], VaultEntry] = {}
        self._writers: dict[tuple[int, Label, int], ChunkWriter] = {}
        self._buffer = np.empty(0, np.uint8)
        self._ring = self._buffer

    def answer(self) -> None:
        """Takes one request and answers it; LinkDown when the link has ended, or asks for what cannot be given any more."""
        head = bytearray(REQUEST.size)
        with self._links.resting(self._generation):
            receive_into(self._stream, memoryview(head))
        verb, g, superstep, rank, position, offset, length, digest = REQUEST.unpack(head)
        label = Label(g, superstep)
        if verb == CONFIRM:
            send(self._stream, YES if self._is_as_read(rank, label) else b"\0")
            return
        self._links.wait_for_memory(self._generation, rank, label)
        try:
            geometry = self._links.geometry_of(rank)
            if verb == READ:
                self._read(rank, label, geometry, position, offset, length)
            elif verb == MAP:
                self._map(rank, label, geometry, position, length)
            elif verb == WRITE:
                self._arrives(rank, label, geometry, position).store(offset, self._receive(length))
            elif verb == RING:
                self._ring = receive_ring(self._stream)
            elif verb == TAKE:
                self._arrives(rank, label, geometry, position).store(offset, place_of(self._ring, digest, length))
                send(self._stream, YES)
            elif verb == FINISH:
                self._finish(rank, label, geometry, position, digest)
                send(self._stream, YES)
            elif verb == REPLICATED:
                region = self._vault.replicated_view(rank, label)
                self._links.count(label, len(region))
                send(self._stream, region.data)
            elif verb == OFFERS:
                body = msgspec.msgpack.encode(self._vault.held(rank, label).member_offers)
                send(self._stream, struct.pack("<Q", len(body)), body)
            else:
                raise LinkDown(f"no request has the number {verb}")
        except NotHeld as error:
            raise LinkDown(f"the chunk is not held here any more: {error}") from None

    def _is_as_read(self, rank: int, label: Label) -> bool:
        before = self._read_from.get((rank, label))
        return before is not None and self._vault.still_holds(rank, label, before)

    def _note(self, rank: int, label: Label) -> None:
        """Before the first byte: whose bytes this link reads. What was given up since then is confirmed to nobody."""
        if (rank, label) not in self._read_from:
            held = self._read_from.items()
            self._read_from = {place: before for place, before in held if self._vault.still_holds(*place, before)}
        self._read_from.setdefault((rank, label), self._vault.held(rank, label))

    def _read(self, rank: int, label: Label, geometry: Geometry, position: int, offset: int, length: int) -> None:
        self._note(rank, label)
        view = _range(self._vault.chunk_view(rank, label, geometry, position), offset, length)
        self._links.count(label, length)
        send(self._stream, view.data)

    def _map(self, rank: int, label: Label, geometry: Geometry, position: int, length: int) -> None:
        """For the peer to read in place, who counts what it reads as sent."""
        if position >= geometry.d:
            raise LinkDown("only chunks of data lie in files")
        self._note(rank, label)
        _range(self._vault.chunk_view(rank, label, geometry, position), 0, length)
        held = self._vault.held(rank, label)
        fd = self._vault.slot_file(rank, label)
        try:
            send_file(self._stream, MAPPED.pack(position * held.chunk), fd)
        finally:
            os.close(fd)

    def _arrives(self, rank: int, label: Label, geometry: Geometry, position: int) -> ChunkWriter:
        """The chunk that this link brings; the first piece makes it the one that does. Parity of an older generation's label is rebuilt
        after the resume, and no rank waits for it."""
        key = (rank, label, position)
        if key not in self._writers:
            if position >= geometry.d and label.generation < self._generation:
                stand_back()
            pieces = self._pieces(rank, label, geometry, position)
            self._writers[key] = ChunkWriter(self._vault, rank, label, geometry, position, pieces)
        return self._writers[key]

    def _pieces(self, rank: int, label: Label, geometry: Geometry, position: int) -> tuple[Range, ...]:
        """What comes of a chunk: all of it, but for the parity of a commit (rule C4')."""
        if position >= geometry.d and label.generation == self._generation:
            return self._vault.encoded_pieces(rank, label, geometry, position)
        return ((0, len(self._vault.chunk_view(rank, label, geometry, position))),)

    def _finish(self, rank: int, label: Label, geometry: Geometry, position: int, expected: int) -> None:
        arrived = self._writers.pop((rank, label, position), None)
        if arrived is not None:
            found = arrived.digests()
        else:
            found = None if tiles_of(self._pieces(rank, label, geometry, position), TILE_BYTES) else b""
        finish_chunk(self._links, rank, label, geometry, position, found, expected=expected)

    def _receive(self, length: int) -> Bytes:
        """The next bytes of the link, borrowed until the next call."""
        if length > TILE_BYTES:
            raise LinkDown(f"a piece of {length} bytes: the peer counts differently")
        if len(self._buffer) < length:
            self._buffer = np.empty(length, np.uint8)
        piece = self._buffer[:length]
        receive_into(self._stream, piece.data)
        return piece


def _range(chunk: Bytes, offset: int, length: int) -> Bytes:
    if offset + length > len(chunk):
        raise LinkDown(f"bytes {offset} to {offset + length} of a chunk of {len(chunk)}: the peer counts differently")
    return chunk[offset : offset + length]


def finish_chunk(
    links: Links, rank: int, label: Label, geometry: Geometry, position: int, found: bytes | None, *, expected: int | None = None
) -> None:
    """A chunk is complete. `found`: the block digests of what was stored of parity, if it was; what came over a link must have the
    sender's, `expected`. Only then it counts. Data is checked with the whole slot, against the digests of its items.

    A chunk that was complete before is told again: whoever counts may not have heard of it.
    """
    held = links.vault.held(rank, label)
    if position >= geometry.d:
        chunk, known = f"chunk {position} of rank {rank} at {label}", held.digests.get(position - geometry.d)
        came = known if found is None else found
        if came is None or expected not in (None, joint(came)):
            raise LinkDown(f"{chunk} was corrupted in transit")
        if found is not None:
            whole = links.vault.parity_digests(rank, label, geometry, position, found)
            if held.digests.setdefault(position - geometry.d, whole) != whole:
                raise LinkDown(f"{chunk} was rebuilt from corrupt data: its digest differs from the recorded one")
    held.complete.add(position)
    links.stored(rank, label, position)
