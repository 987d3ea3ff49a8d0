"""Tight mode at one agent (rules M1 and M2): when the live slot is copied, and when its rank may change it again."""

from __future__ import annotations

import pytest

from perdure.core import commands as do
from perdure.core import events as ev
from perdure.core import messages as msg
from perdure.core.agent import AgentState
from perdure.core.settings import TIGHT, Settings
from tests.core.test_rules import FIRST, SECOND, THIRD, Node, offer_of, plan_of, prepared, seal, to_orchestrator

LATER = msg.Committed(label=SECOND, next_position=-1)


class TightNode(Node):
    """Agent 1 of a job in tight mode."""

    def __init__(self) -> None:
        super().__init__()
        self.state = AgentState(me=1, node=0, settings=Settings(memory=TIGHT))

    def commit(self, label: msg.Label = FIRST) -> list[do.AgentCommand]:
        """From the wish to copy until the label lies in the snapshot slot; answers the word that it does."""
        self.prepare(label)
        self.peer(prepared(label, 1))
        return self.copied(label)

    def copied(self, label: msg.Label, generation: int = 1) -> list[do.AgentCommand]:
        return self.step(ev.SlotCopied(rank=0, label=label, generation=generation))


@pytest.fixture
def node() -> TightNode:
    """In generation 1, with superstep 0 committed."""
    node = TightNode()
    node.told(msg.Greet(round=1))
    node.told(msg.Install(plan=plan_of(), restore=()))
    node.worker(msg.Loaded(address="w0", pid=7))
    node.told(msg.Resume(generation=1, since=0, addresses=((0, "w0"), (1, "w1"))))
    node.commit()
    return node


def revoke() -> do.TellWorker:
    return do.TellWorker(rank=0, message=msg.Revoke(generation=1))


def test_m1_every_label_begins_in_the_live_slot(node: TightNode) -> None:
    assert node.worker(msg.AtPosition(label=SECOND)) == [
        do.BindSlot(rank=0, label=SECOND, index=1),
        do.TellWorker(rank=0, message=msg.MayCopy(label=SECOND, slot=1)),
    ]


def test_m2_a_committed_label_takes_the_place_of_the_older_one_before_its_rank_goes_on(node: TightNode) -> None:
    node.prepare(SECOND)
    assert node.told(LATER) == [
        do.ForgetLabel(rank=0, label=FIRST),
        do.CopySlot(rank=0, label=SECOND, generation=1),
    ]
    assert node.copied(SECOND) == [
        do.MoveLabel(rank=0, label=SECOND, index=0),
        do.TellWorker(rank=0, message=msg.LabelCommitted(label=SECOND, positions=(0, 1), protect_s=0.0)),
    ]
    assert node.worker(msg.AtPosition(label=THIRD))[0] == do.BindSlot(rank=0, label=THIRD, index=1)


def test_m1_a_rank_whose_label_may_be_the_base_does_not_unwind_at_a_seal(node: TightNode) -> None:
    """`main` may write to its arrays on its way out."""
    node.prepare(SECOND)
    assert node.told(seal()) == [do.ShutLinks(generation=1)]
    assert revoke() not in node.step(ev.LinksQuiet(generation=1))
    plan = plan_of(2, SECOND, (1, 2))
    assert node.told(msg.Install(plan=plan, restore=())) == [
        do.OpenLinks(plan=plan),
        do.ForgetLabel(rank=0, label=FIRST),
        do.CopySlot(rank=0, label=SECOND, generation=2),
    ], "others may read the base only where it stays"
    assert node.copied(SECOND, generation=2) == [
        do.MoveLabel(rank=0, label=SECOND, index=0),
        revoke(),
        do.VerifySlot(rank=0, label=SECOND, parity=True),
        to_orchestrator(msg.Installed(generation=2)),
    ]


def test_m2_the_older_base_is_where_it_was_and_live_is_given_up(node: TightNode) -> None:
    node.prepare(SECOND)
    node.told(seal())
    node.step(ev.LinksQuiet(generation=1))
    plan = plan_of(2, FIRST, (1, 2))
    assert node.told(msg.Install(plan=plan, restore=())) == [
        do.OpenLinks(plan=plan),
        do.ForgetLabel(rank=0, label=SECOND),
        do.VerifySlot(rank=0, label=FIRST, parity=True),
        revoke(),
        to_orchestrator(msg.Installed(generation=2)),
    ]


def test_m1_a_label_that_is_not_prepared_is_frozen_only_while_others_read_it(node: TightNode) -> None:
    """Parity that somebody made of bytes that changed meanwhile could be that of the base, if this rank is lost before it answers."""
    node.worker(msg.AtPosition(label=SECOND))
    node.snap(SECOND)
    assert node.told(seal()) == [do.ShutLinks(generation=1)]
    assert revoke() in node.step(ev.LinksQuiet(generation=1))


def test_m1_a_rank_that_computes_or_serialises_unwinds_at_once(node: TightNode) -> None:
    node.worker(msg.AtPosition(label=SECOND))
    assert revoke() in node.told(seal())


def test_m2_a_copy_that_ends_during_the_seal_is_one(node: TightNode) -> None:
    node.prepare(SECOND)
    node.told(LATER)
    node.told(seal())
    assert node.copied(SECOND) == [do.MoveLabel(rank=0, label=SECOND, index=0), revoke()]
    node.step(ev.LinksQuiet(generation=1))
    plan = plan_of(2, SECOND, (1, 2))
    assert do.VerifySlot(rank=0, label=SECOND, parity=True) in node.told(msg.Install(plan=plan, restore=()))


def test_m2_a_copy_of_the_generation_before_does_not_count(node: TightNode) -> None:
    """The one that was asked for since still reads the live slot."""
    node.prepare(SECOND)
    node.told(LATER)
    node.told(seal())
    node.step(ev.LinksQuiet(generation=1))
    node.told(msg.Install(plan=plan_of(2, SECOND, (1, 2)), restore=()))
    assert node.copied(SECOND, generation=1) == []
    assert revoke() in node.copied(SECOND, generation=2)


def test_w1_a_frozen_rank_is_not_late(node: TightNode) -> None:
    """It has not been told yet that its generation is over."""
    node.prepare(SECOND)
    node.told(seal())
    node.now = 1_000.0
    assert not [command for command in node.step(ev.Tick(late_s=0.0)) if isinstance(command, do.KillWorker)]


def test_a_worker_that_crashes_when_it_has_offered_leaves_its_label_in_the_live_slot(node: TightNode) -> None:
    node.prepare(SECOND)
    node.step(ev.WorkerEnded(rank=0, incarnation=1, how="died"))
    node.told(seal())
    node.step(ev.LinksQuiet(generation=1))
    answer = node.told(msg.Install(plan=plan_of(2, SECOND, (2, 1)), restore=()))
    assert do.CopySlot(rank=0, label=SECOND, generation=2) in answer
    assert do.StartWorker(rank=0, incarnation=2) in answer
    assert offer_of(0, SECOND.superstep) == node.state.hosted[0].slots[SECOND].offers[0]
