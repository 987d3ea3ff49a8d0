"""What do the simulated ranks compute? A state of a few bytes, a part of which each superstep hashes anew, from all of it: one wrong byte
spoils all that follow, and yet a commit finds bytes that are as they were two commits ago."""

from __future__ import annotations

import hashlib
import zlib
from functools import lru_cache

import numpy as np

from perdure.coding import Codec
from perdure.core.changes import joined
from perdure.core.channel_sums import NOTHING, Transit
from perdure.core.ids import END, Label
from perdure.core.layout import Geometry
from perdure.core.snapshot_index import Form, Item, Kind, Range, SnapshotIndex

BLOCK = 1
"""Bytes of a block that has a digest: so small that no block spans two chunks."""


def size_of(rank: int) -> int:
    """Bytes of the state; they differ, so that chunks end in the middle of nowhere."""
    return 8 + rank * 5 % 9


def advance(state: bytes) -> bytes:
    """One superstep: three bytes in a row change, somewhere."""
    found = hashlib.blake2b(state, digest_size=4).digest()
    at = found[3] % (len(state) - 2)
    return state[:at] + found[:3] + state[at + 3 :]


@lru_cache(maxsize=1 << 16)
def state_of(rank: int, superstep: int) -> bytes:
    """The state before a superstep in an undisturbed run."""
    if superstep:
        return advance(state_of(rank, superstep - 1))
    return hashlib.blake2b(f"rank {rank}".encode(), digest_size=size_of(rank)).digest()


@lru_cache(maxsize=1 << 10)
def common_of(superstep: int) -> bytes:
    """The replicated item."""
    return hashlib.blake2b(f"common {superstep}".encode(), digest_size=4).digest()


def before(superstep: int, count: int) -> int:
    """Which state a label holds: END holds that after the last superstep."""
    return count if superstep == END else superstep


def digests(data: bytes) -> bytes:
    """Of the blocks, four bytes each."""
    return b"".join(zlib.crc32(data[start : start + BLOCK]).to_bytes(4, "little") for start in range(0, len(data), BLOCK))


@lru_cache(maxsize=1 << 12)
def offer_of(
    rank: int,
    state: bytes,
    common: bytes,
    next_position: int = -1,
    ended_at: int = -1,
    since: Label | None = None,
    changed: tuple[Range, ...] = (),
    transit: Transit = NOTHING,
) -> SnapshotIndex:
    """What a rank says of a snapshot with these bytes."""
    return SnapshotIndex(
        rank=rank,
        items=(_item("state", Kind.PRIVATE, state), _item("common", Kind.REPLICATED, common)),
        coded_bytes=len(state),
        replicated_bytes=len(common),
        next_position=next_position,
        ended_at=ended_at,
        since=since,
        changed=changed,
        transit=transit,
    )


def _item(name: str, kind: Kind, data: bytes) -> Item:
    return Item(
        name=name, kind=kind, form=Form.ARRAY, dtype="|u1", shape=(len(data),), global_shape=(), axis=0, offset=0, nbytes=len(data),
        blocks=digests(data), digest=zlib.crc32(data),
    )  # fmt: skip


def changes(before: bytes, offer: SnapshotIndex, live: bytes) -> tuple[Range, ...]:
    """Where `live` differs from what a slot holds, which was offered so."""
    flags = [
        old != new or zlib.crc32(bytes([new])).to_bytes(4, "little") != offer.items[0].blocks[4 * at : 4 * at + 4]
        for at, (old, new) in enumerate(zip(before, live, strict=True))
    ]
    return joined((at, at + 1) for at, flag in enumerate(flags) if flag)


def chunk_bytes(geometry: Geometry, members: tuple[SnapshotIndex, ...]) -> int:
    """c of the group."""
    return geometry.chunk_bytes([offer.coded_bytes for offer in members])


def chunk_of(state: bytes, t: int, chunk: int) -> bytes:
    """Data chunk `t` of a state; what lies beyond its end is not there, and counts as zeros."""
    return state[t * chunk : (t + 1) * chunk]


def is_right(offer: SnapshotIndex, t: int, chunk: int, part: bytes) -> bool:
    """Does a data chunk have the digests that were offered?"""
    return digests(part) == offer.items[0].blocks[4 * t * chunk : 4 * (t + 1) * chunk]


@lru_cache(maxsize=1 << 8)
def codec(n: int, m: int) -> Codec:
    """Of a group of `n` with `m` parity chunks."""
    return Codec(n, m)


def encode(n: int, m: int, chunk: int, data: list[bytes]) -> list[bytes]:
    """All m parity chunks of one stripe."""
    parities = [np.empty(chunk, np.uint8) for _ in range(m)]
    codec(n, m).encode([np.frombuffer(part, np.uint8) for part in data], parities)
    return [parity.tobytes() for parity in parities]


def decode(n: int, m: int, chunk: int, present: dict[int, bytes], wanted: list[int]) -> dict[int, bytes]:
    """Chunks of one stripe from any d others; data chunks come with the zeros beyond their end."""
    out = {position: np.empty(chunk, np.uint8) for position in wanted if position not in present}
    codec(n, m).decode({position: np.frombuffer(part, np.uint8) for position, part in present.items()}, out)
    return {position: present[position].ljust(chunk, b"\0") if position in present else out[position].tobytes() for position in wanted}


@lru_cache(maxsize=1 << 15)
def true_parity(group: tuple[int, ...], m: int, stripe: int, superstep: int) -> tuple[bytes, ...]:
    """What the parity chunks of a stripe must be."""
    geometry = Geometry(len(group), m)
    states = [state_of(rank, superstep) for rank in group]
    chunk = geometry.chunk_bytes([len(state) for state in states])
    data = [chunk_of(states[geometry.member(stripe, t)], t, chunk) for t in range(geometry.d)]
    return tuple(encode(geometry.n, m, chunk, data))
