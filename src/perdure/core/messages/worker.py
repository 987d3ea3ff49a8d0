"""Messages between an agent and its workers."""

from __future__ import annotations

from perdure.core.ids import Label
from perdure.core.messages.values import RankCosts
from perdure.core.records import Record
from perdure.core.snapshot_index import SnapshotIndex

# ---- agent -> worker ------------------------------------------------------------------------------------------------------


class Enter(Record, frozen=True, kw_only=True):
    """Enter `main` in this generation; sent only after `Resume` (rule R4)."""

    generation: int
    size: int
    addresses: tuple[str, ...]
    incarnations: tuple[int, ...]
    base: Label | None
    slot: int
    offer: SnapshotIndex | None
    positions: tuple[int, int]
    protection: float


class MayCopy(Record, frozen=True, kw_only=True):
    """Copy the state for this label into the given slot (rule C2).

    `since`: the label whose bytes are still in the slot (rule C4'). `hold_after`: after the copy of a label newer than this one, the rank
    waits until the generation is revoked (rule E3); None: it does not wait.
    """

    label: Label
    slot: int
    since: Label | None = None
    hold_after: Label | None = None


class LabelCommitted(Record, frozen=True, kw_only=True):
    """The label is committed; `positions` are the commit positions known beyond it (rules C1, C6). `hold_after`: as in `MayCopy`."""

    label: Label
    positions: tuple[int, ...]
    protect_s: float
    hold_after: Label | None = None


class Revoke(Record, frozen=True, kw_only=True):
    """The generation is over: unwind `main` (rules D1, W1)."""

    generation: int


class Pause(Record, frozen=True, kw_only=True):
    """Stop sending frames of this generation (`paused`), or continue (rule T4)."""

    generation: int
    paused: bool


class EndWorker(Record, frozen=True, kw_only=True):
    """Exit the worker process (rule C10)."""


# ---- worker -> agent ------------------------------------------------------------------------------------------------------


class Loaded(Record, frozen=True, kw_only=True):
    """The program is imported, and the communicator listens at `address` (rule W1)."""

    address: str
    pid: int


class AtPosition(Record, frozen=True, kw_only=True):
    """The rank is at a commit position and asks for a slot (rule C1)."""

    label: Label


class Snapped(Record, frozen=True, kw_only=True):
    """The copy of the state is complete (rule C2)."""

    label: Label
    offer: SnapshotIndex
    costs: RankCosts


class Unwound(Record, frozen=True, kw_only=True):
    """`main` is unwound (rule W1). `clean` is false if threads that it started are still running."""

    generation: int
    clean: bool


class MainRaised(Record, frozen=True, kw_only=True):
    """`main` raised an exception other than `GenerationRevoked` (rule W3)."""

    generation: int
    error: str
    text: str


class BaseWrong(Record, frozen=True, kw_only=True):
    """The base was corrupted after its check; the rank has not entered `main`, and waits for the revoke (rule R5)."""

    generation: int


class PeerSuspected(Record, frozen=True, kw_only=True):
    """The connection to another rank ended, and the generation is not revoked (rule T8)."""

    rank: int
