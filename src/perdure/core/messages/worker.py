"""What an agent and its workers say to one another."""

from __future__ import annotations

from dataclasses import dataclass

from perdure.core.ids import Label
from perdure.core.messages.values import RankCosts
from perdure.core.snapshot_index import SnapshotIndex

# ---- agent -> worker ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Enter:
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


@dataclass(frozen=True, slots=True, kw_only=True)
class MayCopy:
    """The rank may copy its state for this label into that slot. `since`: the label whose bytes still lie there (rule C4').
    `hold_after`: at labels newer than this one the rank waits after its copy until it is revoked (rule E3); None: it does not."""

    label: Label
    slot: int
    since: Label | None = None
    hold_after: Label | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelCommitted:
    """To the worker: committed, and the positions known so far beyond it. `hold_after`: as of `MayCopy`."""

    label: Label
    positions: tuple[int, ...]
    protect_s: float
    hold_after: Label | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Revoke:
    """The generation is over: unwind."""

    generation: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause:
    """Let no frame of this generation leave (`paused`), or go on (rule T4)."""

    generation: int
    paused: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class EndWorker:
    """Exit."""


# ---- worker -> agent ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """The program is imported and the communicator listens."""

    address: str
    pid: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AtPosition:
    """The rank wants to copy its state for this label."""

    label: Label


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapped:
    """The copy is complete."""

    label: Label
    offer: SnapshotIndex
    costs: RankCosts


@dataclass(frozen=True, slots=True, kw_only=True)
class Unwound:
    """`main` has been left. `clean` is false when threads that it started still live (rule W1)."""

    generation: int
    clean: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class MainRaised:
    """`main` raised something other than `GenerationRevoked`."""

    generation: int
    error: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BaseWrong:
    """What the rank was to start from has changed since it was checked; the rank has not begun, and waits to be revoked (rule R5)."""

    generation: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerSuspected:
    """The communicator saw the connection of another rank end, and no revoke."""

    rank: int
