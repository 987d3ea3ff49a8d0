"""Nodes that die or stop before they are up."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Sequence
from typing import Any

import pytest
from tests.faults.conftest import tell, undisturbed

from perdure.core.settings import Settings
from perdure.errors import EngineFailed
from perdure.runtime.posix import descendants

DEADLINE_S = 20.0


def signal_nodes(orchestrator: int, nodes: int, victims: Sequence[int], sign: signal.Signals) -> None:
    """Send a signal to some nodes of the job that this process supervises, as soon as all are started. They are found by their parent, for
    their command lines may not be there yet: a process that has just begun another program has none for a moment."""

    def strike() -> None:
        deadline = time.monotonic() + DEADLINE_S
        found: list[int] = []
        while len(found) < nodes and time.monotonic() < deadline:
            found = sorted(pid for pid, depth in descendants(os.getpid()).items() if depth == 1 and pid != orchestrator)
        for victim in victims:
            os.kill(found[victim], sign)

    threading.Thread(target=strike).start()


@pytest.mark.parametrize(
    ("sign", "start_timeout_s", "reason"),
    [(signal.SIGKILL, 60.0, "killed by SIGKILL before it was up"), (signal.SIGSTOP, 60.0, "stopped for 3 s before it was up")],
)
@pytest.mark.parametrize("victim", [0, pytest.param(2, marks=pytest.mark.long)])
def test_a_node_that_is_lost_while_it_starts_holds_nobody_up(
    sign: signal.Signals, start_timeout_s: float, reason: str, victim: int
) -> None:
    """Node 0 too: any of them may be the one that says whether the program can be loaded."""

    def strike(event: dict[str, Any]) -> None:
        if event["event"] == "orchestrator_started":
            signal_nodes(event["pid"], 4, [victim], sign)

    story = tell(strike, ranks=3, spares=1, arguments={"supersteps": 9}, settings=Settings(start_timeout_s=start_timeout_s))
    assert [(event["node"], event["reason"]) for event in story.of("node_lost")] == [(victim, reason)]
    assert story.report.digests == undisturbed(3, 9).report.digests


def test_a_job_of_which_no_node_starts_is_an_error_that_says_so() -> None:
    def strike(event: dict[str, Any]) -> None:
        if event["event"] == "orchestrator_started":
            signal_nodes(event["pid"], 2, [0, 1], signal.SIGSTOP)

    with pytest.raises(EngineFailed, match="no node was up after 1 s"):
        tell(strike, ranks=2, spares=0, arguments={"supersteps": 9}, settings=Settings(start_timeout_s=1.0))
