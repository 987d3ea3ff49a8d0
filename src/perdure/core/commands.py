"""What a state machine wants done. A driver executes commands in order and decides nothing."""

from __future__ import annotations

from dataclasses import dataclass

from perdure.core.ids import Label
from perdure.core.messages import DecodeTask, FromAgent, RestoreSource, ToAgent, ToNode, ToOrchestrator, ToPeer, ToWorker
from perdure.core.messages.supervisor import Finish as Finish
from perdure.core.messages.supervisor import KillAgent as KillAgent
from perdure.core.messages.supervisor import Note as Note
from perdure.core.messages.supervisor import Propose as Propose
from perdure.core.messages.supervisor import Publish as Publish
from perdure.core.plan import Plan
from perdure.core.snapshot_index import SnapshotIndex

# ---- of an agent ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class TellOrchestrator:
    """To the orchestrator, if one is connected."""

    message: FromAgent


@dataclass(frozen=True, slots=True, kw_only=True)
class TellPeer:
    """To another agent."""

    agent: int
    message: ToPeer


@dataclass(frozen=True, slots=True, kw_only=True)
class TellWorker:
    """To the worker that holds `rank`."""

    rank: int
    message: ToWorker


@dataclass(frozen=True, slots=True, kw_only=True)
class StartWorker:
    """Start a process for `rank`, attached to its slots."""

    rank: int
    incarnation: int


@dataclass(frozen=True, slots=True, kw_only=True)
class KillWorker:
    """End the process (SIGKILL); `WorkerEnded` follows."""

    rank: int
    incarnation: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenLinks:
    """Take and make vault links of this plan's generation, and of no other."""

    plan: Plan


@dataclass(frozen=True, slots=True, kw_only=True)
class ShutLinks:
    """Shut all vault links of generations up to this one; `LinksQuiet` follows."""

    generation: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BindSlot:
    """Slot `index` of `rank` is for this label from now on. `since`: the label that slot and parity still hold, all of it (rule C4')."""

    rank: int
    label: Label
    index: int
    since: Label | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CopySlot:
    """Copy the slot of this label into the other slot of the rank, which is free; `SlotCopied` of this generation follows (rule M2)."""

    rank: int
    label: Label
    generation: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MoveLabel:
    """The label lies in slot `index` from now on, where it was copied; its parity chunks go with it. Reads that began before count for
    nothing."""

    rank: int
    label: Label
    index: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ExposeSlot:
    """The slot's snapshot is complete and may be read by the group."""

    rank: int
    label: Label
    offer: SnapshotIndex


@dataclass(frozen=True, slots=True, kw_only=True)
class ForgetLabel:
    """The slot of this label is free."""

    rank: int
    label: Label


@dataclass(frozen=True, slots=True, kw_only=True)
class Protect:
    """Encode the stripe whose first parity holder is `rank`, and have memory for its parity chunks. `member_offers` in member order."""

    rank: int
    label: Label
    member_offers: tuple[SnapshotIndex, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Restore:
    """Fetch the group's offers of the label, have memory for the slot, fetch the replicated region."""

    rank: int
    label: Label
    index: int
    source: RestoreSource


@dataclass(frozen=True, slots=True, kw_only=True)
class Decode:
    """Gather, decode, send on; one stripe after the other, in this order."""

    tasks: tuple[DecodeTask, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifySlot:
    """Hash what is present and compare; `SlotVerified` follows."""

    rank: int
    label: Label
    parity: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Scrub:
    """Hash the whole label at no more than so many bytes a second; `Scrubbed` follows, unless the label is given up meanwhile."""

    rank: int
    label: Label
    bytes_per_s: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Repair:
    """Decode the wrong chunks of `rank`, which lives here, and fetch its replicated region from another rank (-1: that one is right).
    What has its digest then is stored, and nothing else is; `Repaired` follows."""

    rank: int
    label: Label
    tasks: tuple[DecodeTask, ...]
    replicated_from_rank: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DropRank:
    """The rank does not live here any more: free its slots."""

    rank: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ReserveMemory:
    """Have touched memory ready for `ranks` ranks."""

    snapshot_bytes: int
    parity_bytes: int
    ranks: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportTraffic:
    """Tell the orchestrator how many bytes were put on links up to this label."""

    label: Label


@dataclass(frozen=True, slots=True, kw_only=True)
class SendResult:
    """Read the result item of `rank` at `label` and tell the orchestrator; `ResultWrong` follows if it does not have its digest."""

    rank: int
    label: Label


@dataclass(frozen=True, slots=True, kw_only=True)
class EndAgent:
    """End the workers and the agent."""

    reason: str


AgentCommand = (
    TellOrchestrator | TellPeer | TellWorker | StartWorker | KillWorker | OpenLinks | ShutLinks | BindSlot | CopySlot | MoveLabel
    | ExposeSlot | ForgetLabel | Protect | Restore | Decode | VerifySlot | Scrub | Repair | DropRank | ReserveMemory | ReportTraffic
    | SendResult | EndAgent
)  # fmt: skip

# ---- of the orchestrator --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class TellAgent:
    """To an agent."""

    agent: int
    message: ToAgent


OrchestratorCommand = TellAgent | Propose | Note | KillAgent | Publish | Finish

# ---- of the supervisor ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestNode:
    """Ask the engine for a node. `NodeGranted`, `RequestPending` or `RequestRefused` follows. May be repeated.

    Attributes:
        agent: the one that will be started there; it is the number of the request.
        replaces: an agent whose node has ended, and in whose place this one comes.
    """

    agent: int
    replaces: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelRequest:
    """Withdraw the request of the agent."""

    agent: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StartNode:
    """Start a process for the agent on its node. `NodeReported` and `NodeEnded`, or `StartRefused`, follow. May be repeated. `spent`:
    injected faults that have happened."""

    agent: int
    node: int
    spent: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class EndNode:
    """End all processes of the agent's node. May be repeated."""

    agent: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseNode:
    """Give the agent's node back to the engine: the job does not use it any more."""

    agent: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SendToNode:
    """Send to the processes of the agent's node."""

    agent: int
    message: ToNode


@dataclass(frozen=True, slots=True, kw_only=True)
class StartOrchestrator:
    """Start an orchestrator's process. `OrchestratorStarted` or `OrchestratorNotStarted` follows."""

    orchestrator: int


@dataclass(frozen=True, slots=True, kw_only=True)
class EndOrchestrator:
    """End the orchestrator's process; `OrchestratorEnded` follows. May be repeated."""

    orchestrator: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SendToOrchestrator:
    """Send to the orchestrator, if its process still runs."""

    orchestrator: int
    message: ToOrchestrator


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadRegister:
    """Read the newest plan for this orchestrator; `RegisterAnswered` follows."""

    orchestrator: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CreatePlan:
    """Store the plan of this orchestrator, unless there is one of its generation or of a newer one; `RegisterAnswered` follows."""

    orchestrator: int
    plan: Plan


@dataclass(frozen=True, slots=True, kw_only=True)
class NotePlan:
    """Store a plan that votes have chosen, unless there is one of its generation or of a newer one."""

    plan: Plan


@dataclass(frozen=True, slots=True, kw_only=True)
class TakeFault:
    """An injected fault has struck a process for the first time: do what of it is the driver's part."""

    index: int
    at: float


SupervisorCommand = (
    RequestNode | CancelRequest | StartNode | EndNode | ReleaseNode | SendToNode | StartOrchestrator | EndOrchestrator | SendToOrchestrator
    | ReadRegister | CreatePlan | NotePlan | TakeFault | Publish | Finish
)  # fmt: skip
