"""Values that are fields of messages."""

from __future__ import annotations

from perdure.core.ids import Ballot, Label
from perdure.core.interval import Choice
from perdure.core.plan import PlanChange
from perdure.core.records import Record


class LabelReport(Record, frozen=True, kw_only=True):
    """The chunks of one label of one rank that an agent holds. Bit i of a mask is set if chunk i is present; `data` has d bits, `parity` m.

    Attributes:
        prepared: the rank has prepared the label. This stays true if a chunk is found corrupt later.
        replicated: the replicated region is present, and not known to be corrupt.
        common: a checksum of the values of the replicated items.
    """

    label: Label
    prepared: bool
    data: int
    parity: int
    replicated: bool = True
    common: int = 0


class UsualLabel(Record, frozen=True, kw_only=True):
    """A label that many ranks hold completely. The size of this report does not depend on the number of ranks.

    Attributes:
        differs: the values of replicated items differ between these ranks.
        witnesses: (rank, `LabelReport.common`) of a few ranks, chosen independently of their data (`perdure.core.multicast_tree`).
    """

    label: Label
    differs: bool
    witnesses: tuple[tuple[int, int], ...]


class RankReport(Record, frozen=True, kw_only=True):
    """An agent's report on one rank: the worker's incarnation, whether the worker is alive, and the labels that the agent holds."""

    rank: int
    incarnation: int
    worker_lives: bool
    labels: tuple[LabelReport, ...]


class ItemDigest(Record, frozen=True, kw_only=True):
    """A declared item on one rank: a checksum of its properties that must be equal on all ranks (`Item.signature`), and its digest."""

    name: str
    kind: str
    signature: int
    digest: int


class Custodian(Record, frozen=True, kw_only=True):
    """An agent outside the plan that keeps chunks of the base, and its address for links of the plan's generation (rule D6)."""

    agent: int
    address: str


class DecodeTask(Record, frozen=True, kw_only=True):
    """A task to rebuild chunks of one stripe. `sources` and `wanted` are (code position, rank); there are exactly d sources, and a source
    that is also wanted is copied. `kept`: the code positions whose source is a custodian instead of the rank's home."""

    label: Label
    group: int
    stripe: int
    sources: tuple[tuple[int, int], ...]
    wanted: tuple[tuple[int, int], ...]
    urgent: bool
    """A wanted chunk is a data chunk, so the job cannot resume without it."""
    kept: tuple[tuple[int, Custodian], ...] = ()


class Chunks(Record, frozen=True, kw_only=True):
    """A set of chunks of a rank's label: masks as in `LabelReport`, and whether the replicated region is included."""

    data: int = 0
    parity: int = 0
    replicated: bool = False

    def __bool__(self) -> bool:
        return bool(self.data or self.parity or self.replicated)

    def without(self, other: Chunks) -> Chunks:
        """Return the chunks that are not in `other`."""
        return Chunks(data=self.data & ~other.data, parity=self.parity & ~other.parity, replicated=self.replicated and not other.replicated)

    def named(self) -> list[tuple[str, int]]:
        """Return the kind (`data`, `parity` or `replicated`) and the number of each chunk."""
        masks = (("data", self.data), ("parity", self.parity), ("replicated", int(self.replicated)))
        return [(what, number) for what, mask in masks for number in range(mask.bit_length()) if mask >> number & 1]


class RestoreSource(Record, frozen=True, kw_only=True):
    """The sources from which the new home of `rank` reads the group's offers and the replicated items (-1: no source is left). A source is
    the home of a rank, or its custodian."""

    rank: int
    offers_from: int
    replicated_from_rank: int
    offers_at: Custodian | None = None
    replicated_at: Custodian | None = None


class RankCosts(Record, frozen=True, kw_only=True):
    """A rank's measurements since its last report: seconds that commits delayed it, bytes that the program sent, bytes of live items.
    `resident_bytes`: bytes of live items in the live slot (tight mode). `interval`: rank 0's choice, if the commit interval is
    automatic."""

    protect_s: float
    application_bytes: int
    live_bytes: int
    resident_bytes: int = 0
    interval: Choice | None = None


class Reach(Record, frozen=True, kw_only=True):
    """The receivers of a message that agents relay (`perdure.core.multicast_tree`): the ranks from `first` to `stop`, excluding `stop`.

    The first receiver hosts the rank `first`. `without`: agents that are lost, or that receive the message from the orchestrator directly.
    """

    first: int
    stop: int
    without: tuple[int, ...]


class Vote(Record, frozen=True, kw_only=True):
    """The change of plan that an agent has accepted, and the ballot (rule D4)."""

    ballot: Ballot
    change: PlanChange
