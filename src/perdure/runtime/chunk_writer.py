"""A chunk that comes in piece by piece: the one way in which rebuilt and received bytes get into a vault.

Whoever brings a chunk may be late: slow, while another brings it again or while the label is given up and its memory used for the next one.
So a piece is stored under the lock of its label, if that is held still and nobody newer brings the same chunk; and `Vault.forget` waits for
that lock, which is never held while anything is waited for.

What arrives is hashed while it is in the cache, so that a rebuilt slot need not be read again before its rank goes on.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import xxhash

from perdure.coding.copying import STREAM_BYTES, StreamingCopy
from perdure.core.ids import Label
from perdure.core.layout import Geometry
from perdure.core.snapshot_index import Block, Kind, Range, SnapshotIndex
from perdure.mapping import Bytes
from perdure.runtime import digests
from perdure.runtime.vault import Vault
from perdure.runtime.vault_protocol import LinkDown


class ChunkWriter:
    """One chunk from one bringer, which is the only one from now on."""

    def __init__(
        self, vault: Vault, rank: int, label: Label, geometry: Geometry, position: int, pieces: Sequence[Range] | None = None
    ) -> None:
        """`pieces`: what comes of it; None: all of it. Raises NotHeld."""
        self._vault, self._rank, self._label, self._position = vault, rank, label, position
        self._held = held = vault.held(rank, label)
        self._view = vault.chunk_view(rank, label, geometry, position)
        whole = ((0, len(self._view)),) if len(self._view) else ()
        self._due = deque(whole if pieces is None else pieces)
        self._digests = digests.Running()
        self._mark = object()
        self._hash = xxhash.xxh3_64()
        self._is_parity = position >= geometry.d
        self._offset = 0 if self._is_parity else position * held.chunk
        assert held.offer is not None
        blocks = () if self._is_parity else blocks_inside(held.offer, self._offset, self._offset + len(self._view))
        self._blocks = deque(blocks)
        with held.lock:
            held.writers[position] = self._mark
            held.checked.difference_update(block.start for block in blocks)

    def store(self, start: int, piece: Bytes) -> None:
        """The bytes of the chunk from `start` on. A chunk that is complete is left as it is.

        Raises:
            LinkDown: the label was given up, another brings the chunk now, or this is not the next piece.
        """
        due, end = self._due[0] if self._due else (len(self._view), len(self._view))
        if start != due or start + len(piece) > end:
            raise LinkDown(f"bytes {start} to {start + len(piece)} where {due} to {end} are due: the peer counts differently")
        with self._held.lock:
            if not self._vault.still_holds(self._rank, self._label, self._held):
                raise LinkDown(f"{self._label} of rank {self._rank} was given up while it was written")
            if self._held.writers.get(self._position) is not self._mark:
                raise LinkDown(f"chunk {self._position} of rank {self._rank} is written by another agent now")
            if self._position not in self._held.complete:
                place = self._view[start : start + len(piece)]
                if len(self._view) >= STREAM_BYTES:
                    StreamingCopy(place, piece).copy(0, len(piece))
                else:
                    place[:] = piece
                self._check(self._offset + start, piece, end)
        if start + len(piece) < end:
            self._due[0] = start + len(piece), end
        else:
            self._due.popleft()

    def digests(self) -> bytes | None:
        """Of the blocks of the pieces of a chunk of parity, as they were stored; None if they were not, or are data."""
        is_whole = self._is_parity and not self._due and self._position not in self._held.complete
        return self._digests.blocks() if is_whole else None

    def _check(self, start: int, piece: Bytes, end: int) -> None:
        """Hashes blocks that lie in this chunk altogether; pieces come in order. `end`: of parity, where the stretch ends."""
        if self._is_parity:
            self._digests.update(start, piece, end)
        while self._blocks:
            block = self._blocks[0]
            first, last = max(start, block.start), min(start + len(piece), block.stop)
            if first >= last:
                return
            self._hash.update(piece[first - start : last - start].data)
            if last < block.stop:
                return
            if self._hash.intdigest() == block.digest:
                self._held.checked.add(block.start)
            self._hash.reset()
            self._blocks.popleft()


def blocks_inside(offer: SnapshotIndex, start: int, stop: int) -> tuple[Block, ...]:
    """The blocks of coded items that lie in bytes [start, stop) of the coded region, in order."""
    coded = (item for item in offer.items if item.kind is not Kind.REPLICATED)
    return tuple(block for item in coded for block in item.checks() if start <= block.start and block.stop <= stop)
