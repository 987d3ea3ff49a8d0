"""The report on a job, computed from its events."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime
from typing import Any

import xxhash

from perdure.core.interval import Choice, every, explained
from perdure.core.job_events import (
    AgentStartedEvent,
    CommittedEvent,
    CrossingEvent,
    FaultEvent,
    FinishedEvent,
    GenerationStartedEvent,
    LinkLostEvent,
    NodeLostEvent,
    ProgressEvent,
    ResumedEvent,
    TimedEvent,
    TrafficEvent,
    UnprotectedEvent,
    WorkerLostEvent,
)
from perdure.core.layout import COPIES
from perdure.core.settings import Settings
from perdure.launch.plain import plain

NO_LOOP = (
    "the program declares items but ran no superstep, so after a loss it would have started from the beginning: "
    "put its work into `for superstep in job.supersteps(count):`"
)
CAUSES = ("compute", "protect", "detect", "reform", "rebuild", "replay")


@dataclass(slots=True, kw_only=True)
class Report:
    """The report on a job, which `perdure.run` returns.

    Attributes:
        result: the value that `main` returned on rank 0.
        engine: the engine's name, such as "local". "threads": all ranks were in one process, without protection.
        digests: the digest of each declared item at the end, over all ranks; equal in all runs, whatever was lost.
        supersteps: supersteps of the program; repeated ones are not counted twice.
        generations: the number of memberships, 1 if nothing was lost.
        losses: the number of lost nodes and workers.
        seconds: wall time by cause. protect: ranks delayed by commits; detect: from a fault (its injection, otherwise the last sign of
        life)
            until it was detected; reform: until the next membership; rebuild: until `main` was entered again; replay: until the lost
            supersteps were repeated; compute: the rest.
        bytes: bytes sent, by purpose, without headers.
        memory_bytes: the memory of all ranks at the last commit.
        degraded: the job ended with less redundancy than requested, because nodes were missing.
        why_degraded: the ranks that shared a node at the end, as a phrase; otherwise empty.
        interval: the interval between commits and its reason, with the numbers, as a sentence.
        interval_numbers: the same as numbers: the fields of `perdure.core.interval.Choice` and `recovery_s`; empty if the interval was
            given.
        uneven: if parity at the last commit was much larger than for states of equal size, the fields of
            `perdure.core.imbalance.Imbalance`; otherwise empty.
        risk: the single loss that would have ended the job at the end, as a sentence: that of a failure domain, of a node that hosts more
            members of a group than parity can rebuild, or, with one rank and no parity, of its node. Otherwise empty.
        started: the wall-clock time at the start, ISO 8601, UTC.
        commits: committed labels, with the state before the first superstep and the end; repeated ones count again. A label from which the
            job resumed after a loss counts too: all survivors had prepared it.
        lost: the losses in order: `t` (s since the start), `reason`, and `node` or `rank`.
        links_lost: connections between two live ranks that failed: `ranks`, the lower one first, and `times`.
        warnings: sentences about the program for the operator.
    """

    result: Any = None
    engine: str = "local"
    digests: dict[str, str] = field(default_factory=dict)
    supersteps: int = 0
    generations: int = 0
    losses: int = 0
    seconds: dict[str, float] = field(default_factory=lambda: dict.fromkeys(CAUSES, 0.0))
    bytes: dict[str, int] = field(default_factory=lambda: dict.fromkeys(("application", "parity", "rebuild"), 0))
    memory_bytes: dict[str, int] = field(default_factory=lambda: dict.fromkeys(("live", "snapshots", "parity"), 0))
    degraded: bool = False
    why_degraded: str = ""
    interval: str = ""
    interval_numbers: dict[str, Any] = field(default_factory=dict)
    uneven: dict[str, int] = field(default_factory=dict)
    risk: str = ""
    started: str = ""
    commits: int = 0
    lost: list[dict[str, Any]] = field(default_factory=list)
    links_lost: list[dict[str, Any]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def to_json(self) -> str:
        """One line, which every reader of JSON takes: a float that is no number is a string, such as "NaN"."""
        return json.dumps({one.name: plain(getattr(self, one.name)) for one in fields(self)}, allow_nan=False)


class Account:
    """Takes events in order and keeps a `Report` up to date."""

    def __init__(self, engine: str = "local", settings: Settings | None = None) -> None:
        self.report = Report(engine=engine, started=datetime.now(UTC).isoformat(timespec="milliseconds"))
        self._unprotected = ""
        self._crossings: list[CrossingEvent] = []
        self._settings = settings or Settings()
        self._positions: list[int] = []
        self._commits = 0
        self._committed = 0
        """The newest superstep that is committed, or from which a generation has begun."""
        self._started = 0.0
        self._trouble_since = 0.0
        self._lost_at = 0.0
        self._reformed_at = 0.0
        self._farthest = 0
        self._replaying_since = 0.0
        self._agents: dict[int, int] = {}
        self._lost: set[tuple[int, int | None]] = set()
        self._links: Counter[tuple[int, int]] = Counter()

    def take(self, timed: TimedEvent) -> None:
        """One event. Those that are not named here change nothing in the report."""
        t = timed.t
        match timed.event:
            case FaultEvent():
                self._trouble_since = self._trouble_since or t
            case AgentStartedEvent(node=node, pid=pid):
                self._agents[node] = pid
            case NodeLostEvent() as event:
                self._on_node_lost(event, t)
            case WorkerLostEvent(rank=rank, reason=reason):
                self._on_loss({"t": t, "rank": rank, "reason": reason}, t)
            case LinkLostEvent() as event:
                self._on_link_lost(event, t)
            case UnprotectedEvent(reason=reason):
                self._unprotected = reason
            case GenerationStartedEvent() as event:
                self._on_generation_started(event, t)
            case ResumedEvent() as event:
                self._on_resumed(event, t)
            case ProgressEvent(superstep=superstep):
                self._reach(superstep, t)
            case CommittedEvent() as event:
                self._on_committed(event, t)
            case CrossingEvent() as event:
                self._on_crossing(event)
            case TrafficEvent(parity=parity, rebuild=rebuild):
                self.report.bytes |= {"parity": parity, "rebuild": rebuild}
            case FinishedEvent():
                self._on_finished(t)

    def _on_node_lost(self, event: NodeLostEvent, t: float) -> None:
        """Count each process of a node once: a new orchestrator reports those that it finds lost again."""
        process = (event.node, self._agents.get(event.node))
        if process in self._lost:
            self._trouble_since = 0.0
            return
        self._lost.add(process)
        self._on_loss({"t": t, "node": event.node, "reason": event.reason}, t, event.silent_s or 0.0)

    def _on_loss(self, loss: dict[str, Any], t: float, silent_s: float = 0.0) -> None:
        self.report.losses += 1
        self.report.lost.append(loss)
        self._on_trouble(t, silent_s)

    def _on_link_lost(self, event: LinkLostEvent, t: float) -> None:
        """Either of the two ranks may have reported it."""
        low, high = sorted((event.rank, event.other))
        self._links[low, high] += 1
        self.report.links_lost = [{"ranks": list(ranks), "times": times} for ranks, times in self._links.items()]
        self._on_trouble(t)

    def _on_trouble(self, t: float, silent_s: float = 0.0) -> None:
        """A generation is over, and the next one is not formed."""
        if not self._lost_at:
            since = self._trouble_since or t - silent_s
            self.report.seconds["detect"] += t - since
            self._lost_at = t
            self._end_replay(since)
        self._trouble_since = 0.0

    def _on_generation_started(self, event: GenerationStartedEvent, t: float) -> None:
        self.report.generations = event.generation
        self.report.degraded = event.degraded
        self.report.why_degraded = event.why
        self.report.risk = event.risk or self._unprotected
        if self._lost_at:
            self.report.seconds["reform"] += t - self._lost_at
        self._reformed_at, self._lost_at = t, 0.0

    def _on_resumed(self, event: ResumedEvent, t: float) -> None:
        if event.generation == 1:
            self._started = t
            return
        if event.superstep > self._committed:  # all survivors had prepared it, and the lost node's own word was lost with it
            self._committed = event.superstep
            self.report.commits += 1
        self.report.seconds["rebuild"] += t - self._reformed_at
        self._replaying_since = t if event.superstep < self._farthest else 0.0

    def _end_replay(self, t: float) -> None:
        if self._replaying_since:
            self.report.seconds["replay"] += t - self._replaying_since
        self._replaying_since = 0.0

    def _reach(self, superstep: int, t: float) -> None:
        if superstep >= self._farthest:
            self._farthest = superstep
            self._end_replay(t)

    def _on_committed(self, event: CommittedEvent, t: float) -> None:
        report = self.report
        self._reach(event.superstep, t)
        report.commits += 1
        self._committed = max(self._committed, event.superstep)
        report.seconds["protect"] += event.protect_s
        report.bytes["application"] += event.application_bytes
        report.memory_bytes = {
            "live": event.live_bytes,
            "snapshots": COPIES * event.snapshot_bytes - event.resident_bytes,
            "parity": COPIES * event.parity_bytes,
        }
        report.uneven = asdict(event.uneven) if event.uneven else {}
        if not event.end:
            self._commits += 1
            self._positions = [*self._positions[-1:], event.superstep]
            report.interval_numbers = asdict(event.interval) if event.interval else {}
            return
        report.supersteps = event.superstep
        report.digests = {name: _together(ranks) for name, ranks in event.digests.items()}
        if not report.supersteps and any(not name.startswith("__") for name in report.digests):
            report.warnings.append(NO_LOOP)

    def _on_crossing(self, event: CrossingEvent) -> None:
        """The first one is named, with how many followed."""
        before = self._crossing_in_words()
        self._crossings.append(event)
        self.report.warnings = [one for one in self.report.warnings if one != before] + [self._crossing_in_words()]

    def _crossing_in_words(self) -> str:
        if not self._crossings:
            return ""
        first, count = self._crossings[0], len(self._crossings)
        others = f", and at {count - 1} other commits" if count > 1 else ""
        return f"{first.what} at the commit of superstep {first.superstep}{others}: a recovery from there ends the job"

    def _explain_interval(self) -> None:
        """Explain the commit interval; with the engine threads nothing is protected, so there is nothing to explain."""
        report = self.report
        if report.engine == "threads":
            return
        if report.interval_numbers:
            seconds = report.seconds
            trouble_s = seconds["detect"] + seconds["reform"] + seconds["rebuild"]
            recoveries = report.losses + self._links.total()
            recovery_s = trouble_s / recoveries if recoveries else None
            why = explained(Choice(**report.interval_numbers), recovery_s, self._settings)
            report.interval = f"{self._commits} commits; the last chosen interval was {why}"
            report.interval_numbers = {**report.interval_numbers, "recovery_s": recovery_s}
        elif len(self._positions) == 2:
            report.interval = f"{every(self._positions[1] - self._positions[0])}, as requested"

    def _on_finished(self, t: float) -> None:
        self._end_replay(t)
        seconds = self.report.seconds
        others = sum(seconds[cause] for cause in CAUSES if cause != "compute")
        seconds["compute"] = max(0.0, t - self._started - others)
        self.report.seconds = {cause: round(value, 6) for cause, value in seconds.items()}
        self._explain_interval()


def _together(digests: Sequence[str]) -> str:
    """One digest for an item out of those of its ranks."""
    return f"{xxhash.xxh3_64_intdigest(''.join(digests).encode()):016x}"
