"""The supervising process's part of faults: each once, told with the time of its strike, and at nobody who is not of the job."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from perdure.core.faults import parse_fault
from perdure.core.job_events import FaultEvent
from perdure.launch.fault_scheduler import FaultActions, FaultScheduler


class Scene:
    """A supervisor that notes what it is asked for."""

    def __init__(self, *faults: str) -> None:
        self.done: list[Any] = []
        self.due: list[tuple[float, Callable[[], None]]] = []
        self.started: list[int] = []
        actions = FaultActions(
            publish=lambda event, t: self.done.append((event, t)),
            after=lambda seconds, action: self.due.append((seconds, action)),
            spend=lambda index: self.done.append(("spend", index)),
            end_node=lambda node: self.done.append(("end node", node)),
            end_orchestrator=lambda: self.done.append("end orchestrator"),
            can_be_lost=lambda: [1],
            processes=lambda: self.started,
        )
        self.fault_scheduler = FaultScheduler([parse_fault(fault, nodes=4, ranks=4) for fault in faults], actions)


@pytest.fixture
def sleeper() -> Iterator[Callable[[], subprocess.Popen[bytes]]]:
    begun: list[subprocess.Popen[bytes]] = []

    def begin() -> subprocess.Popen[bytes]:
        begun.append(subprocess.Popen(["sleep", "60"]))
        return begun[-1]

    yield begin
    for process in begun:
        process.kill()
        process.wait()


def test_a_fault_is_told_once_with_its_time_and_every_node_hears_of_it() -> None:
    """Two workers of a node come to the same instant, and again after the recovery."""
    scene = Scene("crash:rank=1,superstep=3", "kill:node=2,superstep=5")
    for struck_at in (7.25, 7.5):
        scene.fault_scheduler.noticed(1, struck_at)
    assert scene.done == [("spend", 1), (FaultEvent(fault="kill:node=2,superstep=5"), 7.25)]
    assert scene.fault_scheduler.spent == {1}


def test_a_delayed_fault_is_told_when_it_strikes_and_not_before() -> None:
    scene = Scene("kill:node=2,phase=sealed,delay_ms=4")
    scene.fault_scheduler.noticed(0, 7.25)
    assert scene.done == [("spend", 0)]
    [(seconds, strike)] = scene.due
    strike()
    assert seconds == 0.004
    assert scene.done[1:] == [(FaultEvent(fault="kill:node=2,phase=sealed,delay_ms=4"), None), ("end node", 2)]


@pytest.mark.parametrize("delay", ["", ",delay_ms=4"])
def test_several_nodes_are_ended_together(delay: str) -> None:
    scene = Scene(f"kill:node=2+0,superstep=5{delay}")
    scene.fault_scheduler.noticed(0, 7.25)
    for _, strike in scene.due:
        strike()
    assert scene.done[-2:] == [("end node", 2), ("end node", 0)]


def test_the_orchestrator_is_ended_here_at_a_superstep_and_by_itself_at_a_phase() -> None:
    scene = Scene("orchestrator:superstep=3", "orchestrator:phase=sealing")
    scene.fault_scheduler.noticed(1, 1.0)
    assert "end orchestrator" not in scene.done
    scene.fault_scheduler.noticed(0, 2.0)
    assert scene.done[-1] == "end orchestrator"


def test_any_process_is_one_of_the_job(sleeper: Callable[[], subprocess.Popen[bytes]]) -> None:
    """Whoever calls `perdure.run` may have children of its own."""
    scene = Scene(*(f"process:after=1s,seed={seed}" for seed in range(4)))
    another, ours = sleeper(), sleeper()
    scene.started = [ours.pid]
    scene.fault_scheduler.start()
    for _, strike in scene.due:
        strike()
    assert {event.pid for event, _ in scene.done} == {ours.pid}
    assert ours.wait() < 0
    assert another.poll() is None
