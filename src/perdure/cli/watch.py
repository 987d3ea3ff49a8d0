"""The state of a running job, gathered from its events for a display.

It draws nothing and reads no clock of its own: `now` is given, in seconds of any monotonic clock.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum

from perdure.core.job_events import (
    AgentStartedEvent,
    CommittedEvent,
    FinishedEvent,
    GenerationStartedEvent,
    NodeLostEvent,
    NodeReturnedEvent,
    ProgressEvent,
    RebuiltEvent,
    ResumedEvent,
    TimedEvent,
    WorkerStartedEvent,
)
from perdure.launch.report import Account


class NodeViewState(Enum):
    """The state of a node, as a display shows it."""

    STARTING = "starting"
    SPARE = "spare"
    RUNNING = "running"
    REBUILDING = "rebuilding"
    LOST = "lost"


@dataclass(slots=True, kw_only=True)
class NodeView:
    """One node. `losses`: how often it was lost; `since`: event time of the last change of state, s."""

    state: NodeViewState
    ranks: list[int] = field(default_factory=list)
    losses: int = 0
    since: float = 0.0


@dataclass(slots=True, kw_only=True)
class WorkerView:
    """The process that holds a rank. `rebuilt_ms` is the time its memory took, 0.0 for one that was never rebuilt."""

    pid: int
    incarnation: int
    rebuilt_ms: float = 0.0
    rebuilt_at: float = 0.0


class Watch:
    """Takes a job's events in order. All times are in seconds; `t` is the job's own time, 0 at its start."""

    def __init__(self, clock: Callable[[], float], count: int | None = None) -> None:
        """Start with an empty state. `count`: supersteps of the program; None: taken from the events, if they contain it."""
        self._clock = clock
        self._account = Account()
        self._zero: float | None = None
        self._resumed: float | None = None
        self._began: float | None = None
        self.count = count
        self.nodes: dict[int, NodeView] = {}
        self.workers: dict[int, WorkerView] = {}
        self._placement: dict[int, int] = {}
        """The node of each rank. In a large job a new generation contains only ranks that moved."""
        self.superstep = self.committed = self.generation = 0
        self.commits = 0
        self.degraded, self.why_degraded = False, ""
        self.finished: float | None = None

    @property
    def t(self) -> float:
        """The job's time now; of a finished job, its end."""
        if self.finished is not None:
            return self.finished
        return 0.0 if self._zero is None else self._clock() - self._zero

    @property
    def losses(self) -> int:
        """The number of lost nodes and workers."""
        return self._account.report.losses

    @property
    def seconds(self) -> dict[str, float]:
        """Wall time by cause so far, as the report will have it."""
        seconds = dict(self._account.report.seconds)
        if self.finished is None and self._resumed is not None:
            others = sum(value for cause, value in seconds.items() if cause != "compute")
            seconds["compute"] = max(0.0, self.t - self._resumed - others)
        return seconds

    @property
    def share(self) -> float | None:
        """The share of the program that is done, 0 to 1; None if the count is unknown."""
        return None if not self.count else min(1.0, self.superstep / self.count)

    @property
    def startup_s(self) -> float:
        """From the start of the job to its first superstep; until then, so far."""
        return self.t if self._began is None else self._began

    @property
    def time_left_s(self) -> float | None:
        """By the supersteps done and the time that they took, losses included; None while nothing is done or the count is not known."""
        if not self.count or self._began is None or not self.superstep:
            return None
        return (self.t - self._began) / self.superstep * max(0, self.count - self.superstep)

    def take(self, timed: TimedEvent) -> None:
        """One event. Those that are not named here change nothing that is shown."""
        t = timed.t
        if self._zero is None:
            self._zero = self._clock() - t
        self._account.take(timed)
        match timed.event:
            case AgentStartedEvent(node=number):
                node = self.nodes.get(number)
                if node is None or not node.ranks:
                    self._become(number, NodeViewState.SPARE, t)
            case NodeReturnedEvent(node=number):
                self._become(number, NodeViewState.STARTING, t)
            case NodeLostEvent(node=number):
                node = self._become(number, NodeViewState.LOST, t)
                node.ranks = []
                node.losses += 1
            case GenerationStartedEvent() as event:
                self._on_generation_started(event, t)
            case WorkerStartedEvent() as event:
                self.workers[event.rank] = WorkerView(pid=event.pid, incarnation=event.incarnation)
            case RebuiltEvent(rank=rank, seconds=seconds):
                worker = self.workers.get(rank)
                if worker is not None:
                    worker.rebuilt_ms, worker.rebuilt_at = seconds * 1000, t
            case ResumedEvent(superstep=superstep):
                self._on_resumed(superstep, t)
            case ProgressEvent(superstep=superstep, count=count):
                self.superstep = max(self.superstep, superstep)
                self.count = self.count if count is None else count
            case CommittedEvent(superstep=superstep):
                self._on_committed(superstep, t)
            case FinishedEvent():
                self.finished = t

    def _become(self, number: int, state: NodeViewState, t: float) -> NodeView:
        node = self.nodes.setdefault(number, NodeView(state=state, since=t))
        if node.state is not state:
            node.state, node.since = state, t
        return node

    def _on_generation_started(self, event: GenerationStartedEvent, t: float) -> None:
        self.generation, self.degraded = event.generation, event.degraded
        self.why_degraded = event.why or "nodes are missing"
        self._placement.update(event.placement)
        found: dict[int, list[int]] = {}
        for rank, number in sorted(self._placement.items()):
            found.setdefault(number, []).append(rank)
        for number, ranks in found.items():
            before = self.nodes.get(number)
            held = before.ranks if before else []
            state = NodeViewState.RUNNING if ranks == held else NodeViewState.REBUILDING
            self._become(number, state, t).ranks = ranks

    def _on_resumed(self, superstep: int, t: float) -> None:
        if self._resumed is None:
            self._resumed = t
        self.superstep = superstep
        for number, node in self.nodes.items():
            if node.state is NodeViewState.REBUILDING:
                self._become(number, NodeViewState.RUNNING, t)

    def _on_committed(self, superstep: int, t: float) -> None:
        if self._began is None:
            self._began = t
        self.commits += 1
        self.committed = superstep
        self.superstep = max(self.superstep, self.committed)
