"""Rule C4': which columns of a stripe are encoded, from what the members say has changed."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from perdure.core.changes import columns, common_since, joined
from perdure.core.ids import Label
from perdure.core.layout import Geometry
from perdure.core.snapshot_index import SnapshotIndex

Y, OTHER = Label(1, 3), Label(1, 2)
GEOMETRY = Geometry(4, 1)
CHUNK, BLOCK = 100, 16


def offer(rank: int, changed: Any = (), since: Label | None = Y, coded_bytes: int = 3 * CHUNK) -> SnapshotIndex:
    return SnapshotIndex(
        rank=rank, items=(), coded_bytes=coded_bytes, replicated_bytes=0, next_position=-1, ended_at=-1, since=since, changed=tuple(changed)
    )


def test_where_nothing_has_changed_nothing_is_encoded() -> None:
    assert all(columns(GEOMETRY, stripe, [offer(rank) for rank in range(4)], BLOCK) == () for stripe in range(4))


@pytest.mark.parametrize("since", [None, OTHER])
def test_all_members_must_name_the_same_label(since: Label | None) -> None:
    for odd in range(4):
        offers = [offer(rank, since=since if rank == odd else Y) for rank in range(4)]
        assert common_since(offers) is None
        assert columns(GEOMETRY, 2, offers, BLOCK) == ((0, CHUNK),)


def test_an_empty_state_has_no_columns() -> None:
    assert columns(GEOMETRY, 0, [offer(rank, since=None, coded_bytes=0) for rank in range(4)], BLOCK) == ()


def test_every_changed_byte_of_every_member_is_in_a_column_of_its_stripe_and_of_no_other() -> None:
    for member, byte in itertools.product(range(4), range(3 * CHUNK)):
        offers = [offer(rank, [(byte, byte + 1)] if rank == member else []) for rank in range(4)]
        found = {stripe: columns(GEOMETRY, stripe, offers, BLOCK) for stripe in range(4)}
        touched = GEOMETRY.stripe_of_data(member, byte // CHUNK)
        start = byte % CHUNK // BLOCK * BLOCK
        assert found == {stripe: ((start, min(start + BLOCK, CHUNK)),) if stripe == touched else () for stripe in range(4)}


def test_a_stretch_over_several_chunks_is_in_each_of_their_stripes() -> None:
    offers = [offer(rank, [(90, 210)] if rank == 1 else []) for rank in range(4)]
    found = [columns(GEOMETRY, GEOMETRY.stripe_of_data(1, t), offers, BLOCK) for t in range(3)]
    assert found == [((80, 100),), ((0, 100),), ((0, 16),)]


def test_stretches_are_joined() -> None:
    assert joined([(5, 7), (0, 2), (2, 4), (6, 9)]) == ((0, 4), (5, 9))
