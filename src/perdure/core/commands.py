"""What a state machine wants done. A driver executes commands in order and decides nothing."""

from __future__ import annotations

from perdure.core.ids import Label
from perdure.core.messages import DecodeTask, FromAgent, RestoreSource, ToAgent, ToNode, ToOrchestrator, ToPeer, ToWorker
from perdure.core.messages.supervisor import Finish as Finish
from perdure.core.messages.supervisor import KillAgent as KillAgent
from perdure.core.messages.supervisor import Note as Note
from perdure.core.messages.supervisor import Propose as Propose
from perdure.core.messages.supervisor import Publish as Publish
from perdure.core.plan import Plan
from perdure.core.records import Record
from perdure.core.snapshot_index import SnapshotIndex

# ---- of an agent ----------------------------------------------------------------------------------------------------------


class TellOrchestrator(Record, frozen=True, kw_only=True):
    """To the orchestrator, if one is connected."""

    message: FromAgent


class TellPeer(Record, frozen=True, kw_only=True):
    """To another agent."""

    agent: int
    message: ToPeer


class TellWorker(Record, frozen=True, kw_only=True):
    """To the worker that holds `rank`."""

    rank: int
    message: ToWorker


class StartWorker(Record, frozen=True, kw_only=True):
    """Start a process for `rank`, attached to its slots."""

    rank: int
    incarnation: int


class KillWorker(Record, frozen=True, kw_only=True):
    """End the process (SIGKILL); `WorkerEnded` follows."""

    rank: int
    incarnation: int


class OpenLinks(Record, frozen=True, kw_only=True):
    """Take and make vault links of this plan's generation, and of no other."""

    plan: Plan


class ShutLinks(Record, frozen=True, kw_only=True):
    """Shut all vault links of generations up to this one; `LinksQuiet` follows."""

    generation: int


class BindSlot(Record, frozen=True, kw_only=True):
    """Slot `index` of `rank` is for this label from now on. `since`: the label that slot and parity still hold, all of it (rule C4')."""

    rank: int
    label: Label
    index: int
    since: Label | None = None


class CopySlot(Record, frozen=True, kw_only=True):
    """Copy the slot of this label into the other slot of the rank, which is free; `SlotCopied` of this generation follows (rule M2)."""

    rank: int
    label: Label
    generation: int


class MoveLabel(Record, frozen=True, kw_only=True):
    """The label lies in slot `index` from now on, where it was copied; its parity chunks go with it. Reads that began before count for
    nothing."""

    rank: int
    label: Label
    index: int


class ExposeSlot(Record, frozen=True, kw_only=True):
    """The slot's snapshot is complete and may be read by the group."""

    rank: int
    label: Label
    offer: SnapshotIndex


class ForgetLabel(Record, frozen=True, kw_only=True):
    """The slot of this label is free."""

    rank: int
    label: Label


class Protect(Record, frozen=True, kw_only=True):
    """Encode the stripe whose first parity holder is `rank`, and have memory for its parity chunks. `member_offers` in member order."""

    rank: int
    label: Label
    member_offers: tuple[SnapshotIndex, ...]


class Restore(Record, frozen=True, kw_only=True):
    """Fetch the group's offers of the label, have memory for the slot, fetch the replicated region."""

    rank: int
    label: Label
    index: int
    source: RestoreSource


class Decode(Record, frozen=True, kw_only=True):
    """Gather, decode, send on; one stripe after the other, in this order."""

    tasks: tuple[DecodeTask, ...]


class VerifySlot(Record, frozen=True, kw_only=True):
    """Hash what is present and compare; `SlotVerified` follows."""

    rank: int
    label: Label
    parity: bool


class Scrub(Record, frozen=True, kw_only=True):
    """Hash the whole label at no more than so many bytes a second; `Scrubbed` follows, unless the label is given up meanwhile."""

    rank: int
    label: Label
    bytes_per_s: int


class Repair(Record, frozen=True, kw_only=True):
    """Decode the wrong chunks of `rank`, which lives here, and fetch its replicated region from another rank (-1: that one is right).
    What has its digest then is stored, and nothing else is; `Repaired` follows."""

    rank: int
    label: Label
    tasks: tuple[DecodeTask, ...]
    replicated_from_rank: int


class DropRank(Record, frozen=True, kw_only=True):
    """The rank does not live here any more: free its slots."""

    rank: int


class ReserveMemory(Record, frozen=True, kw_only=True):
    """Have touched memory ready for `ranks` ranks."""

    snapshot_bytes: int
    parity_bytes: int
    ranks: int


class ReportTraffic(Record, frozen=True, kw_only=True):
    """Tell the orchestrator how many bytes were put on links up to this label."""

    label: Label


class SendResult(Record, frozen=True, kw_only=True):
    """Read the result item of `rank` at `label` and tell the orchestrator; `ResultWrong` follows if it does not have its digest."""

    rank: int
    label: Label


class EndAgent(Record, frozen=True, kw_only=True):
    """End the workers and the agent."""

    reason: str


AgentCommand = (
    TellOrchestrator | TellPeer | TellWorker | StartWorker | KillWorker | OpenLinks | ShutLinks | BindSlot | CopySlot | MoveLabel
    | ExposeSlot | ForgetLabel | Protect | Restore | Decode | VerifySlot | Scrub | Repair | DropRank | ReserveMemory | ReportTraffic
    | SendResult | EndAgent
)  # fmt: skip

# ---- of the orchestrator --------------------------------------------------------------------------------------------------


class TellAgent(Record, frozen=True, kw_only=True):
    """To an agent."""

    agent: int
    message: ToAgent


OrchestratorCommand = TellAgent | Propose | Note | KillAgent | Publish | Finish

# ---- of the supervisor ----------------------------------------------------------------------------------------------------


class RequestNode(Record, frozen=True, kw_only=True):
    """Ask the engine for a node. `NodeGranted`, `RequestPending` or `RequestRefused` follows. May be repeated.

    Attributes:
        agent: the one that will be started there; it is the number of the request.
        replaces: an agent whose node has ended, and in whose place this one comes.
    """

    agent: int
    replaces: int | None


class CancelRequest(Record, frozen=True, kw_only=True):
    """Withdraw the request of the agent."""

    agent: int


class StartNode(Record, frozen=True, kw_only=True):
    """Start a process for the agent on its node. `NodeReported` and `NodeEnded`, or `StartRefused`, follow. May be repeated. `spent`:
    injected faults that have happened."""

    agent: int
    node: int
    spent: tuple[int, ...]


class EndNode(Record, frozen=True, kw_only=True):
    """End all processes of the agent's node. May be repeated."""

    agent: int


class ReleaseNode(Record, frozen=True, kw_only=True):
    """Give the agent's node back to the engine: the job does not use it any more."""

    agent: int


class SendToNode(Record, frozen=True, kw_only=True):
    """Send to the processes of the agent's node."""

    agent: int
    message: ToNode


class StartOrchestrator(Record, frozen=True, kw_only=True):
    """Start an orchestrator's process. `OrchestratorStarted` or `OrchestratorNotStarted` follows."""

    orchestrator: int


class EndOrchestrator(Record, frozen=True, kw_only=True):
    """End the orchestrator's process; `OrchestratorEnded` follows. May be repeated."""

    orchestrator: int


class SendToOrchestrator(Record, frozen=True, kw_only=True):
    """Send to the orchestrator, if its process still runs."""

    orchestrator: int
    message: ToOrchestrator


class ReadRegister(Record, frozen=True, kw_only=True):
    """Read the newest plan for this orchestrator; `RegisterAnswered` follows."""

    orchestrator: int


class CreatePlan(Record, frozen=True, kw_only=True):
    """Store the plan of this orchestrator, unless there is one of its generation or of a newer one; `RegisterAnswered` follows."""

    orchestrator: int
    plan: Plan


class NotePlan(Record, frozen=True, kw_only=True):
    """Store a plan that votes have chosen, unless there is one of its generation or of a newer one."""

    plan: Plan


class TakeFault(Record, frozen=True, kw_only=True):
    """An injected fault has struck a process for the first time: do what of it is the driver's part."""

    index: int
    at: float


SupervisorCommand = (
    RequestNode | CancelRequest | StartNode | EndNode | ReleaseNode | SendToNode | StartOrchestrator | EndOrchestrator | SendToOrchestrator
    | ReadRegister | CreatePlan | NotePlan | TakeFault | Publish | Finish
)  # fmt: skip
