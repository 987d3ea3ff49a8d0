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
