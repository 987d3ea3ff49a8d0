"""Digests of bytes, block by block: xxh3-64 of each `BLOCK_BYTES`, 8 bytes, little-endian, one after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import xxhash

from perdure.core.snapshot_index import BLOCK_BYTES, Range
from perdure.mapping import Bytes

DIGEST_BYTES = 8
"""Of one block."""


def of_block(block: Bytes) -> bytes:
    """The digest of one block."""
    return xxhash.xxh3_64_intdigest(block.data).to_bytes(DIGEST_BYTES, "little")


def of_blocks(data: Bytes) -> bytes:
    """The digests of the blocks of `data`."""
    return b"".join(of_block(data[start : start + BLOCK_BYTES]) for start in range(0, len(data), BLOCK_BYTES))


class Running:
    """The digests of the blocks of stretches that come piece by piece, in order. A stretch begins at a block."""

    def __init__(self) -> None:
        self._hash = xxhash.xxh3_64()
        self._blocks = bytearray()

    def update(self, start: int, piece: Bytes, end: int) -> None:
        """The bytes from `start` on, of a stretch that ends at `end`."""
        while len(piece):
            stop = min(start // BLOCK_BYTES * BLOCK_BYTES + BLOCK_BYTES, end)
            part, piece = piece[: stop - start], piece[stop - start :]
            self._hash.update(part.data)
            start += len(part)
            if start == stop:
                self._blocks += self._hash.intdigest().to_bytes(DIGEST_BYTES, "little")
                self._hash.reset()

    def blocks(self) -> bytes:
        """Of all that have come whole."""
        return bytes(self._blocks)


def joint(blocks: bytes) -> int:
    """One digest for many."""
    return xxhash.xxh3_64_intdigest(blocks)


def are_right(data: Bytes, blocks: bytes, pace: Callable[[int], None]) -> bool:
    """Do all blocks of `data` have their digests? `pace` is told the bytes of each as it was read."""
    right = True
    for number, start in enumerate(range(0, len(data), BLOCK_BYTES)):
        block = data[start : start + BLOCK_BYTES]
        right &= of_block(block) == blocks[DIGEST_BYTES * number : DIGEST_BYTES * (number + 1)]
        pace(len(block))
    return right


def replaced(blocks: bytes, pieces: Iterable[Range], found: bytes) -> bytes:
    """`blocks` with those of `pieces`, stretches that begin at blocks, replaced by `found`."""
    out, at = bytearray(blocks), 0
    for start, stop in pieces:
        first, count = start // BLOCK_BYTES, -(-(stop - start) // BLOCK_BYTES)
        out[DIGEST_BYTES * first : DIGEST_BYTES * (first + count)] = found[at : at + DIGEST_BYTES * count]
        at += DIGEST_BYTES * count
    return bytes(out)


def tiles_of(pieces: Sequence[Range], size: int) -> tuple[Range, ...]:
    """The pieces cut into stretches of at most `size` bytes, which is a multiple of `BLOCK_BYTES`."""
    return tuple((at, min(at + size, stop)) for start, stop in pieces for at in range(start, stop, size))
