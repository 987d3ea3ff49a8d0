"""The index of a rank's snapshot: its items, where they lie, sizes and digests. A rank offers it to its parity group (rule C3).

The index is all that is needed to find an item's bytes in a slot, to check them, and to put them back, so the members of a parity group
keep the indexes of one another. It holds no bytes of the state itself.

A slot has two regions. The *coded* region (sharded and private items, parity-protected) and the *replicated* region (the same bytes on
every rank, so a lost rank copies it from any survivor). Items lie in the order of declaration, each at a multiple of `ALIGNMENT`.
Digests are taken of blocks of `BLOCK_BYTES` of each item, never across items, so that one pass over the bytes serves both the check of
a rebuilt slot and the comparison of an item between two runs.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from perdure.core.channel_sums import NOTHING, Transit
from perdure.core.ids import Label

ALIGNMENT: Final = 64
"""Bytes; a cache line, and enough for every NumPy dtype."""
BLOCK_BYTES: Final = 256 * 1024
"""Bytes; small enough to be hashed while still in the second-level cache (measured: 6.2 GB/s copy and hash together)."""


Range = tuple[int, int]
"""A stretch [start, stop) in bytes."""


class Kind(StrEnum):
    """How an item is made redundant."""

    SHARDED = "sharded"
    REPLICATED = "replicated"
    PRIVATE = "private"


class Form(StrEnum):
    """How an item's bytes are to be read."""

    ARRAY = "array"
    OBJECT = "object"


@dataclass(frozen=True, slots=True)
class Block:
    """A stretch [start, stop) of a region, in bytes, and the xxh3-64 digest that it must have."""

    start: int
    stop: int
    digest: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One declared item in one snapshot of one rank.

    Attributes:
        dtype: NumPy's `dtype.str`, or for a structured dtype its `str`; empty for an object.
        shape: of the local array without ghost rows; empty for an object.
        global_shape: of the whole array; equal on all ranks; empty unless sharded.
        offset: bytes from the start of its region.
        nbytes: bytes of the item in the slot.
        blocks: the xxh3-64 digests of its blocks, 8 bytes each, little-endian, in order.
        digest: xxh3-64 of the item's value, the same wherever and after whatever recoveries it was computed.
    """

    name: str
    kind: Kind
    form: Form
    dtype: str
    shape: tuple[int, ...]
    global_shape: tuple[int, ...]
    axis: int
    offset: int
    nbytes: int
    blocks: bytes
    digest: int

    def checks(self) -> Iterator[Block]:
        """Its blocks, in order."""
        return blocks_from(self.blocks, self.offset, self.nbytes)

    def signature(self) -> tuple[str, str, str, str, tuple[int, ...], int]:
        """What must agree between all ranks for the job to make sense."""
        shape = self.global_shape if self.kind is Kind.SHARDED else ()
        dtype = self.dtype if self.kind is not Kind.PRIVATE else ""
        return (self.name, self.kind, self.form, dtype, shape, self.axis)


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotIndex:
    """The index of the snapshot of rank `rank` at one label.

    Attributes:
        coded_bytes: S_r, the length of the coded region.
        replicated_bytes: the length of the replicated region; equal on all ranks.
        next_position: from rank 0 only: the superstep of the commit after the next one (rule C1); -1 from others.
        ended_at: for the END label, the superstep at which the loop ended; -1 otherwise.
        since: the label of the same rank that `changed` refers to, with the same items at the same places; None: nothing
            was compared.
        changed: the stretches of the coded region whose bytes may differ from those of `since`; ascending and apart.
        transit: what of the rank's communication crosses this label.
    """

    rank: int
    items: tuple[Item, ...]
    coded_bytes: int
    replicated_bytes: int
    next_position: int
    ended_at: int
    since: Label | None = None
    changed: tuple[Range, ...] = ()
    transit: Transit = NOTHING


def blocks_from(digests: bytes, offset: int, nbytes: int) -> Iterator[Block]:
    """The blocks of a stretch of `nbytes` at `offset` that have these digests, 8 bytes each."""
    for number in range(len(digests) // 8):
        start = offset + number * BLOCK_BYTES
        stop = min(start + BLOCK_BYTES, offset + nbytes)
        yield Block(start, stop, int.from_bytes(digests[8 * number : 8 * number + 8], "little"))


def with_replicated_of(offer: SnapshotIndex, other: SnapshotIndex) -> SnapshotIndex:
    """Return the index of a slot whose replicated region is a copy of another rank's, which may differ (rule C6)."""
    theirs = {item.name: item for item in other.items if item.kind is Kind.REPLICATED}
    items = tuple(theirs.get(item.name, item) if item.kind is Kind.REPLICATED else item for item in offer.items)
    return replace(offer, items=items, replicated_bytes=other.replicated_bytes)


def replicated_start(coded_bytes: int) -> int:
    """Where the replicated region begins in a slot: the coded region's length, rounded up to a page of 4096 bytes."""
    return -(-coded_bytes // 4096) * 4096
