"""Tight mode: arrays that lie in the slot are not copied to it, and come back from the snapshot of it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from perdure.adapters import items
from perdure.adapters.adapter import DeclaredItem
from perdure.adapters.array_items import ArrayItem
from perdure.adapters.object_items import ObjectItem
from perdure.adapters.residence import Residence
from perdure.core.snapshot_index import ALIGNMENT, Kind, SnapshotIndex, replicated_start

SLOT_BYTES = 1 << 16


class Slot:
    """The session's part."""

    def __init__(self, *, tight: bool = True) -> None:
        self.bytes = np.full(SLOT_BYTES, 0xEE, np.uint8)
        self.session: Any = SimpleNamespace(tight=tight, protection=2.0, live=lambda start, nbytes: self.bytes[start : start + nbytes])
        self.residence = Residence(self.session)

    def sharded(self, name: str, shape: tuple[int, ...], halo: int = 0) -> ArrayItem:
        live, start = self.residence.array(shape, np.dtype(float))
        own = live[halo : shape[0] - halo]
        return ArrayItem(
            name=name, kind=Kind.SHARDED, live=live, own=own, global_shape=shape, halo=halo, place=start + halo * live.strides[0]
        )

    def pack(self, *entries: DeclaredItem) -> SnapshotIndex:
        return items.pack(entries, lambda nbytes: self.bytes, rank=0, next_position=-1, ended_at=-1, resident_bytes=self.residence.nbytes)


def test_all_items_come_back_from_a_copy_of_the_slot() -> None:
    slot = Slot()
    plate, box = slot.sharded("plate", (7, 3), halo=1), {"steps": 3}
    brought, common = np.arange(9), np.arange(5.0)
    flat = slot.sharded("flat", (11,))
    entries = [
        plate,
        ObjectItem(name="box", kind=Kind.PRIVATE, live=box),
        flat,
        ArrayItem(name="brought", kind=Kind.PRIVATE, live=brought, own=brought),
        ArrayItem(name="common", kind=Kind.REPLICATED, live=common, own=common),
    ]
    plate.own[...], flat.live[...] = np.arange(15.0).reshape(5, 3), 7.0
    offer = slot.pack(*entries)
    assert [item.name for item in offer.items] == [entry.name for entry in entries]
    snapshot = slot.bytes.copy()
    slot.bytes[:] = 0
    brought[:], common[:] = 0, 0
    box.clear()
    assert items.unpack(entries, offer, snapshot)
    assert plate.own.tobytes() == np.arange(15.0).tobytes()
    assert np.isnan(plate.live[0]).all()
    assert np.isnan(plate.live[-1]).all()
    assert (flat.live == 7.0).all()
    assert (brought == np.arange(9)).all()
    assert (common == np.arange(5.0)).all()
    assert box == {"steps": 3}


def test_what_lies_in_the_slot_stays_and_nothing_else_is_laid_over_it() -> None:
    slot = Slot()
    plate = slot.sharded("plate", (6, 3), halo=1)
    plate.live[...] = 5.0
    brought = np.full(100, 9, np.uint8)
    offer = slot.pack(plate, ArrayItem(name="brought", kind=Kind.PRIVATE, live=brought, own=brought))
    assert (plate.live == 5.0).all(), "ghost rows too: they are the program's between two exchanges"
    first, second = offer.items
    assert (first.offset, second.offset % ALIGNMENT) == (24, 0)
    assert second.offset >= 6 * 3 * 8
    assert offer.coded_bytes == second.offset + second.nbytes
    assert (slot.bytes[replicated_start(offer.coded_bytes) :] == 0xEE).all()


def test_a_changed_bit_of_the_snapshot_is_found() -> None:
    slot = Slot()
    plate = slot.sharded("plate", (6,))
    plate.live[...] = 1.0
    offer = slot.pack(plate)
    snapshot = slot.bytes.copy()
    snapshot[17] ^= 4
    assert not items.unpack([plate], offer, snapshot)


@pytest.mark.parametrize(
    ("shape", "rows", "axis", "may"), [((4, 3), 4, 0, True), ((4, 3), 1, 1, False), ((1, 5), 3, 1, True), ((0, 3), 0, 0, False)]
)
def test_only_arrays_in_one_piece_lie_in_the_slot(shape: tuple[int, ...], rows: int, axis: int, *, may: bool) -> None:
    assert Slot().residence.takes(shape, rows, axis) is may
    assert not Slot(tight=False).residence.takes(shape, rows, axis)


def test_of_what_init_made_only_plain_contiguous_arrays_are_exchanged() -> None:
    slot = Slot()
    made = np.arange(12.0).reshape(3, 4)
    assert slot.residence.takes_over(made)
    assert not slot.residence.takes_over(made.T)
    another_name = made
    assert not slot.residence.takes_over(made), "the program could compute with it"
    assert not slot.residence.takes_over(another_name[:2]), "or with what it is a part of"
    del another_name
    assert not slot.residence.takes_over(np.ma.masked_array(made))
    live, start = slot.residence.moved_in(made)
    assert (live == made).all()
    assert (start, slot.residence.nbytes) == (0, made.nbytes)


def test_arrays_elsewhere_are_counted_once_more() -> None:
    assert Slot().residence.needed_bytes([(100, True), (10, False)]) == 340
    assert Slot(tight=False).residence.needed_bytes([(100, False)]) == 300
