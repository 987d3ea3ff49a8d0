"""Nodes that die or stop before they are up."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable

import pytest
from tests.faults.conftest import tell, undisturbed

from perdure.core.settings import Settings
from perdure.engines import EngineEvent, EntryPoint, NodeId, NodeRequest, NodeStarted, Post, StartRefused
from perdure.engines.local import LocalEngine
from perdure.errors import EngineFailed


class StruckEngine(LocalEngine):
    """When it has started so many nodes, their processes are struck."""

    def __init__(self, nodes: int, strike: Callable[[list[int]], None]) -> None:
        self._count, self._strike = nodes, strike
        self._pids: list[int] = []

    def open(self, job: str, entry_point: EntryPoint, post: Post) -> None:
        def take(event: EngineEvent) -> None:
            post(event)
            if isinstance(event, NodeStarted):
                self._pids.append(event.local_pid)
                if len(self._pids) == self._count:
                    self._strike(self._pids)

        super().open(job, entry_point, take)


class RefusingEngine(LocalEngine):
    """It cannot start the nodes with these numbers of requests."""

    def __init__(self, *refused: int) -> None:
        self._refused = refused

    def start(self, node: NodeId, config: bytes) -> None:
        if int(node.rpartition("/")[2]) in self._refused:
            self._post(StartRefused(node=node, reason="no memory for a process"))
        else:
            super().start(node, config)


@pytest.mark.parametrize(
    ("sign", "start_timeout_s", "reason"),
    [(signal.SIGKILL, 60.0, "killed by SIGKILL before it was up"), (signal.SIGSTOP, 60.0, "stopped for 3 s before it was up")],
)
@pytest.mark.parametrize("victim", [0, pytest.param(2, marks=pytest.mark.long)])
def test_a_node_that_is_lost_while_it_starts_holds_nobody_up(
    sign: signal.Signals, start_timeout_s: float, reason: str, victim: int
) -> None:
    """Node 0 too: any of them may be the one that says whether the program can be loaded."""
    engine = StruckEngine(4, lambda pids: os.kill(pids[victim], sign))
    story = tell(engine=engine, ranks=3, spares=1, arguments={"supersteps": 9}, settings=Settings(start_timeout_s=start_timeout_s))
    assert [(event["node"], event["reason"]) for event in story.of("node_lost")] == [(victim, reason)]
    assert story.report.digests == undisturbed(3, 9).report.digests


def test_a_job_of_which_no_node_starts_is_an_error_that_says_so() -> None:
    def strike(pids: list[int]) -> None:
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)

    with pytest.raises(EngineFailed, match="no node was up after 1 s"):
        tell(engine=StruckEngine(2, strike), ranks=2, spares=0, arguments={"supersteps": 9}, settings=Settings(start_timeout_s=1.0))


def test_a_first_node_whose_start_is_refused_ends_the_job() -> None:
    with pytest.raises(EngineFailed, match="no memory for a process"):
        tell(engine=RefusingEngine(2), ranks=2, spares=1, arguments={"supersteps": 9})


def test_a_node_that_cannot_be_started_again_is_lost_and_tried_again() -> None:
    """It ended the job."""
    story = tell(
        engine=RefusingEngine(4, 5), ranks=2, spares=1, arguments={"supersteps": 90, "pause": 0.03}, return_after_s=0.2,
        faults=["kill:node=1,superstep=5"],
    )  # fmt: skip
    of_node = [(event["event"], event.get("reason", "")) for event in story.of("node_lost", "node_returned") if event["node"] == 1]
    refused = [("node_returned", ""), ("node_lost", "no memory for a process")]
    assert of_node[:6] == [("node_lost", "killed by SIGKILL"), *refused, *refused, ("node_returned", "")]
    assert story.report.digests == undisturbed(2, 90).report.digests


def test_an_orchestrator_imports_only_what_it_needs() -> None:
    """Two of them are started in each job; NumPy and the communicator would make their start twice as long."""
    text = "import sys, perdure.launch.entrypoints, perdure.launch.orchestrator_entry; print(*sys.modules)"
    modules = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, timeout=60, check=True).stdout.split()
    assert not {"numpy", "perdure.comm", "perdure.adapters", "perdure.launch.supervisor"} & set(modules)


class ConfusedEngine(LocalEngine):
    """It reports a node that nobody has requested."""

    def request(self, request: NodeRequest) -> None:
        super().request(NodeRequest(number=request.number + 100))


def test_an_engine_that_reports_what_nothing_asked_for_is_an_error_that_says_so() -> None:
    with pytest.raises(EngineFailed, match=r"the engine local has reported .*request=101.* does it pass perdure\.testing\.EngineTests"):
        tell(engine=ConfusedEngine(), ranks=2, spares=0, arguments={"supersteps": 9})
