"""A chunk comes in piece by piece: late bringers touch nothing that counts, and what arrived right is not read again."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import NDArray

from perdure.core.ids import Label
from perdure.core.layout import Geometry
from perdure.core.messages import Chunks
from perdure.core.snapshot_index import BLOCK_BYTES, replicated_start
from perdure.runtime.chunk_writer import ChunkWriter, blocks_inside
from perdure.runtime.digests import of_blocks
from perdure.runtime.vault import Vault
from perdure.runtime.vault_protocol import LinkDown
from tests.runtime.cluster import DEADLINE_S, offer_of

Bytes = NDArray[np.uint8]
GEOMETRY = Geometry(3, 1)
X, Y = Label(1, 0), Label(1, 1)
STATE = np.random.default_rng(5).integers(0, 256, 6 * BLOCK_BYTES + 1_001, np.uint8)
COMMON = np.arange(10, dtype=np.uint8)
CHUNK = GEOMETRY.chunk_bytes([len(STATE)] * 3)
PIECE = 100_000


@pytest.fixture
def vault() -> Iterator[Vault]:
    """Rank 0 waits for its data; the replicated region is there."""
    made = Vault()
    bind(made, X)
    made.replicated_view(0, X)[:] = COMMON
    yield made
    made.drop(0)


def bind(vault: Vault, label: Label) -> None:
    vault.bind(0, label, 0)
    vault.slot(0, label, replicated_start(len(STATE)) + len(COMMON))
    vault.with_offers(0, label, (offer_of(0, STATE, COMMON),) * 3, 0, GEOMETRY)


def chunk_of(position: int) -> Bytes:
    return STATE[position * CHUNK : (position + 1) * CHUNK]


def bring(writer: ChunkWriter, chunk: Bytes) -> None:
    for start in range(0, len(chunk), PIECE):
        writer.store(start, chunk[start : start + PIECE])


def test_what_arrives_right_is_not_read_again_at_the_next_check_and_is_at_the_one_after(vault: Vault) -> None:
    """A block that spans two chunks is always read: it arrives by two bringers."""
    for position in range(GEOMETRY.d):
        bring(ChunkWriter(vault, 0, X, GEOMETRY, position), chunk_of(position))
    offer = vault.held(0, X).offer
    assert offer is not None
    inside = {block.start for position in range(2) for block in blocks_inside(offer, position * CHUNK, (position + 1) * CHUNK)}
    assert vault.held(0, X).checked == inside
    assert len(inside) == 6
    vault.slot(0, X)[5] ^= 1
    assert vault.wrong_chunks(0, X, GEOMETRY, parity=False) == Chunks()
    assert vault.wrong_chunks(0, X, GEOMETRY, parity=False) == Chunks(data=1), "a check counts once"


@pytest.mark.parametrize("at", [0, BLOCK_BYTES, CHUNK - 1, CHUNK, len(STATE) - 1])
def test_what_arrives_wrong_is_found(vault: Vault, at: int) -> None:
    for position in range(GEOMETRY.d):
        chunk = chunk_of(position).copy()
        if position == at // CHUNK:
            chunk[at % CHUNK] ^= 1
        bring(ChunkWriter(vault, 0, X, GEOMETRY, position), chunk)
    wrong = vault.wrong_chunks(0, X, GEOMETRY, parity=False).data
    assert wrong >> at // CHUNK & 1


def test_the_digest_of_parity_is_of_what_was_stored(vault: Vault) -> None:
    parity = np.random.default_rng(6).integers(0, 256, CHUNK, np.uint8)
    writer = ChunkWriter(vault, 0, X, GEOMETRY, GEOMETRY.d)
    bring(writer, parity)
    assert writer.digests() == of_blocks(parity)
    half = ChunkWriter(vault, 0, X, GEOMETRY, GEOMETRY.d)
    half.store(0, parity[:PIECE])
    assert half.digests() is None


def test_a_late_bringer_does_not_touch_the_memory_of_the_next_label(vault: Vault) -> None:
    """The schedule: a slow decoder, two commits after the resume, and the slot or its parity is used again."""
    for position in range(GEOMETRY.n):
        late = ChunkWriter(vault, 0, X, GEOMETRY, position)
        late.store(0, np.ones(PIECE, np.uint8))
        vault.forget(0, X)
        bind(vault, Y)
        view = vault.chunk_view(0, Y, GEOMETRY, position)
        view[:] = 7
        with pytest.raises(LinkDown, match="given up"):
            late.store(PIECE, np.ones(PIECE, np.uint8))
        assert (view == 7).all()
        vault.forget(0, Y)
        bind(vault, X)


def test_forgetting_waits_for_a_piece_that_is_being_stored(vault: Vault) -> None:
    held = vault.held(0, X)
    forgotten = threading.Event()

    def forget() -> None:
        vault.forget(0, X)
        forgotten.set()

    thread = threading.Thread(target=forget)
    with held.lock:
        thread.start()
        assert not forgotten.wait(0.05)
    assert forgotten.wait(DEADLINE_S)
    thread.join()


def test_the_newest_bringer_is_the_only_one(vault: Vault) -> None:
    """What an earlier one had checked does not count: it might have stored after that."""
    first = ChunkWriter(vault, 0, X, GEOMETRY, 0)
    bring(first, chunk_of(0))
    assert vault.held(0, X).checked
    second = ChunkWriter(vault, 0, X, GEOMETRY, 0)
    assert not vault.held(0, X).checked
    with pytest.raises(LinkDown):
        first.store(CHUNK, np.empty(0, np.uint8))
    bring(second, chunk_of(0))
    assert len(vault.held(0, X).checked) == 3


@pytest.mark.parametrize(("start", "length"), [(1, 10), (0, CHUNK + 1)])
def test_pieces_come_in_order_and_inside_the_chunk(vault: Vault, start: int, length: int) -> None:
    writer = ChunkWriter(vault, 0, X, GEOMETRY, 0)
    with pytest.raises(LinkDown, match="counts differently"):
        writer.store(start, np.zeros(length, np.uint8))
