"""A node's memory: it grows, is used again, tells each flipped bit, and is given back."""

from __future__ import annotations

import os
from collections.abc import Iterator

import numpy as np
import pytest

from perdure.core.ids import Label
from perdure.core.layout import Geometry
from perdure.core.messages import Chunks
from perdure.core.snapshot_index import BLOCK_BYTES, SnapshotIndex, replicated_start
from perdure.errors import ConfigError
from perdure.runtime.digests import of_blocks
from perdure.runtime.memory import grow
from perdure.runtime.posix import available_bytes
from perdure.runtime.vault import NotHeld, Vault
from tests.runtime.cluster import holdings, offer_of

GEOMETRY = Geometry(4, 2)
X, Y = Label(1, 0), Label(1, 1)
STATE = np.random.default_rng(3).integers(0, 256, 2 * BLOCK_BYTES + 1_001, np.uint8)
COMMON = np.arange(100, dtype=np.uint8)


@pytest.fixture
def vault() -> Iterator[Vault]:
    before = holdings()
    made = Vault()
    yield made
    for rank in (0, 7, 8):
        made.drop(rank)
    assert holdings() == before, "a memory file is left"


def fill(vault: Vault, label: Label = X, index: int = 0) -> SnapshotIndex:
    """Rank 0 holds a label with both regions and all parity chunks."""
    offer = offer_of(0, STATE, COMMON)
    start = replicated_start(len(STATE))
    vault.bind(0, label, index)
    slot = vault.slot(0, label, start + len(COMMON))
    slot[: len(STATE)] = STATE
    slot[start : start + len(COMMON)] = COMMON
    held = vault.with_offers(0, label, (offer,) * 4, 0, GEOMETRY)
    assert held.parity is not None
    held.parity[:] = np.random.default_rng(4).integers(0, 256, len(held.parity), np.uint8)
    for p in range(GEOMETRY.m):
        held.digests[p] = of_blocks(vault.chunk_view(0, label, GEOMETRY, GEOMETRY.d + p))
        held.complete.add(GEOMETRY.d + p)
    return offer


def test_too_little_memory_is_an_error_of_the_operator_and_nothing_is_allocated() -> None:
    """Asked for more than there is, the kernel does not refuse: it kills a process, and not always the one that asked."""
    fd = os.memfd_create("test")
    with pytest.raises(ConfigError, match="bytes are available"):
        grow(fd, available_bytes() * 4)
    assert os.fstat(fd).st_blocks == 0
    os.close(fd)


def test_parity_memory_is_the_same_at_every_commit(vault: Vault) -> None:
    fill(vault, X, 0)
    first = vault.held(0, X).parity
    vault.forget(0, X)
    fill(vault, Y, 0)
    second = vault.held(0, Y).parity
    assert first is not None
    assert second is not None
    assert first.ctypes.data == second.ctypes.data
    del first, second


def test_the_two_slots_share_no_memory(vault: Vault) -> None:
    fill(vault, X, 0)
    fill(vault, Y, 1)
    vault.slot(0, Y)[:] = 0
    parity = vault.held(0, Y).parity
    assert parity is not None
    parity[:] = 0
    assert vault.wrong_chunks(0, X, GEOMETRY, parity=True) == Chunks()
    del parity


@pytest.mark.parametrize("at", [0, 1, BLOCK_BYTES - 1, BLOCK_BYTES, len(STATE) // 2, len(STATE) - 1])
@pytest.mark.parametrize("bit", [0, 7])
def test_a_flipped_bit_of_data_is_an_erasure_of_the_chunks_of_its_block(vault: Vault, at: int, bit: int) -> None:
    fill(vault)
    vault.slot(0, X)[at] ^= 1 << bit
    wrong = vault.wrong_chunks(0, X, GEOMETRY, parity=True)
    chunk = vault.held(0, X).chunk
    assert wrong.data >> (at // chunk) & 1
    assert (wrong.parity, wrong.replicated) == (0, False)


def test_a_flipped_bit_of_the_replicated_region_is_found(vault: Vault) -> None:
    fill(vault)
    vault.replicated_view(0, X)[99] ^= 16
    assert vault.wrong_chunks(0, X, GEOMETRY, parity=True) == Chunks(replicated=True)


@pytest.mark.parametrize("p", range(GEOMETRY.m))
def test_a_flipped_bit_of_parity_is_found_and_the_chunk_may_be_written_again(vault: Vault, p: int) -> None:
    """A chunk that counts as complete is not overwritten, so one that is wrong must stop to count."""
    fill(vault)
    vault.chunk_view(0, X, GEOMETRY, GEOMETRY.d + p)[5] ^= 1
    assert vault.wrong_chunks(0, X, GEOMETRY, parity=False) == Chunks()
    assert vault.wrong_chunks(0, X, GEOMETRY, parity=True) == Chunks(parity=1 << p)
    assert GEOMETRY.d + p not in vault.held(0, X).complete
    assert GEOMETRY.d + 1 - p in vault.held(0, X).complete


def test_the_file_for_other_processes_shows_data_where_they_look_and_cannot_be_written(vault: Vault) -> None:
    fill(vault)
    fd = vault.slot_file(0, X)
    for t in range(GEOMETRY.d):
        expected = vault.chunk_view(0, X, GEOMETRY, t).tobytes()
        assert os.pread(fd, len(expected), t * vault.held(0, X).chunk) == expected
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.pwrite(fd, b"x", 0)
    os.close(fd)


def test_a_dropped_rank_is_gone_and_a_view_of_it_stays_readable(vault: Vault) -> None:
    """A thread may still read when the rank is dropped: it must not crash the agent."""
    fill(vault)
    view = vault.slot(0, X)
    before = vault.held(0, X)
    assert vault.still_holds(0, X, before)
    vault.drop(0)
    assert not vault.still_holds(0, X, before)
    assert bytes(view[:10]) == STATE[:10].tobytes()
    with pytest.raises(NotHeld):
        vault.slot(0, X)
    vault.drop(0)
    del view


def test_m2_a_label_moves_to_the_other_slot_with_its_parity(vault: Vault) -> None:
    """And what a slow reader has of it from before is not confirmed, for its rank changes that memory from then on."""
    fill(vault, index=1)
    before, parity = vault.held(0, X), vault.chunk_view(0, X, GEOMETRY, GEOMETRY.d).copy()
    vault.copy_slot(0, X)
    vault.move(0, X, 0)
    assert not vault.still_holds(0, X, before)
    fill(vault, Y, index=1)
    live = vault.slot(0, Y)
    live[:] = 0
    vault.chunk_view(0, Y, GEOMETRY, GEOMETRY.d)[:] = 0
    assert not vault.wrong_chunks(0, X, GEOMETRY, parity=True)
    assert (vault.chunk_view(0, X, GEOMETRY, GEOMETRY.d) == parity).all()
    assert (vault.slot(0, X)[: len(STATE)] == STATE).all()
