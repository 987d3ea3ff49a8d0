"""What can happen to an agent and to an orchestrator. Every event is a fact reported by a driver, after it happened."""

from __future__ import annotations

from perdure.core.engine_events import EngineAvailable as EngineAvailable
from perdure.core.engine_events import EngineUnavailable as EngineUnavailable
from perdure.core.engine_events import NodeDraining as NodeDraining
from perdure.core.engine_events import NodeEnded as NodeEnded
from perdure.core.engine_events import NodeEvent, RequestEvent
from perdure.core.engine_events import NodeGranted as NodeGranted
from perdure.core.engine_events import RequestPending as RequestPending
from perdure.core.engine_events import RequestRefused as RequestRefused
from perdure.core.engine_events import StartRefused as StartRefused
from perdure.core.ids import Label
from perdure.core.messages import Chunks, FromAgent, FromNode, FromOrchestrator, FromWorker, ToAgent, ToPeer
from perdure.core.messages.supervisor import AgentEnded as AgentEnded
from perdure.core.messages.supervisor import AgentUp as AgentUp
from perdure.core.messages.supervisor import NoMoreNodes as NoMoreNodes
from perdure.core.messages.supervisor import RegisterHolds as RegisterHolds
from perdure.core.plan import Plan
from perdure.core.records import Record
from perdure.core.snapshot_index import SnapshotIndex

# ---- at an agent ----------------------------------------------------------------------------------------------------------


class OrchestratorSaid(Record, frozen=True, kw_only=True):
    """A message of the orchestrator whose newest `Greet` had this round."""

    message: ToAgent


class OrchestratorGone(Record, frozen=True, kw_only=True):
    """The orchestrator's connection ended."""


class PeerSaid(Record, frozen=True, kw_only=True):
    """A message of another agent."""

    agent: int
    message: ToPeer


class WorkerSaid(Record, frozen=True, kw_only=True):
    """A message of the worker process that holds `rank` as `incarnation`."""

    rank: int
    incarnation: int
    message: FromWorker


class WorkerEnded(Record, frozen=True, kw_only=True):
    """The process is gone for certain (its pidfd said so). `stack`: where a hung one was, in one line."""

    rank: int
    incarnation: int
    how: str
    stack: str = ""


class LinksQuiet(Record, frozen=True, kw_only=True):
    """No vault link of generations up to this one moves any byte any more."""

    generation: int


class ParityStored(Record, frozen=True, kw_only=True):
    """Parity chunk `p` of `rank` is complete and its digest right."""

    rank: int
    label: Label
    p: int


class SlotRestored(Record, frozen=True, kw_only=True):
    """The group's offers for the base label are here, and memory for the slot. `member_offers` in the order of members."""

    rank: int
    label: Label
    member_offers: tuple[SnapshotIndex, ...]


class ReplicatedStored(Record, frozen=True, kw_only=True):
    """The replicated region of the slot is here; `right`: with its digests."""

    rank: int
    label: Label
    right: bool = True


class ChunkStored(Record, frozen=True, kw_only=True):
    """The chunk at code position `position` of its stripe, decoded for `rank`, is complete."""

    rank: int
    label: Label
    position: int


class SlotVerified(Record, frozen=True, kw_only=True):
    """The slot was hashed; these chunks do not have their digests."""

    rank: int
    label: Label
    wrong: Chunks


class SlotCopied(Record, frozen=True, kw_only=True):
    """The label lies in both slots of the rank, as `CopySlot` of that generation asked for."""

    rank: int
    label: Label
    generation: int


class Scrubbed(Record, frozen=True, kw_only=True):
    """The label was read in the background, and held all the time; these chunks do not have their digests."""

    rank: int
    label: Label
    wrong: Chunks


class Repaired(Record, frozen=True, kw_only=True):
    """An attempt at a repair is over; these chunks do not have their digests now."""

    rank: int
    label: Label
    wrong: Chunks


class ResultWrong(Record, frozen=True, kw_only=True):
    """The result item of the rank does not have its digest at this label, and was not sent."""

    rank: int
    label: Label


class LinkFailed(Record, frozen=True, kw_only=True):
    """Work that a label needs, for `rank`, ended because the link to the agent of `other` failed. The links were not shut."""

    generation: int
    rank: int
    other: int
    label: Label


class NoMemory(Record, frozen=True, kw_only=True):
    """Memory that a label needs cannot be had (rule C8)."""

    rank: int
    text: str


class Sample(Record, frozen=True, kw_only=True):
    """What a worker's progress page says.

    `calls` counts job calls, `frames` moved frames; `inside` names the current job call, or is empty; `count` is how many
    supersteps there will be, -1 where that is not known.
    """

    rank: int
    incarnation: int
    calls: int
    frames: int
    superstep: int
    inside: str
    stopped: bool
    count: int = -1


class Sampled(Record, frozen=True, kw_only=True):
    """The progress pages of all workers of a node were read."""

    samples: tuple[Sample, ...]


class Tick(Record, frozen=True, kw_only=True):
    """Time passed. `late_s`: how much later the timer fired than it was set for (rule T3)."""

    late_s: float


AgentEvent = (
    OrchestratorSaid | OrchestratorGone | PeerSaid | WorkerSaid | WorkerEnded | LinksQuiet | ParityStored | SlotRestored
    | ReplicatedStored | ChunkStored | SlotVerified | SlotCopied | Scrubbed | Repaired | ResultWrong | LinkFailed | NoMemory | Sampled
    | Tick
)  # fmt: skip

# ---- at the orchestrator --------------------------------------------------------------------------------------------------


class AgentSaid(Record, frozen=True, kw_only=True):
    """A message of an agent."""

    agent: int
    message: FromAgent


OrchestratorEvent = RegisterHolds | AgentUp | AgentEnded | NoMoreNodes | AgentSaid | Tick

# ---- at the supervisor ----------------------------------------------------------------------------------------------------


class JobBegun(Record, frozen=True, kw_only=True):
    """The job `job` begins and needs so many nodes, by their numbers."""

    job: str
    nodes: tuple[int, ...]


class NodeCame(Record, frozen=True, kw_only=True):
    """The engine has one more node for the job, which is to be requested."""

    node: int


class NodeReported(Record, frozen=True, kw_only=True):
    """A message on the stream of the agent's node."""

    agent: int
    message: FromNode


class OrchestratorStarted(Record, frozen=True, kw_only=True):
    """The engine has started the orchestrator's process, which waits for `BeginRound`."""

    orchestrator: int
    pid: int


class OrchestratorNotStarted(Record, frozen=True, kw_only=True):
    """The engine cannot start the orchestrator's process."""

    orchestrator: int
    text: str


class OrchestratorReported(Record, frozen=True, kw_only=True):
    """A message on the orchestrator's stream."""

    orchestrator: int
    message: FromOrchestrator


class OrchestratorPartReceived(Record, frozen=True, kw_only=True):
    """A part of a message has come from the orchestrator, and its rest has not."""

    orchestrator: int


class OrchestratorEnded(Record, frozen=True, kw_only=True):
    """The engine reports that the orchestrator's process has ended. All that it sent has come before."""

    orchestrator: int
    how: str


class RegisterAnswered(Record, frozen=True, kw_only=True):
    """The register's newest plan, or None: as an answer to `ReadRegister` or `CreatePlan` for this orchestrator."""

    orchestrator: int
    plan: Plan | None


class StoppedFound(Record, frozen=True, kw_only=True):
    """The driver has looked at all processes of `supervisor.observed`: a signal has stopped these, by their numbers. It looks every half
    second, and before it reports the end of an orchestrator, for the next one may be stopped."""

    agents: tuple[int, ...]
    orchestrators: tuple[int, ...]


SupervisorEvent = (
    JobBegun | NodeCame | RequestEvent | NodeReported | NodeEvent | EngineUnavailable | EngineAvailable | OrchestratorStarted
    | OrchestratorNotStarted | OrchestratorReported | OrchestratorPartReceived | OrchestratorEnded | RegisterAnswered | StoppedFound | Tick
)  # fmt: skip
