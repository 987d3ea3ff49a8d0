"""W4: a worker that is stopped by a signal is hung wherever it is in its life."""

from __future__ import annotations

import pytest

from perdure.core import commands as do
from perdure.core import events as ev
from perdure.core import messages as msg
from perdure.core.agent.state import WorkerPhase
from tests.core.test_rules import SETTINGS, Node, plan_of

EVERY_S = 0.2


def sampled(node: Node, seconds: float, *, stopped: bool) -> list[do.AgentCommand]:
    out: list[do.AgentCommand] = []
    for _ in range(round(seconds / EVERY_S)):
        node.now += EVERY_S
        sample = ev.Sample(rank=0, incarnation=1, superstep=-1, calls=0, frames=0, inside="", stopped=stopped, count=-1)
        out += node.step(ev.Sampled(samples=(sample,)))
    return out


@pytest.fixture
def node() -> Node:
    node = Node()
    node.told(msg.Install(plan=plan_of(), restore=()))
    return node


@pytest.mark.parametrize("loaded", [False, True])
def test_before_main_is_entered(node: Node, loaded: bool) -> None:
    if loaded:
        node.worker(msg.Loaded(address="w0", pid=7))
    assert node.state.hosted[0].worker is (WorkerPhase.IDLE if loaded else WorkerPhase.STARTING)
    assert sampled(node, SETTINGS.silence_s, stopped=True) == []
    assert sampled(node, 2 * EVERY_S, stopped=True) == [do.KillWorker(rank=0, incarnation=1)]


def test_one_that_goes_on_in_time_is_left_alone(node: Node) -> None:
    for _ in range(3):
        assert sampled(node, SETTINGS.silence_s - EVERY_S, stopped=True) == []
        assert sampled(node, EVERY_S, stopped=False) == []


def test_an_agent_that_was_stopped_with_its_worker_looks_again_first(node: Node) -> None:
    assert sampled(node, EVERY_S, stopped=True) == []
    node.now += 60.0
    assert sampled(node, EVERY_S, stopped=True) == []
