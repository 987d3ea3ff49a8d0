"""A node's memory: for each rank two snapshot slots, shared with its worker, and two sets of parity chunks.

Slots are memory files (see `memory`). A worker writes its slot, the agent reads it and writes rebuilt ones. Which label lies in which
slot is decided by the core; here it is only looked up.

A view into a slot stays readable for as long as someone holds it, even when the rank is dropped; what it shows is the label's only while
`held` answers with the same `VaultEntry`. A reader of bytes therefore looks before and after (rule R1): a slot is forgotten before its
memory is used for another label, so the same `VaultEntry` afterwards proves that every byte read before was the label's.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
import xxhash

from perdure.coding.copying import StreamingCopy
from perdure.core import changes
from perdure.core.ids import Label
from perdure.core.layout import Geometry
from perdure.core.messages import Chunks
from perdure.core.snapshot_index import BLOCK_BYTES, Item, Kind, Range, SnapshotIndex, replicated_start
from perdure.mapping import Bytes, populate
from perdure.runtime import digests
from perdure.runtime.memory import MemoryReserve, Pair, grow, new_pair


class NotHeld(KeyError):
    """The label was given up, or never was here."""


@dataclass(slots=True, eq=False)
class VaultEntry:
    """One label of one rank, from `bind` to `forget`; compared by identity.

    Attributes:
        parity: (m * chunk,) uint8, borrowed from the vault; None until the group's offers are here.
        member: of the rank in its group, once its offers are here.
        digests: of the blocks of the complete parity chunks, by number.
        before: the same of the label that was here before, where that is to be taken over (rule C4').
        complete: code positions whose chunks came whole from elsewhere; they are not written again.
        lock: held while a piece of a chunk is stored.
        writers: code position -> the mark of the one who may store that chunk.
        checked: where blocks begin that were found right as they arrived; for the next check only.
    """

    index: int
    offer: SnapshotIndex | None = None
    member_offers: tuple[SnapshotIndex, ...] = ()
    chunk: int = 0
    parity: Bytes | None = None
    member: int = -1
    digests: dict[int, bytes] = field(default_factory=dict)
    before: dict[int, bytes] = field(default_factory=dict)
    complete: set[int] = field(default_factory=set)
    lock: threading.Lock = field(default_factory=threading.Lock)
    writers: dict[int, object] = field(default_factory=dict)
    checked: set[int] = field(default_factory=set)


class Vault:
    """All slots of a node. Every method may be called from any thread."""

    def __init__(self) -> None:
        self._fds: dict[int, tuple[int, int]] = {}
        self._maps: dict[tuple[int, int], Bytes] = {}
        self._held: dict[tuple[int, Label], VaultEntry] = {}
        self._parity: dict[tuple[int, int], Bytes] = {}
        self._given_up: dict[tuple[int, int], tuple[Label, dict[int, bytes]]] = {}
        """What slot and parity of a rank still hold, though nobody may read it any more, and the digests of that parity."""
        self._reserve = MemoryReserve()
        self._memory = threading.RLock()
        """For files, mappings and parity. Apart from `changed`: making memory takes long, and `bind` and `forget` must not wait for it."""
        self.changed = threading.Condition()

    def reserve(self, ranks: int, snapshot_bytes: int, parity_bytes: int, ready: Callable[[Pair], None]) -> None:
        """See `MemoryReserve.fill`."""
        self._reserve.fill(ranks, snapshot_bytes, parity_bytes, ready)

    def slot_fds(self, rank: int) -> tuple[int, int]:
        """The two memory files of a rank, made at first need."""
        with self._memory:
            if rank not in self._fds:
                self._fds[rank], maps = self._reserve.take() or (new_pair(rank), ())
                self._maps |= {(rank, index): mapped for index, mapped in enumerate(maps)}
            return self._fds[rank]

    def bind(self, rank: int, label: Label, index: int, since: Label | None = None) -> None:
        """Slot `index` of `rank` is for `label` from now on; what it holds of `since` may be taken over."""
        with self.changed:
            held = self._held[rank, label] = VaultEntry(index)
            last = self._given_up.pop((rank, index), None)
            if last is not None and last[0] == since:
                held.before = last[1]

    def expose(self, rank: int, label: Label, offer: SnapshotIndex) -> None:
        """The worker's copy is complete: others may read it."""
        with self.changed:
            self._held[rank, label].offer = offer
            self.changed.notify_all()

    def forget(self, rank: int, label: Label) -> None:
        """The slot is free, and nobody stores into it any more; its memory stays for the next label."""
        with self.changed:
            given_up = self._held.pop((rank, label), None)
            if given_up is not None:
                self._given_up[rank, given_up.index] = label, given_up.digests
        if given_up is not None:
            with given_up.lock:
                pass

    def drop(self, rank: int) -> None:
        """The rank left this node: its memory is given back once nobody reads it any more."""
        with self.changed:
            for key in [key for key in self._held if key[0] == rank]:
                del self._held[key]
            for index in (0, 1):
                self._given_up.pop((rank, index), None)
        with self._memory:
            for index, fd in enumerate(self._fds.pop(rank, ())):
                self._maps.pop((rank, index), None)
                self._parity.pop((rank, index), None)
                os.close(fd)

    def held(self, rank: int, label: Label) -> VaultEntry:
        """What is known of the label. Raises NotHeld."""
        try:
            return self._held[rank, label]
        except KeyError:
            raise NotHeld(f"{label} of rank {rank}") from None

    def still_holds(self, rank: int, label: Label, before: VaultEntry) -> bool:
        """Rule R1: is the label held as it was before a read? Then every byte read in between was the label's."""
        return self._held.get((rank, label)) is before

    def slot(self, rank: int, label: Label, nbytes: int = 0) -> Bytes:
        """The slot of a label, at least `nbytes` long, as (size,) uint8; borrowed from the mapping."""
        return self._mapped(rank, self.held(rank, label).index, nbytes)

    def _mapped(self, rank: int, index: int, nbytes: int) -> Bytes:
        with self._memory:
            mapped = self._maps.get((rank, index))
            if mapped is None or len(mapped) < nbytes:
                mapped = self._maps[rank, index] = grow(self.slot_fds(rank)[index], nbytes)
            return mapped

    def copy_slot(self, rank: int, label: Label) -> None:
        """M2: the bytes of a complete label into the other slot of its rank, which nobody reads. ConfigError when there is no memory."""
        held = self.held(rank, label)
        assert held.offer is not None
        nbytes = replicated_start(held.offer.coded_bytes) + held.offer.replicated_bytes
        source, target = (self._mapped(rank, index, nbytes)[:nbytes] for index in (held.index, 1 - held.index))
        StreamingCopy(target, source).copy(0, nbytes)

    def move(self, rank: int, label: Label, index: int) -> None:
        """M2: the label lies in the other slot, `index`, to which it was copied, and its parity belongs to that. What was read of it until
        now is not confirmed any more."""
        with self._memory, self.changed:
            held = self._held[rank, label]
            moved = {to: self._parity.pop((rank, 1 - to)) for to in (0, 1) if (rank, 1 - to) in self._parity}
            self._parity |= {(rank, to): parity for to, parity in moved.items()}
            self._held[rank, label] = replace(held, index=index, lock=threading.Lock(), writers={})
            self.changed.notify_all()

    def slot_file(self, rank: int, label: Label) -> int:
        """A file descriptor of the slot, read-only and the caller's to close: for a process that maps it."""
        index = self.held(rank, label).index
        with self._memory:
            return os.open(f"/proc/self/fd/{self.slot_fds(rank)[index]}", os.O_RDONLY | os.O_CLOEXEC)

    def with_offers(self, rank: int, label: Label, offers: tuple[SnapshotIndex, ...], member: int, geometry: Geometry) -> VaultEntry:
        """Notes the group's offers and has memory for the parity chunks that they ask for."""
        held = self.held(rank, label)
        chunk = geometry.chunk_bytes([offer.coded_bytes for offer in offers])
        parity = self._parity_memory(rank, held.index, geometry.m * chunk)
        with self.changed:
            held.member_offers, held.offer, held.chunk, held.parity, held.member = offers, offers[member], chunk, parity, member
            self.changed.notify_all()
        return held

    def _parity_memory(self, rank: int, index: int, nbytes: int) -> Bytes:
        """(nbytes,) uint8 for the parity of one slot: the same at every commit, as long as it is large enough."""
        with self._memory:
            kept = self._parity.get((rank, index))
            if kept is None or len(kept) < nbytes:
                reserved = self._reserve.take_parity(nbytes)
                kept = reserved if reserved is not None else np.empty(nbytes, np.uint8)
                self._parity[rank, index] = kept
            return kept[:nbytes]

    def touch_parity(self, rank: int, label: Label) -> None:
        """Has memory for the parity of this label and of the next one, its pages touched: for the first commit, for which all ranks wait,
        so that later ones hold nobody up for fresh memory."""
        held = self.held(rank, label)
        assert held.parity is not None
        for index in (held.index, 1 - held.index):
            populate(self._parity_memory(rank, index, len(held.parity)))

    def chunk_view(self, rank: int, label: Label, geometry: Geometry, position: int) -> Bytes:
        """Chunk `position` (data t, or d + p) that `rank` holds: a data chunk ends where the state ends, so it may be short."""
        held = self.held(rank, label)
        assert held.offer is not None
        assert held.parity is not None, "the offers of the group are incomplete, so the places of chunks are unknown"
        if position < geometry.d:
            start, stop = geometry.data_range(position, held.chunk, held.offer.coded_bytes)
            return self.slot(rank, label, replicated_start(held.offer.coded_bytes) + held.offer.replicated_bytes)[start:stop]
        p = position - geometry.d
        return held.parity[p * held.chunk : (p + 1) * held.chunk]

    def encoded_pieces(self, rank: int, label: Label, geometry: Geometry, position: int) -> tuple[Range, ...]:
        """What a commit encodes of a parity chunk that `rank` holds (rule C4')."""
        held = self.held(rank, label)
        stripe = geometry.stripe_of_parity(held.member, position - geometry.d)
        return changes.columns(geometry, stripe, held.member_offers, BLOCK_BYTES)

    def parity_digests(self, rank: int, label: Label, geometry: Geometry, position: int, found: bytes) -> bytes:
        """Of all blocks of a parity chunk; `found` are those of what was stored of it. Others have what they had in the label before."""
        held = self.held(rank, label)
        if len(found) == digests.DIGEST_BYTES * -(-held.chunk // BLOCK_BYTES):
            return found
        pieces = self.encoded_pieces(rank, label, geometry, position)
        return digests.replaced(held.before[position - geometry.d], pieces, found)

    def replicated_view(self, rank: int, label: Label) -> Bytes:
        """The replicated region of a slot."""
        offer = self.held(rank, label).offer
        assert offer is not None
        start = replicated_start(offer.coded_bytes)
        return self.slot(rank, label, start + offer.replicated_bytes)[start : start + offer.replicated_bytes]

    def wrong_chunks(
        self, rank: int, label: Label, geometry: Geometry, *, parity: bool, pace: Callable[[int], None] = lambda nbytes: None
    ) -> Chunks:
        """Hashes the slot, but for what was found right as it arrived since the last time, and says what is wrong. A wrong chunk counts as
        missing from now on. `pace` is told how many bytes were read since it was told last."""
        held = self.held(rank, label)
        assert held.offer is not None
        regions = {Kind.REPLICATED: self.replicated_view(rank, label)}
        coded = self.slot(rank, label, held.offer.coded_bytes)[: held.offer.coded_bytes]
        with held.lock:
            checked, held.checked = held.checked, set()
        data, replicated = 0, False
        for item in held.offer.items:
            region = regions.get(item.kind, coded)
            for block in item.checks():
                if item.kind is not Kind.REPLICATED and block.start in checked:
                    continue
                right = xxhash.xxh3_64_intdigest(region[block.start : block.stop].data) == block.digest
                pace(block.stop - block.start)
                if item.kind is Kind.REPLICATED:
                    replicated = replicated or not right
                elif not right:
                    for t in range(block.start // held.chunk, (block.stop - 1) // held.chunk + 1):
                        data |= 1 << t
        wrong_parity = 0
        for p, digest in held.digests.items() if parity else ():
            if not digests.are_right(self.chunk_view(rank, label, geometry, geometry.d + p), digest, pace):
                wrong_parity |= 1 << p
        wrong = data | wrong_parity << geometry.d
        held.complete = {position for position in held.complete if not wrong >> position & 1}
        return Chunks(data=data, parity=wrong_parity, replicated=replicated)


def is_right(item: Item, data: Bytes) -> bool:
    """Do the bytes of an item, (nbytes,) uint8, have their digests?"""
    blocks = (data[block.start - item.offset : block.stop - item.offset] for block in item.checks())
    return all(xxhash.xxh3_64_intdigest(found.data) == block.digest for found, block in zip(blocks, item.checks(), strict=True))
