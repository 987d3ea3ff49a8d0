"""What an agent knows: its phase, the ranks it hosts, and for each rank the worker and at most two labels."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from perdure.core import agreement
from perdure.core.channel_sums import NOTHING, Transit
from perdure.core.commands import TellOrchestrator
from perdure.core.ids import Ballot, Label
from perdure.core.messages import (
    Chunks,
    DecodeTask,
    FromAgent,
    Gathered,
    Install,
    LabelReport,
    Prepared,
    Progress,
    RankCosts,
    RankLinkEnded,
    RankReport,
    Relayed,
    Vote,
)  # fmt: skip
from perdure.core.multicast_tree import Gathering, Milestone, Span
from perdure.core.plan import Plan
from perdure.core.settings import Settings
from perdure.core.snapshot_index import SnapshotIndex
from perdure.core.transitions import follow

NONE: Final = Chunks()


class MembershipPhase(StrEnum):
    """Section 2 of the protocol."""

    SPARE = "spare"
    MEMBER = "member"
    SEALED = "sealed"
    CUSTODIAN = "custodian"
    ENDED = "ended"


TRANSITIONS: Final = {
    MembershipPhase.SPARE: frozenset({MembershipPhase.MEMBER, MembershipPhase.ENDED}),
    MembershipPhase.MEMBER: frozenset({MembershipPhase.SEALED, MembershipPhase.ENDED}),
    MembershipPhase.SEALED: frozenset({MembershipPhase.MEMBER, MembershipPhase.CUSTODIAN, MembershipPhase.ENDED}),
    MembershipPhase.CUSTODIAN: frozenset({MembershipPhase.SEALED, MembershipPhase.ENDED}),
    MembershipPhase.ENDED: frozenset[MembershipPhase](),
}
"""A spare obeys install only; a member is sealed before the next generation is installed, and so are the links of a custodian; the ended do
not come back."""


class WorkerPhase(StrEnum):
    """Where a worker process is."""

    STARTING = "starting"
    IDLE = "idle"
    RUNNING = "running"
    UNWINDING = "unwinding"
    RAISED = "raised"
    KILLED = "killed"
    GONE = "gone"


WORKER_TRANSITIONS: Final = {
    WorkerPhase.GONE: frozenset({WorkerPhase.STARTING}),
    WorkerPhase.STARTING: frozenset({WorkerPhase.IDLE, WorkerPhase.KILLED, WorkerPhase.GONE}),
    WorkerPhase.IDLE: frozenset({WorkerPhase.RUNNING, WorkerPhase.KILLED, WorkerPhase.GONE}),
    WorkerPhase.RUNNING: frozenset({WorkerPhase.UNWINDING, WorkerPhase.RAISED, WorkerPhase.KILLED, WorkerPhase.GONE}),
    WorkerPhase.UNWINDING: frozenset({WorkerPhase.IDLE, WorkerPhase.KILLED, WorkerPhase.GONE}),
    WorkerPhase.RAISED: frozenset({WorkerPhase.IDLE, WorkerPhase.KILLED, WorkerPhase.GONE}),
    WorkerPhase.KILLED: frozenset({WorkerPhase.GONE}),
}
"""Rule W2: after KILLED comes only GONE, and only from GONE a new process starts."""


class Stage(StrEnum):
    """How far a slot is. REBUILDING is a slot whose chunks come from decoders; the others are section 1's."""

    FILLING = "filling"
    SNAPPED = "snapped"
    PREPARED = "prepared"
    REBUILDING = "rebuilding"


@dataclass(slots=True, kw_only=True)
class Slot:
    """One label of one rank. `data` and `parity` are masks of present chunks; `offers` are by member number."""

    label: Label
    index: int
    stage: Stage
    offers: dict[int, SnapshotIndex] = field(default_factory=dict)
    data: int = 0
    parity: int = 0
    replicated: bool = False
    verified: bool = False
    wrong: Chunks = NONE
    """Chunks that the scrub found wrong and nobody has repaired yet (rule S2); they are not in the masks."""
    repairs: int = 0
    """Attempts at repairing them."""
    snapped_at: float = 0.0
    told: bool = False
    """The orchestrator was told of the copy (rule C10)."""
    costs: RankCosts | None = None
    restored_at: float = 0.0

    def erase(self, wrong: Chunks) -> None:
        """R5: chunks that do not have their digests count as missing."""
        self.data &= ~wrong.data
        self.parity &= ~wrong.parity
        self.replicated = self.replicated and not wrong.replicated


@dataclass(slots=True, kw_only=True)
class Hosted:
    """One rank that lives on this node."""

    rank: int
    incarnation: int
    worker: WorkerPhase
    address: str = ""
    slots: dict[Label, Slot] = field(default_factory=dict)
    wants: Label | None = None
    unwind_by: float = 0.0
    superstep_at: float = 0.0
    """When the superstep that runs was first seen."""
    longest_s: float = 0.0
    """How long the longest superstep took."""
    frozen_in: int = 0
    """The generation that is over without the worker having been told, for its live slot may be needed (rule M1); 0: none."""
    start_next: int = 0
    """Incarnation to start as soon as the old process is seen to have ended (rule W2); 0: none."""
    calls: int = -1
    frames: int = -1
    moved_at: float = 0.0
    stopped_since: float = 0.0
    """When the process was first seen to be stopped by a signal; 0.0: it is not."""
    inside: str = ""
    superstep: int = -1
    count: int = -1
    told_ready: bool = False
    awaits: tuple[WorkerPhase, int] | None = None
    """Phase and incarnation at the last tick, and since when they are so (rule W1)."""
    awaits_since: float = 0.0
    killed_because: str = ""
    """Why this agent ended the process; empty when it ended by itself."""

    def become(self, worker: WorkerPhase) -> None:
        """Moves along `WORKER_TRANSITIONS`."""
        self.worker = follow(WORKER_TRANSITIONS, self.worker, worker, f"the worker of rank {self.rank}")

    def free_index(self) -> int:
        """The slot that holds no label. There are two slots; the caller has made sure that one is free."""
        used = {slot.index for slot in self.slots.values()}
        return 0 if 0 not in used else 1


@dataclass(slots=True, kw_only=True)
class Peer:
    """What this agent knows of another one that it watches or is watched by."""

    heard_at: float
    echoed_at: float
    heard_number: int = 0
    doubted: bool = False
    silent: bool = False
    reported_at: float = 0.0
    """When the orchestrator was told last that it is silent (s)."""
    """What the orchestrator was told of it (`PeerUnheard`, `PeerSilent`)."""


@dataclass(slots=True, kw_only=True)
class Asked:
    """A span whose head lives here, and what was asked of it.

    Attributes:
        plan: of `generation`, along which the word was passed on.
        parents: who is to be answered; 0 is the orchestrator.
        told: the answer, once it was given.
        said_at: when the parents last heard that it is still gathered (s).
    """

    milestone: Milestone
    generation: int
    ballot: Ballot
    word: Relayed
    plan: Plan
    parents: set[int]
    gathering: Gathering
    said_at: float
    told: Gathered | None = None


@dataclass(slots=True, kw_only=True)
class AgentGenerationState:
    """What an agent knows of the generation that is installed on it. It is replaced whole with each plan, so no fact of an older generation
    is left in it.
    """

    plan: Plan | None = None
    """None: no generation was installed yet."""
    by_tree: bool = False
    """The plan came by the tree, and so go the answers to it."""
    gatherings: dict[tuple[Milestone, Span], Asked] = field(default_factory=dict)
    installed: bool = False
    resumed: bool = False
    positions: tuple[int, ...] = ()
    early_offers: dict[Label, dict[int, SnapshotIndex]] = field(default_factory=dict)
    """Offers of a label that a rank here has not reached yet, by rank."""
    prepared: dict[Label, dict[int, Prepared]] = field(default_factory=dict)
    committed: Label | None = None
    hold_after: Label | None = None
    """Ranks wait at their commit positions after this label (rule E3); None: they do not."""
    paused: bool = False
    assigned: frozenset[DecodeTask] = frozenset()
    """Stripes that this agent decodes, or has decoded; the same of an orchestrator that takes over are not new (D7)."""
    decode_later: tuple[DecodeTask, ...] = ()
    """Stripes that lost only parity, until `main` is entered."""
    scrubbing: tuple[int, Label] | None = None
    """The rank and label that are being read, or repaired, by the scrub."""
    to_repeat: list[FromAgent] = field(default_factory=list)
    """What an orchestrator must act on: an error, memory that is wrong, a connection that ended."""
    quiet: bool = True
    """Nothing moves on the links; false between a seal and the end of what was under way."""
    seal_to_answer: Ballot | None = None
    accepted: Vote | None = None
    """For the generation after this one; an agent that ends takes its votes with it."""
    waiting_install: Install | None = None
    """Of a later generation, until the links of this one are quiet."""


@dataclass(slots=True, kw_only=True)
class AgentState:
    """The whole of it. Changed by `perdure.core.agent.step` only."""

    me: int
    node: int
    settings: Settings
    phase: MembershipPhase = MembershipPhase.SPARE
    current: AgentGenerationState = field(default_factory=AgentGenerationState)
    promised: Ballot = field(default_factory=lambda: Ballot(0, 0))
    addresses: tuple[str, ...] = ()
    """Of the communicator, by rank, as the `Resume` of generation `addresses_of` left them."""
    addresses_of: int = 0
    hosted: dict[int, Hosted] = field(default_factory=dict)
    kept: dict[int, Hosted] = field(default_factory=dict)
    """Ranks that lived here and live elsewhere now, of which the base is kept until a newer label is committed (rules D6, E10); and those
    whose process has not ended yet."""
    scrubbed: int = -1
    """The rank that was read last."""
    reserved: bool = False
    """This spare has memory and prepared workers; an orchestrator that takes over asks for them again (D7)."""
    protect_s: float = 0.0
    sampled_at: float = 0.0
    """When the workers were looked at last."""
    orchestrator: bool = False
    orphan_since: float = 0.0
    peers: dict[int, Peer] = field(default_factory=dict)
    beat_number: int = 0
    beat_sent: dict[int, float] = field(default_factory=dict)
    next_beat: float = 0.0
    below: dict[int, Progress] = field(default_factory=dict)
    """Agent right below this one in the tree -> its last report."""
    next_progress: float = 0.0

    @property
    def plan(self) -> Plan | None:
        """The plan that is installed here; None before the first."""
        return self.current.plan

    def become(self, phase: MembershipPhase) -> None:
        """Moves along `TRANSITIONS`."""
        self.phase = follow(TRANSITIONS, self.phase, phase, f"agent {self.me}")

    def report(self, message: FromAgent) -> TellOrchestrator:
        """Return what sends a fact that the orchestrator must act on; the next orchestrator gets it too (D7)."""
        self.current.to_repeat.append(message)
        return TellOrchestrator(message=message)

    def report_link(self, rank: int, other: int, label: Label | None = None) -> list[TellOrchestrator]:
        """Return what reports a failed connection (rule T8), unless that of this rank, for this label, was reported in this generation."""
        if any(isinstance(word, RankLinkEnded) and (word.rank, word.label) == (rank, label) for word in self.current.to_repeat):
            return []
        return [self.report(RankLinkEnded(generation=self.generation, rank=rank, other=other, label=label))]

    def take_up(self, plan: Plan) -> None:
        """Begin a generation. What is asked along its plan may have come before the plan."""
        asked = {key: asked for key, asked in self.current.gatherings.items() if asked.generation == plan.generation}
        self.current = AgentGenerationState(plan=plan, gatherings=asked, positions=plan.positions)

    def transit_of(self, hosted: Hosted) -> Transit:
        """Return what crosses the base at this rank (rule C11)."""
        slot = hosted.slots.get(self.plan.base) if self.plan and self.plan.base else None
        offer = self.offer_of(hosted, slot) if slot else None
        return offer.transit if offer else NOTHING

    def offer_of(self, hosted: Hosted, slot: Slot) -> SnapshotIndex | None:
        """Return the rank's own offer of a label; None: it is not known here."""
        return slot.offers.get(self.plan.member_of(hosted.rank)) if self.plan else None

    @property
    def generation(self) -> int:
        """The generation installed here; 0 before the first."""
        return self.plan.generation if self.plan else 0

    @property
    def is_outside(self) -> bool:
        """Was it a member once, and has no rank in the plan that is installed here?"""
        return self.plan is not None and not self.plan.ranks_of(self.me)

    def members(self) -> tuple[int, ...]:
        """The other agents of the plan."""
        return tuple(agent for agent in self.plan.agents() if agent != self.me) if self.plan else ()


def full_masks(plan: Plan, rank: int) -> tuple[int, int]:
    """Masks of all data chunks and of all parity chunks of a member of the group of `rank`."""
    return plan.geometry(plan.group_index(rank)).full_masks


def is_of_use(slot: Slot) -> bool:
    """May the slot count as a holder of the next generation's base? One whose offers never came is fetched anew."""
    return slot.stage is Stage.PREPARED or (slot.stage is Stage.REBUILDING and bool(slot.offers))


def reports(state: AgentState) -> tuple[RankReport, ...]:
    """All that this agent holds of the ranks that live here, for `Sealed` and `AgentStatus`."""
    return _reports(state, state.hosted.values())


def kept_reports(state: AgentState) -> tuple[RankReport, ...]:
    """What this agent keeps of ranks that live elsewhere, for `Sealed` and `Custody`."""
    return _reports(state, [kept for kept in state.kept.values() if kept.slots])


def _reports(state: AgentState, ranks: Iterable[Hosted]) -> tuple[RankReport, ...]:
    return tuple(
        RankReport(
            rank=hosted.rank,
            incarnation=hosted.incarnation,
            worker_lives=hosted.worker not in (WorkerPhase.GONE, WorkerPhase.KILLED),
            labels=tuple(
                LabelReport(
                    label=slot.label,
                    prepared=slot.stage is Stage.PREPARED,
                    data=slot.data,
                    parity=slot.parity,
                    replicated=slot.replicated,
                    common=_common(state, hosted, slot),
                )
                for slot in hosted.slots.values()
                if is_of_use(slot)
            ),
        )
        for hosted in ranks
    )


def _common(state: AgentState, hosted: Hosted, slot: Slot) -> int:
    offer = state.offer_of(hosted, slot)
    return agreement.common_of(offer) if offer else 0
