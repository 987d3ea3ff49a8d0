"""The supervising process's part of faults: told with the time of its strike, and at nobody who is not of the job."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests.job_event_examples import committed

from perdure.core.faults import parse_fault
from perdure.core.job_events import FaultEvent, NodeLostEvent
from perdure.core.plan import Placement, PlanChange
from perdure.core.planner import Seat, first_plan
from perdure.launch.fault_scheduler import FaultActions, FaultScheduler, can_spare


class Scene:
    """A supervisor that notes what it is asked for."""

    def __init__(self, *faults: str) -> None:
        self.done: list[Any] = []
        self.due: list[tuple[float, Callable[[], None]]] = []
        self.started: list[int] = []
        actions = FaultActions(
            publish=lambda event, t: self.done.append((event, t)),
            after=lambda seconds, action: self.due.append((seconds, action)),
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


def test_a_fault_is_published_with_the_time_of_its_strike() -> None:
    scene = Scene("crash:rank=1,superstep=3", "kill:node=2,superstep=5")
    scene.fault_scheduler.take(1, 7.25)
    assert scene.done[0] == (FaultEvent(fault="kill:node=2,superstep=5"), 7.25)


def test_a_delayed_fault_is_told_when_it_strikes_and_not_before() -> None:
    scene = Scene("kill:node=2,phase=sealed,delay_ms=4")
    scene.fault_scheduler.take(0, 7.25)
    assert scene.done == []
    [(seconds, strike)] = scene.due
    strike()
    assert seconds == 0.004
    assert scene.done == [(FaultEvent(fault="kill:node=2,phase=sealed,delay_ms=4"), None), ("end node", 2)]


@pytest.mark.parametrize("delay", ["", ",delay_ms=4"])
def test_several_nodes_are_ended_together(delay: str) -> None:
    scene = Scene(f"kill:node=2+0,superstep=5{delay}")
    scene.fault_scheduler.take(0, 7.25)
    for _, strike in scene.due:
        strike()
    assert scene.done[-2:] == [("end node", 2), ("end node", 0)]


def test_the_orchestrator_is_ended_here_at_a_superstep_and_by_itself_at_a_phase() -> None:
    scene = Scene("orchestrator:superstep=3", "orchestrator:phase=sealing")
    scene.fault_scheduler.take(1, 1.0)
    assert "end orchestrator" not in scene.done
    scene.fault_scheduler.take(0, 2.0)
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


def test_a_fault_that_comes_again_strikes_only_after_a_commit() -> None:
    """The job shall show that it survives, and not how it ends."""
    scene = Scene("kill:every=5s,seed=1")
    scene.fault_scheduler.start()
    scene.fault_scheduler.published(committed(3))
    scene.fault_scheduler.published(NodeLostEvent(node=0, reason="was killed"))
    scene.due.pop()[1]()
    assert scene.done == []
    scene.fault_scheduler.published(committed(4))
    scene.due.pop()[1]()
    assert scene.done == [(FaultEvent(fault="kill:node=1"), None), ("end node", 1)]


def test_who_can_be_spared_follows_from_the_newest_plan() -> None:
    """Faults that the clock chooses shall not strike a spare, or more than the parity covers."""
    assert not can_spare(None, 3)
    plan = first_plan([Seat(agent=number, node=number - 1, address=f"a{number}") for number in (1, 2, 3)], 3, 1, 3, 1)
    assert [can_spare(plan, agent) for agent in (3, 4)] == [True, False]
    moved = Placement(rank=2, agent=4, node=3, incarnation=2)
    plan = plan.amended(PlanChange(base=None, positions=(0, 1), placements=(moved,), addresses=((4, "a4"),)))
    assert [can_spare(plan, agent) for agent in (3, 4)] == [False, True]
