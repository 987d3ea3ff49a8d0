"""Declared items, and all of them together as one snapshot."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from perdure.adapters import sharing
from perdure.adapters.adapter import Commit, DeclaredItem, Stored, Taken
from perdure.adapters.change_detection import Memo, stretches
from perdure.adapters.places import Items
from perdure.core.changes import joined
from perdure.core.channel_sums import NOTHING, Transit
from perdure.core.ids import Label
from perdure.core.snapshot_index import ALIGNMENT, Item, Kind, SnapshotIndex, replicated_start
from perdure.errors import UsageError
from perdure.runtime.session import Previous

Bytes = NDArray[np.uint8]


@dataclass(slots=True)
class _Packed:
    """An item that was taken apart, and where in its region of the slot it lies."""

    item: DeclaredItem
    taken: Taken
    offset: int = 0

    @property
    def is_replicated(self) -> bool:
        """Whether it lies in the replicated region."""
        return self.item.kind is Kind.REPLICATED


def pack(
    entries: Iterable[DeclaredItem],
    slot_of: Callable[[int], Bytes],
    *,
    rank: int,
    next_position: int,
    ended_at: int,
    previous: Previous | None = None,
    memo: Memo | None = None,
    resident_bytes: int = 0,
    label: Label | None = None,
    transit: Transit = NOTHING,
) -> SnapshotIndex:
    """Copy all items into a slot, hash them on the way, and return the index of the snapshot.

    With `previous`, whose bytes the slot still holds, only changed blocks are copied, if every item has the same place as before. `memo` is
    the same at all commits of one entry; its tracker is used if `label` is given. The first `resident_bytes` of the slot are for arrays
    that are there already, and are only hashed.
    """
    memo = memo or Memo()
    memo.commits += 1
    packed = [_Packed(one, one.take(memo)) for one in entries]
    parts = [(one.item.name, one.taken.parts) for one in packed]
    sharing.check(parts)
    memo.variables.check(Items(parts))
    lengths = {True: 0, False: resident_bytes}
    for one in packed:
        if one.item.place is not None:
            one.offset = one.item.place
            continue
        one.offset = -(-lengths[one.is_replicated] // ALIGNMENT) * ALIGNMENT
        lengths[one.is_replicated] = one.offset + one.taken.room
    coded_bytes, replicated_bytes = lengths[False], lengths[True]
    start = replicated_start(coded_bytes)
    slot = slot_of(start + replicated_bytes)
    regions = {True: slot[start : start + replicated_bytes], False: slot[:coded_bytes]}
    if previous is not None and not _lies_alike(packed, coded_bytes, replicated_bytes, previous.offer):
        previous = None
    old = {item.name: item for item in previous.offer.items} if previous else {}
    commit = Commit(memo=memo, label=label, since=previous.label if previous else None)
    ends = {True: 0, False: resident_bytes}
    found, changed = [], []
    for one in packed:
        if one.item.place is not None:
            found.append(_indexed(one, one.taken.hash_in_place()))
            continue
        region, end = regions[one.is_replicated], one.offset + one.taken.nbytes
        region[ends[one.is_replicated] : one.offset] = 0
        ends[one.is_replicated] = end
        stored = one.taken.store(region[one.offset : end], old.get(one.item.name), commit)
        found.append(_indexed(one, stored))
        if previous is not None:
            memo.hot[one.item.name] = stored.written
        if not one.is_replicated:
            changed += stretches(stored.written, one.offset, one.taken.room)
    regions[False][ends[False] :] = 0
    return SnapshotIndex(
        rank=rank, items=tuple(found), coded_bytes=coded_bytes, replicated_bytes=replicated_bytes, next_position=next_position,
        ended_at=ended_at, since=commit.since, changed=joined(changed) if previous else (), transit=transit,
    )  # fmt: skip


def _lies_alike(packed: list[_Packed], coded_bytes: int, replicated_bytes: int, offer: SnapshotIndex) -> bool:
    """Return whether all items lie where they lay. The length of an elastic one may differ within its room."""
    if len(offer.items) != len(packed) or (coded_bytes, replicated_bytes) != (offer.coded_bytes, offer.replicated_bytes):
        return False
    return all(
        (one.item.name, one.item.kind, one.item.form, one.offset) == (item.name, item.kind, item.form, item.offset)
        and (one.taken.is_elastic or one.taken.nbytes == item.nbytes)
        for one, item in zip(packed, offer.items, strict=True)
    )


def _indexed(one: _Packed, stored: Stored) -> Item:
    return Item(
        name=one.item.name, kind=one.item.kind, form=one.item.form, dtype=stored.dtype, shape=stored.shape,
        global_shape=one.item.global_shape, axis=one.item.axis, offset=one.offset, nbytes=one.taken.nbytes,
        blocks=stored.blocks, digest=stored.digest,
    )  # fmt: skip


def bytes_of(item: Item, offer: SnapshotIndex, slot: Bytes) -> Bytes:
    """Return where a slot holds an item: (nbytes,) uint8."""
    at = item.offset + (replicated_start(offer.coded_bytes) if item.kind is Kind.REPLICATED else 0)
    return slot[at : at + item.nbytes]


def unpack(entries: Iterable[DeclaredItem], offer: SnapshotIndex, slot: Bytes) -> bool:
    """Sets all items from a slot. False: as of `restore`. UsageError when the declarations are not those of the snapshot."""
    declared = {entry.name: entry for entry in entries}
    for item in offer.items:
        entry = declared.pop(item.name, None)
        if entry is None:
            raise UsageError(f"the item {item.name!r} was committed and is not declared any more: declare the same items at every entry")
        if entry.kind is not item.kind or entry.form is not item.form:
            raise UsageError(
                f"the item {item.name!r} was committed as a {item.kind} {item.form} and is declared as another: declare it alike"
            )
        if not entry.restore(item, bytes_of(item, offer, slot)):
            return False
    if declared:
        names = ", ".join(map(repr, declared))
        raise UsageError(f"{names} was not declared when the state was committed: declare the same items at every entry")
    return True
