"""The seam between a program's side (`perdure.job`, adapters) and the runtime: one generation of one rank.

`perdure.runtime.worker` implements it; tests use one of their own.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn, Protocol

from perdure.core.ids import Label
from perdure.core.snapshot_index import SnapshotIndex
from perdure.mapping import Bytes

if TYPE_CHECKING:
    from perdure.comm import Communicator


@dataclass(frozen=True, slots=True, kw_only=True)
class Base:
    """The committed state that a generation starts from. `slot` is (bytes,) uint8, borrowed and not to be written: see `SnapshotIndex`."""

    superstep: int
    offer: SnapshotIndex
    slot: Bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Previous:
    """The label that a slot holds until another takes its place, and what was offered of it (rule C4')."""

    label: Label
    offer: SnapshotIndex


CHECK_RESTORE = ("off", "first", "always")
"""Never; at the first commit of each object, and when it has parts of a new class; at each commit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RankParameters:
    """What the job gives each rank, the same in all generations.

    Attributes:
        seed: of `job.rng` and of the random states, before they are split by rank.
        commit_every: the operator's word: supersteps, or None for the program's own.
        ranks_on_machine: ranks that share the memory that `available_bytes` counts.
        available_bytes: what the machine had to spare when the job started.
        ranks_per_node: ranks that share a node, and so its failures.
        check_restore: when an object is restored on trial, and compared: one of `CHECK_RESTORE`.
        on_crossing: as of `Settings`.
    """

    seed: int
    commit_every: int | str | None
    ranks_on_machine: int
    available_bytes: int
    ranks_per_node: int = 1
    on_crossing: str = "stop"
    check_restore: str = "first"


class GenerationSession(Protocol):
    """Used by the one thread that runs `main`. Every call but the attributes may raise `GenerationRevoked`."""

    rank: int
    size: int
    generation: int
    parameters: RankParameters
    comm: Communicator
    base: Base | None
    previous: Previous | None
    """After `begin_snapshot`: what the slot still holds, if the copy may leave in place what has not changed."""
    protection: float
    """Bytes of protection for each byte of coded state: two snapshots, or one in tight mode, and two sets of parity."""
    tight: bool
    """Arrays are to lie in `live`, and each commit blocks until it is over (rule M1)."""
    tracks_writes: bool
    """As `Settings.track_writes`; not in tight mode, which copies no array."""
    alone: bool
    """The rank has its process to itself: the global random sources, `current()` and `COMM_WORLD` of the process are its own."""

    def check(self) -> None:
        """Raises if the generation is over. Counts as a sign of life."""

    def inside(self, call: str) -> AbstractContextManager[None]:
        """While the block runs the rank waits inside a job call: it is not hung."""

    def forbid_comm(self, why: str) -> AbstractContextManager[None]:
        """While the block runs every call of `comm` raises `UsageError(why)` (rule P2)."""

    def is_position(self, superstep: int) -> bool:
        """Is it a commit position that rank 0 has chosen? Blocks until the positions are known that far (rule C1)."""

    def next_position(self, superstep: int) -> int:
        """On rank 0, at position `superstep`: the position of the commit after the next one."""

    def begin_snapshot(self, superstep: int) -> None:
        """Blocks until this rank may copy its state (rules C1 and C7)."""

    def slot(self, nbytes: int) -> Bytes:
        """After `begin_snapshot`: where to copy to, at least `nbytes` long. ConfigError when there is no memory."""

    def live(self, start: int, nbytes: int) -> Bytes:
        """In tight mode: the bytes [start, start + nbytes) of what `slot` gives too, for an array to lie in. ConfigError as of `slot`."""

    def finish_snapshot(self, superstep: int, offer: SnapshotIndex, live_bytes: int, resident_bytes: int) -> None:
        """The copy is complete. Blocks until it is committed at the first superstep of a job, at the end, and in tight mode; otherwise it
        does not. `resident_bytes`: of `live_bytes`, what lies in the slot."""

    def base_is_wrong(self) -> NoReturn:
        """The base does not have its digests any more: says so, and waits for the generation in which it is rebuilt."""

    def superstep_reached(self, superstep: int, count: int | None) -> None:
        """The loop hands this superstep to the program; there will be `count`, where that is known."""
