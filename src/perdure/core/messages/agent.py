"""What an agent says to the orchestrator and to other agents."""

from __future__ import annotations

from perdure.core.channel_sums import NOTHING, Transit
from perdure.core.ids import Ballot, Label
from perdure.core.messages.values import Chunks, ItemDigest, RankCosts, RankReport, UsualLabel, Vote
from perdure.core.plan import Plan
from perdure.core.records import Record
from perdure.core.snapshot_index import SnapshotIndex


class AgentStatus(Record, frozen=True, kw_only=True):
    """The answer to `Greet`: everything that the agent knows and that a new orchestrator cannot."""

    generation: int
    phase: str
    resumed: bool
    ranks: tuple[RankReport, ...]
    ready: tuple[tuple[int, str], ...]
    silent: tuple[int, ...]
    holds: bool = False
    """Its ranks hold at their next commit position (rule E3)."""


class Sealed(Record, frozen=True, kw_only=True):
    """The answer to `Seal`, given once no link of the generation moves any more. `positions` are all commit positions known; `accepted` is
    the newest vote for the next generation; `kept`: what this member keeps of ranks that live elsewhere now (rule E10)."""

    ballot: Ballot
    generation: int
    ranks: tuple[RankReport, ...]
    positions: tuple[int, ...]
    accepted: Vote | None = None
    kept: tuple[RankReport, ...] = ()


class Accepted(Record, frozen=True, kw_only=True):
    """The answer to `Accept`: the votes of this agent's ranks (rule D4)."""

    ballot: Ballot


class Newer(Record, frozen=True, kw_only=True):
    """The answer to a word of a generation that has a successor already: which is installed here."""

    generation: int


class InstalledPlan(Record, frozen=True, kw_only=True):
    """The answer to `AskPlan` (rule D7)."""

    plan: Plan


class Installed(Record, frozen=True, kw_only=True):
    """The plan is installed and memory for the ranks it places here is there."""

    generation: int


class Ready(Record, frozen=True, kw_only=True):
    """The rank's data is present and verified, and its worker can enter `main` (rule R3). `transit`: of its offer (rule C11)."""

    generation: int
    rank: int
    address: str
    transit: Transit = NOTHING


class Custody(Record, frozen=True, kw_only=True):
    """The answer to an `Install` of a plan that this agent has no rank in: what it keeps of the base. It was checked, and can be read here
    in links of that generation (rule D6)."""

    generation: int
    ranks: tuple[RankReport, ...]


class Gathered(Record, frozen=True, kw_only=True):
    """The answer of all ranks from `first` up to `stop` but `missing`, as one; to whoever asked them (`perdure.core.multicast_tree`).

    Attributes:
        milestone: what they have reached, a `perdure.core.multicast_tree.Milestone`.
        ballot: of the seal, or of the vote, that is answered; (0, 0) for the others, which are facts.
        labels: held whole by each of these ranks but `others`; None: there is no such rank.
        others: who holds anything but whole labels.
        positions: all commit positions known.
        addresses: (rank, address) of the communicator, where they are new.
        accepted: with a seal, the newest vote of any of these ranks for the next generation.
        transits: (rank, `Ready.transit`), where something is in transit.
        kept: with a seal, (agent, `Sealed.kept`) of those that keep something.
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
    accepted: Vote | None = None
    transits: tuple[tuple[int, Transit], ...] = ()
    kept: tuple[tuple[int, RankReport], ...] = ()


class StillGathering(Record, frozen=True, kw_only=True):
    """Said while an answer is not complete: the one who gathers it lives, and need not be passed by."""

    milestone: str
    generation: int
    first: int
    stop: int


class Prepared(Record, frozen=True, kw_only=True):
    """Rank `rank` has prepared the label (rule C5): a fact, told to the orchestrator and to all agents.

    Attributes:
        digests: of every declared item.
        next_position: from rank 0: the superstep of the commit after the next one; -1 otherwise.
        ended_at: the superstep at which the loop ended, for the END label; -1 otherwise.
        coded_bytes: of the snapshot, what parity is computed from.
        snapshot_bytes: of one slot.
        parity_bytes: of one set.
        transit: of its offer (rule C11).
    """

    label: Label
    rank: int
    digests: tuple[ItemDigest, ...]
    next_position: int
    ended_at: int
    coded_bytes: int
    snapshot_bytes: int
    parity_bytes: int
    costs: RankCosts
    transit: Transit = NOTHING


class Offered(Record, frozen=True, kw_only=True):
    """Rank `rank` has copied its state for the label: said of the last one at once, of another if it is not committed soon. Shows who waits
    at the end for whom (rule C10).

    Attributes:
        ended_at: as in an offer.
        before: the superstep of the label that the rank had copied, or started from, before this one; -1: none.
    """

    label: Label
    rank: int
    ended_at: int
    before: int


class Traffic(Record, frozen=True, kw_only=True):
    """Bytes of chunks that this agent has put on links since its start: for commits, and for rebuilds. Headers are not counted."""

    label: Label
    parity: int
    rebuild: int


class Rebuilt(Record, frozen=True, kw_only=True):
    """All data (`parity` false) or all chunks (`parity` true) of a rank are back."""

    generation: int
    rank: int
    nbytes: int
    parity: bool
    seconds: float


class ChunksLost(Record, frozen=True, kw_only=True):
    """Chunks of a rank's base were found wrong by their digest before `main` went on from them (rule R5); `wrong` is empty where the next
    check has to find out which."""

    generation: int
    rank: int
    label: Label
    wrong: Chunks


class ChunksWrong(Record, frozen=True, kw_only=True):
    """Chunks of a committed label were found wrong by the scrub; they are erasures from now on, and are being repaired (rule S2)."""

    generation: int
    rank: int
    label: Label
    wrong: Chunks


class ChunksRepaired(Record, frozen=True, kw_only=True):
    """These chunks have their digests again; `left` could not be repaired, and are gone until the next commit (rule S4)."""

    generation: int
    rank: int
    label: Label
    repaired: Chunks
    left: Chunks


class WorkerStarted(Record, frozen=True, kw_only=True):
    """A worker process runs and has the program loaded."""

    generation: int
    rank: int
    incarnation: int
    pid: int


class WorkerLost(Record, frozen=True, kw_only=True):
    """A worker's process has ended, or was ended because it made no progress."""

    generation: int
    rank: int
    incarnation: int
    reason: str


class RankLinkEnded(Record, frozen=True, kw_only=True):
    """The connection of a rank, or of its agent, with another one failed: the other one is about to be lost, or none is and both wait for
    ever (rule T8).

    `label`: the label that the agents were encoding or rebuilding; None for a connection of the ranks themselves.
    """

    generation: int
    rank: int
    other: int
    label: Label | None = None


class Raised(Record, frozen=True, kw_only=True):
    """`main` raised on this rank; `error` is a name of `perdure.errors`."""

    generation: int
    rank: int
    error: str
    text: str


class JobError(Record, frozen=True, kw_only=True):
    """The agent found what no rank can go on from, such as offers that do not fit together."""

    generation: int
    error: str
    text: str


class PeerUnheard(Record, frozen=True, kw_only=True):
    """No heartbeat of that agent for all but `suspect_s` of that time: no more than a doubt (rule T2)."""

    agent: int


class PeerSilent(Record, frozen=True, kw_only=True):
    """No heartbeat of that agent for the time after which it counts as lost (rule T2)."""

    agent: int


class PeerHeard(Record, frozen=True, kw_only=True):
    """That agent is heard again: takes back either word."""

    agent: int


class Progress(Record, frozen=True, kw_only=True):
    """How far some ranks are, as one (`perdure.core.progress`): those of an agent, or of all agents of a part of the tree.

    Attributes:
        ranks: how many.
        superstep: the farthest of this generation, of `count` (-1: not known).
        frames: moved so far, of all.
        inside_s: all have been inside a job call for so long or longer (s); -1: some are in user code.
        in_comm: how many are inside a call of the communicator.
        elsewhere: how many are inside another call, but for the wait at the end of `main`.
        calls: of the first ranks, the call that each is inside of.
    """

    generation: int
    ranks: int
    superstep: int
    frames: int
    inside_s: float
    in_comm: int
    elsewhere: int
    calls: tuple[tuple[int, str], ...]
    count: int = -1


class Result(Record, frozen=True, kw_only=True):
    """The bytes of the result item of rank 0."""

    payload: bytes


class AskAddresses(Record, frozen=True, kw_only=True):
    """The `Resume` of this generation builds on one that never came here."""

    generation: int


class Alive(Record, frozen=True, kw_only=True):
    """The answer to `AskAlive`, and which generation is installed."""

    nonce: int
    generation: int


# ---- to other agents ------------------------------------------------------------------------------------------------------


class Heartbeat(Record, frozen=True, kw_only=True):
    """`number` counts up; `echo` is the highest number heard from the receiver (rule T4)."""

    number: int
    echo: int
    generation: int


class GroupOffer(Record, frozen=True, kw_only=True):
    """A rank's offer, to the agents of its group (rule C3)."""

    label: Label
    offer: SnapshotIndex
