"""Commits that read only what was written: slot, digests and what is said to have changed are those of a commit that reads everything."""

from __future__ import annotations

import ctypes
import mmap
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from perdure.adapters import array_items, items
from perdure.adapters.array_items import ArrayItem
from perdure.adapters.arrays import as_bytes
from perdure.adapters.change_detection import Memo
from perdure.adapters.object_items import ObjectItem
from perdure.adapters.tracking import WATCH_FROM_BYTES, Tracker, tracker
from perdure.core.ids import Label
from perdure.core.snapshot_index import BLOCK_BYTES, Kind, SnapshotIndex, replicated_start
from perdure.runtime.dirty_pages import PAGE_BYTES, DirtyPages
from perdure.runtime.session import Previous
from tests.runtime.test_dirty_pages import DONTNEED, FIXED, LIBC, PRIVATE, WRITABLE, can_watch

pytestmark = pytest.mark.skipif(not can_watch(), reason="this kernel does not tell which pages were written")
COLD = bytes(8)
"""Of eight blocks, none changed at the last commit."""


@pytest.fixture
def known() -> Iterator[Tracker]:
    one = tracker()
    assert one is not None
    yield one
    one.close()


def label(step: int) -> Label:
    return Label(1, step)


class Array:
    """Private memory, and an array in it that begins where it likes."""

    def __init__(self, nbytes: int, offset: int = 0, dtype: str = "u1") -> None:
        self.mapped = mmap.mmap(-1, nbytes + offset + 2 * PAGE_BYTES, PRIVATE)
        self.around = np.frombuffer(self.mapped, np.uint8)
        self.around[:] = 1
        self.live = self.around[offset : offset + nbytes].view(dtype)


def blocks_of(known: Tracker, array: np.ndarray[Any, Any], step: int, *, hot: bytes = COLD) -> list[int] | None:
    """Of a commit: the blocks that can differ from the last commit but one."""
    found = known.candidates("a", as_bytes(array), label(step), label(step - 2), hot)
    return None if found is None else np.flatnonzero(found).tolist()


def test_a_block_differs_from_two_commits_ago_by_the_writes_of_both_intervals(known: Tracker) -> None:
    live = Array(8 * BLOCK_BYTES).live
    assert blocks_of(known, live, 1) is None
    live[0] = 1
    assert blocks_of(known, live, 2) is None
    live[3 * BLOCK_BYTES - 1] = 1
    assert blocks_of(known, live, 3) == [0, 2]
    live[5 * BLOCK_BYTES : 6 * BLOCK_BYTES + 1] = 1
    assert blocks_of(known, live, 4) == [2, 5, 6]
    assert blocks_of(known, live, 5) == [5, 6]
    assert blocks_of(known, live, 6) == []


def test_a_commit_that_did_not_compare_is_known_of_too(known: Tracker) -> None:
    """`since` is None where a slot's label was found wrong, or is being rebuilt: everything is copied, and writes go on being noted."""
    live = Array(8 * BLOCK_BYTES).live
    for step in (1, 2):
        assert blocks_of(known, live, step) is None
    live[0] = 1
    assert known.candidates("a", live, label(3), None, COLD) is None
    live[BLOCK_BYTES] = 1
    assert blocks_of(known, live, 4) == [0, 1]
    assert blocks_of(known, live, 5) == [1]


def test_a_label_of_another_generation_or_of_long_ago_is_not_known(known: Tracker) -> None:
    live = Array(8 * BLOCK_BYTES).live
    for step in range(1, 6):
        blocks_of(known, live, step)
    assert known.candidates("a", live, label(6), Label(0, 4), COLD) is None
    assert known.candidates("a", live, label(7), label(4), COLD) is None
    assert known.candidates("a", live, label(8), label(6), COLD) is not None


@pytest.mark.parametrize("offset", [0, 1, 64, PAGE_BYTES - 1])
def test_blocks_at_the_ends_count_as_written_unless_they_end_with_a_page(known: Tracker, offset: int) -> None:
    """A page that is not the item's alone may be another item's as well."""
    array = Array(8 * BLOCK_BYTES, offset)
    for step in (1, 2):
        blocks_of(known, array.live, step)
    array.around[:offset] = 1
    array.around[offset + array.live.nbytes :] = 1
    ends = [0, 7] if offset else []
    assert blocks_of(known, array.live, 3) == ends
    array.live[[0, -1]] = 1
    assert blocks_of(known, array.live, 4) == [0, 7]


@pytest.mark.parametrize("nbytes", [8 * BLOCK_BYTES + 1, 8 * BLOCK_BYTES - 1, 8 * BLOCK_BYTES + PAGE_BYTES])
@pytest.mark.parametrize("offset", [8, PAGE_BYTES - 8])
def test_each_byte_at_the_ends_is_seen(known: Tracker, nbytes: int, offset: int) -> None:
    """The last page of an array may hold the end of one block and the whole of the next."""
    array = Array(nbytes, offset)
    cold = bytes(-(-nbytes // BLOCK_BYTES))
    step = 2
    for step in (1, 2):
        blocks_of(known, array.live, step, hot=cold)
    for at in (0, 1, PAGE_BYTES, nbytes - PAGE_BYTES - 1, nbytes - PAGE_BYTES, *range(nbytes - 20, nbytes)):
        array.live[at] += np.uint8(1)
        step += 1
        found = blocks_of(known, array.live, step, hot=cold)
        assert found is not None
        assert at // BLOCK_BYTES in found


def test_an_array_of_which_most_changes_is_watched_no_longer_until_that_is_over(known: Tracker) -> None:
    live = Array(8 * BLOCK_BYTES).live
    for step in (1, 2):
        blocks_of(known, live, step)
    live[::BLOCK_BYTES] += np.uint8(1)
    for step, hot in enumerate([COLD, b"\1\1\1" + bytes(5), b"\1\1" + bytes(6), COLD], 3):
        assert blocks_of(known, live, step, hot=hot) is None
    assert blocks_of(known, live, 7) == []


def test_short_arrays_and_unknown_ones_are_not_watched(known: Tracker) -> None:
    short, live = Array(WATCH_FROM_BYTES - 1).live, Array(8 * BLOCK_BYTES).live
    for step in range(1, 5):
        assert known.candidates("short", short, label(step), label(step - 2), bytes(4)) is None
        assert known.candidates("live", live, label(step), label(step - 2), b"") is None


def test_shared_memory_is_compared_and_does_no_harm_to_others(known: Tracker) -> None:
    shared = np.frombuffer(mmap.mmap(-1, 8 * BLOCK_BYTES), np.uint8)
    live = Array(8 * BLOCK_BYTES).live
    for step in range(1, 5):
        assert known.candidates("shared", shared, label(step), label(step - 2), COLD) is None
        blocks_of(known, live, step)
    assert blocks_of(known, live, 5) == []


def test_an_array_elsewhere_or_of_another_length_is_not_the_one_that_was_watched(known: Tracker) -> None:
    first, second = Array(8 * BLOCK_BYTES), Array(8 * BLOCK_BYTES)
    for step in (1, 2, 3):
        blocks_of(known, first.live, step)
    assert blocks_of(known, second.live, 4) is None
    assert blocks_of(known, first.live, 5) is None
    assert blocks_of(known, first.live[: 7 * BLOCK_BYTES], 6, hot=bytes(7)) is None


def test_memory_that_was_mapped_anew_at_the_same_address_is_compared(known: Tracker) -> None:
    array = Array(8 * BLOCK_BYTES)
    for step in (1, 2, 3):
        blocks_of(known, array.live, step)
    LIBC.mmap(array.live.ctypes.data + BLOCK_BYTES, PAGE_BYTES, WRITABLE, PRIVATE | FIXED, -1, 0)
    assert blocks_of(known, array.live, 4) is None
    assert array.live.sum() < len(array.live), "what is not there counts as written until it is read"
    assert blocks_of(known, array.live, 5) is None
    assert blocks_of(known, array.live, 6) == []


def test_a_kernel_that_refuses_means_comparison(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("perdure.runtime.dirty_pages._USERFAULTFD", {})
    assert tracker() is None


def test_two_trackers_of_one_process_do_not_take_each_other_s_writes(known: Tracker) -> None:
    other = Tracker(DirtyPages())
    live = Array(8 * BLOCK_BYTES).live
    for step in (1, 2):
        blocks_of(known, live, step)
        assert blocks_of(other, live, step) is None
    live[0] = 1
    assert blocks_of(other, live, 3) is None
    assert blocks_of(known, live, 3) == [0]
    other.close()


# ---- whole snapshots ------------------------------------------------------------------------------------------------------


class Rank:
    """Two items side by side in one piece of memory, a third in memory of its own, and two slots that are filled in turn."""

    def __init__(self, offset: int, dtype: str) -> None:
        size = np.dtype(dtype).itemsize
        first, second = 5 * BLOCK_BYTES + 3 * size, 4 * BLOCK_BYTES + 77 * size
        self.array = Array(first + second, offset)
        self.other = Array(6 * BLOCK_BYTES, dtype=dtype)
        halves = self.array.live[:first].view(dtype), self.array.live[first:].view(dtype)
        wide = self.other.live.reshape(4, -1)
        lives = {"first": halves[0], "second": halves[1], "rows": wide[1:], "columns": wide[0, ::2], "box": {"n": 1}}
        kinds = {"second": Kind.REPLICATED}
        self.entries = [
            ArrayItem(name=name, kind=kinds.get(name, Kind.PRIVATE), live=live, own=live)
            if isinstance(live, np.ndarray)
            else ObjectItem(name=name, kind=Kind.PRIVATE, live=live)
            for name, live in lives.items()
        ]
        self.memo = Memo(tracker=tracker())
        self.slots = [np.full(1 << 23, 0xEE, np.uint8) for _ in range(2)]
        self.offers: dict[Label, SnapshotIndex] = {}
        self.step = 0

    def commit(self, *, compare: bool) -> None:
        """And a copy of everything, which must be the same."""
        self.step += 1
        slot, since = self.slots[self.step % 2], label(self.step - 2)
        previous = Previous(label=since, offer=self.offers[since]) if compare and since in self.offers else None
        before, fresh = slot.copy(), np.full_like(slot, 0x11)
        given: dict[str, Any] = {"rank": 0, "next_position": -1, "ended_at": -1}
        offer = items.pack(self.entries, lambda nbytes: slot[:nbytes], previous=previous, memo=self.memo, label=label(self.step), **given)
        whole = items.pack(self.entries, lambda nbytes: fresh[:nbytes], memo=Memo(rooms=self.memo.rooms), **given)
        assert offer.items == whole.items
        start = replicated_start(offer.coded_bytes)
        assert np.array_equal(slot[: offer.coded_bytes], fresh[: offer.coded_bytes])
        assert np.array_equal(slot[start : start + offer.replicated_bytes], fresh[start : start + offer.replicated_bytes])
        kept = np.full(offer.coded_bytes, offer.since is not None)
        for start, stop in offer.changed:
            kept[start:stop] = False
        assert (before[: offer.coded_bytes] == slot[: offer.coded_bytes])[kept].all()
        self.offers[label(self.step)] = offer


OFFSETS = st.sampled_from([0, 8, 64, PAGE_BYTES - 8, PAGE_BYTES])
PLACES = st.floats(0, 1, exclude_max=True)
WRITES = st.tuples(st.sampled_from(["array", "other"]), PLACES, st.integers(1, 3 * PAGE_BYTES))
ACTS = st.one_of(
    st.tuples(st.just("write"), st.lists(WRITES, max_size=4)),
    st.tuples(st.just("write all"), st.sampled_from(["array", "other"])),
    st.tuples(st.just("drop"), PLACES),
    st.tuples(st.just("map anew"), PLACES),
    st.tuples(st.just("commit"), st.sampled_from([True, True, True, False])),
    st.tuples(st.just("commit"), st.just(True)),
)


@settings(max_examples=40, deadline=None, phases=[Phase.explicit, Phase.reuse, Phase.generate], suppress_health_check=list(HealthCheck))
@given(offset=OFFSETS, dtype=st.sampled_from(["u1", "<f8", ">i4", "c16"]), acts=st.lists(ACTS, max_size=25))
def test_a_tracked_commit_is_a_full_one(offset: int, dtype: str, acts: list[tuple[str, Any]]) -> None:
    rank = Rank(offset, dtype)
    for _ in range(5):
        rank.commit(compare=True)
    for act, what in acts:
        match act:
            case "write":
                for where, place, length in what:
                    bytes_ = getattr(rank, where).around
                    start = int(place * len(bytes_))
                    bytes_[start : start + length] += np.uint8(1)
            case "write all":
                getattr(rank, what).around[:] += np.uint8(1)
            case "drop" | "map anew":
                start = rank.array.around.ctypes.data + int(what * len(rank.array.around)) // PAGE_BYTES * PAGE_BYTES
                if act == "drop":
                    LIBC.madvise(start, PAGE_BYTES, DONTNEED)
                else:
                    LIBC.mmap(start, PAGE_BYTES, WRITABLE, PRIVATE | FIXED, -1, 0)
            case "commit":
                rank.commit(compare=what)
    rank.commit(compare=True)
    assert rank.memo.tracker is not None
    rank.memo.tracker.close()


def test_what_was_not_written_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else nothing is gained."""
    rank = Rank(PAGE_BYTES, "<f8")
    for _ in range(5):
        rank.commit(compare=True)
    read: list[int] = []
    ours = array_items.copy_changed

    def noted(*given: Any) -> tuple[bytes, bytes]:
        read.append(int(given[-1].sum()) if given[-1] is not None else -1)
        return ours(*given)

    monkeypatch.setattr(array_items, "copy_changed", noted)
    rank.array.live[3 * BLOCK_BYTES] += np.uint8(1)
    rank.commit(compare=True)
    first, second, rows = read
    assert first == 2, "the one written, and the last, which ends in a page with the second item's first block"
    assert second == 3, "the first, and the two that have a part of the last page"
    assert rows == 0


def test_addresses_are_those_of_the_kernel() -> None:
    """`ctypes` and NumPy mean the same memory."""
    array = Array(BLOCK_BYTES)
    assert ctypes.addressof(ctypes.c_char.from_buffer(array.mapped)) == array.around.ctypes.data
