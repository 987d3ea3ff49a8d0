"""Where the chunks that are worked on come from: this agent's vault, that of another one on this machine, or a link.

Reads are not locked. A holder may give up the label while a slow decoder still reads it (an attempt of an earlier orchestrator, after a
newer commit): what is read then is another label's bytes, and a digest of what was computed from them would fit. So no output is
finished before every source was *confirmed*: its label was held without interruption from before the first read to after the last.

While a commit is encoded its label is *steady*: it is not committed before this is done (C5, C6), and nothing newer is copied before that
(C1), so in its generation nobody gives it up. After a seal somebody may, and a seal shuts the links first (D1). So a holder need not be
asked: what came over a link was the label's, and what was read in place was if the link is still up afterwards.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, Protocol

import numpy as np

from perdure.core.ids import Label
from perdure.core.messages import Custodian
from perdure.core.snapshot_index import Range, SnapshotIndex
from perdure.mapping import Bytes
from perdure.runtime.digests import tiles_of
from perdure.runtime.tasks import Task
from perdure.runtime.vault_client import ask_confirm, confirmed, still_up
from perdure.runtime.vault_protocol import READ, TILE_BYTES, LinkDown, receive_into, request
from perdure.streams import Stream

CREDIT_BYTES: Final = 2 << 20
"""Of each source that comes over a link. Measured: without a limit receivers lose a factor of ten."""


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

    def __init__(self, stream: Stream, label: Label, rank: int, view: Callable[[], Bytes], *, steady: bool) -> None:
        self._stream, self._label, self._rank, self._wait, self._steady = stream, label, rank, view, steady
        self._view: Bytes | None = None

    def tile(self, start: int, width: int) -> Bytes:
        if self._view is None:
            self._view = self._wait()
        return self._view[start : start + width]

    def ask(self) -> None:
        if not self._steady:
            ask_confirm(self._stream, self._label, self._rank)

    def confirm(self) -> None:
        self.tile(0, 0)  # where nothing was read the file's answer comes first
        if self._steady:
            still_up(self._stream)
        else:
            confirmed(self._stream, self._label, self._rank)


class StreamedSource:
    """Comes over a link, asked for ahead of need: the tiles [start, stop) that will be read."""

    def __init__(self, stream: Stream, label: Label, rank: int, position: int, tiles: Sequence[Range], *, steady: bool) -> None:
        self._stream, self._label, self._rank, self._position = stream, label, rank, position
        self._is_asked = bool(tiles) and not steady
        self._to_ask = deque(tiles_of(tiles, TILE_BYTES))
        self._asked = self._received = 0
        self._buffer = np.empty(max((stop - start for start, stop in tiles), default=0), np.uint8)
        self._ends = {start: stop for start, stop in tiles}
        self._ask()

    def _ask(self) -> None:
        while self._to_ask and self._asked + TILE_BYTES <= self._received + CREDIT_BYTES:
            start, stop = self._to_ask.popleft()
            request(self._stream, READ, self._label, self._rank, self._position, start, stop - start)
            self._asked += stop - start

    def tile(self, start: int, width: int) -> Bytes:
        view = self._buffer[: self._ends.get(start, start) - start]
        for first in range(0, len(view), TILE_BYTES):
            piece = view[first : first + TILE_BYTES].data
            receive_into(self._stream, piece)
            self._received += len(piece)
            self._ask()
        return view

    def ask(self) -> None:
        if self._is_asked:
            ask_confirm(self._stream, self._label, self._rank)

    def confirm(self) -> None:
        if self._is_asked:
            confirmed(self._stream, self._label, self._rank)


def open_source(
    task: Task, label: Label, rank: int, position: int, span: Range, tiles: Sequence[Range], *, custodian: Custodian | None = None,
    encoded: SnapshotIndex | None = None,
) -> Source:  # fmt: skip
    """The cheapest way to read these tiles of a chunk, as far as there are any bytes; from the rank's home, or a custodian. `span`: where
    the bytes of a chunk of data lie in the rank's state. `encoded`: what the rank offers, where a commit is encoded."""
    nbytes = span[1] - span[0]
    stream = task.to(rank, READ, custodian)
    if stream is None:
        return LocalSource(task, label, rank, position)
    there = [(start, min(stop, nbytes)) for start, stop in tiles if start < nbytes]
    is_data = position < task.geometry(rank).d
    if is_data and task.links.peer_maps is not None and stream.passes_files:
        task.links.count(label, sum(stop - start for start, stop in there))
        home, known = (rank, task.agent_of(rank, custodian)), encoded.since if encoded else None
        view = task.links.peer_maps.asked(stream, label, home, position, nbytes, known=known, start=span[0])
        return MappedSource(stream, label, rank, view, steady=encoded is not None)
    return StreamedSource(stream, label, rank, position, there, steady=encoded is not None)
