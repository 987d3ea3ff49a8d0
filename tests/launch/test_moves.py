"""Ranks that share a node after a loss move to a node that comes up: at the next commit, and without a superstep that is repeated."""

from __future__ import annotations

import os
import pathlib
import signal
from collections.abc import Callable
from typing import Any

import pytest

import perdure

Event = dict[str, Any]


def counts(job: perdure.Job, flag: str, supersteps: int = 60) -> tuple[float, int]:
    """Return a sum over ranks and the number of supersteps. Superstep 23 waits for the file `flag`."""
    x, n = job.sharded("x", (64,), init=1.0), job.private("n", [0])
    for superstep in job.supersteps(supersteps, commit_every=5):
        while superstep == 23 and not pathlib.Path(flag).exists():
            pass
        x += job.comm.allreduce(float(x.sum())) * 1e-3
        n[0] += 1
    return float(job.comm.allreduce(float(x.sum()))), n[0]


class Watch:
    """Keeps events, and lets the program go on when `wanted` agents have started. `strike`: gets each event and the pids of nodes."""

    def __init__(self, flag: pathlib.Path, wanted: int, strike: Callable[[Event, dict[int, int]], None] = lambda event, pids: None) -> None:
        self.events: list[Event] = []
        self._flag, self._wanted, self._strike = flag, wanted, strike
        self._pids: dict[int, int] = {}

    def __call__(self, event: Event) -> None:
        self.events.append(event)
        if event["event"] == "agent_started":
            self._pids[event["node"]] = event["pid"]
            self._wanted -= 1
        if self._wanted == 0:
            self._flag.touch()
        self._strike(event, self._pids)


def undisturbed(tmp_path: pathlib.Path, **options: Any) -> Any:
    (tmp_path / "there").touch()
    return perdure.run(counts, spares=0, arguments={"flag": str(tmp_path / "there")}, **options).result


def of(events: list[Event], name: str) -> list[Event]:
    return [event for event in events if event["event"] == name]


@pytest.mark.parametrize("memory", ["overlap", "tight"])
def test_ranks_that_share_a_node_move_at_the_next_commit(tmp_path: pathlib.Path, memory: str) -> None:
    watch = Watch(tmp_path / "flag", wanted=5)
    report = perdure.run(
        counts, ranks=4, spares=0, memory=memory, faults=["kill:node=1,superstep=12"], return_after_s=0.2, on_event=watch,
        arguments={"flag": str(tmp_path / "flag")},
    )  # fmt: skip
    events = watch.events
    assert report.result == undisturbed(tmp_path, ranks=4, memory=memory)
    first, shared, moved = (event["placement"] for event in of(events, "generation_started"))
    assert len(set(shared.values())) == 3
    assert sorted(moved.values()) == sorted(first.values())
    assert (report.degraded, report.risk, len(report.lost)) == (False, "", 1)
    (hold,) = of(events, "hold")
    assert "holds 2 ranks, and node 1 holds none" in hold["why"]
    committed = [event["superstep"] for event in of(events, "committed") if event["generation"] == 2]
    assert of(events, "resumed")[-1]["superstep"] == committed[-1], "the move repeats a superstep"


def test_a_node_that_ends_during_a_move_is_made_good_from_what_the_old_home_keeps(tmp_path: pathlib.Path) -> None:
    """Parity 1: a rank that is on its way and one that is lost are more than it gives back, but the old home has the chunks."""

    def strike(event: Event, pids: dict[int, int]) -> None:
        if event["event"] == "generation_started" and event["generation"] == 3:
            os.kill(pids[2], signal.SIGKILL)

    watch = Watch(tmp_path / "flag", 5, strike)
    report = perdure.run(
        counts, ranks=4, spares=0, faults=["kill:node=1,superstep=12"], return_after_s=0.2, on_event=watch,
        arguments={"flag": str(tmp_path / "flag")},
    )  # fmt: skip
    assert report.result == undisturbed(tmp_path, ranks=4)
    assert len(report.lost) == 2


def test_ranks_of_several_shared_nodes_move(tmp_path: pathlib.Path) -> None:
    watch = Watch(tmp_path / "flag", wanted=8)
    faults = ["kill:node=1,superstep=12", "kill:node=2,superstep=12"]
    report = perdure.run(
        counts, ranks=6, parity=2, spares=0, faults=faults, return_after_s=0.2, on_event=watch, arguments={"flag": str(tmp_path / "flag")}
    )
    assert report.result == undisturbed(tmp_path, ranks=6, parity=2)
    assert len(set(of(watch.events, "generation_started")[-1]["placement"].values())) == 6


def test_without_a_spare_nothing_moves(tmp_path: pathlib.Path) -> None:
    watch = Watch(tmp_path / "flag", wanted=4)
    report = perdure.run(
        counts, ranks=4, spares=0, faults=["kill:node=1,superstep=12"], on_event=watch, arguments={"flag": str(tmp_path / "flag")}
    )
    assert report.generations == 2
    assert report.degraded
    assert not of(watch.events, "hold")
