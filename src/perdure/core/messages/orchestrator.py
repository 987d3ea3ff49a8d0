"""What the orchestrator says to agents; with a reach, agents pass it on to other agents."""

from __future__ import annotations

from perdure.core.ids import Ballot, Label
from perdure.core.messages.values import DecodeTask, Reach, RestoreSource
from perdure.core.plan import Plan, PlanChange
from perdure.core.records import Record


class Greet(Record, frozen=True, kw_only=True):
    """A new orchestrator asks for the facts. `round` is its own, higher than any before."""

    round: int


class Seal(Record, frozen=True, kw_only=True):
    """Stop this generation, freeze its labels, and say what there is (rule D1). Members have its plan, which may be megabytes."""

    ballot: Ballot
    generation: int
    reach: Reach | None = None


class Accept(Record, frozen=True, kw_only=True):
    """Vote for the plan of this generation, which differs so from the one before it, unless a higher ballot has your promise (rule D4)."""

    ballot: Ballot
    generation: int
    change: PlanChange
    reach: Reach | None = None


class AskPlan(Record, frozen=True, kw_only=True):
    """Send the plan that is installed there: it is newer than any that this orchestrator has (rule D7)."""


class Install(Record, frozen=True, kw_only=True):
    """A chosen plan (rule D6)."""

    plan: Plan
    restore: tuple[RestoreSource, ...]
    reach: Reach | None = None


class Amend(Record, frozen=True, kw_only=True):
    """The chosen plan of this generation, to those who have the one before it (rule D6): of 100,000 placements a few differ.

    `since`: with a reach, the generation whose `Resume` has told the addresses that need not be told again.
    """

    generation: int
    change: PlanChange
    restore: tuple[RestoreSource, ...]
    since: int = 0
    reach: Reach | None = None


class Assign(Record, frozen=True, kw_only=True):
    """Decode these stripes (rule R1). Soft: may be repeated and changed."""

    generation: int
    tasks: tuple[DecodeTask, ...]


class Resume(Record, frozen=True, kw_only=True):
    """Every rank is ready (rule R4). `addresses` are (rank, address) of the communicator, where they differ from those that the `Resume` of
    generation `since` has told; of all ranks with `since` 0. `whole`: the addresses of all ranks in their order, in place of `addresses`.
    """

    generation: int
    since: int
    addresses: tuple[tuple[int, str], ...]
    whole: tuple[str, ...] = ()
    reach: Reach | None = None


class Committed(Record, frozen=True, kw_only=True):
    """Every rank has prepared the label (rule C6). `next_position` repeats what rank 0's offer says (rule C1); -1: nothing."""

    label: Label
    next_position: int


class Hold(Record, frozen=True, kw_only=True):
    """Have the ranks wait at their next commit position until they are revoked: at labels newer than `after`. None: they go on (rule E3). A
    level, which a new orchestrator states anew."""

    generation: int
    after: Label | None


class Reserve(Record, frozen=True, kw_only=True):
    """To a spare: have memory of these sizes ready and touched, so that a rebuild need not wait for it."""

    snapshot_bytes: int
    parity_bytes: int
    ranks: int


class AskResult(Record, frozen=True, kw_only=True):
    """Say what was sent; and whoever hosts rank 0, send its result item at this label."""

    label: Label


class AskAlive(Record, frozen=True, kw_only=True):
    """Answer with the same nonce: everything that you said before is then known (rule W3)."""

    nonce: int


class EndJob(Record, frozen=True, kw_only=True):
    """The job is over; end the workers and yourself."""

    reason: str
