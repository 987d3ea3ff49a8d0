"""Who is silent, and whose word counts: the schedules that the simulator found (section 11 of the protocol)."""

from __future__ import annotations

import pytest

from perdure.core import commands as do
from perdure.core import events as ev
from perdure.core import messages as msg
from perdure.core.agent.peers import watched_by, watchers
from perdure.core.ids import Ballot, Label
from perdure.core.orchestrator import GenerationPhase
from perdure.core.records import replace
from tests.core.large import AGENTS, Job
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


def test_t2_a_watcher_doubts_first_and_takes_both_words_back() -> None:
    """The doubt makes the orchestrator ask; only the second word counts as silence."""
    node = Node()
    node.told(msg.Greet(round=1))
    node.told(msg.Install(plan=plan_of(), restore=()))
    said = []
    for tenth in range(33):
        node.now = tenth / 10
        answer = node.step(ev.Tick(late_s=0.0))
        said += [(tenth, type(command.message)) for command in answer if isinstance(command, do.TellOrchestrator)]
    assert [one for one in said if one[1] is not msg.Heartbeat] == [(21, msg.PeerUnheard), (31, msg.PeerSilent)]
    heard = do.TellOrchestrator(message=msg.PeerHeard(agent=2))
    assert node.peer(msg.Heartbeat(number=1, echo=0, generation=1)) == [heard]


def asked_of(numbers: tuple[int, ...], nonce: int) -> list[do.OrchestratorCommand]:
    return [do.TellAgent(agent=number, message=msg.AskAlive(nonce=nonce)) for number in numbers]


def test_t6_a_doubt_excludes_nobody() -> None:
    """Both ends of a slow link live, and one may be heard again before its time is over."""
    chief = chief_that_counts()
    chief.said(2, msg.PeerUnheard(agent=1))
    for chief.now, nonce in ((0.5, -1), (1.0, -2), (1.5, -3), (2.0, -4)):
        for number in (1, 2):
            chief.said(number, msg.Heartbeat(number=1, echo=0, generation=1))
        assert chief.step(ev.Tick(late_s=0.0)) == asked_of((1, 2), nonce)
        for number in (1, 2):
            chief.said(number, msg.Alive(nonce=nonce, generation=1))
        assert chief.step(ev.Tick(late_s=0.0)) == []
    chief.said(2, msg.PeerSilent(agent=1))
    chief.step(ev.Tick(late_s=0.0))
    assert chief.state.excluded.keys() == {2}, "one of the two, as soon as the second word has come"


@pytest.mark.parametrize(("nonce", "generation"), [(-2, 0), (0, 1), (-1, 1)])
def test_t6_both_answer_twice_in_the_generation_that_there_is(nonce: int, generation: int) -> None:
    """What is heard of agent 2 may have been long on its way; or it has not got the plan yet, and is silent to those who have."""
    chief = chief_that_counts()
    chief.said(2, msg.PeerUnheard(agent=1))
    chief.said(2, msg.PeerSilent(agent=1))
    for chief.now in (1.0, 1.5, 2.0):
        for number in (1, 2):
            chief.said(number, msg.Heartbeat(number=1, echo=0, generation=1))
        chief.step(ev.Tick(late_s=0.0))
        chief.said(1, msg.Alive(nonce=-chief.state.probes, generation=1))
        chief.said(2, msg.Alive(nonce=nonce, generation=generation))
        chief.step(ev.Tick(late_s=0.0))
    assert chief.state.probes == 3
    assert not chief.state.excluded


@pytest.mark.parametrize("victim", [1, 2, 20])
def test_t2_in_a_large_job_those_around_a_silent_node_are_asked_and_nobody_else(victim: int) -> None:
    job = Job()
    job.live(5.0)
    job.stopped.add(victim)
    job.live(10.0)
    assert job.now - 5.0 <= 3.5
    assert job.chief.phase is GenerationPhase.SEALING
    assert job.chief.silences == {victim}
    asked = {command.agent for command in job.of(do.TellAgent) if isinstance(command.message, msg.AskAlive)}
    assert job.chief.plan is not None
    assert asked <= {victim, *watchers(job.chief.plan, victim), *watched_by(job.chief.plan, victim)}


@pytest.mark.parametrize("stopped", [{7}, {7, 8, 9}, set(range(1, AGENTS + 1))], ids=["one", "neighbours", "all"])
def test_t2_in_a_large_job_a_stop_that_is_short_enough_is_no_silence(stopped: set[int]) -> None:
    """Load, or a switch that is restarted: they did not answer for a while, and do."""
    job = Job()
    job.live(5.0)
    job.stopped |= stopped
    job.live(2.7)
    job.stopped.clear()
    job.live(4.0)
    assert job.chief.phase is GenerationPhase.COUNTING
    assert not job.chief.unheard.get(7)


def test_t3_an_orchestrator_that_was_late_gives_those_it_asked_their_time_again() -> None:
    """Their answers may be waiting for it."""
    job = Job()
    job.live(5.0)
    job.stopped.add(20)
    job.live(2.6)
    job.now += 2.0
    job.decide(ev.Tick(late_s=2.0))
    job.decide(ev.Tick(late_s=0.0))
    assert job.chief.phase is GenerationPhase.COUNTING
    job.live(1.0 + 3.0)
    assert job.chief.silences == {20}


def test_t6_an_old_complaint_of_a_node_that_is_heard_again_counts_from_then_on() -> None:
    """A stopped node goes on: the orchestrator hears it first, its watcher a moment later."""
    chief = chief_that_counts()
    chief.said(2, msg.PeerSilent(agent=1))
    chief.now = 2.0
    chief.said(2, msg.Heartbeat(number=1, echo=0, generation=1))
    chief.step(ev.Tick(late_s=0.0))
    assert chief.state.nodes[1].suspected
    for tenth in range(20, 33):
        chief.now = tenth / 10
        for number in (1, 2):
            chief.said(number, msg.Heartbeat(number=1, echo=0, generation=1))
            chief.said(number, msg.Alive(nonce=-chief.state.probes, generation=1))
        chief.step(ev.Tick(late_s=0.0))
        assert bool(chief.state.excluded) == (tenth > 30)


def test_t8_a_connection_that_ended_and_nobody_lost_behind_it_ends_the_generation_only() -> None:
    chief = chief_that_counts()
    chief.said(1, msg.RankLinkEnded(generation=0, rank=0, other=1))
    chief.said(1, msg.RankLinkEnded(generation=1, rank=0, other=1))
    patience_s = chief.state.settings.silence_s + chief.state.settings.suspect_s
    for tenth in range(int(10 * patience_s) + 2):
        chief.now = tenth / 10
        assert chief.state.phase is GenerationPhase.COUNTING
        for number in (1, 2):
            chief.said(number, msg.Heartbeat(number=1, echo=0, generation=1))
        answer = chief.step(ev.Tick(late_s=0.0))
    assert [command.agent for command in answer if isinstance(command, do.TellAgent)] == [1, 2]
    assert chief.state.phase is GenerationPhase.SEALING
    assert not chief.state.lost


@pytest.mark.parametrize(("committed", "is_sealed"), [(None, True), (Label(1, 3), True), (Label(1, 4), False), (Label(1, 5), False)])
def test_t8_a_link_that_a_label_needed_is_of_no_interest_once_the_label_is_committed(committed: Label | None, is_sealed: bool) -> None:
    chief = chief_that_counts()
    chief.said(1, msg.RankLinkEnded(generation=1, rank=0, other=1, label=Label(1, 4)))
    chief.state.committed = committed
    chief.now = chief.state.settings.silence_s + chief.state.settings.suspect_s + 0.1
    for number in (1, 2):
        chief.said(number, msg.Heartbeat(number=1, echo=0, generation=1))
    chief.step(ev.Tick(late_s=0.0))
    assert (chief.state.phase is GenerationPhase.SEALING) == is_sealed


def test_t8_a_rebuild_whose_link_fails_is_sealed_although_its_label_is_committed() -> None:
    chief = chief_that_counts()
    chief.state.committed, chief.state.phase = Label(1, 4), GenerationPhase.REBUILDING
    chief.said(1, msg.RankLinkEnded(generation=1, rank=0, other=1, label=Label(1, 4)))
    chief.now = chief.state.settings.silence_s + chief.state.settings.suspect_s + 0.1
    for number in (1, 2):
        chief.said(number, msg.Heartbeat(number=1, echo=0, generation=1))
    chief.step(ev.Tick(late_s=0.0))
    assert chief.state.phase is GenerationPhase.SEALING


def test_t8_an_agent_reports_each_failed_link_of_a_label_once_while_it_is_not_committed() -> None:
    node = Node()
    node.told(msg.Greet(round=1))
    node.told(msg.Install(plan=plan_of(), restore=()))
    failed = ev.LinkFailed(generation=1, rank=0, other=1, label=Label(1, 4))
    said = do.TellOrchestrator(message=msg.RankLinkEnded(generation=1, rank=0, other=1, label=Label(1, 4)))
    assert node.step(replace(failed, generation=2)) == []
    assert node.step(failed) == [said]
    assert node.step(failed) == []
    assert said in node.told(msg.Greet(round=2))
    node.state.current.committed = Label(1, 5)
    assert node.step(replace(failed, label=Label(1, 5))) == []
    node.told(msg.Seal(ballot=Ballot(2, 1), generation=1))
    assert node.step(replace(failed, label=Label(1, 6))) == []


def test_t8_it_is_said_again_to_a_new_orchestrator_until_the_generation_is_over() -> None:
    node = Node()
    node.told(msg.Greet(round=1))
    node.told(msg.Install(plan=plan_of(), restore=()))
    node.worker(msg.Loaded(address="w0", pid=7))
    assert node.worker(msg.PeerSuspected(rank=1)) == [], "main has not been entered"
    node.told(msg.Resume(generation=1, since=0, addresses=((0, "w0"), (1, "w1"))))
    said = do.TellOrchestrator(message=msg.RankLinkEnded(generation=1, rank=0, other=1))
    assert node.worker(msg.PeerSuspected(rank=1)) == [said]
    assert node.worker(msg.PeerSuspected(rank=1)) == []
    assert said in node.told(msg.Greet(round=2))
    node.told(msg.Seal(ballot=Ballot(2, 1), generation=1))
    assert said not in node.told(msg.Greet(round=3))


def test_d6_the_lost_hear_nothing_of_the_next_generation() -> None:
    """A node that ended while the plan was being chosen is in it, and is fenced."""
    chief = chief_that_counts()
    chief.said(1, msg.WorkerLost(generation=1, rank=0, incarnation=1, reason="SIGSEGV"))
    chief.state.phase = GenerationPhase.CHOOSING
    chief.step(ev.AgentEnded(agent=2, how="killed"))
    answer = chief.step(ev.RegisterHolds(plan=plan_of(2, None, (2, 1))))
    assert {command.agent for command in answer if isinstance(command, do.TellAgent)} == {1}


def test_d7_a_plan_that_was_chosen_after_the_register_was_read_is_found_and_sealed() -> None:
    """Two orchestrators for a moment: the first one's proposal arrives after the second one has asked what there is."""
    chief = chief_that_counts()
    chief.said(1, msg.WorkerLost(generation=1, rank=0, incarnation=1, reason="SIGSEGV"))
    assert chief.said(2, msg.Newer(generation=2)) == [do.TellAgent(agent=2, message=msg.AskPlan())]
    assert chief.said(1, msg.Newer(generation=2)) == [], "one is asked"
    newer = plan_of(2, None, (2, 1))
    install, seal = msg.Install(plan=newer, restore=()), msg.Seal(ballot=Ballot(2, 2), generation=2)
    assert chief.said(2, msg.InstalledPlan(plan=newer)) == [
        do.Note(plan=newer),
        *(do.TellAgent(agent=agent, message=install) for agent in (1, 2)),
        *(do.TellAgent(agent=agent, message=seal) for agent in (1, 2)),
    ]


def test_d7_another_is_asked_for_the_newer_plan_when_the_first_is_lost() -> None:
    chief = chief_that_counts()
    chief.said(1, msg.WorkerLost(generation=1, rank=0, incarnation=1, reason="SIGSEGV"))
    for number in (1, 2):
        chief.said(number, msg.Newer(generation=2))
    assert do.TellAgent(agent=2, message=msg.AskPlan()) in chief.step(ev.AgentEnded(agent=1, how="killed"))


def test_d6_a_plan_that_is_installed_already_is_answered_with_all_that_was_said_of_it() -> None:
    """A second orchestrator learned only now that the plan was chosen; "ready" was said to the first one."""
    node = Node()
    node.told(msg.Greet(round=1))
    node.told(msg.Install(plan=plan_of(), restore=()))
    node.worker(msg.Loaded(address="w0", pid=7))
    status, installed = node.told(msg.Install(plan=plan_of(), restore=()))
    assert isinstance(status, do.TellOrchestrator)
    assert isinstance(status.message, msg.AgentStatus)
    assert status.message.ready == ((0, "w0"),)
    assert installed == do.TellOrchestrator(message=msg.Installed(generation=1))
