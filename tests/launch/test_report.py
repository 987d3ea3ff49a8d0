"""What the report adds up from the events of a job."""

from __future__ import annotations

from tests.job_event_examples import committed

from perdure.cli.summary import in_words
from perdure.core.job_events import (
    AgentStartedEvent,
    FinishedEvent,
    GenerationStartedEvent,
    JobEvent,
    LinkLostEvent,
    NodeLostEvent,
    OrchestratorLostEvent,
    ResumedEvent,
    TimedEvent,
    WorkerLostEvent,
)
from perdure.launch.report import Account


def told(*events: JobEvent) -> Account:
    """An account that has taken these events, one a second."""
    account = Account()
    for t, event in enumerate(events):
        account.take(TimedEvent(t=float(t), event=event))
    return account


def started(pid: int) -> AgentStartedEvent:
    return AgentStartedEvent(node=1, pid=pid)


LOST = NodeLostEvent(node=1, reason="killed by SIGKILL")


def generation(number: int) -> GenerationStartedEvent:
    return GenerationStartedEvent(generation=number, placement={0: 0, 1: 1, 2: 2}, degraded=False, why="", risk="")


def test_a_loss_that_two_orchestrators_tell_of_is_one() -> None:
    account = told(started(7), LOST, OrchestratorLostEvent(reason="killed by SIGKILL"), started(7), LOST)
    assert account.report.losses == 1


def test_a_node_that_came_back_may_be_lost_again() -> None:
    account = told(started(7), LOST, started(8), LOST, WorkerLostEvent(rank=2, reason="killed by SIGKILL"))
    assert account.report.losses == 3


def test_a_commit_that_only_the_survivors_had_counts_once() -> None:
    """The lost node's own `prepared` of superstep 10 was lost with it, so nobody has counted that label."""
    resumed = [ResumedEvent(generation=1, superstep=0), ResumedEvent(generation=2, superstep=10)]
    before, after = (committed(0), committed(5)), (committed(15), committed(20, end=True))
    assert told(resumed[0], *before, LOST, resumed[1], *after).report.commits == 5
    assert told(resumed[0], *before, committed(10), LOST, resumed[1], *after).report.commits == 5


def test_a_silence_counts_from_its_beginning() -> None:
    silent = NodeLostEvent(node=1, reason="silent for 3 s", silent_s=3.0)
    account = told(generation(1), ResumedEvent(generation=1, superstep=0), *[committed(0)] * 5, silent, generation(2))
    assert (account.report.seconds["detect"], account.report.seconds["reform"]) == (3.0, 1.0)
    assert account.report.lost == [{"t": 7.0, "node": 1, "reason": "silent for 3 s"}]


def test_links_that_were_lost_are_named_with_how_often() -> None:
    """Nobody was lost, and yet the job has spent time on it: whoever reads the report must know which network to look at."""
    recovery = [generation(2), ResumedEvent(generation=2, superstep=0)]
    account = told(
        generation(1), ResumedEvent(generation=1, superstep=0), LinkLostEvent(rank=2, other=1), *recovery, LinkLostEvent(rank=1, other=2),
        *recovery, LinkLostEvent(rank=0, other=2), *recovery, FinishedEvent(status="ok"),
    )  # fmt: skip
    report = account.report
    assert report.losses == 0
    assert report.links_lost == [{"ranks": [1, 2], "times": 2}, {"ranks": [0, 2], "times": 1}]
    assert (report.seconds["reform"], report.seconds["rebuild"]) == (3.0, 3.0)
    assert "links lost   between ranks 1 and 2 (2 times), 0 and 2, although both were alive" in in_words(report).splitlines()
