"""Reads a vault in the background, and repairs what has changed by itself (rules S1 to S4). The core says what and from where.

Both stand back behind everything else on the node. A label may be given up while it is read, and its memory used for the next one: so a
read counts only if the label was held without interruption, and a repair stores under the label's lock, if it is held still. The rank may
be reading its slot at that moment, so what is stored was hashed before, block by block, beside the slot: right bytes stay as they are.
"""

from __future__ import annotations

import contextlib
import random
import threading
import time
from collections.abc import Callable, Mapping
from typing import Final

import numpy as np
import xxhash

from perdure.core import commands as do
from perdure.core import events as ev
from perdure.core.ids import Label
from perdure.core.layout import Geometry
from perdure.core.messages import Chunks
from perdure.core.snapshot_index import Block, Kind, blocks_from
from perdure.mapping import Bytes
from perdure.runtime.exchange import decode_to
from perdure.runtime.posix import stand_back
from perdure.runtime.rank_restore import fetch_replicated
from perdure.runtime.tasks import Task
from perdure.runtime.vault import NotHeld, Vault, VaultEntry
from perdure.runtime.vault_protocol import LinkDown

Post = Callable[[ev.AgentEvent], None]
REST_S: Final = 0.25
"""Shorter rests are saved up: each time a thread wakes, what a rank has in its caches is lost."""
LEAD_BYTES: Final = 8 << 20
"""The time of so many bytes passes before the first is read: a second at the usual rate. A label that is replaced sooner needs no scrub,
and ranks that have just gone on after a loss have the machine for themselves."""


class Scrubber:
    """The one thread of an agent that scrubs. It takes the newest order, and one that is replaced ends at its next rest: commits may follow
    each other a hundred times a second, and none of them wakes a thread, or starts one."""

    def __init__(self, post: Post) -> None:
        self._post = post
        self._lock = threading.Lock()
        self._newest: tuple[int, do.Scrub] | None = None
        self._at_work = 0
        """The generation that the thread belongs to; 0: there is none."""

    def order(self, generation: int, command: do.Scrub) -> bool:
        """Takes the place of the order before. True: it needs a thread, which runs `work`."""
        with self._lock:
            self._newest = generation, command
            is_needed, self._at_work = self._at_work != generation, generation
        return is_needed

    def work(self, task: Task) -> None:
        """Until nothing is ordered any more in this generation."""
        stand_back()
        while (order := self._next(task.plan.generation)) is not None:
            wrong = None
            with contextlib.suppress(NotHeld):  # given up, or replaced
                wrong = _scrub(task, order[1], lambda: self._newest is order)
            if self._is_done(order) and wrong is not None:
                self._post(ev.Scrubbed(rank=order[1].rank, label=order[1].label, wrong=wrong))

    def _next(self, generation: int) -> tuple[int, do.Scrub] | None:
        with self._lock:
            if self._newest is not None and self._newest[0] == generation:
                return self._newest
            if self._at_work == generation:
                self._at_work = 0
        return None

    def _is_done(self, order: tuple[int, do.Scrub]) -> bool:
        with self._lock:
            if self._newest is not order:
                return False
            self._newest = None
        return True


def _scrub(task: Task, command: do.Scrub, is_wanted: Callable[[], bool]) -> Chunks:
    """Hashes all that is held of a label. NotHeld: it was given up meanwhile, or is not wanted any more. LinkDown: the generation ended."""
    links, vault, rank, label = task.links, task.vault, command.rank, command.label
    held = vault.held(rank, label)
    due = time.monotonic()

    def pace(nbytes: int, shortest_s: float = REST_S) -> None:
        nonlocal due
        due += nbytes / command.bytes_per_s
        rest_s = due - time.monotonic()
        if rest_s > shortest_s:
            links.rest(task.plan.generation, rest_s)
        if links.over(task.plan.generation):
            raise LinkDown("the generation is over")
        if not is_wanted() or not vault.still_holds(rank, label, held):
            raise NotHeld(f"{label} of rank {rank}")

    pace(LEAD_BYTES, 0.0)
    wrong = vault.wrong_chunks(rank, label, task.geometry(rank), parity=True, pace=pace)
    pace(0, 0.0)
    return wrong


class _Kept:
    """A decoded chunk that is kept beside the slot."""

    def __init__(self, chunk: int, nbytes: int) -> None:
        self._buffer = np.empty(chunk, np.uint8)
        self.chunk = self._buffer[:nbytes]

    def room(self, start: int, width: int) -> Bytes:
        return self._buffer[start : start + width]

    def put(self, start: int, tile: Bytes, *, last: bool) -> None:
        """It is where it was computed."""

    def confirm(self) -> None:
        """It is where it was computed."""


def repair(task: Task, command: do.Repair, post: Post) -> None:
    """Decodes the wrong chunks and stores what has its digest. A source that cannot be read is one more reason why an attempt fails."""
    stand_back()
    vault, rank, label = task.vault, command.rank, command.label
    held, geometry = vault.held(rank, label), task.geometry(rank)
    found: dict[int, _Kept] = {}

    def keep(position: int, rank: int, nbytes: int) -> _Kept:
        found[position] = _Kept(held.chunk, nbytes)
        return found[position]

    for work in command.tasks:
        try:
            decode_to(task, work, keep)
        except LinkDown:
            if task.links.over(task.plan.generation):
                raise
            for position, _ in work.wanted:
                found.pop(position, None)
    mend_coded(vault, held, rank, label, geometry, {position: kept.chunk for position, kept in found.items()})
    if command.replicated_from_rank >= 0:
        common = np.empty(len(vault.replicated_view(rank, label)), np.uint8)
        fetch_replicated(task, label, command.replicated_from_rank, common)
        mend_replicated(vault, held, rank, label, common)
    wrong = vault.wrong_chunks(rank, label, geometry, parity=True)
    if vault.still_holds(rank, label, held):
        post(ev.Repaired(rank=rank, label=label, wrong=wrong))


def mend_coded(vault: Vault, held: VaultEntry, rank: int, label: Label, geometry: Geometry, found: Mapping[int, Bytes]) -> None:
    """Stores decoded chunks, by code position, as far as they have their digests. A block may span two chunks, and need both."""
    assert held.offer is not None
    coded = vault.slot(rank, label, held.offer.coded_bytes)[: held.offer.coded_bytes]
    data = {position * held.chunk: chunk for position, chunk in found.items() if position < geometry.d}
    for item in held.offer.items:
        for block in item.checks() if item.kind is not Kind.REPLICATED else ():
            _mend(vault, held, rank, label, coded, block, data)
    for position, chunk in found.items():
        if position >= geometry.d:
            region = vault.chunk_view(rank, label, geometry, position)
            for block in blocks_from(held.digests[position - geometry.d], 0, len(chunk)):
                _mend(vault, held, rank, label, region, block, {0: chunk})


def mend_replicated(vault: Vault, held: VaultEntry, rank: int, label: Label, common: Bytes) -> None:
    """Stores another rank's replicated region, as far as it has this rank's digests."""
    assert held.offer is not None
    for item in held.offer.items:
        for block in item.checks() if item.kind is Kind.REPLICATED else ():
            _mend(vault, held, rank, label, vault.replicated_view(rank, label), block, {0: common})


def _mend(vault: Vault, held: VaultEntry, rank: int, label: Label, region: Bytes, block: Block, pieces: Mapping[int, Bytes]) -> None:
    """One block of a region, with those `pieces` (start in the region -> bytes) laid over what is there, if it then has its digest."""
    over = {start: piece for start, piece in pieces.items() if start < block.stop and block.start < start + len(piece)}
    if not over:
        return
    mended = region[block.start : block.stop].copy()
    for start, piece in over.items():
        first, last = max(start, block.start), min(start + len(piece), block.stop)
        mended[first - block.start : last - block.start] = piece[first - start : last - start]
    if xxhash.xxh3_64_intdigest(mended.data) != block.digest:
        return
    with held.lock:
        if not vault.still_holds(rank, label, held):
            raise NotHeld(f"{label} of rank {rank}")
        region[block.start : block.stop] = mended


def flip(vault: Vault, rank: int, label: Label, geometry: Geometry, where: str, seed: int) -> None:
    """The fault that all this is for: one bit of what a rank keeps changes. Nothing where it keeps no such bytes."""
    held, dice = vault.held(rank, label), random.Random(f"{where} {seed}")
    assert held.offer is not None
    regions = {
        "snapshot": (vault.slot(rank, label), [item for item in held.offer.items if item.kind is not Kind.REPLICATED]),
        "replicated": (vault.replicated_view(rank, label), [item for item in held.offer.items if item.kind is Kind.REPLICATED]),
    }
    if where == "parity":
        assert held.parity is not None
        region, places = held.parity, [(0, geometry.m * held.chunk)]
    else:
        region, items = regions[where]
        places = [(item.offset, item.nbytes) for item in items]
    if not sum(nbytes for _, nbytes in places):
        return
    start, nbytes = dice.choices(places, [nbytes for _, nbytes in places])[0]
    region[start + dice.randrange(nbytes)] ^= 1 << dice.randrange(8)
