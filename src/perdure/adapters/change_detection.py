"""Detection of the blocks that differ from the label that a slot still holds, by comparison of bytes (rule C4').

Bytes that are equal must have the digest that they had, too: a slot's bit may have changed by itself, and live in the same way by the
program; parity would still be that of the old bit. Hashing what has just been read costs a third of the comparison.

A comparison reads what a copy would write, and ends at the first byte that differs. So blocks that change at every commit cost little more
than their copy. Where they are known to (`Memo`), only an eighth of them is compared at each commit, until it turns out that most of those
do not change any more. Where it is known which blocks can have changed (`tracking`), the others are not read at all.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from perdure.adapters.names import Names
from perdure.adapters.tracking import Flags, Tracker
from perdure.adapters.variables import Variables
from perdure.coding.copying import STREAM_BYTES, StreamingCopy
from perdure.core.snapshot_index import BLOCK_BYTES, Range
from perdure.mapping import Bytes
from perdure.runtime.digests import DIGEST_BYTES, of_block

PROBE_EVERY: Final = 8
"""Commits. Arbitrary: a block that stops changing is copied seven times in vain at most, and an eighth of the others read in vain."""
TRUST: Final = 4
"""Blocks in a row, or nearly, that were expected to change and have not: then the others are compared. Arbitrary."""
ROOM_STEP: Final = 4096
"""Bytes by which the room of an object grows, so that an object whose length changes a little moves nothing else."""
SPARE_MAX: Final = 64 << 10
"""Bytes that an object may have to spare: an eighth of its length, and no more than this. Arbitrary."""
_COMPARE: Final = ctypes.CDLL(None).memcmp
_COMPARE.argtypes = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t)


@dataclass(slots=True)
class Memo:
    """Data that one entry of `main` keeps from commit to commit.

    Attributes:
        hot: by item, for each block, 1 if it had changed at the last commit.
        rooms: by object, the bytes that are kept for it.
        values: by object, its length, the digests of its blocks and of its value at the last commit: equal bytes are an equal value.
        restored: by object, the kinds and classes of parts that a trial has restored.
        names: what the program had names for when the loop began.
        variables: which of them are variables, and of which parts.
        check_restore: when a restore is tried, as of `RankParameters`.
        commits: how many there were.
        tracker: knows what was written; None: nobody does.
    """

    hot: dict[str, bytes] = field(default_factory=dict)
    rooms: dict[str, int] = field(default_factory=dict)
    values: dict[str, tuple[int, bytes, int]] = field(default_factory=dict)
    restored: dict[str, set[tuple[str, type]]] = field(default_factory=dict)
    names: Names = field(default_factory=Names)
    variables: Variables = field(default_factory=Variables)
    check_restore: str = "first"
    commits: int = 0
    tracker: Tracker | None = None

    def hot_of(self, name: str, blocks: int) -> bytes:
        """For each block of an item, 1 if it is expected to have changed."""
        known = self.hot.get(name, b"")
        return known if len(known) == blocks else bytes(blocks)

    def value_digest(self, name: str, nbytes: int, blocks: bytes, computed: Callable[[], int]) -> int:
        """Return the digest of an object whose pickle has `nbytes` and the block digests `blocks`: the last commit's if they are equal,
        otherwise `computed()`."""
        known = self.values.get(name)
        if known is None or known[:2] != (nbytes, blocks):
            known = self.values[name] = nbytes, blocks, computed()
        return known[2]

    def room(self, name: str, nbytes: int) -> int:
        """For an object of `nbytes`: what it had, if that is enough and not too much."""
        kept = self.rooms.get(name, 0)
        if not nbytes <= kept <= nbytes + min(nbytes, 2 * SPARE_MAX) + ROOM_STEP:
            kept = self.rooms[name] = -(-(nbytes + min(nbytes // 8, SPARE_MAX)) // ROOM_STEP) * ROOM_STEP
        return kept


def copy_changed(
    target: Bytes, source: Bytes, blocks: bytes, memo: Memo, name: str, candidates: Flags | None = None
) -> tuple[bytes, bytes]:
    """Copies those blocks of an item that differ from what is there.

    Args:
        target: (n,) uint8, what the item was when its blocks had the digests `blocks`.
        source: (n,) uint8, contiguous, that nothing else changes meanwhile.
        candidates: (blocks,) bool, those that can differ, if that is known: the others keep their digests and are not read.

    Returns:
        The block digests, and for each block 1 if it was copied.
    """
    digests, flags = bytearray(blocks), bytearray(-(-len(source) // BLOCK_BYTES))
    hot, trust = memo.hot_of(name, len(flags)), TRUST
    stream = StreamingCopy(target, source) if len(source) >= STREAM_BYTES else None
    there, here = target.ctypes.data, source.ctypes.data
    numbers: Iterable[int] = range(len(flags)) if candidates is None else np.flatnonzero(candidates).tolist()
    for number in numbers:
        start = number * BLOCK_BYTES
        stop = min(start + BLOCK_BYTES, len(source))
        place = slice(DIGEST_BYTES * number, DIGEST_BYTES * (number + 1))
        is_hot = bool(hot[number]) and trust > 0
        is_looked_at = not is_hot or (number + memo.commits) % PROBE_EVERY == 0
        is_same = is_looked_at and not _COMPARE(there + start, here + start, stop - start)
        digest = b"" if not is_same else of_block(source[start:stop])
        if is_same and digest == digests[place]:
            trust -= is_hot
            continue
        trust = min(trust + (is_hot and is_looked_at), TRUST)
        if stream is not None:
            stream.copy(start, stop)
        else:
            target[start:stop] = source[start:stop]
        digests[place] = digest or of_block(source[start:stop])
        flags[number] = 1
    return bytes(digests), bytes(flags)


def stretches(flags: Sequence[int], offset: int, nbytes: int) -> list[Range]:
    """The flagged blocks of an item of `nbytes` at `offset`."""
    starts = [offset + number * BLOCK_BYTES for number, flag in enumerate(flags) if flag]
    return [(start, min(start + BLOCK_BYTES, offset + nbytes)) for start in starts]
