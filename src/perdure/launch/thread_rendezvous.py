"""The objects that ranks share as threads of one process: the rendezvous at commits, and a `GenerationSession` for each rank.

A commit here protects nothing, because no loss of a thread can be survived. It checks, as with processes, that the ranks agree: the same
items, equal values of replicated items, and an end in the same superstep. Its digests show whether two runs are equal. All ranks wait for
each other at a commit, so a label is complete before the next one begins, and a snapshot is discarded once it is hashed.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import Final, NoReturn

import numpy as np

from perdure.comm import Communicator
from perdure.core import agreement, channel_sums
from perdure.core.ids import END
from perdure.core.interval import GROWTH
from perdure.core.job_events import CommittedEvent, CrossingEvent, JobEvent, ProgressEvent
from perdure.core.progress import AT_THE_END
from perdure.core.snapshot_index import SnapshotIndex
from perdure.errors import GenerationRevoked, InternalError, ProgramExited, UsageError
from perdure.mapping import Bytes
from perdure.runtime.program_threads import any_may_send
from perdure.runtime.session import Base, Previous, RankParameters

PublishEvent = Callable[[JobEvent], None]
"""Gives an event to the thread that runs the job."""
Declared = Callable[[list["Declaration"]], None]
"""A function that is called once with the declarations of all ranks in order, when the first commit is complete."""
PROGRESS_EVERY_S: Final = 0.1
"""Seconds between two progress events, as with agents."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Declaration:
    """The declaration of one rank for one label: `live_bytes` of items, of which `resident_bytes` are in the slot (tight mode), and its
    `offer`."""

    offer: SnapshotIndex
    live_bytes: int
    resident_bytes: int
    sent_bytes: int
    since: float


class Rendezvous:
    """Shared by all ranks; every method may be called by any thread."""

    def __init__(self, size: int, publish: PublishEvent, declared: Declared | None = None, on_crossing: str = "stop") -> None:
        self._size, self._publish, self._declared, self._on_crossing = size, publish, declared, on_crossing
        self._changed = threading.Condition()
        self._snapshots: dict[int, Declaration] = {}
        self._superstep = self._committed = -1
        self.over = False
        self.positions = {0, 1}

    def end(self) -> None:
        """End the job: wake all waiting ranks, which raise `GenerationRevoked`."""
        with self._changed:
            self.over = True
            self._changed.notify_all()

    def check(self) -> None:
        """Raises when the job is over."""
        if self.over:
            raise GenerationRevoked("the job is over")

    def commit(self, superstep: int, mine: Declaration) -> None:
        """Block until all ranks have declared the same label. UsageError: they cannot, or they disagree."""
        with self._changed:
            self.check()
            if self._snapshots and superstep != self._superstep:
                self._refuse(superstep, mine.offer)
            self._superstep = superstep
            self._snapshots[mine.offer.rank] = mine
            if len(self._snapshots) < self._size:
                self._changed.wait_for(lambda: self.over or self._committed >= superstep)
                self.check()
                return
            wrong = agreement.of_offers((one.offer for one in self._snapshots.values()), values=True)
            if wrong:
                raise UsageError(wrong)
            self._look_for_crossing(superstep)
            if self._declared is not None and self._committed < 0:
                self._declared([self._snapshots[rank] for rank in range(self._size)])
            self._publish(_committed(superstep, self._snapshots))
            self.positions.add(self._snapshots[0].offer.next_position)
            self._committed = superstep
            self._snapshots.clear()
            self._changed.notify_all()

    def _look_for_crossing(self, superstep: int) -> None:
        """C11, as of processes."""
        crossing = channel_sums.crossing((one.offer.transit for one in self._snapshots.values()), self._size)
        if crossing and self._on_crossing == "stop":
            raise UsageError(channel_sums.refusal(crossing, superstep))
        if crossing:
            self._publish(CrossingEvent(superstep=superstep, what=crossing))

    def _refuse(self, superstep: int, offer: SnapshotIndex) -> None:
        """Raise an error if another rank waits at a different position, because both would wait for ever."""
        waiting = min(self._snapshots.values(), key=lambda one: one.offer.rank)
        both = [(waiting.offer, self._superstep), (offer, superstep)]
        words = [
            agreement.whereabouts(one.rank, one.ended_at if at == END else at, ended=at == END)
            for one, at in sorted(both, key=lambda pair: -pair[1])
        ]
        raise UsageError(f"{' and '.join(words)}: {agreement.SAME_END}")


def _committed(superstep: int, snapshots: dict[int, Declaration]) -> CommittedEvent:
    """Return the event of a complete label. There are no snapshots after it, and no parity."""
    ranks = [snapshots[rank] for rank in sorted(snapshots)]
    items = [{item.name: item for item in one.offer.items} for one in ranks]
    names = [name for name in items[0] if not name.startswith("__")]
    return CommittedEvent(
        superstep=ranks[0].offer.ended_at if superstep == END else superstep,
        generation=1,
        digests={name: tuple(f"{of_rank[name].digest:016x}" for of_rank in items) for name in names},
        end=superstep == END,
        protect_s=time.monotonic() - max(one.since for one in ranks),
        application_bytes=sum(one.sent_bytes for one in ranks),
        live_bytes=sum(one.live_bytes for one in ranks),
        resident_bytes=0,
        snapshot_bytes=0,
        parity_bytes=0,
        uneven=None,
        interval=None,
    )


class ThreadMonitor:
    """The communicator's `Monitor` of one rank; written by its thread, looked at by the one that waits for all."""

    def __init__(self, fail: Callable[[BaseException], None]) -> None:
        """`fail` ends the job with an error."""
        self._fail = fail
        self.inside = self.forbidden = ""
        self.others: Collection[threading.Thread] = ()
        """Threads that were there before the program ran, and those of the other ranks."""
        self.frames = self.bytes = 0

    def enter(self, call: str) -> None:
        """See `Monitor.enter`."""
        if self.forbidden:
            raise UsageError(f"{call}: {self.forbidden}")
        self.inside = call

    def leave(self) -> None:
        """See `Monitor.leave`."""
        self.inside = ""

    def moved(self, nbytes: int) -> None:
        """See `Monitor.moved`."""
        self.bytes += nbytes
        self.frames += 1

    def progressed(self) -> None:
        """See `Monitor.progressed`."""
        self.frames += 1

    def has_company(self) -> bool:
        """See `Monitor.has_company`."""
        return True

    def waits(self, threads: Collection[int]) -> None:
        """Another thread that the program started may still send what they wait for: that is no deadlock."""
        if any_may_send(threads, self.others):
            self.frames += 1

    def abort(self, error: ProgramExited) -> NoReturn:
        """See `Monitor.abort`."""
        self._fail(error)
        raise GenerationRevoked("the program called Abort")

    def suspect(self, rank: int) -> None:
        """Ignore the end of a rank's thread, because the rendezvous already handles it."""

    def failed(self, error: BaseException) -> None:
        """Raise the error: no other process connects, so it is a defect of perdure."""
        raise error


class ThreadSession:
    """`GenerationSession` of a rank that is a thread."""

    generation = 1
    base: Base | None = None
    previous: Previous | None = None
    protection = 1.0
    """The snapshot, while it is hashed."""
    alone = False
    tracks_writes = False

    def __init__(
        self,
        rendezvous: Rendezvous,
        monitor: ThreadMonitor,
        comm: Communicator,
        parameters: RankParameters,
        publish: PublishEvent,
        *,
        tight: bool = False,
    ) -> None:
        """`tight`: arrays are laid out as they would be in a live slot, and no further."""
        self.tight = tight
        self._rendezvous, self._monitor, self._publish = rendezvous, monitor, publish
        self.comm, self.parameters = comm, parameters
        self.rank, self.size = comm.rank, comm.size
        self._snapped_since = self._told_at = 0.0
        self._sent_bytes = 0

    def check(self) -> None:
        self._rendezvous.check()

    @contextlib.contextmanager
    def inside(self, call: str) -> Iterator[None]:
        self.check()
        self._monitor.inside = call
        try:
            yield
        finally:
            self._monitor.inside = ""

    @contextlib.contextmanager
    def forbid_comm(self, why: str) -> Iterator[None]:
        self._monitor.forbidden = why
        try:
            yield
        finally:
            self._monitor.forbidden = ""

    def is_position(self, superstep: int) -> bool:
        return superstep in self._rendezvous.positions

    def next_position(self, superstep: int) -> int:
        """Return the next position. Commits protect nothing here, so they are as rare as processes allow."""
        following = min(position for position in self._rendezvous.positions if position > superstep)
        return following + GROWTH * (following - superstep)

    def begin_snapshot(self, superstep: int) -> None:
        self.check()
        self._snapped_since = time.monotonic()

    def slot(self, nbytes: int) -> Bytes:
        return np.empty(nbytes, np.uint8)

    def live(self, start: int, nbytes: int) -> Bytes:
        return np.zeros(nbytes, np.uint8)

    def finish_snapshot(self, superstep: int, offer: SnapshotIndex, live_bytes: int, resident_bytes: int) -> None:
        sent = self._monitor.bytes - self._sent_bytes
        self._sent_bytes += sent
        mine = Declaration(offer=offer, live_bytes=live_bytes, resident_bytes=resident_bytes, sent_bytes=sent, since=self._snapped_since)
        with self.inside(AT_THE_END if superstep == END else "supersteps"):
            self._rendezvous.commit(superstep, mine)

    def base_is_wrong(self) -> NoReturn:
        raise InternalError("the engine threads has no recoveries, so a rank has no base label")

    def superstep_reached(self, superstep: int, count: int | None) -> None:
        self.check()
        now = time.monotonic()
        if self.rank == 0 and now - self._told_at >= PROGRESS_EVERY_S:
            self._told_at = now
            self._publish(ProgressEvent(superstep=superstep, count=None if count is None else int(count)))
