"""What orchestrator, agents and workers say to one another. Values only; `perdure.wire` makes bytes of them.

`prepared`, `committed`, `resume` are facts: once true they stay true, anyone may repeat them, and hearing one twice changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

from perdure.core.ids import Ballot, Label
from perdure.core.offers import Offer
from perdure.core.plan import Plan, PlanChange

# ---- values inside messages -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelReport:
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


@dataclass(frozen=True, slots=True, kw_only=True)
class UsualLabel:
    """A label that many ranks hold, all of them whole. Its size does not depend on how many they are.

    Attributes:
        differs: the values of replicated items are not the same on all of them.
        witnesses: (rank, `LabelReport.common`) of a few of them, drawn without regard to what they hold (`perdure.core.tree`).
    """

    label: Label
    differs: bool
    witnesses: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RankReport:
    """One rank in an agent's answer: the worker's incarnation, whether that worker lives, and the labels held."""

    rank: int
    incarnation: int
    worker_lives: bool
    labels: tuple[LabelReport, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemDigest:
    """One declared item on one rank: a checksum of what must be equal on all ranks (`Item.signature`), and the digest of its value."""

    name: str
    kind: str
    signature: int
    digest: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DecodeTask:
    """Rebuild some chunks of one stripe: `sources` and `wanted` are (code position, rank). Exactly d sources."""

    label: Label
    group: int
    stripe: int
    sources: tuple[tuple[int, int], ...]
    wanted: tuple[tuple[int, int], ...]
    urgent: bool
    """Some wanted chunk is data: the job cannot resume without it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunks:
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


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoreSource:
    """Where the new holder of `rank` finds the group's offers, and the bytes of replicated items (-1: there are none left)."""

    rank: int
    offers_from: int
    replicated_from_rank: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RankCosts:
    """What a rank measured since the last such report: seconds held up by commits, application bytes, replay."""

    protect_s: float
    application_bytes: int
    live_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """For whom a word is that agents pass on (`perdure.core.tree`): the ranks from `first` up to `stop`, which is not included.

    Its receiver holds `first`. `without`: agents that are lost, or are spoken to by the orchestrator itself.
    """

    first: int
    stop: int
    without: tuple[int, ...]


# ---- orchestrator -> agent; with a reach, agent -> agent too --------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Greet:
    """A new orchestrator asks for the facts. `round` is its own, higher than any before."""

    round: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Seal:
    """Stop this generation, freeze its labels, and say what there is (rule D1). Members have its plan, which may be megabytes."""

    ballot: Ballot
    generation: int
    reach: Reach | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Install:
    """A chosen plan (rule D6)."""

    plan: Plan
    restore: tuple[RestoreSource, ...]
    reach: Reach | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Amend:
    """The chosen plan of this generation, to those who have the one before it (rule D6): of 100,000 placements a few differ.

    `since`: with a reach, the generation whose `Resume` has told the addresses that need not be told again.
    """

    generation: int
    change: PlanChange
    restore: tuple[RestoreSource, ...]
    since: int = 0
    reach: Reach | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Assign:
    """Decode these stripes (rule R1). Soft: may be repeated and changed."""

    generation: int
    tasks: tuple[DecodeTask, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Resume:
    """Every rank is ready (rule R4). `addresses` are (rank, address) of the communicator, where they differ from those that the `Resume` of
    generation `since` has told; of all ranks with `since` 0. `whole`: the addresses of all ranks in their order, in place of `addresses`.
    """

    generation: int
    since: int
    addresses: tuple[tuple[int, str], ...]
    whole: tuple[str, ...] = ()
    reach: Reach | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Committed:
    """Every rank has prepared the label (rule C6). `next_position` repeats what rank 0's offer says (rule C1); -1: nothing."""

    label: Label
    next_position: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Reserve:
    """To a spare: have memory of these sizes ready and touched, so that a rebuild need not wait for it."""

    snapshot_bytes: int
    parity_bytes: int
    ranks: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AskResult:
    """Say what was sent; and whoever hosts rank 0, send its result item at this label."""

    label: Label


@dataclass(frozen=True, slots=True, kw_only=True)
class AskAlive:
    """Answer with the same nonce: everything that you said before is then known (rule W3)."""

    nonce: int


@dataclass(frozen=True, slots=True, kw_only=True)
class EndJob:
    """The job is over; end the workers and yourself."""

    reason: str


# ---- agent -> orchestrator ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """The answer to `Greet`: everything that the agent knows and that a new orchestrator cannot."""

    generation: int
    phase: str
    resumed: bool
    ranks: tuple[RankReport, ...]
    ready: tuple[tuple[int, str], ...]
    silent: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sealed:
    """The answer to `Seal`, given once no link of the generation moves any more. `positions` are all commit positions known."""

    ballot: Ballot
    generation: int
    ranks: tuple[RankReport, ...]
    positions: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Newer:
    """The answer to a `Seal` of a generation that has a successor already."""

    generation: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Installed:
    """The plan is installed and memory for the ranks it places here is there."""

    generation: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """The rank's data is present and verified, and its worker can enter `main` (rule R3)."""

    generation: int
    rank: int
    address: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Gathered:
    """The answer of all ranks from `first` up to `stop` but `missing`, as one; to whoever asked them (`perdure.core.tree`).

    Attributes:
        milestone: what they have reached, a `perdure.core.tree.Milestone`.
        ballot: of the seal that is answered; (0, 0) for the others, which are facts.
        labels: held whole by each of these ranks but `others`; None: there is no such rank.
        others: who holds anything but whole labels.
        positions: all commit positions known.
        addresses: (rank, address) of the communicator, where they are new.
    """

    milestone: str
    generation: int
    ballot: Ballot
    first: int
    stop: int
    missing: tuple[int, ...] = ()
    labels: tuple[UsualLabel, ...] | None = None
    others: tuple[RankReport, ...] = ()
    positions: tuple[int, ...] = ()
    addresses: tuple[tuple[int, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class StillGathering:
    """Said while an answer is not complete: the one who gathers it lives, and need not be passed by."""

    milestone: str
    generation: int
    first: int
    stop: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """Rank `rank` has prepared the label (rule C5): a fact, told to the orchestrator and to all agents.

    Attributes:
        digests: of every declared item.
        next_position: from rank 0: the superstep of the commit after the next one; -1 otherwise.
        ended_at: the superstep at which the loop ended, for the END label; -1 otherwise.
    """

    label: Label
    rank: int
    digests: tuple[ItemDigest, ...]
    next_position: int
    ended_at: int
    snapshot_bytes: int
    parity_bytes: int
    costs: RankCosts


@dataclass(frozen=True, slots=True, kw_only=True)
class Offered:
    """Rank `rank` has copied its state for the label. Shows who waits at the end for whom (rule C10).

    Attributes:
        ended_at: as in an offer.
        before: the superstep of the label that the rank had copied, or started from, before this one; -1: none.
    """

    label: Label
    rank: int
    ended_at: int
    before: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """Bytes of chunks that this agent has put on links since its start: for commits, and for rebuilds. Headers are not counted."""

    label: Label
    parity: int
    rebuild: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Rebuilt:
    """All data (`parity` false) or all chunks (`parity` true) of a rank are back."""

    generation: int
    rank: int
    nbytes: int
    parity: bool
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunksLost:
    """Chunks of a rank's base were found wrong by their digest before `main` went on from them (rule R5); `wrong` is empty where the next
    check has to find out which."""

    generation: int
    rank: int
    label: Label
    wrong: Chunks


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunksWrong:
    """Chunks of a committed label were found wrong by the scrub; they are erasures from now on, and are being repaired (rule S2)."""

    generation: int
    rank: int
    label: Label
    wrong: Chunks


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunksRepaired:
    """These chunks have their digests again; `left` could not be repaired, and are gone until the next commit (rule S4)."""

    generation: int
    rank: int
    label: Label
    repaired: Chunks
    left: Chunks


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerStarted:
    """A worker process runs and has the program loaded."""

    generation: int
    rank: int
    incarnation: int
    pid: int


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerLost:
    """A worker's process has ended, or was ended because it made no progress."""

    generation: int
    rank: int
    incarnation: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Raised:
    """`main` raised on this rank; `error` is a name of `perdure.errors`."""

    generation: int
    rank: int
    error: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class JobError:
    """The agent found what no rank can go on from, such as offers that do not fit together."""

    generation: int
    error: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerSilent:
    """No heartbeat of that agent for the time after which it counts as lost (rule T2)."""

    agent: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerHeard:
    """That agent is heard again."""

    agent: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """The farthest superstep of this generation, of `count` (-1: not known); and per rank: inside a job call for how long (s; -1: in user
    code), and frames moved so far.
    """

    superstep: int
    inside_s: tuple[tuple[int, float, str, int], ...]
    count: int = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """The bytes of the result item of rank 0."""

    payload: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class AskAddresses:
    """The `Resume` of this generation builds on one that never came here."""

    generation: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Alive:
    """The answer to `AskAlive`."""

    nonce: int


# ---- agent -> agent -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Heartbeat:
    """`number` counts up; `echo` is the highest number heard from the receiver (rule T4)."""

    number: int
    echo: int
    generation: int


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupOffer:
    """A rank's offer, to the agents of its group (rule C3)."""

    label: Label
    offer: Offer


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
    offer: Offer | None
    positions: tuple[int, int]
    protection: float


@dataclass(frozen=True, slots=True, kw_only=True)
class MayCopy:
    """The rank may copy its state for this label into that slot."""

    label: Label
    slot: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelCommitted:
    """To the worker: committed, and the positions known so far beyond it."""

    label: Label
    positions: tuple[int, ...]
    protect_s: float


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
    offer: Offer
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
    """The communicator saw the connection of another rank end."""

    rank: int


ToAgent = Greet | Seal | Install | Amend | Assign | Resume | Committed | Reserve | AskResult | AskAlive | EndJob
FromAgent = (
    Gathered | StillGathering | Status | Sealed | Newer | Installed | Ready | Offered | Prepared | Traffic | Rebuilt | ChunksLost
    | ChunksWrong | ChunksRepaired
    | WorkerStarted | WorkerLost | AskAddresses | Raised | JobError | PeerSilent | PeerHeard | Progress | Result | Alive | Heartbeat
)  # fmt: skip
Relayed = Seal | Install | Amend | Resume
ToPeer = Heartbeat | GroupOffer | Prepared | Relayed | Gathered | StillGathering
ToWorker = Enter | MayCopy | LabelCommitted | Revoke | Pause | EndWorker
FromWorker = Loaded | AtPosition | Snapped | Unwound | MainRaised | BaseWrong | PeerSuspected
Message = ToAgent | FromAgent | ToPeer | ToWorker | FromWorker
