"""The simulated node: an agent's state machine, its vault, its workers, its clock."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from perdure.core import commands as do
from perdure.core import events as ev
from perdure.core import messages as msg
from perdure.core.agent.state import AgentState
from perdure.core.plan import Plan
from perdure.sim import program
from perdure.sim.clocks import Clock
from perdure.sim.decisions import Decisions
from perdure.sim.network import SLOWER
from perdure.sim.vault_commands import execute
from perdure.sim.vaults import SimVault
from perdure.sim.workers import SimWorker
from perdure.sim.world import World

if TYPE_CHECKING:
    from perdure.sim.checkers import Checkers
    from perdure.sim.orchestrators import Orchestrator

TICK_S: Final = 0.2


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What simulated processes use outside of themselves."""

    nodes: dict[int, SimNode]
    """By number of the agent."""
    orchestrators: dict[int, Orchestrator]
    """Those that the engine has started, by round."""
    checkers: Checkers
    decisions: Decisions
    step: Callable[[SimNode, ev.AgentEvent], None]
    """Takes one step of a node's machine, carries its commands out, and checks what they could have broken."""
    end: Callable[[SimNode], None]
    """Ends all processes of a node."""


class SimNode:
    """One agent. Everything that reaches it goes through `when_awake`: a stopped process reads nothing, and later all at once."""

    def __init__(self, world: World, number: int, clock: Clock, around: Surroundings) -> None:
        self.world, self.number, self.clock, self.around = world, number, clock, around
        self.state = AgentState(me=number, node=number - 1, settings=world.settings, orphan_since=clock(world.schedule.now))
        self.alive = True
        self.vault = SimVault(self)
        self.workers: dict[int, SimWorker] = {}
        self.round = 0
        """Of the orchestrator that it is connected to; 0: none."""
        self.is_mute = False
        """Nothing that it sends to the supervisor, and no end of it, is reported."""
        self.cannot_import = False
        """Its program cannot be loaded here, so it can start no worker."""
        self.frozen_since_s = self.frozen_until_s = 0.0
        self._backlog: list[tuple[Callable[..., None], tuple[Any, ...]]] = []
        self._tick_due_s = 0.0

    @property
    def awake(self) -> bool:
        """Does its agent run just now?"""
        return self.alive and self.frozen_until_s <= self.world.schedule.now

    @property
    def slowness(self) -> int:
        """How many times as long its work takes."""
        return SLOWER if self.number in self.world.network.slow else 1

    @property
    def plan(self) -> Plan:
        """Of the generation installed here."""
        assert self.state.plan is not None
        return self.state.plan

    def when_awake(self, call: Callable[..., None], *arguments: Any) -> None:
        """Now; or, of a stopped process, as soon as it goes on; or, of a dead one, never."""
        if not self.alive:
            return
        if self.frozen_until_s > self.world.schedule.now:
            self._backlog.append((call, arguments))
        else:
            call(*arguments)

    def freeze(self, until_s: float) -> None:
        """SIGSTOP to all its processes, and SIGCONT then."""
        if self.awake:
            self.frozen_since_s = self.world.schedule.now
        self.frozen_until_s = max(self.frozen_until_s, until_s)
        self.world.schedule.at(until_s, self._thaw)

    def _thaw(self) -> None:
        backlog, self._backlog = self._backlog, []
        for call, arguments in backlog:
            self.when_awake(call, *arguments)
        self.vault.changed()

    def end(self) -> None:
        """SIGKILL to all its processes."""
        self.alive = False
        for worker in self.workers.values():
            worker.alive = False
        self.workers.clear()
        self.vault.changed()

    # ---- what it hears -----------------------------------------------------------------------------------------------------

    def tick(self) -> None:
        """The timer of the loop."""
        self.when_awake(self._tick)

    def _tick(self) -> None:
        now = self.world.schedule.now
        late_s = now - self._tick_due_s if self._tick_due_s else 0.0
        self._tick_due_s = now + TICK_S
        self.world.schedule.after(TICK_S, self.tick)
        self.step(ev.Tick(late_s=late_s))

    def hear_peer(self, agent: int, message: msg.ToPeer) -> None:
        """A word of another agent."""
        self.when_awake(self.step, ev.PeerSaid(agent=agent, message=message))

    def hear_orchestrator(self, number: int, message: msg.ToAgent | None) -> None:
        """The newest orchestrator is the only one that is heard: its connection ends the older one's, whose last words may come all the
        same. None: the connection ended."""
        self.when_awake(self._hear_orchestrator, number, message)

    def _hear_orchestrator(self, number: int, message: msg.ToAgent | None) -> None:
        is_late = self.world.scenario.rivals and isinstance(message, msg.Seal | msg.Accept)
        if (number < self.round and not is_late) or (message is None and number != self.round):
            return
        if message is None:
            self.step(ev.OrchestratorGone())
        else:
            newest, self.round = self.round, number
            self.step(ev.OrchestratorSaid(message=message))
            self.round = max(newest, number)

    def hear_worker(self, worker: SimWorker, event: ev.AgentEvent) -> None:
        """A word of a worker, or about it."""
        self.when_awake(self._hear_worker, worker, event)

    def _hear_worker(self, worker: SimWorker, event: ev.AgentEvent) -> None:
        if isinstance(event, ev.WorkerEnded) and self.workers.get(worker.rank) is worker:
            del self.workers[worker.rank]
        self.step(event)

    def post(self, event: ev.AgentEvent) -> None:
        """A word of its own vault."""
        self.world.network.send(self.number, self.number, self.when_awake, self.step, event)

    # ---- what it does ------------------------------------------------------------------------------------------------------

    def step(self, event: ev.AgentEvent) -> None:
        """One step of the agent's machine, and its commands."""
        self.around.step(self, event)

    def execute(self, command: do.AgentCommand) -> None:
        """One command."""
        around = self.around
        match command:
            case do.TellPeer(agent=other, message=message):
                self.world.send(self.number, other, message, around.nodes[other].hear_peer, self.number)
            case do.TellOrchestrator(message=message):
                self._tell_orchestrator(message)
            case do.TellWorker(rank=rank, message=message):
                worker = self.workers.get(rank)
                if worker is not None:
                    around.checkers.worker_told(self, worker, message)
                    self.world.network.send(self.number, worker.number, self.when_awake, worker.hear, message)
            case do.StartWorker() if self.cannot_import:
                around.end(self)
            case do.StartWorker(rank=rank, incarnation=incarnation):
                around.checkers.worker_starts(self, rank, incarnation)
                self.workers[rank] = SimWorker(self, self.world.next_worker(), rank, incarnation)
            case do.KillWorker(rank=rank):
                if rank in self.workers:
                    self.workers[rank].end("was killed by its agent")
            case do.EndAgent():
                around.end(self)
            case do.SendResult(rank=rank, label=label):
                payload = self.vault.bytes_of(rank, label)
                offer = self.vault.held[rank, label].members[self.plan.member_of(rank)]
                if program.digests(payload) == offer.items[0].blocks:
                    self._tell_orchestrator(msg.Result(payload=payload))
                else:
                    self.post(ev.ResultWrong(rank=rank, label=label))
            case do.ReportTraffic(label=label):
                parity = sum(self.vault.moved_parity.values())
                self._tell_orchestrator(msg.Traffic(label=label, parity=parity, rebuild=self.vault.moved_rebuild))
            case do.ReserveMemory():
                pass
            case _:
                around.checkers.vault_told(self, command)
                execute(self.vault, command)

    def _tell_orchestrator(self, message: msg.FromAgent) -> None:
        """Send to the orchestrator whose words it heard last; lost if that one has ended."""
        orchestrator = self.around.orchestrators.get(self.round)
        if orchestrator is not None and orchestrator.alive:
            self.world.send(self.number, -self.round, message, orchestrator.hear_agent, self.number)
