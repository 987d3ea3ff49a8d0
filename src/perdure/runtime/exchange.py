"""Moves chunks: encodes the stripes of a commit, decodes the stripes of a loss.

Encoding is aggregate-then-scatter: the first parity holder of a stripe reads the d data chunks tile by tile, computes all m parity
chunks in one go, keeps one and writes the others to their holders. Decoding is the same with other sources and outputs.

Theory of operation. A source is read in place where it lies in this agent's vault or, data only, mapped from that of an agent on the
same machine; else it comes over a link, of which at most `CREDIT_BYTES` are under way: that is the flow control (`sources`). The last
tile is put only when all sources are confirmed, and so is what finishes a chunk (`outputs`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from perdure.coding import Codec, kernels
from perdure.core import changes
from perdure.core import commands as do
from perdure.core.messages import DecodeTask
from perdure.core.snapshot_index import BLOCK_BYTES, Range
from perdure.mapping import Bytes
from perdure.runtime.digests import tiles_of
from perdure.runtime.links import UNTIL_THE_END, Links
from perdure.runtime.outputs import Output, open_output
from perdure.runtime.rings import RING_FROM_BYTES
from perdure.runtime.sources import Source, open_source
from perdure.runtime.tasks import Task


def protect(task: Task, command: do.Protect) -> None:
    """Encodes the stripe whose first parity holder is `command.rank`, as far as it has changed, and hands out its parity chunks."""
    plan, label, offers = task.plan, command.label, command.member_offers
    group, geometry = plan.group_of(command.rank), task.geometry(command.rank)
    _warm_kernels(task.links, geometry.m)
    stripe = group.index(command.rank)
    chunk = geometry.chunk_bytes([offer.coded_bytes for offer in offers])
    tiles = tiles_of(changes.columns(geometry, stripe, offers, BLOCK_BYTES), task.tile_bytes)
    if task.links.peer_maps is not None:
        task.links.peer_maps.keep(lambda home: plan.agent_of(home[0]) == home[1])
        if chunk >= RING_FROM_BYTES:
            task.links.rings.prepare(task.tile_bytes)
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

    tiles = tiles_of(((0, held.chunk),), task.tile_bytes)
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
    for output in outputs:
        output.confirm()


def _copy(tile: Bytes, room: Bytes) -> None:
    """A short chunk counts as followed by zeros."""
    room[: len(tile)] = tile
    room[len(tile) :] = 0


def _named(positions: Mapping[int, object], tiles: list[Bytes]) -> dict[int, Bytes]:
    return dict(zip(positions, tiles, strict=True))
