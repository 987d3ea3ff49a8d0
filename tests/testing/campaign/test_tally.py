"""What the outcomes of a campaign add up to, and how long a loss took."""

from __future__ import annotations

import pytest

from perdure.core.job_events import (
    FaultEvent,
    JobEvent,
    NodeLostEvent,
    OrchestratorLostEvent,
    ResumedEvent,
    TimedEvent,
    WorkerLostEvent,
)
from perdure.core.records import replace
from perdure.testing.campaign.cases import Case
from perdure.testing.campaign.runner import Outcome, Timing, timing
from perdure.testing.campaign.tally import Tally, percentile
from tests.job_event_examples import committed


def outcome(*timings: Timing, phase: str = "copying", **what: str) -> Outcome:
    case = Case(seed=3, fault="kill node", phase=phase, spares=1, faults=("kill:node=1,superstep=5",))
    return Outcome(case=case, command="perdure run ...", timings=list(timings), struck=len(timings), **what)


def test_a_row_for_each_fault_and_phase_and_the_whole() -> None:
    tally = Tally()
    tally.add(outcome(Timing(detect_s=0.01, recover_s=0.05)))
    tally.add(outcome(phase="encoding"))
    tally.add(outcome(Timing(detect_s=0.03, recover_s=None), hung="it did not end"))
    copying, encoding = tally.rows.values()
    assert (copying.runs, copying.struck, copying.survived, copying.hung) == (2, 2, 1, 1)
    assert (encoding.runs, encoding.struck, encoding.survived) == (1, 0, 1)
    whole = tally.to_json()["all"]
    assert (whole["runs"], whole["hung"], whole["detect_p50_s"], whole["detect_p95_s"], whole["recover_p95_s"]) == (3, 1, 0.01, 0.03, 0.05)
    assert [one["seed"] for one in tally.to_json()["failures"]] == [3]


def test_what_was_left_behind_is_a_failure_although_the_run_survived() -> None:
    tally = Tally()
    one = outcome()
    one.left.append("process 17")
    tally.add(one)
    assert tally.failures == [one]
    assert tally.whole.survived == tally.whole.left == 1


def test_percentiles_by_nearest_rank() -> None:
    assert percentile([], 50) is None
    assert percentile([4.0, 1.0, 3.0, 2.0], 50) == 2.0
    assert percentile([float(value) for value in range(1, 101)], 95) == 95.0


LOST = NodeLostEvent(node=2, reason="killed by SIGKILL")
RESUMED = ResumedEvent(superstep=3, generation=2)


def timed(*events: tuple[float, JobEvent]) -> list[TimedEvent]:
    return [TimedEvent(t=t, event=event) for t, event in events]


def test_a_timing_begins_with_the_strike_and_is_of_that_node() -> None:
    another = replace(LOST, node=1)
    events = timed((0.2, RESUMED), (1.0, FaultEvent(fault="kill:node=2,superstep=5")), (1.1, another), (1.25, LOST), (1.75, RESUMED))
    assert timing(events[1], events) == Timing(detect_s=0.25, recover_s=0.5)
    assert timing(events[1], events[:3]) == Timing(detect_s=None, recover_s=None)


def test_nobody_waits_for_an_orchestrator_so_the_next_commit_counts() -> None:
    fault, lost = FaultEvent(fault="orchestrator:superstep=5"), OrchestratorLostEvent(reason="killed by SIGKILL")
    events = timed((1.0, fault), (1.5, lost), (2.0, RESUMED), (2.5, committed(6)))
    assert timing(events[0], events) == Timing(detect_s=0.5, recover_s=1.0)


@pytest.mark.parametrize(
    ("fault", "event", "explains"),
    [
        ("kill:node=2+4,superstep=5", NodeLostEvent(node=4, reason=""), True),
        ("stop:node=2,superstep=5", WorkerLostEvent(rank=2, reason=""), False),
        ("crash:rank=1,superstep=5", WorkerLostEvent(rank=1, reason=""), True),
        ("hang:rank=1,superstep=5", WorkerLostEvent(rank=2, reason=""), False),
        ("orchestrator:superstep=5", OrchestratorLostEvent(reason=""), True),
        ("process:after=1s,seed=7", OrchestratorLostEvent(reason=""), True),
        ("process:after=1s,seed=7", RESUMED, False),
    ],
)
def test_a_fault_is_known_by_the_loss_of_what_it_strikes(fault: str, event: JobEvent, explains: bool) -> None:
    events = timed((1.0, FaultEvent(fault=fault)), (1.5, event))
    assert (timing(events[0], events).detect_s == 0.5) is explains
