"""A job of many agents, none of it simulated but time: what one machine says another hears at once."""

from __future__ import annotations

from typing import Any

from perdure.core import agent, orchestrator
from perdure.core import commands as do
from perdure.core import events as ev
from perdure.core import messages as msg
from perdure.core.agent import AgentState
from perdure.core.agent.state import AgentGenerationState, Hosted, MembershipPhase, WorkerPhase
from perdure.core.orchestrator import GenerationPhase, JobShape, OrchestratorState
from perdure.core.orchestrator.state import GenerationState, Node, NodeState
from perdure.core.planner import Seat, first_plan
from perdure.core.settings import Settings

AGENTS, PER_NODE = 40, 2
RANKS = AGENTS * PER_NODE
SETTINGS = Settings(direct_agents_max=1, fan_out=3)
STATUS = msg.AgentStatus(generation=1, phase="member", resumed=True, ranks=(), ready=(), silent=())


class Job:
    """All agents and the orchestrator, counting in generation 1. Every rank waits inside a call."""

    def __init__(self) -> None:
        seats = [Seat(agent=n + 1, node=n, address=f"a{n}") for n in range(AGENTS)]
        plan = first_plan(seats, RANKS, PER_NODE, 8, 1)
        shape = JobShape(ranks=RANKS, ranks_per_node=PER_NODE, group_size=8, parity=1)
        self.chief = OrchestratorState(
            round=1, shape=shape, settings=SETTINGS, phase=GenerationPhase.COUNTING, current=GenerationState(plan=plan), all_nodes_up=True
        )
        self.agents: dict[int, AgentState] = {}
        self.speakers: set[int] = set()
        self.told: list[do.OrchestratorCommand] = []
        self.now = 0.0
        self.stopped: set[int] = set()
        """Agents that neither hear nor say anything; what was said to them meanwhile is lost."""
        for seat in seats:
            node = Node(agent=seat.agent, node=seat.node, address=seat.address, pid=seat.agent, state=NodeState.MEMBER, status=STATUS)
            self.chief.add(node)
            hosted = {rank: _waiting(rank) for rank in plan.ranks_of(seat.agent)}
            self.agents[seat.agent] = AgentState(
                me=seat.agent, node=seat.node, settings=SETTINGS, phase=MembershipPhase.MEMBER,
                current=AgentGenerationState(plan=plan, resumed=True, installed=True), orchestrator=True, hosted=hosted,
            )  # fmt: skip

    def live(self, seconds: float) -> None:
        """For so long, or until the orchestrator does something about what it knows."""
        until = self.now + seconds
        while self.now < until and self.chief.phase is GenerationPhase.COUNTING:
            self.now += 0.2
            for number in self.agents:
                self._step(number, ev.Tick(late_s=0.0))
            self.decide(ev.Tick(late_s=0.0))

    def _step(self, number: int, event: ev.AgentEvent) -> None:
        if number in self.stopped:
            return
        for command in agent.step(self.agents[number], event, self.now):
            match command:
                case do.TellPeer(agent=other, message=message):
                    self._step(other, ev.PeerSaid(agent=number, message=message))
                case do.TellOrchestrator(message=message):
                    self.speakers.add(number)
                    self.decide(ev.AgentSaid(agent=number, message=message))
                case _:
                    pass

    def decide(self, event: ev.OrchestratorEvent) -> None:
        """A step of the orchestrator."""
        for command in orchestrator.step(self.chief, event, self.now):
            self.told.append(command)
            if isinstance(command, do.TellAgent) and isinstance(command.message, msg.AskAlive):
                self._step(command.agent, ev.OrchestratorSaid(message=command.message))

    def hosted(self, rank: int) -> Hosted:
        """The rank, at its agent."""
        assert self.chief.plan is not None
        return self.agents[self.chief.plan.agent_of(rank)].hosted[rank]

    def of(self, kind: type[Any]) -> list[Any]:
        """What the orchestrator has done of that kind."""
        return [command for command in self.told if isinstance(command, kind)]


def _waiting(rank: int) -> Hosted:
    hosted = Hosted(rank=rank, incarnation=1, worker=WorkerPhase.RUNNING, inside="comm.recv", frames=rank, superstep=3)
    hosted.count = 9
    return hosted
