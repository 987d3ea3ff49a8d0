"""An instance of each job event, and a short way to a commit, for tests."""

from __future__ import annotations

from typing import Any, Final

from perdure.core.ids import END
from perdure.core.imbalance import Imbalance
from perdure.core.interval import Choice
from perdure.core.job_events import (
    AgentStartedEvent,
    ChunkRepairedEvent,
    ChunksLostEvent,
    ChunkUnrepairedEvent,
    ChunkWrongEvent,
    CommittedEvent,
    CrossingEvent,
    CustodianEvent,
    DivergedEvent,
    EngineAvailableEvent,
    EngineUnavailableEvent,
    EventsDroppedEvent,
    FaultEvent,
    FinishedEvent,
    GenerationStartedEvent,
    GroupSizeEvent,
    HoldEvent,
    JobEvent,
    LinkLostEvent,
    NodeDrainingEvent,
    NodeHeardEvent,
    NodeLostEvent,
    NodePendingEvent,
    NodeReturnedEvent,
    NodeSuspectedEvent,
    OrchestratorLostEvent,
    OrchestratorStartedEvent,
    ProgressEvent,
    ProposedEvent,
    RebuiltEvent,
    ResumedEvent,
    ShellOutputEvent,
    StartedEvent,
    TrafficEvent,
    UnprotectedEvent,
    WaitingEvent,
    WorkerLostEvent,
    WorkerStartedEvent,
)


def committed(superstep: int, **fields: Any) -> CommittedEvent:
    """A commit of generation 1 without items, but for what is given."""
    given = {
        "generation": 1, "digests": {}, "end": False, "protect_s": 0.0, "application_bytes": 0, "live_bytes": 0, "resident_bytes": 0,
        "snapshot_bytes": 0, "parity_bytes": 0, "uneven": None, "interval": None,
    } | fields  # fmt: skip
    return CommittedEvent(superstep=superstep, **given)


CHOICE: Final = Choice(supersteps=8, superstep_s=0.25, commit_s=0.01, failure_every_s=3600.0, learnt=False, optimum_s=8.485, bound="growth")
UNEVENNESS: Final = Imbalance(rank=3, largest_bytes=9_000_000, others_bytes=1_000_000, parity_bytes=12_000_000, waste_bytes=8_000_000)

EXAMPLES: Final[tuple[JobEvent, ...]] = (
    StartedEvent(job="00112233445566778899aabbccddeeff"),
    UnprotectedEvent(reason="one rank, so parity is 0"),
    GroupSizeEvent(size=8, reason="8 ranks per group: memory 3.29 times the state"),
    FinishedEvent(status="ok"),
    EventsDroppedEvent(count=12),
    ProgressEvent(superstep=7, count=40),
    CommittedEvent(
        superstep=8, generation=2, digests={"u": ("00000000000000a1", "00000000000000b2")}, end=False, protect_s=0.012,
        application_bytes=4096, live_bytes=2048, resident_bytes=1024, snapshot_bytes=2176, parity_bytes=2304, uneven=UNEVENNESS,
        interval=CHOICE,
    ),
    CrossingEvent(superstep=8, what="a message from rank 0 to rank 1"),
    DivergedEvent(superstep=8, end=False, item="dt", ranks=(1,), majority=True),
    TrafficEvent(parity=123_456, rebuild=7_890),
    AgentStartedEvent(node=2, pid=4711),
    NodeSuspectedEvent(node=2),
    NodeHeardEvent(node=2),
    NodeLostEvent(node=2, reason="silent for 3 s", silent_s=3.0),
    NodeReturnedEvent(node=2),
    WorkerStartedEvent(rank=1, node=2, pid=4712, incarnation=3, generation=2),
    WorkerLostEvent(rank=1, reason="killed by SIGKILL"),
    LinkLostEvent(rank=1, other=2),
    OrchestratorStartedEvent(pid=4713),
    OrchestratorLostEvent(reason="killed by SIGKILL"),
    FaultEvent(fault="process:after=1.2s,seed=7", pid=4714, what="a worker"),
    ShellOutputEvent(node=2, text="Welcome"),
    WaitingEvent(nodes=(1, 2), patience_s=60.0),
    ProposedEvent(generation=2),
    GenerationStartedEvent(
        generation=2, placement={0: 0, 1: 2}, degraded=True, why="ranks 0 and 1 of one parity group share node 0",
        risk="the loss of node 0 would end the job",
    ),
    CustodianEvent(node=1, ranks=(1,), superstep=8, end=False),
    RebuiltEvent(rank=1, bytes=1_000_000, seconds=0.025),
    ResumedEvent(superstep=8, generation=2),
    HoldEvent(why="node 0 holds 2 ranks, and node 3 holds none"),
    ChunksLostEvent(rank=1),
    ChunkWrongEvent(rank=1, superstep=8, end=False, what="data", chunk=2),
    ChunkRepairedEvent(rank=1, superstep=8, end=False, what="parity", chunk=0),
    ChunkUnrepairedEvent(rank=1, superstep=END, end=True, what="replicated", chunk=0),
    NodePendingEvent(node=2, reason="queued behind job 17"),
    NodeDrainingEvent(node=2, deadline_s=30.0, reason="preemption"),
    EngineUnavailableEvent(reason="the head does not answer"),
    EngineAvailableEvent(),
)  # fmt: skip
"""In the order of `perdure.core.job_events.JobEvent`."""
