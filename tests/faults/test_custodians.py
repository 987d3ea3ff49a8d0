"""A node that was stopped, and that the job has gone on without, has what nobody else has any more."""

from __future__ import annotations

import os
import signal
from typing import Any

import pytest

from perdure import Settings, Unrecoverable
from tests.faults.conftest import Survive, tell


class Continued:
    """Continues the nodes that the job waits for, as soon as it says so."""

    def __init__(self) -> None:
        self.pids: dict[int, int] = {}

    def __call__(self, event: dict[str, Any]) -> None:
        if event["event"] == "agent_started":
            self.pids[event["node"]] = event["pid"]
        if event["event"] == "waiting":
            for node in event["nodes"]:
                os.killpg(self.pids[node], signal.SIGCONT)


@pytest.mark.parametrize(("ranks", "spares"), [(4, 2), pytest.param(2, 2, marks=pytest.mark.long)])
def test_a_stopped_node_is_continued_when_a_second_loss_needs_what_it_holds(survive: Survive, ranks: int, spares: int) -> None:
    """Its rank is at home on a spare, which is not rebuilt yet when another node of the group ends: one more than the parity gives back.
    Of two ranks, only the custodian is left that has anything."""
    faults = ("stop:node=1,superstep=18,phase=prepared", "kill:node=0,phase=rebuilding")
    story = survive(*faults, ranks=ranks, spares=spares, on_event=Continued())
    assert [event["nodes"] for event in story.of("waiting")] == [[1]]
    assert [(event["node"], event["ranks"]) for event in story.of("custodian")][:1] == [(1, [1])]
    assert [event["node"] for event in story.of("node_lost")] == [1, 0]
    assert story.report.generations == 3


def test_a_stopped_node_that_is_not_continued_is_not_waited_for_longer_than_a_silent_one() -> None:
    faults = ("stop:node=1,superstep=18,phase=prepared", "kill:node=0,phase=rebuilding")
    quick = Settings(unreachable_timeout_s=1.0)
    with pytest.raises(Unrecoverable, match=r"rank.* of one parity group|was lost"):
        tell(faults=faults, spares=2, settings=quick, arguments={"supersteps": 40})
