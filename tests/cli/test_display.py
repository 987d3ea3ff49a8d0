"""What the display writes for each event."""

from __future__ import annotations

import pytest
from tests.job_event_examples import EXAMPLES

from perdure.cli.display import in_words
from perdure.core.ids import END
from perdure.core.job_events import (
    ChunkWrongEvent,
    DivergedEvent,
    GenerationStartedEvent,
    JobEvent,
    LinkLostEvent,
    NodeLostEvent,
    RebuiltEvent,
    ResumedEvent,
    name_of,
)

FOR_PROGRAMS = {
    "started", "finished", "progress", "committed", "traffic", "agent_started", "node_suspected", "node_heard", "worker_started",
    "orchestrator_started", "waiting", "proposed", "chunks_lost",
}  # fmt: skip
"""Events without a line of their own."""


def test_every_other_event_has_a_line() -> None:
    assert {name_of(event) for event in EXAMPLES if not in_words(event)} == FOR_PROGRAMS


def formed(generation: int, *, degraded: bool = False, why: str = "", risk: str = "") -> GenerationStartedEvent:
    return GenerationStartedEvent(generation=generation, placement={0: 0}, degraded=degraded, why=why, risk=risk)


@pytest.mark.parametrize(
    ("event", "words"),
    [
        (NodeLostEvent(node=2, reason="killed by SIGKILL"), "node 2 is lost (killed by SIGKILL)"),
        (LinkLostEvent(rank=1, other=2), "the connection between ranks 1 and 2 failed although both are alive; all ranks reconnect"),
        (RebuiltEvent(rank=1, bytes=1_500_000, seconds=0.025), "rank 1 is rebuilt: 1.5 MB in 25 ms"),
        (ResumedEvent(superstep=0, generation=1), ""),
        (ResumedEvent(superstep=5, generation=2), "the job continues from superstep 5"),
        (formed(1), ""),
        (formed(1, risk="the loss of rack a would end the job"), "warning: the loss of rack a would end the job"),
        (formed(2), "generation 2 is formed"),
        (formed(2, degraded=True), "generation 2 is formed, degraded: nodes are missing"),
        (formed(3, degraded=True, why="ranks 0 and 1 share node 0", risk="the loss of node 0 would end the job"),
         "generation 3 is formed, degraded: ranks 0 and 1 share node 0; warning: the loss of node 0 would end the job"),
        (DivergedEvent(superstep=6, end=False, item="dt", ranks=(1,), majority=True),
         "warning: the replicated item 'dt' differs on rank 1, at superstep 6"),
        (DivergedEvent(superstep=6, end=False, item="dt", ranks=(0, 1), majority=False),
         "warning: the replicated item 'dt' differs between the ranks, and no value has a majority, at superstep 6"),
        (ChunkWrongEvent(rank=1, superstep=END, end=True, what="data", chunk=2),
         "silent data corruption detected on rank 1: data chunk 2 of the end"),
    ],
)  # fmt: skip
def test_an_event_is_a_sentence(event: JobEvent, words: str) -> None:
    assert in_words(event) == words
