"""Nodes that die or stop before they are up."""

from __future__ import annotations

import os
import signal
from typing import Any

import pytest
from tests.faults.campaign import descendants
from tests.faults.conftest import tell, undisturbed

from perdure.core.settings import Settings


@pytest.mark.parametrize("sign", [signal.SIGKILL, signal.SIGSTOP])
@pytest.mark.parametrize("victim", [0, 2])
def test_a_node_that_is_lost_while_it_starts_holds_nobody_up(sign: signal.Signals, victim: int) -> None:
    """Node 0 too: any of them may be the one that says whether the program can be loaded."""

    def strike(event: dict[str, Any]) -> None:
        if event["event"] == "orchestrator_started":
            starting = sorted(pid for pid, command in descendants().items() if " agent " in command)
            os.kill(starting[victim], sign)

    story = tell(strike, ranks=3, spares=1, arguments={"supersteps": 9}, settings=Settings(start_timeout_s=2.0))
    lost = story.of("node_lost")
    assert [event["node"] for event in lost] == [victim]
    assert "before it was up" in lost[0]["reason"]
    assert story.report.digests == undisturbed(3, 9).report.digests
