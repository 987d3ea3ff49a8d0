"""Moves chunks: encodes the stripes of a commit, decodes the stripes of a loss.

Encoding is aggregate-then-scatter: the first parity holder of a stripe reads the d data chunks tile by tile, computes all m parity
chunks in one go, keeps one and writes the others to their holders. Decoding is the same with other sources and outputs.

Theory of operation. A source is read in place where it lies in this agent's vault or, data only, mapped from that of an agent on the
same machine; else it comes over a link, of which at most `CREDIT_BYTES` are under way: that is the flow control. An output that this
agent keeps is computed in place; others are written over a link, so that a shut link ends every write to foreign memory.

Reads are not locked. A holder may give up the label while a slow decoder still reads it (an attempt of an earlier orchestrator, after a
newer commit): what is read then is another label's bytes, and a digest of what was computed from them would fit. So no output is
finished before every source was *confirmed*: its label was held without interruption from before the first read to after the last.

While a commit is encoded its label is *steady*: it is not committed before this is done (C5, C6), and nothing newer is copied before that
(C1), so in its generation nobody gives it up. After a seal somebody may, and a seal shuts the links first (D1). So a holder need not be
asked: what came over a link was the label's, and what was read in place was if the link is still up afterwards.
"""

from __future__ import annotations

import socket
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Protocol

import numpy as np

from perdure.coding import Codec, kernels
from perdure.core import changes
from perdure.core import commands as do
from perdure.core.ids import Label
from perdure.core.layout import Geometry
from perdure.core.messages import Custodian, DecodeTask
from perdure.core.offers import BLOCK_BYTES, Offer, Range
from perdure.core.plan import Plan
from perdure.mapping import Bytes
from perdure.runtime.arriving import Arriving
from perdure.runtime.asking import FINISH, READ, TILE_BYTES, WRITE, LinkDown, ask_confirm, confirmed, receive_into, request, send, still_up
from perdure.runtime.digests import joint, of_blocks, tiles_of
from perdure.runtime.links import UNTIL_THE_END, Links
from perdure.runtime.rings import RING_FROM_BYTES, Ring
from perdure.runtime.serving import finish_chunk
from perdure.runtime.vault import Vault

CREDIT_BYTES: Final = 2 << 20
"""Of each source that comes over a link. Measured: without a limit receivers lose a factor of ten."""


class Task:
    """The links of one piece of work, one to each agent, rank and purpose that it touches."""

    def __init__(self, links: Links, vault: Vault, plan: Plan, me: int) -> None:
        self.links, self.vault, self.plan, self.me = links, vault, plan, me
        self._socks: dict[tuple[int, int, int], socket.socket] = {}
        self._rings: list[tuple[int, Bytes]] = []

    def to(self, rank: int, purpose: int, custodian: Custodian | None = None) -> socket.socket | None:
        """The link to the agent of `rank`, or to a custodian of it; None when that is this agent itself."""
        agent = self.agent_of(rank, custodian)
        if agent == self.me:
            return None
        key = (agent, rank, purpose)
        if key not in self._socks:
            address = custodian.address if custodian else self.plan.address_of(agent)
            self._socks[key] = self.links.dial(address, self.plan.generation)
        return self._socks[key]

    def agent_of(self, rank: int, custodian: Custodian | None) -> int:
        """Who is read: the home of `rank`, or a custodian of it."""
        return custodian.agent if custodian else self.plan.agent_of(rank)

    def geometry(self, rank: int) -> Geometry:
        """Of the group of `rank`."""
        return self.plan.geometry(self.plan.group_index(rank))

    def wait_for_memory(self, rank: int, label: Label) -> None:
        """Blocks until a rank that lives here has its group's offers; woken by the end of the generation."""
        self.links.wait_for_memory(self.plan.generation, rank, label)

    def ring(self, sock: socket.socket, label: Label, rank: int, position: int, nbytes: int) -> Ring | None:
        """What a chunk of `nbytes` is handed over by, if that is worth it and its holder is on this machine."""
        if self.links.peer_maps is None or sock.family != socket.AF_UNIX or nbytes < RING_FROM_BYTES:
            return None
        self._rings.append(self.links.rings.take())
        return Ring(self._rings[-1], sock, label, rank, position)

    def keep_links(self) -> None:
        """All is done, and answered: others may use these links."""
        for (agent, _, _), sock in self._socks.items():
            self.links.keep(sock, self.plan.address_of(agent))
        self._socks.clear()

    def close(self) -> None:
        """Hangs up."""
        for sock in self._socks.values():
            self.links.hang_up(sock)
        for memory in self._rings:
            self.links.rings.give_back(memory)


# ---- sources --------------------------------------------------------------------------------------------------------------


class Source(Protocol):
    """A chunk of which some stretches are read, in ascending order."""

    def tile(self, start: int, width: int) -> Bytes:
        """The bytes [start, start + width) of the chunk, as far as there are any; borrowed until the next call."""

    def ask(self) -> None:
        """After the last tile, before `confirm`, which waits for the answer: so the answers of several sources are under way at once."""

    def confirm(self) -> None:
        """LinkDown unless all tiles were bytes of the label."""


class LocalSource:
    """In this agent's vault."""

    def __init__(self, task: Task, label: Label, rank: int, position: int) -> None:
        task.wait_for_memory(rank, label)
        self._vault, self._rank, self._label = task.vault, rank, label
        self._held = task.vault.held(rank, label)
        self._view = task.vault.chunk_view(rank, label, task.geometry(rank), position)

    def tile(self, start: int, width: int) -> Bytes:
        return self._view[start : start + width]

    def ask(self) -> None:
        pass

    def confirm(self) -> None:
        if not self._vault.still_holds(self._rank, self._label, self._held):
            raise LinkDown(f"{self._label} of rank {self._rank} was given up while it was read")


class MappedSource:
    """In the vault of another agent of this machine, which is asked for it at once and waited for at the first tile."""

    def __init__(self, sock: socket.socket, label: Label, rank: int, view: Callable[[], Bytes], *, steady: bool) -> None:
        self._sock, self._label, self._rank, self._wait, self._steady = sock, label, rank, view, steady
        self._view: Bytes | None = None

    def tile(self, start: int, width: int) -> Bytes:
        if self._view is None:
            self._view = self._wait()
        return self._view[start : start + width]

    def ask(self) -> None:
        if not self._steady:
            ask_confirm(self._sock, self._label, self._rank)

    def confirm(self) -> None:
        self.tile(0, 0)  # where nothing was read the file's answer comes first
        if self._steady:
            still_up(self._sock)
        else:
            confirmed(self._sock, self._label, self._rank)


class StreamedSource:
    """Comes over a link, asked for ahead of need: the tiles [start, stop) that will be read."""

    def __init__(self, sock: socket.socket, label: Label, rank: int, position: int, tiles: Sequence[Range], *, steady: bool) -> None:
        self._sock, self._label, self._rank, self._position = sock, label, rank, position
        self._is_asked = bool(tiles) and not steady
        self._to_ask = deque(tiles)
        self._asked = self._received = 0
        self._buffer = np.empty(max((stop - start for start, stop in tiles), default=0), np.uint8)
        self._ends = {start: stop for start, stop in tiles}
        self._ask()

    def _ask(self) -> None:
        while self._to_ask and self._asked + TILE_BYTES <= self._received + CREDIT_BYTES:
            start, stop = self._to_ask.popleft()
            request(self._sock, READ, self._label, self._rank, self._position, start, stop - start)
            self._asked += stop - start

    def tile(self, start: int, width: int) -> Bytes:
        view = self._buffer[: self._ends.get(start, start) - start]
        receive_into(self._sock, view.data)
        self._received += len(view)
        self._ask()
        return view

    def ask(self) -> None:
        if self._is_asked:
            ask_confirm(self._sock, self._label, self._rank)

    def confirm(self) -> None:
        if self._is_asked:
            confirmed(self._sock, self._label, self._rank)


def open_source(
    task: Task, label: Label, rank: int, position: int, span: Range, tiles: Sequence[Range], *, custodian: Custodian | None = None,
    encoded: Offer | None = None,
) -> Source:  # fmt: skip
    """The cheapest way to read these tiles of a chunk, as far as there are any bytes; from the rank's home, or a custodian. `span`: where
    the bytes of a chunk of data lie in the rank's state. `encoded`: what the rank offers, where a commit is encoded."""
    nbytes = span[1] - span[0]
    sock = task.to(rank, READ, custodian)
    if sock is None:
        return LocalSource(task, label, rank, position)
    there = [(start, min(stop, nbytes)) for start, stop in tiles if start < nbytes]
    is_data = position < task.geometry(rank).d
    if is_data and task.links.peer_maps is not None and sock.family == socket.AF_UNIX:
        task.links.count(label, sum(stop - start for start, stop in there))
        home, known = (rank, task.agent_of(rank, custodian)), encoded.since if encoded else None
        view = task.links.peer_maps.asked(sock, label, home, position, nbytes, known=known, start=span[0])
        return MappedSource(sock, label, rank, view, steady=encoded is not None)
    return StreamedSource(sock, label, rank, position, there, steady=encoded is not None)


# ---- outputs --------------------------------------------------------------------------------------------------------------


class Output(Protocol):
    """A chunk of which some stretches are computed, in ascending order."""

    def room(self, start: int, width: int) -> Bytes:
        """(width,) uint8: where the tile at `start` is to be put; it may reach beyond a short chunk's end."""

    def put(self, start: int, tile: Bytes, *, last: bool) -> None:
        """The tile at `start` is there; with the last one, which is only put when all sources are confirmed, the chunk is finished."""


class EncodedOutput:
    """Parity that this agent keeps, computed in place: no other label can need the memory before this one is committed."""

    def __init__(self, task: Task, label: Label, rank: int, position: int) -> None:
        task.wait_for_memory(rank, label)
        self._links, self._rank, self._label, self._position = task.links, rank, label, position
        self._geometry = task.geometry(rank)
        self._view = task.vault.chunk_view(rank, label, self._geometry, position)
        self._digests = bytearray()

    def room(self, start: int, width: int) -> Bytes:
        return self._view[start : start + width]

    def put(self, start: int, tile: Bytes, *, last: bool) -> None:
        self._digests += of_blocks(tile)
        if last:
            finish_chunk(self._links, self._rank, self._label, self._geometry, self._position, bytes(self._digests))


class StoredOutput:
    """A rebuilt chunk that this agent keeps."""

    def __init__(self, task: Task, label: Label, rank: int, position: int, nbytes: int) -> None:
        task.wait_for_memory(rank, label)
        self._links, self._rank, self._label, self._position, self._nbytes = task.links, rank, label, position, nbytes
        self._geometry = task.geometry(rank)
        self._arriving = Arriving(task.vault, rank, label, self._geometry, position)
        self._buffer = np.empty(TILE_BYTES, np.uint8)

    def room(self, start: int, width: int) -> Bytes:
        return self._buffer[:width]

    def put(self, start: int, tile: Bytes, *, last: bool) -> None:
        part = tile[: max(0, self._nbytes - start)]
        if len(part):
            self._arriving.store(start, part)
        if last:
            finish_chunk(self._links, self._rank, self._label, self._geometry, self._position, self._arriving.digests())


class SentOutput:
    """Goes to its holder over a link, on the same machine through a ring; parity with the digest of all its blocks at the end, for
    data has the digests of its items."""

    def __init__(self, task: Task, sock: socket.socket, label: Label, rank: int, position: int, nbytes: int, sent: int) -> None:
        """`sent`: how many bytes of the chunk of `nbytes` will be put."""
        self._links, self._sock, self._nbytes = task.links, sock, nbytes
        self._label, self._rank, self._position = label, rank, position
        self._digests = bytearray()
        self._is_parity = position >= task.geometry(rank).d
        self._ring = task.ring(sock, label, rank, position, sent)
        self._buffer = np.empty(TILE_BYTES if self._ring is None else 0, np.uint8)

    def room(self, start: int, width: int) -> Bytes:
        return self._buffer[:width] if self._ring is None else self._ring.room(width)

    def put(self, start: int, tile: Bytes, *, last: bool) -> None:
        part = tile[: max(0, self._nbytes - start)]
        if len(part):
            if self._is_parity:
                self._digests += of_blocks(part)
            self._links.count(self._label, len(part))
            if self._ring is not None:
                self._ring.put(start, len(part))
            else:
                request(self._sock, WRITE, self._label, self._rank, self._position, start, len(part))
                send(self._sock, part.data)
        if last:
            if self._ring is not None:
                self._ring.drain()
            digest = joint(bytes(self._digests)) if self._is_parity else 0
            request(self._sock, FINISH, self._label, self._rank, self._position, 0, 0, digest)


def open_output(task: Task, label: Label, rank: int, position: int, nbytes: int, *, encoded: int | None = None) -> Output:
    """The way to the holder of a chunk of `nbytes`, of which so many bytes are `encoded` for a commit, or which else is rebuilt."""
    sock = task.to(rank, 16 + position)
    if sock is not None:
        return SentOutput(task, sock, label, rank, position, nbytes, nbytes if encoded is None else encoded)
    return EncodedOutput(task, label, rank, position) if encoded is not None else StoredOutput(task, label, rank, position, nbytes)


# ---- work -----------------------------------------------------------------------------------------------------------------


def _transform(
    tiles: Sequence[Range], sources: Sequence[Source], outputs: Sequence[Output], compute: Callable[[list[Bytes], list[Bytes]], None]
) -> None:
    """Reads tile by tile, computes, puts; the last tile, which is empty where there is none, after all sources were confirmed."""
    for number, (start, stop) in enumerate(tiles or ((0, 0),)):
        width, last = stop - start, number + 1 >= len(tiles)
        rooms = [output.room(start, width) for output in outputs]
        if width:
            compute([source.tile(start, width) for source in sources], rooms)
        if last:
            for source in sources:
                source.ask()
            for source in sources:
                source.confirm()
        for output, room in zip(outputs, rooms, strict=True):
            output.put(start, room, last=last)


def protect(task: Task, command: do.Protect) -> None:
    """Encodes the stripe whose first parity holder is `command.rank`, as far as it has changed, and hands out its parity chunks."""
    plan, label, offers = task.plan, command.label, command.member_offers
    group, geometry = plan.group_of(command.rank), task.geometry(command.rank)
    _warm_kernels(task.links, geometry.m)
    stripe = group.index(command.rank)
    chunk = geometry.chunk_bytes([offer.coded_bytes for offer in offers])
    tiles = tiles_of(changes.columns(geometry, stripe, offers, BLOCK_BYTES), TILE_BYTES)
    if task.links.peer_maps is not None:
        task.links.peer_maps.keep({(place.rank, place.agent) for place in plan.placements})
        if chunk >= RING_FROM_BYTES:
            task.links.rings.prepare()
    sources = []
    for t in range(geometry.d) if tiles else ():
        member = geometry.member(stripe, t)
        span = geometry.data_range(t, chunk, offers[member].coded_bytes)
        sources.append(open_source(task, label, group[member], t, span, tiles, encoded=offers[member]))
    encoded = sum(stop - start for start, stop in tiles)
    holders = [(position, group[geometry.member(stripe, position)]) for position in range(geometry.d, geometry.n)]
    outputs = [open_output(task, label, holder, position, chunk, encoded=encoded) for position, holder in holders]
    _transform(tiles, sources, outputs, Codec(geometry.n, geometry.m).encode)
    task.keep_links()


def _warm_kernels(links: Links, m: int) -> None:
    """Beside the first commit, which goes on with what is ready."""
    if not kernels.are_warm(m):

        def warm() -> None:
            kernels.warm(m)

        links.run(UNTIL_THE_END, warm, "warm")


def decode(task: Task, work: DecodeTask) -> None:
    """Rebuilds the wanted chunks of one stripe and hands them to their holders."""

    def to_holder(position: int, rank: int, nbytes: int) -> Output:
        return open_output(task, work.label, rank, position, nbytes)

    decode_to(task, work, to_holder)


def decode_to(task: Task, work: DecodeTask, opens: Callable[[int, int, int], Output]) -> None:
    """The same with other outputs: `opens` takes code position, rank and length of a wanted chunk."""
    plan, label = task.plan, work.label
    geometry = plan.geometry(work.group)
    mine = next(rank for rank in plan.groups[work.group] if plan.agent_of(rank) == task.me)
    task.wait_for_memory(mine, label)
    held = task.vault.held(mine, label)

    def span(position: int, rank: int) -> Range:
        state = held.member_offers[plan.member_of(rank)].coded_bytes
        return geometry.data_range(position, held.chunk, state) if position < geometry.d else (0, held.chunk)

    def length(position: int, rank: int) -> int:
        start, stop = span(position, rank)
        return stop - start

    tiles = tiles_of(((0, held.chunk),), TILE_BYTES)
    kept = dict(work.kept)
    sources = {
        position: open_source(task, label, rank, position, span(position, rank), tiles, custodian=kept.get(position))
        for position, rank in work.sources
    }
    outputs = {position: opens(position, rank, length(position, rank)) for position, rank in work.wanted}
    codec = Codec(geometry.n, geometry.m)

    def compute(read: list[Bytes], wanted: list[Bytes]) -> None:
        present, rooms = _named(sources, read), _named(outputs, wanted)
        for position in present.keys() & rooms.keys():  # a custodian has it
            _copy(present[position], rooms.pop(position))
        codec.decode(present, rooms)

    _transform(tiles, list(sources.values()), list(outputs.values()), compute)


def _copy(tile: Bytes, room: Bytes) -> None:
    """A short chunk counts as followed by zeros."""
    room[: len(tile)] = tile
    room[len(tile) :] = 0


def _named(positions: Mapping[int, object], tiles: list[Bytes]) -> dict[int, Bytes]:
    return dict(zip(positions, tiles, strict=True))
