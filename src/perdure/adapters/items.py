"""Declared items, and all of them together as one snapshot."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from perdure.adapters import arrays, boxes, canonical
from perdure.core.offers import ALIGNMENT, Form, Item, Kind, Offer, replicated_start
from perdure.errors import UsageError
from perdure.runtime.digests import of_blocks

Array = NDArray[Any]
Bytes = NDArray[np.uint8]


@dataclass(slots=True, kw_only=True)
class Entry:
    """One declared item: `live` is what the program holds.

    Attributes:
        own: of an array, the part that is protected, a view of `live`: all of it but ghost rows.
    """

    name: str
    kind: Kind
    live: Any
    own: Array | None = None
    global_shape: tuple[int, ...] = ()
    axis: int = 0
    halo: int = 0

    @property
    def form(self) -> Form:
        """Array or box."""
        return Form.BOX if self.own is None else Form.ARRAY

    def restore(self, item: Item, source: Bytes) -> bool:
        """Sets the live object from the bytes of a snapshot; ghost rows become NaN, so that a forgotten exchange shows.

        Every block has its digest before anything of it is used, for memory may have changed since the agent's check (rule R5). False: one
        has not; what was set until then is of no use.
        """
        if self.own is None:
            if of_blocks(source) != item.blocks:
                return False
            boxes.refill(self.live, boxes.thaw(source))
            return True
        if item.shape != self.own.shape or item.dtype != arrays.dtype_text(self.own.dtype):
            raise UsageError(
                f"the item {self.name!r} was committed as {item.dtype} {item.shape} and is declared as "
                f"{arrays.dtype_text(self.own.dtype)} {self.own.shape}: declare it alike at every entry"
            )
        is_right = arrays.load(self.own, source, item.blocks)
        spoil_ghosts(self)
        return is_right


def spoil_ghosts(entry: Entry) -> None:
    """Ghost rows are not state: at every entry they hold what is never right by chance."""
    if not entry.halo:
        return
    bad = _spoilt(entry.live.dtype)
    for edge in (slice(None, entry.halo), slice(-entry.halo, None)):
        entry.live[(slice(None),) * entry.axis + (edge,)] = bad


def _spoilt(dtype: np.dtype[Any]) -> Any:
    """NaN, NaT, the least of the signed integers, the greatest of the unsigned ones; all ones in every byte of anything else."""
    match dtype.kind:
        case "f" | "c":
            return np.nan
        case "m" | "M":
            return np.array("NaT", dtype)
        case "i":
            return np.iinfo(dtype).min
        case "u":
            return np.iinfo(dtype).max
        case "b" | "U":
            return True
        case _:
            return np.frombuffer(b"\xff" * dtype.itemsize, dtype)[0]


@dataclass(slots=True)
class _Packed:
    entry: Entry
    frozen: boxes.Frozen | None
    nbytes: int
    offset: int = 0


def pack(entries: Iterable[Entry], slot_of: Callable[[int], Bytes], *, rank: int, next_position: int, ended_at: int) -> Offer:
    """Copies all items into a slot, hashing them on the way, and says what lies where."""
    packed = [_freeze(entry) for entry in entries]
    lengths = {True: 0, False: 0}
    for one in packed:
        replicated = one.entry.kind is Kind.REPLICATED
        one.offset = -(-lengths[replicated] // ALIGNMENT) * ALIGNMENT
        lengths[replicated] = one.offset + one.nbytes
    coded_bytes, replicated_bytes = lengths[False], lengths[True]
    start = replicated_start(coded_bytes)
    slot = slot_of(start + replicated_bytes)
    regions = {True: slot[start : start + replicated_bytes], False: slot[:coded_bytes]}
    items = tuple(_store(one, regions[one.entry.kind is Kind.REPLICATED]) for one in packed)
    return Offer(
        rank=rank, items=items, coded_bytes=coded_bytes, replicated_bytes=replicated_bytes, next_position=next_position, ended_at=ended_at
    )


def _freeze(entry: Entry) -> _Packed:
    if entry.own is not None:
        return _Packed(entry, None, entry.own.nbytes)
    frozen = boxes.freeze(entry.name, entry.live)
    return _Packed(entry, frozen, frozen.nbytes)


def _store(one: _Packed, region: Bytes) -> Item:
    entry, target = one.entry, region[one.offset : one.offset + one.nbytes]
    if one.frozen is not None:
        one.frozen.store(target)
        dtype, shape, blocks = "", (), of_blocks(target)
        digest = canonical.digest(entry.live)
    else:
        assert entry.own is not None
        dtype, shape, blocks = arrays.dtype_text(entry.own.dtype), entry.own.shape, arrays.store(target, entry.own)
        digest = arrays.value_digest(dtype, shape, blocks)
    return Item(
        name=entry.name, kind=entry.kind, form=entry.form, dtype=dtype, shape=shape, global_shape=entry.global_shape,
        axis=entry.axis, offset=one.offset, nbytes=one.nbytes, blocks=blocks, digest=digest,
    )  # fmt: skip


def unpack(entries: Iterable[Entry], offer: Offer, slot: Bytes) -> bool:
    """Sets all items from a slot. False: as of `restore`. UsageError when the declarations are not those of the snapshot."""
    declared = {entry.name: entry for entry in entries}
    start = replicated_start(offer.coded_bytes)
    for item in offer.items:
        entry = declared.pop(item.name, None)
        if entry is None:
            raise UsageError(f"the item {item.name!r} was committed and is not declared any more: declare the same items at every entry")
        if entry.kind is not item.kind or entry.form is not item.form:
            raise UsageError(
                f"the item {item.name!r} was committed as a {item.kind} {item.form} and is declared as another: declare it alike"
            )
        at = item.offset + (start if item.kind is Kind.REPLICATED else 0)
        if not entry.restore(item, slot[at : at + item.nbytes]):
            return False
    if declared:
        names = ", ".join(map(repr, declared))
        raise UsageError(f"{names} was not declared when the state was committed: declare the same items at every entry")
    return True
