"""The simulated node: an agent's state machine, its vault, its workers, its clock."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from perdure.core import agent as machine
from perdure.core import commands as do
from perdure.core import events as ev
from perdure.core import messages as msg
from perdure.core.agent.state import AgentState
from perdure.core.plan import Plan
from perdure.core.settings import Settings
from perdure.sim import program
from perdure.sim.clocks import Clock
from perdure.sim.network import SLOWER
from perdure.sim.vault_commands import execute
from perdure.sim.vaults import SimVault
from perdure.sim.workers import SimWorker

if TYPE_CHECKING:
    from perdure.sim.cluster import Cluster

TICK_S: Final = 0.2


class SimNode:
    """One agent. Everything that reaches it goes through `when_awake`: a stopped process reads nothing, and later all at once."""

    def __init__(self, cluster: Cluster, number: int, settings: Settings, clock: Clock) -> None:
        self.cluster, self.number, self.clock = cluster, number, clock
        self.state = AgentState(me=number, node=number - 1, settings=settings, orphan_since=clock(cluster.schedule.now))
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
        return self.alive and self.frozen_until_s <= self.cluster.schedule.now

    @property
    def slowness(self) -> int:
        """How many times as long its work takes."""
        return SLOWER if self.number in self.cluster.network.slow else 1

    @property
    def plan(self) -> Plan:
        """Of the generation installed here."""
        assert self.state.plan is not None
        return self.state.plan

    def when_awake(self, call: Callable[..., None], *arguments: Any) -> None:
        """Now; or, of a stopped process, as soon as it goes on; or, of a dead one, never."""
        if not self.alive:
            return
        if self.frozen_until_s > self.cluster.schedule.now:
            self._backlog.append((call, arguments))
        else:
            call(*arguments)

    def freeze(self, until_s: float) -> None:
        """SIGSTOP to all its processes, and SIGCONT then."""
        if self.awake:
            self.frozen_since_s = self.cluster.schedule.now
        self.frozen_until_s = max(self.frozen_until_s, until_s)
        self.cluster.schedule.at(until_s, self._thaw)

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
        now = self.cluster.schedule.now
        late_s = now - self._tick_due_s if self._tick_due_s else 0.0
        self._tick_due_s = now + TICK_S
        self.cluster.schedule.after(TICK_S, self.tick)
        self.step(ev.Tick(late_s=late_s))

    def hear_peer(self, agent: int, message: msg.ToPeer) -> None:
        """A word of another agent."""
        self.when_awake(self.step, ev.PeerSaid(agent=agent, message=message))

    def hear_orchestrator(self, number: int, message: msg.ToAgent | None) -> None:
        """The newest orchestrator is the only one that is heard: its connection ends the older one's, whose last words may come all the
        same. None: the connection ended."""
        self.when_awake(self._hear_orchestrator, number, message)

    def _hear_orchestrator(self, number: int, message: msg.ToAgent | None) -> None:
        is_late = self.cluster.scenario.rivals and isinstance(message, msg.Seal | msg.Accept)
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
        self.cluster.network.send(self.number, self.number, self.when_awake, self.step, event)

    # ---- what it does ------------------------------------------------------------------------------------------------------

    def step(self, event: ev.AgentEvent) -> None:
        """One step of the agent's machine, and its commands."""
        self.cluster.step_agent(self, event, machine.step)

    def execute(self, command: do.AgentCommand) -> None:
        """One command."""
        cluster = self.cluster
        match command:
            case do.TellPeer(agent=other, message=message):
                cluster.tell_peer(self, cluster.nodes[other], message)
            case do.TellOrchestrator(message=message):
                cluster.tell_orchestrator(self, message)
            case do.TellWorker(rank=rank, message=message):
                worker = self.workers.get(rank)
                if worker is not None:
                    cluster.checkers.worker_told(self, worker, message)
                    cluster.network.send(self.number, worker.number, self.when_awake, worker.hear, message)
            case do.StartWorker() if self.cannot_import:
                cluster.end_node(self)
            case do.StartWorker(rank=rank, incarnation=incarnation):
                cluster.checkers.worker_starts(self, rank, incarnation)
                self.workers[rank] = SimWorker(self, cluster.next_worker(), rank, incarnation)
            case do.KillWorker(rank=rank):
                if rank in self.workers:
                    self.workers[rank].end("was killed by its agent")
            case do.EndAgent():
                cluster.end_node(self)
            case do.SendResult(rank=rank, label=label):
                payload = self.vault.bytes_of(rank, label)
                offer = self.vault.held[rank, label].members[self.plan.member_of(rank)]
                if program.digests(payload) == offer.items[0].blocks:
                    cluster.tell_orchestrator(self, msg.Result(payload=payload))
                else:
                    self.post(ev.ResultWrong(rank=rank, label=label))
            case do.ReportTraffic(label=label):
                parity = sum(self.vault.moved_parity.values())
                cluster.tell_orchestrator(self, msg.Traffic(label=label, parity=parity, rebuild=self.vault.moved_rebuild))
            case do.ReserveMemory():
                pass
            case _:
                cluster.checkers.vault_told(self, command)
                execute(self.vault, command)
