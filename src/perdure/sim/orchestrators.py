"""The simulated orchestrator: a process that waits, begins, and may stop or end at any instant."""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import TYPE_CHECKING, Any

from perdure.core import events as ev
from perdure.core import messages as msg
from perdure.core import orchestrator as machine
from perdure.core.orchestrator.state import JobShape, OrchestratorState
from perdure.core.settings import Settings
from perdure.sim.clocks import Clock
from perdure.sim.nodes import TICK_S

if TYPE_CHECKING:
    from perdure.sim.cluster import Cluster


class Orchestrator:
    """One process. Its number is its round; on the network it is the negative of that."""

    def __init__(self, cluster: Cluster, number: int, shape: JobShape, settings: Settings, clock: Clock) -> None:
        self.cluster, self.number, self.clock = cluster, number, clock
        self.state = OrchestratorState(round=number, shape=shape, settings=settings)
        self.alive = True
        self.began_s = inf
        """When it received what the register holds; infinite: it waits, or has just begun."""
        self.frozen_until_s = 0.0
        self._backlog: list[tuple[Callable[..., None], tuple[Any, ...]]] = []
        self._tick_due_s = 0.0

    @property
    def awake(self) -> bool:
        """Does it run just now?"""
        return self.alive and self.frozen_until_s <= self.cluster.schedule.now

    def when_awake(self, call: Callable[..., None], *arguments: Any) -> None:
        """Now; or, of a stopped process, as soon as it goes on; or, of a dead one, never."""
        if not self.alive:
            return
        if self.frozen_until_s > self.cluster.schedule.now:
            self._backlog.append((call, arguments))
        else:
            call(*arguments)

    def freeze(self, until_s: float) -> None:
        """SIGSTOP, and SIGCONT then."""
        self.frozen_until_s = max(self.frozen_until_s, until_s)
        if until_s < inf:
            self.cluster.schedule.at(until_s, self._thaw)

    def _thaw(self) -> None:
        backlog, self._backlog = self._backlog, []
        for call, arguments in backlog:
            self.when_awake(call, *arguments)

    def receive(self, message: msg.ToOrchestrator) -> None:
        """A message of the supervisor."""
        self.when_awake(self._receive, message)

    def _receive(self, message: msg.ToOrchestrator) -> None:
        if isinstance(message, msg.BeginRound):
            self.cluster.schedule.after(0.01, self.tick)
            return
        if isinstance(message, msg.RegisterHolds):
            self.began_s = min(self.began_s, self.cluster.schedule.now)
        self.take(message)

    def hear(self, event: ev.AgentSaid) -> None:
        """A message of an agent."""
        self.when_awake(self.take, event)

    def take(self, event: ev.OrchestratorEvent) -> None:
        """One step of the machine, and its commands."""
        self.cluster.step_orchestrator(self, event, machine.step)

    def tick(self) -> None:
        """The timer of its loop."""
        self.when_awake(self._tick)

    def _tick(self) -> None:
        now = self.cluster.schedule.now
        late_s = now - self._tick_due_s if self._tick_due_s else 0.0
        self._tick_due_s = now + TICK_S
        self.cluster.schedule.after(TICK_S, self.tick)
        self.take(ev.Tick(late_s=late_s))
        if self.alive:
            self.cluster.supervisor.tell(self, msg.OrchestratorAlive())
