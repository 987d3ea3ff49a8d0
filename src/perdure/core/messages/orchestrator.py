"""Messages from the orchestrator to agents. A message with a `reach` is relayed by agents to other agents."""

from __future__ import annotations

from perdure.core.ids import Ballot, Label
from perdure.core.messages.values import DecodeTask, Reach, RestoreSource
from perdure.core.plan import Plan, PlanChange
from perdure.core.records import Record


class Greet(Record, frozen=True, kw_only=True):
    """A new orchestrator asks the agent for all facts that it knows (rules D7, C5).

    `round` is that of the new orchestrator, higher than any before.
    """

    round: int


class Seal(Record, frozen=True, kw_only=True):
    """Stop this generation, freeze its labels, and report them (rule D1). The receiver has the plan of this generation."""

    ballot: Ballot
    generation: int
    reach: Reach | None = None


class Accept(Record, frozen=True, kw_only=True):
    """Vote for the next plan, given as a change of the current plan, unless a higher ballot was promised (rule D4)."""

    ballot: Ballot
    generation: int
    change: PlanChange
    reach: Reach | None = None


class AskPlan(Record, frozen=True, kw_only=True):
    """Send the plan that is installed at the agent, because it is newer than the orchestrator's (rule D7)."""


class Install(Record, frozen=True, kw_only=True):
    """Install this chosen plan (rule D6)."""

    plan: Plan
    restore: tuple[RestoreSource, ...]
    reach: Reach | None = None


class Amend(Record, frozen=True, kw_only=True):
    """Install the chosen plan of this generation, given as a change of the previous plan (rule D6).

    Of 100,000 placements, only a few differ. `since`: with a reach, the generation whose `Resume` sent the addresses that are not repeated.
    """

    generation: int
    change: PlanChange
    restore: tuple[RestoreSource, ...]
    since: int = 0
    reach: Reach | None = None


class Assign(Record, frozen=True, kw_only=True):
    """Decode these stripes (rule R1). The orchestrator may repeat and change this assignment."""

    generation: int
    tasks: tuple[DecodeTask, ...]


class Resume(Record, frozen=True, kw_only=True):
    """Every rank is ready, so workers enter `main` (rule R4).

    `addresses` are the (rank, address) pairs of the communicator that differ from those in the `Resume` of generation `since`; with
    `since` 0, those of all ranks. `whole`: the addresses of all ranks in order, instead of `addresses`.
    """

    generation: int
    since: int
    addresses: tuple[tuple[int, str], ...]
    whole: tuple[str, ...] = ()
    reach: Reach | None = None


class Committed(Record, frozen=True, kw_only=True):
    """Every rank has prepared the label (rule C6). `next_position` is that of rank 0's offer (rule C1); -1: none."""

    label: Label
    next_position: int


class Hold(Record, frozen=True, kw_only=True):
    """Let the ranks wait at their next commit position, because a move is planned (rule E3).

    They wait at labels newer than `after` until the generation is revoked; with None they do not wait. A new orchestrator repeats the
    message.
    """

    generation: int
    after: Label | None


class Reserve(Record, frozen=True, kw_only=True):
    """Allocate and touch memory of these sizes on a spare, so that a rebuild does not wait for it (rule R1)."""

    snapshot_bytes: int
    parity_bytes: int
    ranks: int


class AskResult(Record, frozen=True, kw_only=True):
    """Report the traffic, and send the result item at this label if rank 0 is hosted here (rule C10)."""

    label: Label


class AskAlive(Record, frozen=True, kw_only=True):
    """Answer with the same nonce, which proves that all earlier messages of the agent were received (rules W3, T2, T6)."""

    nonce: int


class EndJob(Record, frozen=True, kw_only=True):
    """The job is over: end the workers and the agent (rules C10, L7)."""

    reason: str
