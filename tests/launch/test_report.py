"""What the report adds up from the events of a job."""

from __future__ import annotations

from typing import Any

from perdure.launch.report import Account


def told(*events: dict[str, Any]) -> Account:
    account = Account()
    for t, event in enumerate(events):
        account.take({"t": float(t), **event})
    return account


def started(pid: int) -> dict[str, Any]:
    return {"event": "agent_started", "node": 1, "pid": pid}


LOST = {"event": "node_lost", "node": 1, "reason": "killed by SIGKILL"}


def test_a_loss_that_two_orchestrators_tell_of_is_one() -> None:
    account = told(started(7), LOST, {"event": "orchestrator_lost"}, started(7), LOST)
    assert account.report.losses == 1


def test_a_node_that_came_back_may_be_lost_again() -> None:
    account = told(started(7), LOST, started(8), LOST, {"event": "worker_lost", "rank": 2, "reason": "killed by SIGKILL"})
    assert account.report.losses == 3


def committed(superstep: int, *, end: bool = False) -> dict[str, Any]:
    numbers = dict.fromkeys(("protect_s", "application_bytes", "live_bytes", "snapshot_bytes", "parity_bytes"), 0)
    return {"event": "committed", "superstep": superstep, "end": end, "digests": {}, **numbers}


def test_a_commit_that_only_the_survivors_had_counts_once() -> None:
    """The lost node's own `prepared` of superstep 10 was lost with it, so nobody has counted that label."""
    resumed = [{"event": "resumed", "generation": 1, "superstep": 0}, {"event": "resumed", "generation": 2, "superstep": 10}]
    before, after = (committed(0), committed(5)), (committed(15), committed(20, end=True))
    assert told(resumed[0], *before, LOST, resumed[1], *after).report.commits == 5
    assert told(resumed[0], *before, committed(10), LOST, resumed[1], *after).report.commits == 5
