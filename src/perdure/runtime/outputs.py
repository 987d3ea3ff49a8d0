"""Where computed chunks go: into this agent's vault, or to their holder over a link, on the same machine through a ring.

What this agent keeps of a commit is computed in place; the rest is written over a link, so that a shut link ends every write to foreign
memory.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np

from perdure.core.ids import Label
from perdure.mapping import Bytes
from perdure.runtime.chunk_writer import ChunkWriter
from perdure.runtime.digests import joint, of_blocks
from perdure.runtime.tasks import Task
from perdure.runtime.vault_client import stored
from perdure.runtime.vault_protocol import FINISH, TILE_BYTES, WRITE, request, send
from perdure.runtime.vault_server import finish_chunk
from perdure.streams import Stream


class Output(Protocol):
    """A chunk of which some stretches are computed, in ascending order."""

    def room(self, start: int, width: int) -> Bytes:
        """(width,) uint8: where the tile at `start` is to be put; it may reach beyond a short chunk's end."""

    def put(self, start: int, tile: Bytes, *, last: bool) -> None:
        """The tile at `start` is there; with the last one, which is only put when all sources are confirmed, the chunk is finished."""

    def confirm(self) -> None:
        """Wait until the chunk is stored, after the last tile. LinkDown unless it was."""


class EncodedOutput:
    """Parity that this agent keeps, computed in place: no other label can need the memory before this one is committed."""

    def __init__(self, task: Task, label: Label, rank: int, position: int) -> None:
        task.wait_for_memory(rank, label)
        self._links, self._rank, self._label, self._position = task.links, rank, label, position
        self._geometry = task.geometry(rank)
        self._view = task.vault.chunk_view(rank, label, self._geometry, position)
        self._digests = bytearray()

    def room(self, start: int, width: int) -> Bytes:
        return self._view[start : start + width]

    def put(self, start: int, tile: Bytes, *, last: bool) -> None:
        self._digests += of_blocks(tile)
        if last:
            finish_chunk(self._links, self._rank, self._label, self._geometry, self._position, bytes(self._digests))

    def confirm(self) -> None:
        """It is in this agent's vault."""


class StoredOutput:
    """A rebuilt chunk that this agent keeps."""

    def __init__(self, task: Task, label: Label, rank: int, position: int, nbytes: int) -> None:
        task.wait_for_memory(rank, label)
        self._links, self._rank, self._label, self._position, self._nbytes = task.links, rank, label, position, nbytes
        self._geometry = task.geometry(rank)
        self._writer = ChunkWriter(task.vault, rank, label, self._geometry, position)
        self._buffer = np.empty(task.tile_bytes, np.uint8)

    def room(self, start: int, width: int) -> Bytes:
        return self._buffer[:width]

    def put(self, start: int, tile: Bytes, *, last: bool) -> None:
        part = tile[: max(0, self._nbytes - start)]
        if len(part):
            self._writer.store(start, part)
        if last:
            finish_chunk(self._links, self._rank, self._label, self._geometry, self._position, self._writer.digests())

    def confirm(self) -> None:
        """It is in this agent's vault."""


class SentOutput:
    """Goes to its holder over a link, on the same machine through a ring; parity with the digest of all its blocks at the end, for
    data has the digests of its items."""

    def __init__(self, task: Task, stream: Stream, label: Label, rank: int, position: int, nbytes: int, sent: int) -> None:
        """`sent`: how many bytes of the chunk of `nbytes` will be put."""
        self._links, self._stream, self._nbytes = task.links, stream, nbytes
        self._label, self._rank, self._position = label, rank, position
        self._digests = bytearray()
        self._is_parity = position >= task.geometry(rank).d
        self._ring = task.ring(stream, label, rank, position, sent)
        self._buffer = np.empty(task.tile_bytes if self._ring is None else 0, np.uint8)

    def room(self, start: int, width: int) -> Bytes:
        return self._buffer[:width] if self._ring is None else self._ring.room(width)

    def put(self, start: int, tile: Bytes, *, last: bool) -> None:
        part = tile[: max(0, self._nbytes - start)]
        if len(part):
            if self._is_parity:
                self._digests += of_blocks(part)
            self._links.count(self._label, len(part))
            if self._ring is not None:
                self._ring.put(start, len(part))
            else:
                self._write(start, part)
        if last:
            if self._ring is not None:
                self._ring.drain()
            digest = joint(bytes(self._digests)) if self._is_parity else 0
            request(self._stream, FINISH, self._label, self._rank, self._position, 0, 0, digest)

    def confirm(self) -> None:
        """A network may lose what was sent and tell only who still reads."""
        stored(self._stream)

    def _write(self, start: int, part: Bytes) -> None:
        for first in range(0, len(part), TILE_BYTES):
            piece = part[first : first + TILE_BYTES].data
            request(self._stream, WRITE, self._label, self._rank, self._position, start + first, len(piece))
            send(self._stream, piece)


def open_output(task: Task, label: Label, rank: int, position: int, nbytes: int, *, encoded: int | None = None) -> Output:
    """The way to the holder of a chunk of `nbytes`, of which so many bytes are `encoded` for a commit, or which else is rebuilt."""
    stream = task.to(rank, 16 + position)
    if stream is not None:
        return SentOutput(task, stream, label, rank, position, nbytes, nbytes if encoded is None else encoded)
    return EncodedOutput(task, label, rank, position) if encoded is not None else StoredOutput(task, label, rank, position, nbytes)
