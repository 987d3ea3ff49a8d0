"""Moves chunks: encodes the stripes of a commit, decodes the stripes of a loss, fetches what a new holder needs.

Encoding is aggregate-then-scatter: the first parity holder of a stripe reads the d data chunks tile by tile, computes all m parity
chunks in one go, keeps one and writes the others to their holders. The next tile is requested before this one is worked on, so at most
`WINDOW` tiles of a source are under way: that is the flow control.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Final

import numpy as np
import xxhash
from numpy.typing import NDArray

from perdure.coding import Codec
from perdure.core import commands as do
from perdure.core import events as ev
from perdure.core.ids import Label
from perdure.core.layout import Geometry
from perdure.core.messages import DecodeTask
from perdure.core.offers import replicated_start
from perdure.core.plan import Plan
from perdure.runtime.links import READ, REPLICATED, WRITE, LinkDown, Links, ask_offers, receive_into, request
from perdure.runtime.vault import Vault

Bytes = NDArray[np.uint8]
TILE_BYTES: Final = 1 << 20
WINDOW: Final = 2


class Task:
    """The links of one piece of work, one to each peer that it touches."""

    def __init__(self, links: Links, vault: Vault, plan: Plan, me: int, name_of: Callable[[int], str]) -> None:
        self.links, self.vault, self.plan, self.me = links, vault, plan, me
        self._name_of = name_of
        self._socks: dict[tuple[int, int], socket.socket] = {}

    def to(self, rank: int, purpose: int) -> socket.socket | None:
        """The link to the agent of `rank`; None when that is this agent itself."""
        agent = self.plan.agent_of(rank)
        if agent == self.me:
            return None
        if (rank, purpose) not in self._socks:
            self._socks[rank, purpose] = self.links.dial(self._name_of(agent), self.plan.generation)
        return self._socks[rank, purpose]

    def close(self) -> None:
        """Hangs up."""
        for sock in self._socks.values():
            self.links.hang_up(sock)


class Reader:
    """Reads one chunk of one rank tile by tile, `WINDOW` tiles ahead."""

    def __init__(self, task: Task, label: Label, rank: int, position: int, nbytes: int) -> None:
        self._task, self._label, self._rank, self._position, self._nbytes = task, label, rank, position, nbytes
        self._asked = 0
        self._sock = task.to(rank, READ)
        if self._sock is None:
            task.links.wait_for_memory(task.plan.generation, rank, label)
        self._buffer = np.empty(min(TILE_BYTES, nbytes), np.uint8)
        for _ in range(WINDOW):
            self._ask()

    def _ask(self) -> None:
        length = min(TILE_BYTES, self._nbytes - self._asked)
        if self._sock is not None and length > 0:
            request(self._sock, READ, self._label, self._rank, self._position, self._asked, length)
        self._asked += max(length, 0)

    def tile(self, start: int) -> Bytes:
        """The bytes [start, start + TILE_BYTES) of the chunk, as far as there are any; borrowed until the next call."""
        length = max(0, min(TILE_BYTES, self._nbytes - start))
        if self._sock is None:
            geometry = self._task.plan.geometry(self._task.plan.group_index(self._rank))
            return self._task.vault.chunk_view(self._rank, self._label, geometry, self._position)[start : start + length]
        view = self._buffer[:length]
        receive_into(self._sock, view.data)
        self._ask()
        return view


class Writer:
    """Writes one chunk to its holder, tile by tile, with the digest of the whole chunk at the end."""

    def __init__(self, task: Task, label: Label, rank: int, position: int, nbytes: int) -> None:
        self._task, self._label, self._rank, self._position, self._nbytes = task, label, rank, position, nbytes
        self._geometry = task.plan.geometry(task.plan.group_index(rank))
        self._sock = task.to(rank, 16 + position)
        self._hash = xxhash.xxh3_64()
        if self._sock is None:
            task.links.wait_for_memory(task.plan.generation, rank, label)

    def put(self, start: int, tile: Bytes) -> None:
        """Sends the part of `tile` that lies in the chunk."""
        length = max(0, min(len(tile), self._nbytes - start))
        if length == 0 and not (self._nbytes == 0 and start == 0):
            return
        part = tile[:length]
        self._hash.update(part.data)
        last = start + length == self._nbytes
        digest = self._hash.intdigest() if last else 0
        if self._sock is None:
            view = self._task.vault.chunk_view(self._rank, self._label, self._geometry, self._position)
            view[start : start + length] = part
            if last:
                self._task.links.finish_chunk(self._rank, self._label, self._geometry, self._position, digest)
            return
        self._task.links.count(self._label, length)
        request(self._sock, WRITE, self._label, self._rank, self._position, start, length, digest)
        try:
            self._sock.sendall(part.data)
        except OSError as error:
            raise LinkDown(str(error)) from None


def protect(task: Task, command: do.Protect) -> None:
    """Encodes the stripe whose first parity holder is `command.rank` and hands out its parity chunks."""
    plan, label = task.plan, command.label
    group = plan.group_of(command.rank)
    geometry = plan.geometry(plan.group_index(command.rank))
    member = group.index(command.rank)
    offers = command.member_offers
    chunk = geometry.chunk_bytes([offer.coded_bytes for offer in offers])
    readers = []
    for t in range(geometry.d):
        source = geometry.member(member, t)
        start, stop = geometry.data_range(t, chunk, offers[source].coded_bytes)
        readers.append(Reader(task, label, group[source], t, stop - start))
    writers = [Writer(task, label, group[geometry.member(member, geometry.d + p)], geometry.d + p, chunk) for p in range(geometry.m)]
    codec = Codec(geometry.n, geometry.m)
    out = np.empty((geometry.m, min(TILE_BYTES, chunk)), np.uint8)
    for start in range(0, max(chunk, 1), TILE_BYTES):
        width = min(TILE_BYTES, chunk - start)
        codec.encode([reader.tile(start) for reader in readers], list(out[:, :width]))
        for writer, tile in zip(writers, out[:, :width], strict=True):
            writer.put(start, tile)


def decode(task: Task, work: DecodeTask) -> None:
    """Rebuilds the wanted chunks of one stripe and hands them to their holders."""
    plan = task.plan
    geometry = plan.geometry(work.group)
    mine = next(rank for rank in plan.groups[work.group] if plan.agent_of(rank) == task.me)
    held = task.vault.held(mine, work.label)

    def length(position: int, rank: int) -> int:
        state = held.member_offers[plan.member_of(rank)].coded_bytes
        start, stop = geometry.data_range(position, held.chunk, state) if position < geometry.d else (0, held.chunk)
        return stop - start

    readers = {position: Reader(task, work.label, rank, position, length(position, rank)) for position, rank in work.sources}
    writers = {position: Writer(task, work.label, rank, position, length(position, rank)) for position, rank in work.wanted}
    codec = Codec(geometry.n, geometry.m)
    out = np.empty((len(writers), min(TILE_BYTES, held.chunk)), np.uint8)
    for start in range(0, max(held.chunk, 1), TILE_BYTES):
        width = min(TILE_BYTES, held.chunk - start)
        wanted = dict(zip(writers, out[:, :width], strict=True))
        codec.decode({position: reader.tile(start) for position, reader in readers.items()}, wanted)
        for position, writer in writers.items():
            writer.put(start, wanted[position])


def restore(task: Task, command: do.Restore, post: Callable[[ev.AgentEvent], None]) -> None:
    """Fetches offers, has memory for the slot, and fetches the replicated region."""
    plan, source, label, rank = task.plan, command.source, command.label, command.rank
    geometry: Geometry = plan.geometry(plan.group_index(rank))
    sock = task.to(source.offers_from, 0)
    offers = ask_offers(sock, label, source.offers_from) if sock else task.vault.held(source.offers_from, label).member_offers
    member = plan.member_of(rank)
    mine = offers[member]
    task.vault.slot(rank, label, replicated_start(mine.coded_bytes) + mine.replicated_bytes)
    task.vault.with_offers(rank, label, offers, member, geometry)
    post(ev.SlotRestored(rank=rank, label=label, member_offers=offers))
    view = task.vault.replicated_view(rank, label)
    origin = task.to(source.replicated_from_rank, REPLICATED)
    if origin is None:
        view[:] = task.vault.replicated_view(source.replicated_from_rank, label)
    elif len(view):
        request(origin, REPLICATED, label, source.replicated_from_rank, 0, 0, len(view))
        receive_into(origin, view.data)
    post(ev.ReplicatedStored(rank=rank, label=label))
