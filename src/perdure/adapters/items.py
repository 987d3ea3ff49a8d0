"""Declared items, and all of them together as one snapshot."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from perdure.adapters import arrays, objects, sharing
from perdure.adapters.change_detection import Memo, copy_changed, stretches
from perdure.adapters.places import Items
from perdure.adapters.tracking import Flags
from perdure.core.changes import joined
from perdure.core.channel_sums import NOTHING, Transit
from perdure.core.ids import Label
from perdure.core.snapshot_index import ALIGNMENT, BLOCK_BYTES, Form, Item, Kind, SnapshotIndex, replicated_start
from perdure.errors import UsageError
from perdure.runtime.digests import DIGEST_BYTES, of_blocks
from perdure.runtime.session import Previous

Array = NDArray[Any]
Bytes = NDArray[np.uint8]


@dataclass(slots=True, kw_only=True)
class Entry:
    """One declared item: `live` is what the program holds.

    Attributes:
        own: of an array, the part that is protected, a view of `live`: all of it but ghost rows.
        place: where `own` lies in the slot itself (tight mode); None: it is copied there.
        shape: of an array's `own`, as it was declared.
        fingerprint: of an object that is the same as at an earlier commit if its fingerprint is; None: not known.
    """

    name: str
    kind: Kind
    live: Any
    own: Array | None = None
    global_shape: tuple[int, ...] = ()
    axis: int = 0
    halo: int = 0
    place: int | None = None
    fingerprint: Any = None
    shape: tuple[int, ...] = field(init=False)

    def __post_init__(self) -> None:
        self.shape = () if self.own is None else self.own.shape

    def check_shape(self) -> None:
        """`ndarray.resize` changes an array in place. UsageError: rule P1, for it could not be put back."""
        if self.own is not None and self.own.shape != self.shape:
            raise UsageError(
                f"the item {self.name!r} was declared with the shape {self.shape} and has {self.own.shape} now: an array keeps its shape; "
                "what grows belongs into an object (a dict)"
            )

    @property
    def form(self) -> Form:
        """Array or object."""
        return Form.OBJECT if self.own is None else Form.ARRAY

    @property
    def by_value(self) -> bool:
        """Whether it does not matter which NaN of an object is which: a broadcast makes new ones."""
        return self.kind is Kind.REPLICATED

    def freeze(self) -> objects.Frozen:
        """Take an object apart. UsageError: something in it cannot be restored exactly."""
        return objects.freeze(self.name, self.live, by_value=self.by_value)

    def restore(self, item: Item, source: Bytes) -> bool:
        """Sets the live object from the bytes of a snapshot; ghost rows become NaN, so that a forgotten exchange shows.

        Every block has its digest before anything of it is used, for memory may have changed since the agent's check (rule R5). False: one
        has not; what was set until then is of no use.
        """
        if self.own is None:
            if of_blocks(source) != item.blocks:
                return False
            if not self.freeze().equals(source):
                objects.restore(self.name, source, self.live, by_value=self.by_value)
                if not self.freeze().equals(source):
                    raise UsageError(
                        f"the item {self.name!r} cannot be restored exactly: something in it is another thing in each process, such as a "
                        "hash or an address; leave it out of the item"
                    )
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
    frozen: objects.Frozen | None
    nbytes: int
    room: int
    """Bytes that are kept for it; zeros beyond its end."""
    offset: int = 0

    @property
    def replicated(self) -> bool:
        """Does it lie in the replicated region?"""
        return self.entry.kind is Kind.REPLICATED


def pack(
    entries: Iterable[Entry],
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
    """Copies all items into a slot, hashing them on the way, and says what lies where.

    With `previous`, whose bytes the slot still holds, only what has changed is copied, if everything lies where it lay. `memo` is the same
    at all commits of one entry; its tracker is asked if the `label` of the snapshot is said. The first `resident_bytes` of the slot are for
    arrays that lie there already, which are only hashed.
    """
    memo = memo or Memo()
    memo.commits += 1
    packed = [_freeze(entry, memo) for entry in entries]
    taken_apart = [(one.entry.name, one.entry.live if one.frozen is None else one.frozen.encoding) for one in packed]
    sharing.check(taken_apart)
    memo.variables.check(Items(taken_apart))
    lengths = {True: 0, False: resident_bytes}
    for one in packed:
        if one.entry.place is not None:
            one.offset = one.entry.place
            continue
        one.offset = -(-lengths[one.replicated] // ALIGNMENT) * ALIGNMENT
        lengths[one.replicated] = one.offset + one.room
    coded_bytes, replicated_bytes = lengths[False], lengths[True]
    start = replicated_start(coded_bytes)
    slot = slot_of(start + replicated_bytes)
    regions = {True: slot[start : start + replicated_bytes], False: slot[:coded_bytes]}
    if previous is not None and not _lies_alike(packed, coded_bytes, replicated_bytes, previous.offer):
        previous = None
    old = {item.name: item for item in previous.offer.items} if previous else {}
    ends = {True: 0, False: resident_bytes}
    found, changed = [], []
    for one in packed:
        region = regions[one.replicated]
        if one.entry.place is not None:
            found.append(_resident(one.entry))
            continue
        region[ends[one.replicated] : one.offset] = 0
        candidates = _candidates(one.entry, memo, label, previous.label if previous else None)
        item, flags = _store(one, region, old.get(one.entry.name), memo, candidates)
        ends[one.replicated] = one.offset + one.nbytes
        found.append(item)
        if previous is not None:
            memo.hot[item.name] = flags
        if not one.replicated:
            changed += stretches(flags, one.offset, one.nbytes if one.frozen is None else one.room)
    regions[False][ends[False] :] = 0
    return SnapshotIndex(
        rank=rank, items=tuple(found), coded_bytes=coded_bytes, replicated_bytes=replicated_bytes, next_position=next_position,
        ended_at=ended_at, since=previous.label if previous else None, changed=joined(changed) if previous else (), transit=transit,
    )  # fmt: skip


def _freeze(entry: Entry, memo: Memo) -> _Packed:
    entry.check_shape()
    if entry.own is not None:
        return _Packed(entry, None, entry.own.nbytes, entry.own.nbytes)
    known = memo.frozen.get(entry.name)
    if known is not None and known[0] == entry.fingerprint:
        return _Packed(entry, known[1], known[1].nbytes, memo.room(entry.name, known[1].nbytes))
    frozen = entry.freeze()
    if entry.fingerprint is not None:
        memo.frozen[entry.name] = entry.fingerprint, frozen
    is_known = frozen.encoding.classes <= memo.restored.setdefault(entry.name, set())
    if memo.check_restore == "always" or (memo.check_restore == "first" and not is_known):
        frozen.try_restore()
        memo.restored[entry.name] |= frozen.encoding.classes
    memo.names.check(frozen.encoding, memo.variables.references)
    room = frozen.nbytes if entry.kind is Kind.REPLICATED else memo.room(entry.name, frozen.nbytes)
    return _Packed(entry, frozen, frozen.nbytes, room)


def _lies_alike(packed: list[_Packed], coded_bytes: int, replicated_bytes: int, offer: SnapshotIndex) -> bool:
    """Do all items lie where they lay? The length of an object may differ within its room."""
    if len(offer.items) != len(packed) or (coded_bytes, replicated_bytes) != (offer.coded_bytes, offer.replicated_bytes):
        return False
    return all(
        (one.entry.name, one.entry.kind, one.entry.form, one.offset) == (item.name, item.kind, item.form, item.offset)
        and (one.frozen is not None or one.nbytes == item.nbytes)
        for one, item in zip(packed, offer.items, strict=True)
    )


def _candidates(entry: Entry, memo: Memo, label: Label | None, since: Label | None) -> Flags | None:
    """The blocks of an array that can differ from what was committed as `since`; None: all of them."""
    if memo.tracker is None or label is None or entry.own is None or not entry.own.flags.c_contiguous:
        return None
    return memo.tracker.candidates(entry.name, arrays.as_bytes(entry.own), label, since, memo.hot.get(entry.name, b""))


def _store(one: _Packed, region: Bytes, old: Item | None, memo: Memo, candidates: Flags | None) -> tuple[Item, bytes]:
    """The item, and for each of its blocks whether it was written. With `old`, which lies there, only what has changed is."""
    entry, target = one.entry, region[one.offset : one.offset + one.nbytes]
    dtype, shape = "", ()
    if one.frozen is not None:
        one.frozen.store(target)
        blocks = of_blocks(target)
        digest = memo.value_digest(entry.name, one.nbytes, blocks, one.frozen.digest)
        flags = b"\1" * -(-one.room // BLOCK_BYTES)
    else:
        assert entry.own is not None
        dtype, shape = arrays.dtype_text(entry.own.dtype), entry.own.shape
        if old is not None and entry.own.flags.c_contiguous:
            blocks, flags = copy_changed(target, arrays.as_bytes(entry.own), old.blocks, memo, entry.name, candidates)
        else:
            blocks = arrays.store(target, entry.own)
            flags = b"\1" * (len(blocks) // DIGEST_BYTES)
        digest = arrays.value_digest(dtype, shape, blocks)
    return _item(entry, one.offset, one.nbytes, dtype, shape, blocks, digest), flags


def _resident(entry: Entry) -> Item:
    """An array that lies where it would be copied to."""
    assert entry.own is not None
    assert entry.place is not None
    dtype, blocks = arrays.dtype_text(entry.own.dtype), of_blocks(arrays.as_bytes(entry.own))
    digest = arrays.value_digest(dtype, entry.own.shape, blocks)
    return _item(entry, entry.place, entry.own.nbytes, dtype, entry.own.shape, blocks, digest)


def _item(entry: Entry, offset: int, nbytes: int, dtype: str, shape: tuple[int, ...], blocks: bytes, digest: int) -> Item:
    return Item(
        name=entry.name, kind=entry.kind, form=entry.form, dtype=dtype, shape=shape, global_shape=entry.global_shape,
        axis=entry.axis, offset=offset, nbytes=nbytes, blocks=blocks, digest=digest,
    )  # fmt: skip


def bytes_of(item: Item, offer: SnapshotIndex, slot: Bytes) -> Bytes:
    """Return where a slot holds an item: (nbytes,) uint8."""
    at = item.offset + (replicated_start(offer.coded_bytes) if item.kind is Kind.REPLICATED else 0)
    return slot[at : at + item.nbytes]


def unpack(entries: Iterable[Entry], offer: SnapshotIndex, slot: Bytes) -> bool:
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
