"""Processes that are stopped by a signal while nothing is expected of them: noticed as soon as those of running ranks."""

from __future__ import annotations

import os
import signal
import time
from typing import Any

from perdure.runtime.posix import descendants, is_stopped
from tests.faults.conftest import Story, tell

SPARE, VICTIM = 4, 2
OPTIONS: dict[str, Any] = {"ranks": 4, "spares": 1, "arguments": {"supersteps": 400, "pause": 0.02}}


class Stopper:
    """Acts once, at the first commit at which `acts` returns true; it is given the agents' processes by node."""

    def __init__(self) -> None:
        self.agents: dict[int, int] = {}
        self.workers: dict[int, int] = {}
        self.has_acted = False

    def take(self, event: dict[str, Any]) -> None:
        match event:
            case {"event": "agent_started", "node": node, "pid": pid}:
                self.agents[node] = pid
            case {"event": "worker_started", "rank": rank, "pid": pid}:
                self.workers[rank] = pid
            case {"event": "committed", "superstep": superstep} if superstep and not self.has_acted:
                self.has_acted = self.acts()

    def acts(self) -> bool:
        raise NotImplementedError

    def nursery(self, node: int) -> int:
        return next(pid for pid, depth in descendants(self.agents[node]).items() if depth == 1)


def recovers(stopper: Stopper, **options: Any) -> Story:
    story = tell(stopper.take, **{**OPTIONS, **options})
    assert stopper.has_acted
    assert story.report.supersteps == 400
    return story


def test_a_stopped_nursery_costs_its_node_and_not_the_job() -> None:
    class StopsNursery(Stopper):
        def acts(self) -> bool:
            os.kill(self.nursery(VICTIM), signal.SIGSTOP)
            return True

    story = recovers(StopsNursery())
    assert [event["node"] for event in story.of("node_lost")] == [VICTIM]


def test_a_prepared_worker_that_is_stopped_when_it_gets_its_rank_is_replaced() -> None:
    class StopsPrepared(Stopper):
        def acts(self) -> bool:
            prepared = [pid for pid, depth in descendants(self.agents[SPARE]).items() if depth == 2]
            if not prepared:
                return False
            os.kill(prepared[0], signal.SIGSTOP)
            os.killpg(self.agents[VICTIM], signal.SIGKILL)
            return True

    story = recovers(StopsPrepared())
    assert [event["node"] for event in story.of("node_lost")] == [VICTIM]
    assert [(event["rank"], event["reason"]) for event in story.of("worker_lost")] == [(VICTIM, "stopped for 3 s")]


def test_a_stopped_orchestrator_that_waits_for_its_turn_is_not_given_it() -> None:
    class StopsStandby(Stopper):
        orchestrator = 0

        def take(self, event: dict[str, Any]) -> None:
            if event["event"] == "orchestrator_started":
                self.orchestrator = event["pid"]
            super().take(event)

        def acts(self) -> bool:
            ours = {pid for pid, depth in descendants(os.getpid()).items() if depth == 1}
            waiting = ours - {self.orchestrator, *self.agents.values()}
            if not waiting:
                return False
            standby = waiting.pop()
            os.kill(standby, signal.SIGSTOP)
            deadline = time.monotonic() + 10
            while not is_stopped(standby):  # it stops when it runs next, and the machine may be busy
                assert time.monotonic() < deadline
                os.sched_yield()
            os.kill(self.orchestrator, signal.SIGKILL)
            return True

    story = recovers(StopsStandby())
    assert len(story.of("orchestrator_started")) == 2, "the one that was stopped was given its turn"
