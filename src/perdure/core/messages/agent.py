"""Messages from an agent to the orchestrator and to other agents."""

from __future__ import annotations

from perdure.core.channel_sums import NOTHING, Transit
from perdure.core.ids import Ballot, Label
from perdure.core.messages.values import Chunks, ItemDigest, RankCosts, RankReport, UsualLabel, Vote
from perdure.core.plan import Plan
from perdure.core.records import Record
from perdure.core.snapshot_index import SnapshotIndex


class AgentStatus(Record, frozen=True, kw_only=True):
    """The answer to `Greet`: the agent's state, with all facts that a new orchestrator needs (rule D7)."""

    generation: int
    phase: str
    resumed: bool
    ranks: tuple[RankReport, ...]
    ready: tuple[tuple[int, str], ...]
    silent: tuple[int, ...]
    holds: bool = False
    """The agent's ranks wait at their next commit position (rule E3)."""


class Sealed(Record, frozen=True, kw_only=True):
    """The answer to `Seal`, sent when no link of the generation transfers data any more (rule D1).

    `positions`: all known commit positions. `accepted`: the newest vote for the next generation. `kept`: chunks that this member keeps of
    ranks that moved away (rule E10).
    """

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
    """The answer to a message of an old generation: the number of the generation that is installed here (rules D1, D7)."""

    generation: int


class InstalledPlan(Record, frozen=True, kw_only=True):
    """The answer to `AskPlan`: the installed plan (rule D7)."""

    plan: Plan


class Installed(Record, frozen=True, kw_only=True):
    """The plan is installed, and memory for its ranks on this node is allocated (rule D6)."""

    generation: int


class Ready(Record, frozen=True, kw_only=True):
    """The rank's data is present and verified, and its worker can enter `main` (rule R3). `transit` is that of its offer."""

    generation: int
    rank: int
    address: str
    transit: Transit = NOTHING


class Custody(Record, frozen=True, kw_only=True):
    """The answer of an excluded agent to `Install`: the verified chunks of the base that it keeps for links of the generation (rule D6)."""

    generation: int
    ranks: tuple[RankReport, ...]


class Gathered(Record, frozen=True, kw_only=True):
    """The combined answer of the ranks from `first` to `stop`, without `missing`, to the sender of a relayed message (rule D8).

    Attributes:
        milestone: the milestone that they have reached, a `perdure.core.multicast_tree.Milestone`.
        ballot: the ballot of the answered seal or vote; (0, 0) for other milestones, which are facts.
        labels: labels that each of these ranks, except `others`, holds completely; None: there is no such rank.
        others: reports on ranks that hold incomplete labels.
        positions: all known commit positions.
        addresses: new (rank, address) pairs of the communicator.
        accepted: with a seal, the newest vote of these ranks for the next generation.
        transits: (rank, `Ready.transit`) of ranks with messages in transit.
        kept: with a seal, (agent, `Sealed.kept`) of agents that keep chunks.
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
    """A sign of life from the head of a part of the tree while its combined answer is incomplete (rule D8)."""

    milestone: str
    generation: int
    first: int
    stop: int


class Prepared(Record, frozen=True, kw_only=True):
    """The fact that rank `rank` has prepared the label (rule C5). In a large job only the orchestrator receives it.

    Attributes:
        digests: the digests of all declared items.
        next_position: from rank 0, the superstep of the commit after the next one; otherwise -1.
        ended_at: for the END label, the superstep at which the loop ended; otherwise -1.
        coded_bytes: bytes of the snapshot from which parity is computed.
        snapshot_bytes: bytes of one slot.
        parity_bytes: bytes of one parity set.
        transit: sums and unfinished operations from the offer (rule C11).
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
    """Rank `rank` has copied its state for the label; sent for END at once, for other labels after a delay (rule C10).

    Attributes:
        ended_at: as in the offer.
        before: the superstep of the label that the rank copied, or started from, before this one; -1: none.
    """

    label: Label
    rank: int
    ended_at: int
    before: int


class Traffic(Record, frozen=True, kw_only=True):
    """The bytes of chunks that this agent has sent since its start, for commits and for rebuilds, without headers (rule C10)."""

    label: Label
    parity: int
    rebuild: int


class Rebuilt(Record, frozen=True, kw_only=True):
    """All data chunks (`parity` false) or all chunks (`parity` true) of a rank are rebuilt (rule R1)."""

    generation: int
    rank: int
    nbytes: int
    parity: bool
    seconds: float


class ChunksLost(Record, frozen=True, kw_only=True):
    """Chunks of a rank's base are corrupt, detected before `main` resumed from them (rule R5).

    `wrong` is empty if only the next check can identify them.
    """

    generation: int
    rank: int
    label: Label
    wrong: Chunks


class ChunksWrong(Record, frozen=True, kw_only=True):
    """The scrub found corrupt chunks of a committed label; they count as erasures and are being repaired (rule S2)."""

    generation: int
    rank: int
    label: Label
    wrong: Chunks


class ChunksRepaired(Record, frozen=True, kw_only=True):
    """Corrupt chunks are repaired; the chunks in `left` stay missing until the next commit (rules S3, S4)."""

    generation: int
    rank: int
    label: Label
    repaired: Chunks
    left: Chunks


class WorkerStarted(Record, frozen=True, kw_only=True):
    """A worker process runs and has loaded the program (rule W1)."""

    generation: int
    rank: int
    incarnation: int
    pid: int


class WorkerLost(Record, frozen=True, kw_only=True):
    """A worker process exited, or was killed because it hung (rules W2, W4)."""

    generation: int
    rank: int
    incarnation: int
    reason: str


class RankLinkEnded(Record, frozen=True, kw_only=True):
    """The connection of a rank, or of its agent, to another one failed; the other one is lost, or only the link failed (rule T8).

    `label`: the label that the agents were encoding or rebuilding; None for a connection between ranks.
    """

    generation: int
    rank: int
    other: int
    label: Label | None = None


class Raised(Record, frozen=True, kw_only=True):
    """`main` raised an exception on this rank; `error` is the name of a class in `perdure.errors` (rule W3)."""

    generation: int
    rank: int
    error: str
    text: str


class JobError(Record, frozen=True, kw_only=True):
    """The agent found an error that ends the job, such as contradictory offers (rules C3, C8)."""

    generation: int
    error: str
    text: str


class PeerUnheard(Record, frozen=True, kw_only=True):
    """A watcher doubts that agent: it sent no heartbeat for `silence_s` - `suspect_s` (rule T2)."""

    agent: int


class PeerSilent(Record, frozen=True, kw_only=True):
    """A watcher reports that agent as silent: it sent no heartbeat for `silence_s` (rule T2)."""

    agent: int


class PeerHeard(Record, frozen=True, kw_only=True):
    """A watcher receives heartbeats of that agent again, and withdraws its doubt or report (rule T2)."""

    agent: int


class Progress(Record, frozen=True, kw_only=True):
    """The combined progress of the ranks of an agent, or of all agents of a part of the tree (rule W4).

    Attributes:
        ranks: the number of ranks.
        superstep: the largest superstep of this generation, of `count` (-1: unknown).
        frames: frames that these ranks have transferred so far.
        inside_s: seconds for which all these ranks have been inside a job call; -1: a rank is in user code.
        in_comm: the number of ranks inside a call of the communicator.
        elsewhere: the number of ranks inside another call, except the wait at the end of `main`.
        calls: the calls in which the first ranks are, as (rank, call).
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
    """The bytes of rank 0's result item (rule C10)."""

    payload: bytes


class AskAddresses(Record, frozen=True, kw_only=True):
    """The agent asks for all addresses, because it did not receive the `Resume` on which this one builds (rule R4)."""

    generation: int


class Alive(Record, frozen=True, kw_only=True):
    """The answer to `AskAlive`, with the installed generation (rules W3, T2, T6)."""

    nonce: int
    generation: int


# ---- to other agents ------------------------------------------------------------------------------------------------------


class Heartbeat(Record, frozen=True, kw_only=True):
    """A sign of life, every `heartbeat_s` (rules T2, T4). `number` counts up; `echo` is the highest number received from the receiver."""

    number: int
    echo: int
    generation: int


class GroupOffer(Record, frozen=True, kw_only=True):
    """A rank's offer, sent to the agents of its parity group (rule C3)."""

    label: Label
    offer: SnapshotIndex
