"""Slots get real memory, and a spare's reserve can be taken at any moment."""

from __future__ import annotations

import mmap
import os
import threading

import numpy as np
import pytest

from perdure.runtime import memory
from perdure.runtime.memory import MemoryReserve, Pair, grow, new_pair
from perdure.runtime.slots import Slots

MIB = 1 << 20


def resident(fd: int) -> int:
    """Bytes of a memory file that are real memory."""
    return os.fstat(fd).st_blocks * 512


@pytest.fixture
def pair() -> Pair:
    return new_pair("test")


@pytest.mark.parametrize("nbytes", [0, 1, mmap.PAGESIZE, mmap.PAGESIZE + 1, 3 * MIB + 5])
def test_a_file_has_all_the_memory_that_was_asked_for(pair: Pair, nbytes: int) -> None:
    mapped = grow(pair[0], nbytes)
    assert len(mapped) >= max(nbytes, 1)
    assert resident(pair[0]) == len(mapped), "a page that is not there yet would be a signal at a full machine, and slow at any"
    assert not mapped.any()


def test_without_huge_pages_memory_is_written(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "collapse", lambda mapped: False)
    mapped = grow(pair[0], 5 * MIB)
    assert (len(mapped), resident(pair[0])) == (5 * MIB, 5 * MIB)
    assert not mapped.any()


def test_a_file_that_grew_by_odd_steps_has_huge_pages_from_the_next_place_on(pair: Pair) -> None:
    grow(pair[0], mmap.PAGESIZE)[:] = 7
    mapped = grow(pair[0], 6 * MIB)
    assert resident(pair[0]) == 6 * MIB
    assert (mapped[: mmap.PAGESIZE] == 7).all()
    assert not mapped[mmap.PAGESIZE :].any()


def test_growing_keeps_what_is_there_and_never_shrinks(pair: Pair) -> None:
    first = grow(pair[0], 2 * MIB)
    first[:] = 7
    second = grow(pair[0], 3 * MIB)
    assert (second[: 2 * MIB] == 7).all()
    second[5] = 9
    assert first[5] == 9, "two mappings of a file are one memory"
    assert len(grow(pair[0], 1)) == 3 * MIB


def test_a_reserve_is_touched_and_mapped_and_its_worker_is_told(pair: Pair) -> None:
    reserve, told = MemoryReserve(), list[Pair]()
    reserve.fill(2, 2 * MIB + 1, 1000, told.append)
    taken = [reserve.take(), reserve.take()]
    assert {found[0] for found in taken if found} == set(told)
    for found in taken:
        assert found is not None
        assert [len(mapped) for mapped in found[1]] == [2 * MIB + mmap.PAGESIZE] * 2
        assert all(resident(fd) == 2 * MIB + mmap.PAGESIZE for fd in found[0])
    assert reserve.take() is None
    parity = [reserve.take_parity(999) for _ in range(5)]
    assert [None if memory is None else len(memory) for memory in parity] == [1000] * 4 + [None]


def test_parity_memory_that_is_too_small_is_not_handed_out() -> None:
    reserve = MemoryReserve()
    reserve.fill(1, 1, 1000, lambda pair: None)
    assert reserve.take_parity(1001) is None
    assert reserve.take_parity(1000) is not None


def test_a_pair_that_is_taken_while_it_is_filled_is_left_to_its_taker() -> None:
    """A loss during the first seconds of a job: whoever restores the slot must not find zeros written over it."""
    reserve, told = MemoryReserve(), list[Pair]()
    filling = threading.Thread(target=reserve.fill, args=(1, 512 * MIB, 1, told.append))
    filling.start()
    while (taken := reserve.take()) is None:
        pass
    fds = taken[0]
    there = [os.fstat(fd).st_size for fd in fds]
    view = grow(fds[0], there[0] + 3 * MIB)
    view[:] = 7
    filling.join()
    assert (view == 7).all()
    assert os.fstat(fds[1]).st_size == there[1]
    assert told == [], "a worker would be prepared for slots that have one"


def test_slots_know_a_file_by_any_descriptor(pair: Pair) -> None:
    slots = Slots()
    first = slots.view(pair[0], MIB)
    first[3] = 5
    again = slots.view(os.dup(pair[0]), 0)
    assert again[3] == 5
    assert np.shares_memory(first, again), "mapping once more costs page faults in the middle of a recovery"
    assert len(slots.view(pair[0], 2 * MIB)) == 2 * MIB


def test_preparing_lets_no_file_grow(pair: Pair) -> None:
    grow(pair[1], MIB)
    slots = Slots()
    slots.prepare(pair)
    for thread in [thread for thread in threading.enumerate() if thread.name == "slots"]:
        thread.join()
    assert np.shares_memory(slots.view(pair[1], 0), slots.view(pair[1], MIB))
    assert [os.fstat(fd).st_size for fd in pair] == [0, MIB]
