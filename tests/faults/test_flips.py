"""Memory that changes by itself, on real processes: found by its digest before it is used, named, repaired; every bit as if undisturbed."""

from __future__ import annotations

import os
import signal
from typing import Any

import numpy as np
import pytest

import perdure
from perdure import Settings, Unrecoverable
from tests.faults.conftest import Survive, tell

UNREAD = Settings(scrub_bytes_per_s=0)
EAGER = Settings(scrub_bytes_per_s=1 << 30)
"""In a job that is over in seconds; the usual rate reads nothing of a label that is replaced within one."""
ONE_COMMIT = {"settings": UNREAD, "commit_every": 18, "pause": 0.05}
"""Superstep 18 is committed, and for a second nothing else."""
PLACES = ["snapshot", "parity", "replicated"]
CALM = {"supersteps": 10, "commit_every": 5, "pause": 0.1}
"""So few commits that what was found can be repaired before the next one replaces it."""


class Afterwards:
    """Ends a node, or the worker of a rank, when a bit has changed: not before its commit is known there, however busy the machine is."""

    def __init__(self, *, node: int = -1, rank: int = -1) -> None:
        self._node, self._rank, self._pid = node, rank, 0

    def __call__(self, event: dict[str, Any]) -> None:
        if (event["event"] == "agent_started" and event["node"] == self._node) or (
            event["event"] == "worker_started" and event["rank"] == self._rank
        ):
            self._pid = self._pid or event["pid"]
        if event["event"] == "fault":
            end = os.kill if self._rank >= 0 else os.killpg
            end(self._pid, signal.SIGKILL)


@pytest.mark.parametrize("where", PLACES)
def test_the_scrub_finds_and_repairs_and_nobody_is_held_up(survive: Survive, where: str) -> None:
    story = survive(f"flip:rank=1,superstep=1,where={where}", settings=EAGER, **CALM)
    wrong = story.of("chunk_wrong")
    assert {(event["rank"], event["superstep"]) for event in wrong} == {(1, 5)}
    assert {event["what"] for event in wrong} == {"data" if where == "snapshot" else where}
    assert [(event["what"], event["chunk"]) for event in story.of("chunk_repaired")] == [(event["what"], event["chunk"]) for event in wrong]
    assert story.report.generations == 1


@pytest.mark.parametrize("where", PLACES)
def test_what_changed_before_a_loss_is_rebuilt_with_what_was_lost(survive: Survive, where: str) -> None:
    """With two parity chunks, one of them is left for it; without the scrub nobody knew."""
    story = survive(f"flip:rank=1,superstep=18,where={where}", ranks=5, parity=2, on_event=Afterwards(node=2), **ONE_COMMIT)
    assert {event["rank"] for event in story.of("chunk_wrong")} == {1}
    assert story.of("chunks_lost")


def test_a_crash_alone_makes_the_survivors_look(survive: Survive) -> None:
    story = survive("flip:rank=0,superstep=18", on_event=Afterwards(rank=3), **ONE_COMMIT)
    assert {event["rank"] for event in story.of("chunk_wrong")} == {0}


def test_a_flip_and_a_loss_in_one_stripe_are_too_much_for_one_parity_chunk_and_it_is_told() -> None:
    """What was rebuilt from the wrong bytes is not taken for right."""
    options = {"settings": UNREAD, "commit_every": 18, "arguments": {"supersteps": 40, "pause": 0.05}}
    with pytest.raises(Unrecoverable, match=r"the data of rank .*is corrupt.*superstep 18.*--parity 2"):
        tell(Afterwards(node=0), ranks=2, faults=["flip:rank=1,superstep=18"], **options)


def a_large_result(job: perdure.Job) -> np.ndarray:
    job.private("small", np.zeros(1))
    for _ in job.supersteps(3):
        pass
    return np.arange(100_000)


def test_the_result_is_checked_before_it_is_given_out() -> None:
    """It is nearly all of what the last commit holds, so that is where the bit changes."""
    events: list[dict[str, Any]] = []
    report = perdure.run(a_large_result, ranks=2, faults=["flip:rank=0,superstep=4"], settings=UNREAD, on_event=events.append)
    assert (report.result == np.arange(100_000)).all()
    assert {(event["rank"], event["end"]) for event in events if event["event"] == "chunk_wrong"} == {(0, True)}
