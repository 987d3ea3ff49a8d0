"""What has not changed since a label is found by comparing, and left where it is; the slot then holds what a whole copy would put there."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from perdure.adapters import items
from perdure.adapters.array_items import ArrayItem
from perdure.adapters.change_detection import PROBE_EVERY, Memo, copy_changed, stretches
from perdure.adapters.object_items import ObjectItem
from perdure.coding import copying
from perdure.core.ids import Label
from perdure.core.snapshot_index import BLOCK_BYTES, Kind, SnapshotIndex
from perdure.runtime.digests import of_blocks
from perdure.runtime.session import Previous

Y = Label(1, 4)
LENGTH = 5 * BLOCK_BYTES + 77


def bytes_like(seed: int, length: int = LENGTH) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, length, np.uint8)


@pytest.mark.parametrize("at", [0, 1, BLOCK_BYTES - 1, BLOCK_BYTES, 3 * BLOCK_BYTES + 5, LENGTH - 1])
def test_one_changed_byte_is_found_wherever_it_is(at: int) -> None:
    old = bytes_like(1)
    slot, live = old.copy(), old.copy()
    live[at] ^= 1
    blocks, flags = copy_changed(slot, live, of_blocks(old), Memo(), "a")
    assert slot.tobytes() == live.tobytes()
    assert blocks == of_blocks(live)
    assert list(flags) == [int(number == at // BLOCK_BYTES) for number in range(6)]
    assert stretches(flags, 64, LENGTH) == [
        (64 + at // BLOCK_BYTES * BLOCK_BYTES, min(64 + (at // BLOCK_BYTES + 1) * BLOCK_BYTES, 64 + LENGTH))
    ]


def test_a_slot_whose_bit_has_changed_as_live_has_is_no_proof() -> None:
    """Parity is of the bit that was offered: the block has changed, though the bytes are equal."""
    old = bytes_like(2)
    live = old.copy()
    live[BLOCK_BYTES + 3] ^= 4
    blocks, flags = copy_changed(live.copy(), live, of_blocks(old), Memo(), "a")
    assert list(flags) == [0, 1, 0, 0, 0, 0]
    assert blocks == of_blocks(live)


def test_a_changed_bit_of_the_slot_is_put_right() -> None:
    old = bytes_like(3)
    slot = old.copy()
    slot[7] ^= 1
    _, flags = copy_changed(slot, old, of_blocks(old), Memo(), "a")
    assert flags[0]
    assert slot.tobytes() == old.tobytes()


def test_large_arrays_are_copied_past_the_cache_as_well() -> None:
    copying.prepare()
    old = bytes_like(4, copying.STREAM_BYTES + 1_000)
    slot, live = old.copy(), old.copy()
    live[BLOCK_BYTES + 1] ^= 1
    live[-1] ^= 1
    blocks, flags = copy_changed(slot, live, of_blocks(old), Memo(), "a")
    assert slot.tobytes() == live.tobytes()
    assert blocks == of_blocks(live)
    assert sum(flags) == 2


def test_blocks_that_change_each_time_are_not_compared_each_time_and_those_that_stop_are_noticed() -> None:
    memo, old = Memo(), bytes_like(5, 40 * BLOCK_BYTES)
    memo.hot["a"] = b"\1" * 40
    memo.commits = 1
    _, flags = copy_changed(old.copy(), old + np.uint8(1), of_blocks(old), memo, "a")
    assert sum(flags) == 40
    _, flags = copy_changed(old.copy(), old, of_blocks(old), memo, "a")
    copied = [number for number, flag in enumerate(flags) if flag]
    assert 0 < len(copied) < 4 * PROBE_EVERY
    assert copied[-1] < 4 * PROBE_EVERY, "when four in a row have not changed, the others are compared"


# ---- whole snapshots ------------------------------------------------------------------------------------------------------


class Rank:
    """Items of every kind, and two slots, of which one is filled after the other."""

    def __init__(self) -> None:
        self.field = np.arange(2.0 * BLOCK_BYTES)
        self.table = bytes_like(6)
        self.box: dict[str, Any] = {"count": 1, "words": ["a"]}
        self.shared = np.arange(3.0 * BLOCK_BYTES)
        self.wide = np.zeros((4, BLOCK_BYTES))
        self.entries = [
            ArrayItem(name="field", kind=Kind.SHARDED, live=self.field, own=self.field),
            ObjectItem(name="box", kind=Kind.PRIVATE, live=self.box),
            ArrayItem(name="table", kind=Kind.PRIVATE, live=self.table, own=self.table),
            ArrayItem(name="shared", kind=Kind.REPLICATED, live=self.shared, own=self.shared),
            ArrayItem(name="wide", kind=Kind.PRIVATE, live=self.wide, own=self.wide[:, 1:-1]),
        ]
        self.memo = Memo()
        self.slot = np.full(1 << 25, 0xEE, np.uint8)
        self.offer: SnapshotIndex | None = None

    def pack(self, *, compare: bool = True) -> SnapshotIndex:
        previous = Previous(label=Y, offer=self.offer) if compare and self.offer else None
        self.offer = items.pack(
            self.entries, lambda nbytes: self.slot[:nbytes], rank=0, next_position=-1, ended_at=-1, previous=previous, memo=self.memo
        )
        return self.offer

    def check(self, before: np.ndarray, offer: SnapshotIndex) -> None:
        """The slot is that of a whole copy, and what is not said to have changed has not."""
        fresh = np.full_like(self.slot, 0x11)
        whole = items.pack(self.entries, lambda nbytes: fresh[:nbytes], rank=0, next_position=-1, ended_at=-1, memo=self.memo)
        assert whole.items == offer.items
        assert fresh[: offer.coded_bytes].tobytes() == self.slot[: offer.coded_bytes].tobytes()
        kept = np.full(offer.coded_bytes, offer.since is not None)
        for start, stop in offer.changed:
            kept[start:stop] = False
        assert (before[: offer.coded_bytes] == self.slot[: offer.coded_bytes])[kept].all()


def test_an_offer_names_what_changed_and_the_slot_is_that_of_a_whole_copy() -> None:
    rank = Rank()
    assert rank.pack().since is None
    before = rank.slot.copy()
    rank.field[BLOCK_BYTES // 4] += 1
    rank.shared[-1] += 1
    rank.wide[2, 5] = 3.0
    offer = rank.pack()
    assert offer.since == Y
    places = {item.name: item for item in offer.items}
    changed = sum(stop - start for start, stop in offer.changed)
    assert changed < places["wide"].nbytes + 3 * BLOCK_BYTES
    assert (places["field"].offset + 2 * BLOCK_BYTES, places["field"].offset + 3 * BLOCK_BYTES) in offer.changed
    assert not any(start < places["table"].offset + 1 < stop for start, stop in offer.changed)
    rank.check(before, offer)


def test_a_box_may_change_its_length_a_little_and_nothing_else_moves() -> None:
    rank = Rank()
    first = rank.pack()
    before = rank.slot.copy()
    rank.box["words"] = ["a", "bcd"]
    longer = rank.pack()
    assert longer.since == Y
    assert longer.coded_bytes == first.coded_bytes
    rank.check(before, longer)
    before = rank.slot.copy()
    rank.box.clear()
    rank.check(before, rank.pack())
    rank.box["much"] = b"x" * 100_000
    assert rank.pack().since is None, "everything lies elsewhere"


def test_what_lies_between_items_is_zero_whatever_was_there() -> None:
    """It has no digest, but is in the parity like everything else."""
    rank = Rank()
    rank.pack()
    rank.slot[rank.slot == 0] = 0x77
    before = rank.slot.copy()
    offer = rank.pack(compare=False)
    rank.check(before, offer)


def test_another_item_is_a_whole_copy() -> None:
    rank = Rank()
    rank.pack()
    rank.entries.append(ObjectItem(name="more", kind=Kind.PRIVATE, live={}))
    assert rank.pack().since is None
