"""Who is silent, and whose word counts: the schedules that the simulator found (section 11 of the protocol)."""

from __future__ import annotations

from perdure.core import commands as do
from perdure.core import events as ev
from perdure.core import messages as msg
from perdure.core.ids import Ballot
from perdure.core.orchestrator import Phase
from tests.core.test_rules import SETTINGS, Chief, Node, plan_of


def chief_that_counts() -> Chief:
    chief = Chief(2)
    chief.starts(plan_of())
    chief.status(1)
    chief.status(2)
    return chief


def test_t2_nodes_that_fall_silent_together_are_not_waited_for() -> None:
    """A rack loses its power: each of the two is the other's only watcher, and neither will ever complain of the other."""
    chief = chief_that_counts()
    chief.now = SETTINGS.silence_s + 0.1
    answer = chief.step(ev.Tick(late_s=0.0))
    assert [type(command.message) for command in answer if isinstance(command, do.TellAgent)] == [msg.Seal, msg.Seal]
    assert all(node.silent for node in chief.state.nodes.values())


def test_t6_an_old_complaint_of_a_node_that_is_heard_again_is_no_broken_link() -> None:
    """A stopped node goes on: the orchestrator hears it first, its watcher a moment later. Neither is to be excluded."""
    chief = chief_that_counts()
    chief.said(2, msg.PeerSilent(agent=1))
    chief.now = 2.0
    chief.said(2, msg.Heartbeat(number=1, echo=0, generation=1))
    chief.step(ev.Tick(late_s=0.0))
    assert chief.state.nodes[1].suspected
    chief.said(1, msg.Heartbeat(number=1, echo=0, generation=1))
    assert chief.step(ev.Tick(late_s=0.0)) == []
    assert chief.state.alive(1)
    assert chief.state.alive(2)


def test_d6_the_lost_hear_nothing_of_the_next_generation() -> None:
    """A node that ended while the plan was being chosen is in it, and is fenced."""
    chief = chief_that_counts()
    chief.said(1, msg.WorkerLost(generation=1, rank=0, incarnation=1, reason="SIGSEGV"))
    chief.state.phase = Phase.CHOOSING
    chief.step(ev.AgentEnded(agent=2, how="killed"))
    answer = chief.step(ev.RegisterHolds(plan=plan_of(2, None, (2, 1))))
    assert {command.agent for command in answer if isinstance(command, do.TellAgent)} == {1}


def test_d7_a_plan_that_was_chosen_after_the_register_was_read_is_found_and_sealed() -> None:
    """Two orchestrators for a moment: the first one's proposal arrives after the second one has asked what there is."""
    chief = chief_that_counts()
    chief.said(1, msg.WorkerLost(generation=1, rank=0, incarnation=1, reason="SIGSEGV"))
    assert chief.state.plan is not None
    assert chief.said(2, msg.Newer(generation=2)) == [do.Propose(plan=chief.state.plan)]
    newer = plan_of(2, None, (2, 1))
    install, seal = msg.Install(plan=newer, restore=()), msg.Seal(ballot=Ballot(2, 2), generation=2)
    assert chief.step(ev.RegisterHolds(plan=newer)) == [
        *(do.TellAgent(agent=agent, message=install) for agent in (1, 2)),
        *(do.TellAgent(agent=agent, message=seal) for agent in (1, 2)),
    ]


def test_d6_a_plan_that_is_installed_already_is_answered_with_all_that_was_said_of_it() -> None:
    """A second orchestrator learned only now that the plan was chosen; "ready" was said to the first one."""
    node = Node()
    node.told(msg.Greet(round=1))
    node.told(msg.Install(plan=plan_of(), restore=()))
    node.worker(msg.Loaded(address="w0", pid=7))
    status, installed = node.told(msg.Install(plan=plan_of(), restore=()))
    assert isinstance(status, do.TellOrchestrator)
    assert isinstance(status.message, msg.Status)
    assert status.message.ready == ((0, "w0"),)
    assert installed == do.TellOrchestrator(message=msg.Installed(generation=1))
