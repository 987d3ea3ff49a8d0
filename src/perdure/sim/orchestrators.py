"""The simulated orchestrator: a process that waits, begins, and may stop or end at any instant."""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import Any

from perdure.core import events as ev
from perdure.core import messages as msg
from perdure.core.orchestrator.state import JobShape, OrchestratorState
from perdure.sim.clocks import Clock
from perdure.sim.nodes import TICK_S
from perdure.sim.world import World

Step = Callable[["Orchestrator", ev.OrchestratorEvent], None]
"""Takes one step of an orchestrator's machine, and carries its commands out."""
Tell = Callable[["Orchestrator", msg.FromOrchestrator], None]
"""Sends a message to the supervisor."""


class Orchestrator:
    """One process. Its number is its round; on the network it is the negative of that."""

    def __init__(self, world: World, number: int, shape: JobShape, clock: Clock, step: Step, tell: Tell) -> None:
        self._world, self.number, self.clock, self._step, self._tell = world, number, clock, step, tell
        self.state = OrchestratorState(round=number, shape=shape, settings=world.settings)
        self.alive = True
        self.began_s = inf
        """When it received what the register holds; infinite: it waits, or has just begun."""
        self.frozen_until_s = 0.0
        self._backlog: list[tuple[Callable[..., None], tuple[Any, ...]]] = []
        self._tick_due_s = 0.0

    @property
    def awake(self) -> bool:
        """Does it run just now?"""
        return self.alive and self.frozen_until_s <= self._world.schedule.now

    def when_awake(self, call: Callable[..., None], *arguments: Any) -> None:
        """Now; or, of a stopped process, as soon as it goes on; or, of a dead one, never."""
        if not self.alive:
            return
        if self.frozen_until_s > self._world.schedule.now:
            self._backlog.append((call, arguments))
        else:
            call(*arguments)

    def freeze(self, until_s: float) -> None:
        """SIGSTOP, and SIGCONT then."""
        self.frozen_until_s = max(self.frozen_until_s, until_s)
        if until_s < inf:
            self._world.schedule.at(until_s, self._thaw)

    def _thaw(self) -> None:
        backlog, self._backlog = self._backlog, []
        for call, arguments in backlog:
            self.when_awake(call, *arguments)

    def receive(self, message: msg.ToOrchestrator) -> None:
        """A message of the supervisor."""
        self.when_awake(self._receive, message)

    def _receive(self, message: msg.ToOrchestrator) -> None:
        if isinstance(message, msg.BeginRound):
            self._world.schedule.after(0.01, self.tick)
            return
        if isinstance(message, msg.RegisterHolds):
            self.began_s = min(self.began_s, self._world.schedule.now)
        self.take(message)

    def hear_agent(self, agent: int, message: msg.FromAgent) -> None:
        """A message of an agent."""
        self.when_awake(self.take, ev.AgentSaid(agent=agent, message=message))

    def take(self, event: ev.OrchestratorEvent) -> None:
        """One step of the machine, and its commands."""
        self._step(self, event)

    def tick(self) -> None:
        """The timer of its loop."""
        self.when_awake(self._tick)

    def _tick(self) -> None:
        now = self._world.schedule.now
        late_s = now - self._tick_due_s if self._tick_due_s else 0.0
        self._tick_due_s = now + TICK_S
        self._world.schedule.after(TICK_S, self.tick)
        self.take(ev.Tick(late_s=late_s))
        if self.alive:
            self._tell(self, msg.OrchestratorAlive())
