"""What an orchestrator that takes over asks for again is not done again (D7)."""

from __future__ import annotations

from perdure.core import commands as do
from perdure.core import messages as msg
from tests.core.test_rules import FIRST, Node, plan_of

RESERVE = msg.Reserve(snapshot_bytes=100, parity_bytes=100, ranks=1)


def task(stripe: int, *, urgent: bool) -> msg.DecodeTask:
    return msg.DecodeTask(label=FIRST, group=0, stripe=stripe, sources=((0, 0),), wanted=((1, 1),), urgent=urgent)


def test_a_spare_reserves_memory_once() -> None:
    spare = Node()
    assert spare.told(RESERVE) == [do.ReserveMemory(snapshot_bytes=100, parity_bytes=100, ranks=1)]
    assert spare.told(RESERVE) == []


def test_a_stripe_is_decoded_once_in_a_generation() -> None:
    node = Node()
    node.told(msg.Install(plan=plan_of(), restore=()))
    urgent, late = task(0, urgent=True), task(1, urgent=False)
    assert node.told(msg.Assign(generation=1, tasks=(urgent, late))) == [do.Decode(tasks=(urgent,))]
    assert node.told(msg.Assign(generation=1, tasks=(urgent, late))) == []
    assert node.state.current.decode_later == (late,)
    more = task(2, urgent=True)
    assert node.told(msg.Assign(generation=1, tasks=(urgent, more))) == [do.Decode(tasks=(more,))]
