"""What a state machine wants done. A driver executes commands in order and decides nothing."""

from __future__ import annotations

from dataclasses import dataclass

from perdure.core.ids import Label
from perdure.core.messages import DecodeTask, FromAgent, RestoreSource, ToAgent, ToPeer, ToWorker
from perdure.core.offers import Offer
from perdure.core.plan import Plan

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
    offer: Offer


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
    member_offers: tuple[Offer, ...]


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Propose:
    """create_if_absent in the register; `RegisterHolds` follows."""

    plan: Plan


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """Tell the register of a plan that was chosen by votes, for who asks it later. Nothing depends on it (rule D5)."""

    plan: Plan


@dataclass(frozen=True, slots=True, kw_only=True)
class KillAgent:
    """Fence a node that was decided lost: have the engine end its processes."""

    agent: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Publish:
    """A line for the job's event stream."""

    event: str
    fields: dict[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finish:
    """The job is over: `error` is empty, or a name of `perdure.errors`."""

    error: str
    text: str
    payload: bytes


OrchestratorCommand = TellAgent | Propose | Note | KillAgent | Publish | Finish
