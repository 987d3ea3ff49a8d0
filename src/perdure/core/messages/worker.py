"""What an agent and its workers say to one another."""

from __future__ import annotations

from perdure.core.ids import Label
from perdure.core.messages.values import RankCosts
from perdure.core.records import Record
from perdure.core.snapshot_index import SnapshotIndex

# ---- agent -> worker ------------------------------------------------------------------------------------------------------


class Enter(Record, frozen=True, kw_only=True):
    """Enter `main` of this generation (sent only after `Resume`)."""

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
    """The rank may copy its state for this label into that slot. `since`: the label whose bytes still lie there (rule C4').
    `hold_after`: at labels newer than this one the rank waits after its copy until it is revoked (rule E3); None: it does not."""

    label: Label
    slot: int
    since: Label | None = None
    hold_after: Label | None = None


class LabelCommitted(Record, frozen=True, kw_only=True):
    """To the worker: committed, and the positions known so far beyond it. `hold_after`: as of `MayCopy`."""

    label: Label
    positions: tuple[int, ...]
    protect_s: float
    hold_after: Label | None = None


class Revoke(Record, frozen=True, kw_only=True):
    """The generation is over: unwind."""

    generation: int


class Pause(Record, frozen=True, kw_only=True):
    """Let no frame of this generation leave (`paused`), or go on (rule T4)."""

    generation: int
    paused: bool


class EndWorker(Record, frozen=True, kw_only=True):
    """Exit."""


# ---- worker -> agent ------------------------------------------------------------------------------------------------------


class Loaded(Record, frozen=True, kw_only=True):
    """The program is imported and the communicator listens."""

    address: str
    pid: int


class AtPosition(Record, frozen=True, kw_only=True):
    """The rank wants to copy its state for this label."""

    label: Label


class Snapped(Record, frozen=True, kw_only=True):
    """The copy is complete."""

    label: Label
    offer: SnapshotIndex
    costs: RankCosts


class Unwound(Record, frozen=True, kw_only=True):
    """`main` has been left. `clean` is false when threads that it started still live (rule W1)."""

    generation: int
    clean: bool


class MainRaised(Record, frozen=True, kw_only=True):
    """`main` raised something other than `GenerationRevoked`."""

    generation: int
    error: str
    text: str


class BaseWrong(Record, frozen=True, kw_only=True):
    """What the rank was to start from has changed since it was checked; the rank has not begun, and waits to be revoked (rule R5)."""

    generation: int


class PeerSuspected(Record, frozen=True, kw_only=True):
    """The communicator saw the connection of another rank end, and no revoke."""

    rank: int
