"""What does one failure cost in a job of 100,000 ranks? One orchestrator with all its nodes, and the agents whom the failure concerns.

Of the other agents one is real, and what the rest would answer is known: each has done, with all of its part of the tree, what it was told.
Vaults, links and workers answer at once, for it is the work of the state machines that is
counted, not that of the memory.
"""

from __future__ import annotations

import gc
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from perdure.core import agent as agent_machine
from perdure.core import agreement, multicast_tree, planner
from perdure.core import commands as do
from perdure.core import events as ev
from perdure.core import messages as msg
from perdure.core import orchestrator as orchestrator_machine
from perdure.core.agent import relay
from perdure.core.agent.state import AgentGenerationState, AgentState, Hosted, MembershipPhase, Slot, Stage, WorkerPhase, full_masks
from perdure.core.ids import Ballot, Label
from perdure.core.orchestrator.state import GenerationPhase, GenerationState, JobShape, Node, NodeState, OrchestratorState
from perdure.core.plan import Plan
from perdure.core.records import replace
from perdure.core.settings import Settings
from perdure.sim import program

GROUP: Final = 8
BASE: Final = Label(1, 1)
VICTIM: Final = 3
"""The agent that ends; its rank is one less."""
COMMON: Final = agreement.common_of(program.offer_of(0, program.state_of(0, 1), program.common_of(1)))
UNDISTURBED_S: Final = 10.0
TICK_S: Final = 0.05
"""As the runtime's."""
SizeOf = Callable[[msg.Message], int]


@dataclass(slots=True, kw_only=True)
class Cost:
    """Of one failure, from the end of a node to the resume. Times are CPU seconds of state machines alone; bytes are of the words of
    the orchestrator, passed on or not."""

    ranks: int
    orchestrator_s: float = 0.0
    longest_step_s: float = 0.0
    heard: int = 0
    told: int = 0
    member_s: float = 0.0
    bystander_s: float = 0.0
    member_bytes: int = 0
    bystander_bytes: int = 0
    stripes: int = 0
    restores: int = 0
    chunks: int = 0
    watched: int = 0
    """Peers of one agent, which is what its heartbeats cost."""
    words_per_s: float = 0.0
    """To the orchestrator, of all agents, while nothing happens."""


def measure(ranks: int, size_of: SizeOf) -> Cost:
    """Builds a job that has committed, ends one of its nodes, and counts until every rank may go on. `ranks`: 16 or more."""
    job = _Job(ranks, size_of)
    gc.collect()
    gc.disable()  # the collector would look through a whole simulated job in the middle of some step
    try:
        job.cost.words_per_s = job.words_per_s()
        return job.lose_a_node()
    finally:
        gc.enable()


@dataclass(slots=True)
class _Job:
    ranks: int
    size_of: SizeOf
    cost: Cost = field(init=False)
    plan: Plan = field(init=False)
    orchestrator: OrchestratorState = field(init=False)
    agents: dict[int, AgentState] = field(default_factory=dict)
    to_orchestrator: deque[tuple[int, msg.FromAgent]] = field(default_factory=deque)
    spent_s: dict[int, float] = field(default_factory=dict)
    heard_bytes: dict[int, int] = field(default_factory=dict)
    sizes: dict[int, tuple[msg.Message, int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.cost = Cost(ranks=self.ranks)
        seats = [planner.Seat(agent=number + 1, node=number, address=f"agent-{number}") for number in range(self.ranks)]
        self.plan = planner.first_plan(seats, self.ranks, 1, GROUP, 1)
        shape = JobShape(ranks=self.ranks, ranks_per_node=1, group_size=GROUP, parity=1)
        self.orchestrator = OrchestratorState(
            round=1,
            shape=shape,
            settings=Settings(),
            phase=GenerationPhase.COUNTING,
            current=GenerationState(plan=self.plan),
            committed=BASE,
            all_nodes_up=True,
            resumed=(1, tuple(f"rank-{rank}" for rank in range(self.ranks))),
        )
        for number in range(1, self.ranks + 2):
            state = NodeState.MEMBER if number <= self.ranks else NodeState.SPARE
            node = Node(agent=number, node=number - 1, address=f"agent-{number - 1}", pid=number, state=state)
            node.status = msg.AgentStatus(generation=1, phase="member", resumed=True, ranks=(), ready=(), silent=())
            self.orchestrator.add(node)
        group = self.plan.group_of(VICTIM - 1)
        for rank in group:
            self._member(rank)
        self.agents[self.ranks + 1] = AgentState(me=self.ranks + 1, node=self.ranks, settings=Settings())
        self._member(self.ranks - 1)
        del self.agents[VICTIM]

    def _member(self, rank: int) -> None:
        self.agents[self.plan.agent_of(rank)] = self._state_of(rank)

    def _state_of(self, rank: int) -> AgentState:
        """An agent as it is between two commits."""
        number, group = self.plan.agent_of(rank), self.plan.group_of(rank)
        data, parity = full_masks(self.plan, rank)
        offers = {member: program.offer_of(other, program.state_of(other, 1), program.common_of(1)) for member, other in enumerate(group)}
        slot = Slot(label=BASE, index=0, stage=Stage.PREPARED, offers=offers, data=data, parity=parity, replicated=True, verified=True)
        hosted = Hosted(rank=rank, incarnation=1, worker=WorkerPhase.RUNNING, address=f"rank-{rank}", slots={BASE: slot})
        current = AgentGenerationState(plan=self.plan, resumed=True, installed=True, committed=BASE, positions=(2, 3))
        return AgentState(
            me=number, node=number - 1, settings=Settings(), phase=MembershipPhase.MEMBER, current=current, orchestrator=True,
            addresses=self.orchestrator.resumed[1], addresses_of=1, hosted={rank: hosted},
        )  # fmt: skip

    def words_per_s(self) -> float:
        """Counted of those who may differ, the heads at the top of the tree, and of a few of the others."""
        settings = self.orchestrator.settings
        heads = [first for first, _ in multicast_tree.split(0, self.ranks, settings.fan_out)]
        others = sorted(set(range(self.ranks)) - set(heads))
        some = others[: len(heads)]
        said = sum(self._words_of(rank) for rank in heads)
        if some:
            said += round(sum(self._words_of(rank) for rank in some) / len(some) * len(others))
        return said / UNDISTURBED_S

    def _words_of(self, rank: int) -> int:
        """One agent ticks, and hears its peers."""
        state, said, now = self._state_of(rank), 0, 0.0
        while now < UNDISTURBED_S:
            now += TICK_S
            for peer in state.peers.values():
                peer.heard_at = peer.echoed_at = now
            commands = agent_machine.step(state, ev.Tick(late_s=0.0), now)
            said += sum(isinstance(command, do.TellOrchestrator) for command in commands)
        return said

    def lose_a_node(self) -> Cost:
        self._orchestrator_step(ev.AgentEnded(agent=VICTIM, how="was killed"))
        while self.to_orchestrator:
            number, message = self.to_orchestrator.popleft()
            self._orchestrator_step(ev.AgentSaid(agent=number, message=message))
        assert self.orchestrator.phase is GenerationPhase.COUNTING, self.orchestrator.phase
        bystander, replacement = self.ranks, self.ranks + 1
        members = [number for number in self.agents if number not in (bystander, replacement)]
        cost = self.cost
        cost.member_s = max(self.spent_s[number] for number in members)
        cost.bystander_s = self.spent_s[bystander]
        cost.member_bytes = max(self.heard_bytes[number] for number in members)
        cost.bystander_bytes = self.heard_bytes[bystander]
        cost.watched = len(agent_machine.peers.watched_by(self.plan, bystander))
        return cost

    def _orchestrator_step(self, event: ev.OrchestratorEvent) -> None:
        begun = time.thread_time()
        commands = orchestrator_machine.step(self.orchestrator, event, 1.0)
        took = time.thread_time() - begun
        self.cost.orchestrator_s += took
        self.cost.longest_step_s = max(self.cost.longest_step_s, took)
        self.cost.heard += 1
        for command in commands:
            match command:
                case do.TellAgent(agent=number, message=message):
                    self.cost.told += 1
                    self._tell(number, message, relay.THE_ORCHESTRATOR)
                case do.Propose(plan=plan):
                    self._orchestrator_step(ev.RegisterHolds(plan=plan))
                case _:
                    pass

    def _tell(self, number: int, message: msg.ToAgent | msg.ToPeer, source: int) -> None:
        """A word of the orchestrator, or one that the agent `source` passes on."""
        if isinstance(message, msg.Assign):
            self.cost.stripes += len(message.tasks)
            self.cost.chunks += sum(len(task.sources) + len(task.wanted) for task in message.tasks)
        if number in self.agents:
            answers = isinstance(message, msg.Gathered)
            self.heard_bytes[number] = self.heard_bytes.get(number, 0) + (0 if answers else self._size(message))
            self._agent_step(number, _heard_from(source, message))
            return
        match message:
            case msg.Seal(reach=None, ballot=ballot, generation=generation):
                data, parity = full_masks(self.plan, number - 1)
                held = msg.LabelReport(label=BASE, prepared=True, data=data, parity=parity, common=COMMON)
                report = msg.RankReport(rank=number - 1, incarnation=1, worker_lives=True, labels=(held,))
                answer = msg.Sealed(ballot=ballot, generation=generation, ranks=(report,), positions=(2, 3))
                self.to_orchestrator.append((number, answer))
            case msg.Accept(reach=None, ballot=ballot):
                self.to_orchestrator.append((number, msg.Accepted(ballot=ballot)))
            case msg.Amend(reach=None, generation=generation):
                self.to_orchestrator.append((number, msg.Installed(generation=generation)))
                self.to_orchestrator.append((number, msg.Ready(generation=generation, rank=number - 1, address=f"rank-{number - 1}")))
            case msg.Seal(reach=reach) | msg.Accept(reach=reach) | msg.Amend(reach=reach) | msg.Resume(reach=reach) if reach is not None:
                self._pass_on(number, message, reach, source)
            case _:
                pass

    def _pass_on(self, number: int, word: msg.Seal | msg.Accept | msg.Amend | msg.Resume, reach: msg.Reach, source: int) -> None:
        """One that is not real says what all of its part say; the real one in it hears the word from there."""
        if reach.first < self.ranks - 1 < reach.stop:
            mine = msg.Reach(first=self.ranks - 1, stop=self.ranks, without=reach.without)
            self._tell(self.ranks, replace(word, reach=mine), number)
        for milestone in relay.milestones_of(word):
            sealed = isinstance(word, msg.Seal)
            answer = msg.Gathered(
                milestone=milestone,
                generation=word.generation - isinstance(word, msg.Accept),
                ballot=word.ballot if isinstance(word, msg.Seal | msg.Accept) else Ballot(0, 0),
                first=reach.first,
                stop=reach.stop,
                missing=(VICTIM - 1,) if reach.first < VICTIM <= reach.stop else (),
                labels=(_held_by(range(reach.first, reach.stop)),) if sealed else None,
                positions=(2, 3) if sealed else (),
            )
            if source == relay.THE_ORCHESTRATOR:
                self.to_orchestrator.append((number, answer))
            else:
                self._agent_step(source, ev.PeerSaid(agent=number, message=answer))

    def _size(self, message: msg.Message) -> int:
        """Measured once for a message that goes to many."""
        if id(message) not in self.sizes:
            self.sizes[id(message)] = (message, self.size_of(message))
        return self.sizes[id(message)][1]

    def _agent_step(self, number: int, event: ev.AgentEvent) -> None:
        begun = time.thread_time()
        commands = agent_machine.step(self.agents[number], event, 1.0)
        self.spent_s[number] = self.spent_s.get(number, 0.0) + time.thread_time() - begun
        for command in commands:
            self._done_at_once(number, command)

    def _done_at_once(self, number: int, command: Any) -> None:
        match command:
            case do.TellOrchestrator(message=message):
                self.to_orchestrator.append((number, message))
            case do.TellPeer(agent=other, message=message) if other in self.agents or not isinstance(message, msg.Gathered):
                self._tell(other, message, number)
            case do.TellWorker(rank=rank, message=msg.Revoke(generation=generation)):
                incarnation = self.agents[number].hosted[rank].incarnation
                unwound = msg.Unwound(generation=generation, clean=True)
                self._agent_step(number, ev.WorkerSaid(rank=rank, incarnation=incarnation, message=unwound))
            case do.StartWorker(rank=rank, incarnation=incarnation):
                loaded = msg.Loaded(address=f"rank-{rank}.{incarnation}", pid=number)
                self._agent_step(number, ev.WorkerSaid(rank=rank, incarnation=incarnation, message=loaded))
            case do.ShutLinks(generation=generation):
                self._agent_step(number, ev.LinksQuiet(generation=generation))
            case do.VerifySlot(rank=rank, label=label):
                verified = ev.SlotVerified(rank=rank, label=label, wrong=msg.Chunks())
                self._agent_step(number, verified)
            case do.Restore(rank=rank, label=label):
                self.cost.restores += 1
                group = self.plan.group_of(rank)
                offers = tuple(program.offer_of(other, program.state_of(other, 1), program.common_of(1)) for other in group)
                self._agent_step(number, ev.SlotRestored(rank=rank, label=label, member_offers=offers))
                self._agent_step(number, ev.ReplicatedStored(rank=rank, label=label))
            case do.Decode(tasks=tasks):
                for task in tasks:
                    for position, rank in task.wanted:
                        home = self.orchestrator.plan.agent_of(rank) if self.orchestrator.plan else 0
                        self._agent_step(home, ev.ChunkStored(rank=rank, label=task.label, position=position))
            case _:
                pass


def _held_by(ranks: range) -> msg.UsualLabel:
    some = ranks[: multicast_tree.WITNESSES_MAX]
    return msg.UsualLabel(label=BASE, differs=False, witnesses=tuple((rank, COMMON) for rank in some))


def _heard_from(source: int, message: Any) -> ev.AgentEvent:
    return ev.PeerSaid(agent=source, message=message) if source else ev.OrchestratorSaid(message=message)
