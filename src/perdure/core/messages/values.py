"""Values inside messages."""

from __future__ import annotations

from perdure.core.ids import Ballot, Label
from perdure.core.interval import Choice
from perdure.core.plan import PlanChange
from perdure.core.records import Record


class LabelReport(Record, frozen=True, kw_only=True):
    """What an agent holds of one label of one rank. Bit i of a mask is set when chunk i is present; `data` has d bits, `parity` m.

    Attributes:
        prepared: the rank has prepared it. That stays true when a chunk turns out to be wrong later.
        replicated: the replicated region is here, and right as far as is known.
        common: a checksum of the values of its replicated items.
    """

    label: Label
    prepared: bool
    data: int
    parity: int
    replicated: bool = True
    common: int = 0


class UsualLabel(Record, frozen=True, kw_only=True):
    """A label that many ranks hold, all of them whole. Its size does not depend on how many they are.

    Attributes:
        differs: the values of replicated items are not the same on all of them.
        witnesses: (rank, `LabelReport.common`) of a few of them, drawn without regard to what they hold (`perdure.core.multicast_tree`).
    """

    label: Label
    differs: bool
    witnesses: tuple[tuple[int, int], ...]


class RankReport(Record, frozen=True, kw_only=True):
    """One rank in an agent's answer: the worker's incarnation, whether that worker lives, and the labels held."""

    rank: int
    incarnation: int
    worker_lives: bool
    labels: tuple[LabelReport, ...]


class ItemDigest(Record, frozen=True, kw_only=True):
    """One declared item on one rank: a checksum of what must be equal on all ranks (`Item.signature`), and the digest of its value."""

    name: str
    kind: str
    signature: int
    digest: int


class Custodian(Record, frozen=True, kw_only=True):
    """An agent outside of the plan that keeps chunks of its base, and where it takes links of the plan's generation (rule D6)."""

    agent: int
    address: str


class DecodeTask(Record, frozen=True, kw_only=True):
    """Rebuild some chunks of one stripe: `sources` and `wanted` are (code position, rank). Exactly d sources; one that is wanted too is
    copied. `kept`: the code positions whose source is a custodian, in place of the rank's home."""

    label: Label
    group: int
    stripe: int
    sources: tuple[tuple[int, int], ...]
    wanted: tuple[tuple[int, int], ...]
    urgent: bool
    """Some wanted chunk is data: the job cannot resume without it."""
    kept: tuple[tuple[int, Custodian], ...] = ()


class Chunks(Record, frozen=True, kw_only=True):
    """Some of what a rank holds of a label: masks of its chunks as in `LabelReport`, and whether the replicated region is meant."""

    data: int = 0
    parity: int = 0
    replicated: bool = False

    def __bool__(self) -> bool:
        return bool(self.data or self.parity or self.replicated)

    def without(self, other: Chunks) -> Chunks:
        """Those that are not among the others."""
        return Chunks(data=self.data & ~other.data, parity=self.parity & ~other.parity, replicated=self.replicated and not other.replicated)

    def named(self) -> list[tuple[str, int]]:
        """Each one: `data`, `parity` or `replicated`, and its number."""
        masks = (("data", self.data), ("parity", self.parity), ("replicated", int(self.replicated)))
        return [(what, number) for what, mask in masks for number in range(mask.bit_length()) if mask >> number & 1]


class RestoreSource(Record, frozen=True, kw_only=True):
    """Where the new holder of `rank` finds the group's offers, and the bytes of replicated items (-1: there are none left): at the homes of
    these ranks, or at a custodian of theirs."""

    rank: int
    offers_from: int
    replicated_from_rank: int
    offers_at: Custodian | None = None
    replicated_at: Custodian | None = None


class RankCosts(Record, frozen=True, kw_only=True):
    """What a rank measured since the last such report: seconds held up by commits, application bytes, replay. `resident_bytes`: of its live
    items, what lies in its live slot (tight mode). `interval`: of rank 0, where it chooses the positions of commits by what they cost."""

    protect_s: float
    application_bytes: int
    live_bytes: int
    resident_bytes: int = 0
    interval: Choice | None = None


class Reach(Record, frozen=True, kw_only=True):
    """For whom a word is that agents pass on (`perdure.core.multicast_tree`): the ranks from `first` up to `stop`, which is not included.

    Its receiver holds `first`. `without`: agents that are lost, or are spoken to by the orchestrator itself.
    """

    first: int
    stop: int
    without: tuple[int, ...]


class Vote(Record, frozen=True, kw_only=True):
    """What an agent has accepted, and in which ballot (rule D4): how the next plan differs from the one of its generation."""

    ballot: Ballot
    change: PlanChange
