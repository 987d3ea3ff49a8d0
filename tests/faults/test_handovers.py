"""An orchestrator that takes over asks for what its predecessor has asked for: nothing is done a second time."""

from __future__ import annotations

import contextlib
import os
import pathlib
import signal
from typing import Any

import pytest

from perdure.runtime.posix import descendants
from tests.faults.conftest import tell

SPARE, HANDOVERS, LOOKS = 4, 5, 3
"""The spare's node, kills of orchestrators, and commits after the last one."""


class SeenEnough(Exception):
    """The job may end."""


def reserved(agent: int) -> tuple[int, int]:
    """Memory files that a spare's agent has for ranks that may come, and the bytes in all of them."""
    found = []
    for fd in pathlib.Path(f"/proc/{agent}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # a connection that the agent has closed meanwhile
            found += [fd] if "memfd:perdure-spare" in os.readlink(fd) else []
    return len(found), sum(fd.stat().st_blocks * 512 for fd in found)


class Assassin:
    """Ends each orchestrator as soon as it has published a commit, five times; looks at the spare before, and when all is over."""

    def __init__(self) -> None:
        self.spare = self.orchestrator = self.kills = self.commits_after = 0
        self.before: tuple[int, int, int] | None = None
        self.after: tuple[int, int, int] | None = None

    def look(self) -> tuple[int, int, int]:
        return len(descendants(self.spare)), *reserved(self.spare)

    def take(self, event: dict[str, Any]) -> None:
        match event:
            case {"event": "agent_started", "node": node, "pid": pid} if node == SPARE:
                self.spare = pid
            case {"event": "orchestrator_started", "pid": pid}:
                self.orchestrator = pid
            case {"event": "committed", "end": False} if self.kills == 0 and self.look()[:2] != (2, 2):
                pass  # the spare has neither its nursery's prepared worker yet, nor both of its memory files
            case {"event": "committed", "end": False} if self.orchestrator and self.kills < HANDOVERS:
                self.before = self.before or self.look()
                self.kills += 1
                os.kill(self.orchestrator, signal.SIGKILL)
                self.orchestrator = 0
            case {"event": "committed", "end": False} if self.orchestrator:
                self.commits_after += 1
                if self.commits_after == LOOKS:
                    self.after = self.look()
                    raise SeenEnough


def test_a_spare_reserves_its_memory_once_however_many_orchestrators_ask() -> None:
    assassin = Assassin()
    with pytest.raises(SeenEnough):
        tell(assassin.take, ranks=4, spares=1, commit_every=1, arguments={"supersteps": 100_000, "pause": 0.02})
    assert assassin.kills == HANDOVERS
    assert assassin.after == assassin.before
