"""What the orchestrator knows. All of it is soft: a new orchestrator asks for it again (rule D7)."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from perdure.core.agreement import Divergence
from perdure.core.channel_sums import Transit
from perdure.core.domains import Domains
from perdure.core.holdings import Holdings
from perdure.core.ids import Ballot, Label
from perdure.core.messages import AgentStatus, Custody, Offered, Prepared, Progress, Relayed, Sealed, Traffic
from perdure.core.multicast_tree import Gathering, Milestone
from perdure.core.plan import Plan
from perdure.core.settings import Settings
from perdure.core.transitions import follow


class GenerationPhase(StrEnum):
    """Section 2 of the protocol; STARTING waits for the first nodes."""

    STARTING = "starting"
    GREETING = "greeting"
    COUNTING = "counting"
    SEALING = "sealing"
    CHOOSING = "choosing"
    REBUILDING = "rebuilding"
    ENDING = "ending"
    ENDED = "ended"


TRANSITIONS: Final = {
    GenerationPhase.STARTING: frozenset({GenerationPhase.CHOOSING, GenerationPhase.GREETING, GenerationPhase.ENDED}),
    GenerationPhase.GREETING: frozenset({GenerationPhase.COUNTING, GenerationPhase.SEALING, GenerationPhase.ENDED}),
    GenerationPhase.COUNTING: frozenset({GenerationPhase.SEALING, GenerationPhase.ENDING, GenerationPhase.ENDED}),
    GenerationPhase.SEALING: frozenset({GenerationPhase.CHOOSING, GenerationPhase.ENDED}),
    GenerationPhase.CHOOSING: frozenset({GenerationPhase.REBUILDING, GenerationPhase.SEALING, GenerationPhase.ENDED}),
    GenerationPhase.REBUILDING: frozenset(
        {GenerationPhase.COUNTING, GenerationPhase.SEALING, GenerationPhase.ENDING, GenerationPhase.ENDED}
    ),
    GenerationPhase.ENDING: frozenset({GenerationPhase.SEALING, GenerationPhase.ENDED}),
    GenerationPhase.ENDED: frozenset[GenerationPhase](),
}
"""A generation is sealed, chosen, rebuilt and counted, in this order; GREETING finds out where an earlier orchestrator was."""


class NodeState(StrEnum):
    """What is thought of one node."""

    SPARE = "spare"
    MEMBER = "member"
    EXCLUDED = "excluded"
    LOST = "lost"


NODE_TRANSITIONS: Final = {
    NodeState.SPARE: frozenset({NodeState.MEMBER, NodeState.EXCLUDED, NodeState.LOST}),
    NodeState.MEMBER: frozenset({NodeState.EXCLUDED, NodeState.LOST}),
    NodeState.EXCLUDED: frozenset({NodeState.LOST}),
    NodeState.LOST: frozenset[NodeState](),
}
"""A loss is irreversible: a node that comes back is a new agent. Of one that is excluded the memory may still be there."""


@dataclass(slots=True, kw_only=True)
class Node:
    """One agent and its node."""

    agent: int
    node: int
    address: str
    pid: int
    state: NodeState = NodeState.SPARE
    status: AgentStatus | None = None
    heard_at: float = 0.0
    suspected: bool = False
    """It was not heard of for a while: an opinion, shown and taken back (`Settings.suspect_s`)."""
    silent: bool = False
    """Rule T2 holds for it. What that means is decided with the next plan (rule T5), unless it is heard of before."""
    reserved: bool = False

    def become(self, state: NodeState) -> None:
        """Moves along `NODE_TRANSITIONS`."""
        self.state = follow(NODE_TRANSITIONS, self.state, state, f"node {self.node}")


@dataclass(frozen=True, slots=True, kw_only=True)
class JobShape:
    """What the operator asked for."""

    ranks: int
    ranks_per_node: int
    group_size: int
    parity: int
    domains: Domains = field(default_factory=Domains)


@dataclass(slots=True, kw_only=True)
class Complaint:
    """One watcher's word on an agent that it does not hear (rules T2, T6).

    Attributes:
        since: when it began, or when both were heard of again after that (s).
        final: the silence has lasted for `Settings.silence_s`.
    """

    since: float
    final: bool = False


@dataclass(slots=True, kw_only=True)
class LostLink:
    """A connection between two ranks, or their agents, that has failed, since when it is known (s); nobody is known to be lost (rule T8).

    `label`: the label whose encoding or rebuild needed it; None for a connection of the ranks themselves.
    """

    rank: int
    other: int
    since: float
    label: Label | None = None


@dataclass(slots=True, kw_only=True)
class Probe:
    """A question to the ends of links that seem to be broken: whoever answers it lives now, whatever came late of it (rule T6).

    Attributes:
        since: when it was asked (s).
        answered: who has, in the newest generation; `answered_before`: who has answered the one before.
    """

    nonce: int
    since: float
    answered_before: set[int]
    answered: set[int] = field(default_factory=set)


@dataclass(slots=True, kw_only=True)
class Excluded:
    """A node that the job goes on without, and whose process has not ended (rule D6).

    Attributes:
        custody: what it said last that it keeps; None: nothing yet, or it was silent since.
        told: the generation of the plan that it was sent last; 0: none since it was silent.
    """

    custody: Custody | None = None
    told: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingError:
    """A rank raised; the job ends with it unless it turns out to be the echo of a loss (rule W3)."""

    rank: int
    error: str
    text: str
    generation: int


@dataclass(slots=True, kw_only=True)
class GenerationState:
    """What the orchestrator knows of the newest generation. It is replaced whole with each plan, so no fact of an older generation is left
    in it (rule D6).
    """

    plan: Plan | None = None
    """None: no plan is known yet."""
    living: tuple[int, ...] | None = None
    """What `members` has found; None: something has changed since."""
    neighbours: dict[int, frozenset[int]] = field(default_factory=dict)
    """Agent -> the agents that watch it or that it watches; found as needed."""
    holding: bool | None = None
    """Members were asked to hold at their next commit (rule E3); None: by an earlier orchestrator, perhaps."""
    told_whole: set[int] = field(default_factory=set)
    """Agents that were sent the whole plan, and so have no addresses of the generation before."""
    plan_asked_of: int = -1
    """The agent that was asked last for a newer plan."""
    installed: set[int] = field(default_factory=set)
    reads_from: frozenset[int] = frozenset()
    """Custodians without which what is being rebuilt cannot be."""
    rebuilding_since: float = 0.0
    assigned: bool = False
    ready: dict[int, str] = field(default_factory=dict)
    transits: dict[int, Transit] = field(default_factory=dict)
    """Of ranks that are ready: what crosses the base, where something does."""
    prepared: dict[Label, dict[int, Prepared]] = field(default_factory=dict)
    probe: Probe | None = None
    workers_gone: dict[int, int] = field(default_factory=dict)
    """Rank -> incarnation of its worker that has ended."""
    raised: PendingError | None = None
    raised_unheard: set[int] = field(default_factory=set)
    progress: dict[int, Progress] = field(default_factory=dict)
    """Agent -> its last report on its ranks, and in a large job on all below it."""
    frames: int = -1
    frames_moved_at: float = 0.0
    offered: dict[int, int] = field(default_factory=dict)
    """Rank -> the newest superstep that it has copied."""
    at_end: dict[int, Offered] = field(default_factory=dict)
    """Rank whose `main` has returned -> its last report."""
    farthest: tuple[int, int] = (-1, -1)
    """(superstep, rank) of the newest one in `offered`."""
    first_end: Offered | None = None
    """The one in `at_end` that had come the least far before."""
    lost_links: list[LostLink] = field(default_factory=list)
    """Connections between ranks or their agents that have failed, the first one first."""


@dataclass(slots=True, kw_only=True)
class SealState:
    """What the orchestrator knows of the newest seal, and of the choice that follows from it. It is replaced whole with each ballot (rules
    D1 to D5).
    """

    ballot: Ballot
    since: float = 0.0
    sealed: dict[int, Sealed] = field(default_factory=dict)
    holdings: Holdings | None = None
    """What those hold whose seals were counted; the plan that is being rebuilt follows from it. None: the plan was another
    orchestrator's."""
    proposal: Plan | None = None
    """The plan that was asked for last."""
    accepted: set[int] = field(default_factory=set)
    """Agents that have voted for it."""
    choosing_since: float = 0.0
    patience_published: bool = False
    """It was published that the job waits for silent nodes (rule T5)."""


@dataclass(slots=True, kw_only=True)
class OrchestratorState:
    """The whole of it. Changed by `perdure.core.orchestrator.step` only."""

    round: int
    shape: JobShape
    settings: Settings
    current: GenerationState = field(default_factory=GenerationState)
    seal: SealState = field(default_factory=lambda: SealState(ballot=Ballot(0, 0)))
    phase: GenerationPhase = GenerationPhase.STARTING
    started_at: float = 0.0
    all_nodes_up: bool = False
    nodes: dict[int, Node] = field(default_factory=dict)
    idle: set[int] = field(default_factory=set)
    """Living agents without ranks."""
    lost: set[int] = field(default_factory=set)
    """No generation counts on them any more; also the excluded."""
    excluded: dict[int, Excluded] = field(default_factory=dict)
    ungreeted: set[int] = field(default_factory=set)
    """Living agents that have not sent their status yet."""
    silences: set[int] = field(default_factory=set)
    """Those of the members that are silent (`Node.silent`)."""
    unheard: dict[int, dict[int, Complaint]] = field(default_factory=dict)
    """Agent -> watcher -> the complaint of that one."""
    asked: dict[int, float] = field(default_factory=dict)
    """Agents that were asked whether they live, and have sent nothing since -> when (s)."""
    probes: int = 0
    """How many there were."""
    nonce: int = 0
    newer: dict[int, int] = field(default_factory=dict)
    """Agent -> the generation that is installed there, where that is newer than this orchestrator's plan."""
    gatherings: dict[Milestone, Gathering] = field(default_factory=dict)
    """What agents gather, of the last message that went by the tree; empty when all got it one by one."""
    fanned: Relayed | None = None
    """That message, with the whole job as its reach."""
    directly: set[int] = field(default_factory=set)
    """Agents that it did not go to by the tree, or that did not answer there."""
    resumed: tuple[int, tuple[str, ...]] = (0, ())
    """The generation that this orchestrator resumed last, and the addresses that it sent then."""
    committed: Label | None = None
    published: Label | None = None
    """The newest label whose commit was published by this orchestrator. Behind `committed` where a generation has started from a label that
    the survivors of a loss had prepared and a lost node did not live to report."""
    crashes: dict[int, int] = field(default_factory=dict)
    crash_base: Label | None = None
    link_losses: int = 0
    """How many generations have ended by a lost connection since the last commit."""
    chunk_losses: dict[tuple[int, bool], int] = field(default_factory=dict)
    """Rank, and whether it is known which -> how often chunks of it were found wrong since the last commit."""
    diverged: tuple[Divergence, ...] = ()
    """Published of the newest label that all have prepared."""
    divergences: dict[int, set[Label]] = field(default_factory=dict)
    """Superstep -> its labels that were not committed because replicated items differed."""
    traffic: dict[int, Traffic] = field(default_factory=dict)
    result: bytes | None = None

    @property
    def plan(self) -> Plan | None:
        """The newest plan that is known here; None before the first."""
        return self.current.plan

    @property
    def ballot(self) -> Ballot:
        """Of the newest seal."""
        return self.seal.ballot

    def become(self, phase: GenerationPhase) -> None:
        """Moves along `TRANSITIONS`."""
        self.phase = follow(TRANSITIONS, self.phase, phase, "the orchestrator")

    @property
    def generation(self) -> int:
        """Of the newest plan that is known here; 0 before the first."""
        return self.plan.generation if self.plan else 0

    def members(self) -> tuple[int, ...]:
        """Living agents of the plan."""
        if self.plan is None:
            return ()
        if self.current.living is None:
            nodes, lost = self.nodes, self.lost
            self.current.living = tuple(agent for agent in self.plan.agents() if agent in nodes and agent not in lost)
        return self.current.living

    def alive(self, agent: int) -> bool:
        """Known, and not decided lost."""
        return agent in self.nodes and agent not in self.lost

    def add(self, node: Node) -> None:
        """One that was not known before."""
        self.nodes[node.agent] = node
        if node.state is NodeState.SPARE:
            self.idle.add(node.agent)

    def place(self, agent: int) -> None:
        """A spare gets ranks."""
        self.nodes[agent].become(NodeState.MEMBER)
        self.idle.discard(agent)

    def give_up(self, agent: int, how: NodeState = NodeState.LOST) -> None:
        """It is lost, or excluded."""
        self.nodes[agent].become(how)
        self.idle.discard(agent)
        self.asked.pop(agent, None)
        self.lost.add(agent)

    def is_behind(self, agent: int) -> bool:
        """D7: it was greeted in an older generation than the plan's, of which it was not told before the last orchestrator ended."""
        status = self.nodes[agent].status
        return status is not None and self.plan is not None and status.generation < self.plan.generation

    def forget_complaints(self, agent: int) -> None:
        """What it said of others, and others of it."""
        self.unheard.pop(agent, None)
        for watched in self.unheard.values():
            watched.pop(agent, None)

    def spares(self) -> tuple[Node, ...]:
        """Living nodes without ranks, in the order of nodes."""
        return tuple(sorted((self.nodes[agent] for agent in self.idle), key=lambda node: node.node))
