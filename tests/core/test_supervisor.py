"""The supervisor's rules, one at a time: which processes a job has, and what is published of them."""

from __future__ import annotations

import pytest

from perdure.core import commands as do
from perdure.core import events as ev
from perdure.core import messages as msg
from perdure.core import supervisor, trace
from perdure.core.ids import NodeId
from perdure.core.job_events import (
    AgentStartedEvent,
    EngineAvailableEvent,
    EngineUnavailableEvent,
    FinishedEvent,
    JobEvent,
    NodeDrainingEvent,
    NodeLostEvent,
    NodePendingEvent,
    NodeReturnedEvent,
    OrchestratorLostEvent,
    OrchestratorStartedEvent,
    ResumedEvent,
    StartedEvent,
)
from perdure.core.plan import Plan
from perdure.core.planner import Seat, first_plan
from perdure.core.settings import Settings
from perdure.core.supervisor import SupervisorState
from perdure.core.supervisor.state import END_TIMEOUT_S, HEARTBEAT_TIMEOUT_S, LAST_WORDS_S, MAX_RESTARTS, STOPPED_S
from tests.job_event_examples import committed

START_S = 5.0
PLAN: Plan = first_plan([Seat(agent=number, node=number - 1, address=f"a{number}") for number in (1, 2)], 2, 1, 2, 1)
COMMITTED = msg.Publish(event=committed(3))


def ended(agent: int, how: str) -> ev.NodeEnded:
    """The engine reports the end of an agent's node."""
    return ev.NodeEnded(node=NodeId(f"n{agent}"), how=how, is_certain=True)


class Job:
    """A supervisor with a clock that the test turns; `done` holds what the last event has led to."""

    def __init__(self, nodes: int = 2, return_after_s: float | None = None, *, grants: bool = True) -> None:
        self.state = SupervisorState(settings=Settings(start_timeout_s=START_S), return_after_s=return_after_s)
        self.now = 100.0
        self.done: list[do.SupervisorCommand] = []
        self.take(ev.JobBegun(job="j", nodes=tuple(range(nodes))))
        if grants:
            self.grant(*range(1, nodes + 1))

    def grant(self, *agents: int) -> None:
        """The engine grants their requests."""
        done = self.done
        for agent in agents:
            done = done + self.take(ev.NodeGranted(request=agent, node=NodeId(f"n{agent}"), listen=""))
        self.done = done

    def take(self, event: ev.SupervisorEvent) -> list[do.SupervisorCommand]:
        self.done = supervisor.step(self.state, event, self.now)
        return self.done

    def tick(self, seconds: float = 0.0, late_s: float = 0.0) -> list[do.SupervisorCommand]:
        self.now += seconds
        return self.take(ev.Tick(late_s=late_s))

    def node(self, agent: int, message: msg.FromNode) -> list[do.SupervisorCommand]:
        return self.take(ev.NodeReported(agent=agent, message=message))

    def up(self, *agents: int) -> None:
        for agent in agents:
            self.node(agent, msg.NodeBegun(pid=10 + agent))
            self.node(agent, msg.NodeListens(address=f"a{agent}"))

    def loads(self) -> list[do.SupervisorCommand]:
        return self.node(1, msg.ProgramJudged(error="", text=""))

    def serves(self, number: int = 1, plan: Plan | None = None) -> list[do.SupervisorCommand]:
        """The orchestrator's process starts, and the register answers for it."""
        if self.state.current is not None and not self.state.current.pid:
            self.take(ev.OrchestratorStarted(orchestrator=number, pid=1000 + number))
        return self.take(ev.RegisterAnswered(orchestrator=number, plan=plan))

    def orchestrator(self, number: int, message: msg.FromOrchestrator) -> list[do.SupervisorCommand]:
        return self.take(ev.OrchestratorReported(orchestrator=number, message=message))

    def ends(self, number: int, how: str = "was killed by SIGKILL") -> list[do.SupervisorCommand]:
        return self.take(ev.OrchestratorEnded(orchestrator=number, how=how))

    def runs(self, nodes: int = 2) -> None:
        """Everybody is up, the program is loadable, and orchestrator 1 serves."""
        self.serves()
        self.up(*range(1, nodes + 1))
        self.loads()

    def published(self) -> list[JobEvent]:
        return [command.event for command in self.done if isinstance(command, do.Publish)]

    def told(self, number: int = 1) -> list[msg.ToOrchestrator]:
        return [command.message for command in self.done if isinstance(command, do.SendToOrchestrator) and command.orchestrator == number]

    def end(self) -> tuple[str, str]:
        """How the last event has ended the job."""
        (finish,) = (command for command in self.done if isinstance(command, do.Finish))
        return finish.error, finish.text


def of_nodes(commands: list[do.SupervisorCommand]) -> list[do.SupervisorCommand]:
    """Without those for an orchestrator that is not heard."""
    return [command for command in commands if not isinstance(command, do.EndOrchestrator)]


def test_a_job_begins_with_a_request_for_each_node_and_one_orchestrator() -> None:
    job = Job(nodes=2, grants=False)
    assert job.done == [
        do.Publish(event=StartedEvent(job="j")),
        do.RequestNode(agent=1, replaces=None),
        do.RequestNode(agent=2, replaces=None),
        do.StartOrchestrator(orchestrator=1),
    ]
    assert job.take(ev.NodeGranted(request=2, node=NodeId("n2"), listen="")) == [do.StartNode(agent=2, node=1, spent=())]
    assert job.take(ev.NodeGranted(request=2, node=NodeId("n2"), listen="")) == [], "it is reported twice"


# ---- L1, L2: the start ----------------------------------------------------------------------------------------------------


def test_l1_the_start_is_over_when_each_node_is_up_or_lost() -> None:
    job = Job(nodes=2)
    job.serves()
    job.up(1)
    assert job.told() == [msg.AgentUp(agent=1, node=0, address="a1", pid=11)]
    assert job.loads() == []
    job.take(ended(2, "was killed by SIGKILL"))
    assert job.published() == [NodeLostEvent(node=1, reason="was killed by SIGKILL before it was up")]
    assert job.told() == [msg.NoMoreNodes()]


def test_l1_a_node_that_never_comes_up_is_given_up_whether_or_not_its_end_is_reported() -> None:
    job = Job(nodes=2)
    job.serves()
    job.up(1)
    job.loads()
    assert job.tick(START_S - 0.1) == []
    assert do.EndNode(agent=2) in job.tick(0.1)
    assert job.published() == [NodeLostEvent(node=1, reason="not up after 5 s")]
    assert job.told() == [msg.NoMoreNodes()]
    assert job.take(ended(2, "was killed by SIGKILL")) == [do.ReleaseNode(agent=2)]
    assert job.node(2, msg.NodeListens(address="a2")) == [], "it comes too late"


def test_l1_a_node_that_is_misconfigured_ends_the_job_at_its_start_though_another_has_loaded_the_program() -> None:
    job = Job()
    job.node(1, msg.ProgramJudged(error="", text=""))
    job.node(2, msg.NodeMisconfigured(text="node 1 cannot listen"))
    assert job.end() == ("ConfigError", "node 1 cannot listen")


def test_l2_a_program_that_cannot_be_loaded_ends_the_job() -> None:
    job = Job()
    job.node(2, msg.ProgramJudged(error="UsageError", text="no main"))
    assert job.end() == ("UsageError", "no main")
    assert job.published() == [FinishedEvent(status="UsageError")]
    assert job.loads() == [], "it is over"


@pytest.mark.parametrize(
    ("begun", "late", "end"),
    [
        (False, False, ("EngineFailed", "no node could be started (exited with status 1); see the output above")),
        (True, False, ("ProgramFailed", "the program exited while it was imported; see its output above")),
        (True, True, ("EngineFailed", "no node was up after 5 s: reduce the load of the machine, or raise start_timeout_s")),
    ],
)
def test_l2_a_job_whose_nodes_all_end_before_a_verdict_is_an_error_that_says_so(begun: bool, late: bool, end: tuple[str, str]) -> None:
    job = Job()
    if begun:
        job.node(1, msg.NodeBegun(pid=11))
    job.take(ended(1, "exited with status 1"))
    if late:
        job.tick(START_S)
    else:
        job.take(ended(2, "exited with status 1"))
    assert job.end() == end


def test_l1_a_starting_node_that_a_signal_stops_is_given_up() -> None:
    job = Job(nodes=2)
    stopped = ev.StoppedFound(agents=(2,), orchestrators=())
    for _ in range(7):
        assert job.take(stopped) == []
        job.now += 0.5
    assert do.EndNode(agent=2) in job.take(stopped)
    assert job.published() == [NodeLostEvent(node=1, reason="stopped for 3 s before it was up")]


def test_l1_after_a_pause_of_the_supervisor_itself_a_stopped_node_has_its_time_again() -> None:
    job = Job(nodes=2)
    stopped = ev.StoppedFound(agents=(2,), orchestrators=())
    job.take(stopped)
    job.now += STOPPED_S + 1
    assert job.take(stopped) == []


# ---- L3, L4: one orchestrator serves --------------------------------------------------------------------------------------


def test_l8_an_orchestrator_hears_of_nodes_after_the_register_has_answered() -> None:
    job = Job()
    job.up(1, 2)
    job.loads()
    job.take(ev.OrchestratorStarted(orchestrator=1, pid=1001))
    assert job.told() == [msg.BeginRound(round=1, spent=())]
    assert do.ReadRegister(orchestrator=1) in job.done
    job.take(ev.RegisterAnswered(orchestrator=1, plan=PLAN))
    up = [msg.AgentUp(agent=agent, node=agent - 1, address=f"a{agent}", pid=10 + agent) for agent in (1, 2)]
    assert job.told() == [msg.RegisterHolds(plan=PLAN), *up, msg.NoMoreNodes()]


def test_l3_a_new_orchestrator_learns_of_ends_too() -> None:
    job = Job()
    job.runs()
    job.take(ended(1, "was killed"))
    assert job.told() == [msg.AgentEnded(agent=1, how="was killed")]
    job.ends(1)
    job.serves(2)
    assert [type(message) for message in job.told(2)] == [msg.RegisterHolds, msg.AgentUp, msg.AgentEnded, msg.AgentUp, msg.NoMoreNodes]


def test_l3_the_standby_begins_at_once_and_is_prepared_once() -> None:
    job = Job()
    job.runs()
    assert job.orchestrator(1, COMMITTED)[0] == do.StartOrchestrator(orchestrator=2)
    job.orchestrator(1, msg.Publish(event=committed(4)))
    assert not any(isinstance(command, do.StartOrchestrator) for command in job.done)
    job.take(ev.OrchestratorStarted(orchestrator=2, pid=1002))
    assert job.done == [], "it waits"
    job.ends(1)
    assert job.published() == [OrchestratorLostEvent(reason="was killed by SIGKILL"), OrchestratorStartedEvent(pid=1002)]
    assert job.told(2) == [msg.BeginRound(round=2, spent=())]


def test_l3_a_standby_that_ends_is_not_missed() -> None:
    job = Job()
    job.runs()
    job.orchestrator(1, COMMITTED)
    job.take(ev.OrchestratorStarted(orchestrator=2, pid=1002))
    assert job.ends(2) == []
    assert do.StartOrchestrator(orchestrator=3) in job.ends(1)


def test_l3_a_standby_that_is_stopped_does_not_begin() -> None:
    job = Job()
    job.runs()
    job.orchestrator(1, COMMITTED)
    job.take(ev.OrchestratorStarted(orchestrator=2, pid=1002))
    job.take(ev.StoppedFound(agents=(), orchestrators=(2,)))
    job.ends(1)
    assert {do.EndOrchestrator(orchestrator=2), do.StartOrchestrator(orchestrator=3)} <= {*job.done[1:]}


def test_l3_a_standby_that_cannot_be_started_stops_nobody() -> None:
    job = Job()
    job.runs()
    job.orchestrator(1, COMMITTED)
    assert job.take(ev.OrchestratorNotStarted(orchestrator=2, text="no memory")) == []
    assert do.StartOrchestrator(orchestrator=3) in job.ends(1)
    job.take(ev.OrchestratorNotStarted(orchestrator=3, text="no memory"))
    assert job.end() == ("EngineFailed", "no memory")


def test_l3_a_mute_orchestrator_is_ended_and_then_replaced() -> None:
    job = Job()
    job.runs()
    job.orchestrator(1, msg.OrchestratorAlive())
    assert job.tick(HEARTBEAT_TIMEOUT_S) == []
    assert job.tick(0.1) == [do.EndOrchestrator(orchestrator=1)]
    assert job.tick(0.1) == []
    assert do.StartOrchestrator(orchestrator=2) in job.ends(1)


def test_l3_one_whose_end_is_never_reported_is_replaced_all_the_same() -> None:
    job = Job()
    job.runs()
    job.orchestrator(1, msg.OrchestratorAlive())
    job.tick(HEARTBEAT_TIMEOUT_S + 0.1)
    assert do.StartOrchestrator(orchestrator=2) in job.tick(END_TIMEOUT_S)
    assert job.ends(1) == [], "it comes too late"


def test_l3_one_that_is_within_a_long_message_is_heard() -> None:
    job = Job()
    job.runs()
    for _ in range(4):
        assert job.tick(HEARTBEAT_TIMEOUT_S - 0.1) == []
        job.take(ev.OrchestratorPartReceived(orchestrator=1))


def test_t3_a_supervisor_that_was_late_gives_the_orchestrator_time_to_be_heard() -> None:
    job = Job()
    job.runs()
    job.orchestrator(1, msg.OrchestratorAlive())
    assert job.tick(60.0, late_s=60.0) == []
    assert job.tick(0.9) == []
    assert job.tick(0.2) == [do.EndOrchestrator(orchestrator=1)]


def test_l3_a_process_that_the_engine_starts_too_late_is_ended() -> None:
    job = Job()
    job.up(1, 2)
    job.loads()
    job.tick(START_S + HEARTBEAT_TIMEOUT_S + 0.1)
    assert do.StartOrchestrator(orchestrator=2) in job.tick(END_TIMEOUT_S)
    assert job.take(ev.OrchestratorStarted(orchestrator=1, pid=1001)) == [do.EndOrchestrator(orchestrator=1)]


def test_l4_restarts_without_a_commit_in_between_have_a_limit() -> None:
    job = Job()
    job.runs()
    for number in range(1, MAX_RESTARTS + 1):
        job.ends(number)
        job.serves(number + 1)
    job.ends(MAX_RESTARTS + 1)
    assert job.end() == ("EngineFailed", "the orchestrator ended 21 times, the last time it was killed by SIGKILL")


def test_l4_a_commit_shows_that_the_orchestrator_works() -> None:
    job = Job()
    job.runs()
    for number in range(1, 2 * MAX_RESTARTS):
        job.orchestrator(number, msg.Publish(event=committed(number)))
        standby = job.state.standby
        assert standby is not None
        job.take(ev.OrchestratorStarted(orchestrator=standby.number, pid=1))
        job.ends(number)
        job.serves(number + 1)
    assert job.state.phase is supervisor.Phase.RUNNING


def test_l4_a_commit_that_is_counted_again_does_not() -> None:
    """Each orchestrator counts the newest commit again, and may end just then: that would go on for ever."""
    job = Job()
    job.runs()
    for number in range(1, MAX_RESTARTS + 2):
        job.orchestrator(number, COMMITTED)
        standby = job.state.standby
        assert standby is not None
        job.take(ev.OrchestratorStarted(orchestrator=standby.number, pid=1))
        job.ends(number)
        if number <= MAX_RESTARTS:
            job.serves(number + 1)
    assert job.end()[0] == "EngineFailed"


# ---- L5, L6: what counts of its words -------------------------------------------------------------------------------------


def test_l5_the_register_is_open_to_every_orchestrator() -> None:
    job = Job()
    job.runs()
    job.ends(1)
    assert job.orchestrator(1, msg.Propose(plan=PLAN)) == [do.CreatePlan(orchestrator=1, plan=PLAN)]
    assert job.orchestrator(1, msg.Note(plan=PLAN)) == [do.NotePlan(plan=PLAN)]
    answer = job.take(ev.RegisterAnswered(orchestrator=1, plan=PLAN))
    assert answer == [do.SendToOrchestrator(orchestrator=1, message=msg.RegisterHolds(plan=PLAN))]


@pytest.mark.parametrize(
    "message",
    [
        msg.Finish(error="Unrecoverable", text="", payload=b""), msg.KillAgent(agent=1),
        msg.Publish(event=ResumedEvent(superstep=3, generation=2)), msg.ResultPiece(data=b"x"), msg.OrchestratorAlive(),
    ],
    ids=lambda message: type(message).__name__,
)  # fmt: skip
def test_l5_other_words_of_a_replaced_orchestrator_do_not_count(message: msg.FromOrchestrator) -> None:
    job = Job()
    job.runs()
    job.ends(1)
    job.serves(2)
    before = job.state.current
    assert before is not None
    heard_at, job.now = before.heard_at, job.now + 1.0
    assert job.orchestrator(1, message) == []
    assert before.heard_at == heard_at
    assert not before.result


def test_l5_the_result_comes_in_pieces_of_one_orchestrator() -> None:
    job = Job()
    job.runs()
    job.orchestrator(1, msg.ResultPiece(data=b"half"))
    job.ends(1)
    job.serves(2)
    for piece in (b"a whole", b" result"):
        job.orchestrator(2, msg.ResultPiece(data=piece))
    job.orchestrator(2, msg.Finish(error="", text="", payload=b""))
    assert job.done == [do.Publish(event=FinishedEvent(status="ok")), do.Finish(error="", text="", payload=b"a whole result")]


def test_l6_events_that_a_new_orchestrator_repeats_are_published_once() -> None:
    job = Job()
    job.runs()
    events = [
        msg.Publish(event=AgentStartedEvent(node=0, pid=11)),
        COMMITTED,
        msg.Publish(event=NodeLostEvent(node=0, reason="was killed")),
    ]
    for event in events:
        assert event in job.orchestrator(1, event)
    job.ends(1)
    job.serves(2)
    for event in events:
        assert event not in job.orchestrator(2, event)
    older = msg.Publish(event=committed(2))
    assert older not in job.orchestrator(2, older)


def test_l6_the_loss_of_a_node_that_had_come_back_is_published_again() -> None:
    job = Job()
    job.runs()
    for pid in (11, 12):
        for event in (AgentStartedEvent(node=0, pid=pid), NodeLostEvent(node=0, reason="was killed")):
            publish = msg.Publish(event=event)
            assert job.orchestrator(1, publish) == [publish]


# ---- L7: the end ----------------------------------------------------------------------------------------------------------


def test_l7_the_orchestrator_has_some_time_to_report_what_the_loss_of_all_nodes_means() -> None:
    job = Job()
    job.runs()
    for agent in (1, 2):
        job.take(ended(agent, "was killed by SIGKILL"))
    assert job.tick(LAST_WORDS_S - 0.1) == []
    job.tick(0.1)
    assert job.end() == ("EngineFailed", "all nodes have ended: was killed by SIGKILL")


def test_l7_a_result_that_is_being_received_gets_more_time() -> None:
    job = Job()
    job.runs()
    for agent in (1, 2):
        job.take(ended(agent, "exited with status 0"))
    job.orchestrator(1, msg.ResultPiece(data=b"x"))
    assert job.tick(LAST_WORDS_S) == []
    job.take(ev.OrchestratorPartReceived(orchestrator=1))
    assert job.tick(LAST_WORDS_S) == []
    job.orchestrator(1, msg.OrchestratorAlive())
    job.tick(LAST_WORDS_S)
    assert job.end()[0] == "EngineFailed"


def test_a_lost_node_returns_as_a_new_agent() -> None:
    job = Job(return_after_s=1.0)
    job.runs()
    for agent in (1, 2):
        job.take(ended(agent, "was killed"))
    assert job.tick(1.0) == [do.RequestNode(agent=3, replaces=1), do.RequestNode(agent=4, replaces=2)]
    returned = do.Publish(event=NodeReturnedEvent(node=1))
    assert job.take(ev.NodeGranted(request=4, node=NodeId("n4"), listen="")) == [do.StartNode(agent=4, node=1, spent=()), returned]


def test_l1_a_refused_start_of_a_first_node_ends_the_job() -> None:
    job = Job()
    job.take(ev.StartRefused(node=NodeId("n2"), reason="no memory"))
    assert job.end() == ("EngineFailed", "no memory")
    job = Job(grants=False)
    job.take(ev.RequestRefused(request=2, reason="no host"))
    assert job.end() == ("EngineFailed", "no host")


def test_l1_a_refused_start_of_a_node_that_returns_is_a_loss_and_it_is_tried_again() -> None:
    job = Job(return_after_s=1.0)
    job.runs()
    job.take(ended(1, "was killed"))
    job.tick(1.0)
    job.grant(3)
    job.take(ev.StartRefused(node=NodeId("n3"), reason="no memory"))
    assert job.done == [do.Publish(event=NodeLostEvent(node=0, reason="no memory")), do.ReleaseNode(agent=3)]
    assert job.tick(1.0) == [do.RequestNode(agent=4, replaces=3)]
    assert job.take(ev.RequestRefused(request=4, reason="no host")) == [do.ReleaseNode(agent=4)], "it has not come back"
    assert job.tick(1.0) == [do.RequestNode(agent=5, replaces=4)]


def test_l1_a_refused_node_that_comes_later_is_not_missed() -> None:
    job = Job()
    job.runs()
    job.take(ev.NodeCame(node=2))
    assert job.take(ev.RequestRefused(request=3, reason="no host")) == [do.ReleaseNode(agent=3)]
    assert job.state.phase is supervisor.Phase.RUNNING


def test_l1_a_request_that_is_never_answered_is_given_up() -> None:
    job = Job(grants=False)
    job.grant(1)
    job.serves()
    job.up(1)
    job.loads()
    job.tick(START_S)
    assert do.CancelRequest(agent=2) in job.done
    assert job.published() == [NodeLostEvent(node=1, reason="not up after 5 s")]
    assert job.take(ev.NodeGranted(request=2, node=NodeId("n2"), listen="")) == [do.ReleaseNode(agent=2)], "it comes too late"


def test_l1_a_pending_request_is_waited_for() -> None:
    job = Job(grants=False)
    job.grant(1)
    pending = NodePendingEvent(node=1, reason="queued behind job 17")
    assert job.take(ev.RequestPending(request=2, reason="queued behind job 17")) == [do.Publish(event=pending)]
    job.serves()
    job.up(1)
    job.loads()
    job.orchestrator(1, msg.OrchestratorAlive())
    job.now += 100 * START_S
    job.orchestrator(1, msg.OrchestratorAlive())
    assert job.tick() == []
    assert job.take(ev.NodeGranted(request=2, node=NodeId("n2"), listen="")) == [do.StartNode(agent=2, node=1, spent=())]
    assert not of_nodes(job.tick(START_S - 0.1))


# ---- L9: hints of the engine ----------------------------------------------------------------------------------------------


def test_l9_a_node_whose_end_is_not_certain_is_ended_and_given_back() -> None:
    job = Job()
    job.runs()
    job.take(ev.NodeEnded(node=NodeId("n1"), how="left its shell", is_certain=False))
    assert job.told() == [msg.AgentEnded(agent=1, how="left its shell")]
    assert {do.EndNode(agent=1), do.ReleaseNode(agent=1)} <= {*job.done}
    job.take(ended(2, "was killed"))
    assert do.EndNode(agent=2) not in job.done
    assert do.ReleaseNode(agent=2) in job.done


def test_l9_a_node_that_drains_is_published_once_and_stays() -> None:
    job = Job()
    job.runs()
    drains = ev.NodeDraining(node=NodeId("n1"), deadline_s=30.0, reason="preemption")
    assert job.take(drains) == [do.Publish(event=NodeDrainingEvent(node=0, deadline_s=30.0, reason="preemption"))]
    assert job.take(drains) == []
    job.take(ended(2, "was killed"))
    assert job.take(ev.NodeDraining(node=NodeId("n2"), deadline_s=None, reason="preemption")) == []


def test_l9_what_an_engine_may_have_lost_is_repeated_when_it_is_available() -> None:
    job = Job(nodes=4, grants=False)
    job.grant(1, 2, 3)
    job.up(1)
    job.take(ev.EngineUnavailable(reason="no answer"))
    assert job.published() == [EngineUnavailableEvent(reason="no answer")]
    assert job.take(ev.EngineUnavailable(reason="no answer")) == []
    job.tick(START_S - 1.0)
    job.take(ev.EngineAvailable(nodes=(NodeId("n1"), NodeId("n2"))))
    assert job.done[:2] == [do.Publish(event=EngineAvailableEvent()), do.StartNode(agent=2, node=1, spent=())]
    assert job.published()[1:] == [NodeLostEvent(node=2, reason="gone while the engine was unavailable before it was up")]
    assert do.RequestNode(agent=4, replaces=None) in job.done
    assert {do.EndNode(agent=3), do.ReleaseNode(agent=3)} <= {*job.done}
    assert not of_nodes(job.tick(START_S - 0.1)), "all have their time again"


def test_l9_a_node_that_was_given_up_and_whose_end_is_not_reported_is_ended_again() -> None:
    job = Job()
    job.up(1)
    job.tick(START_S)
    assert do.EndNode(agent=2) in job.done
    assert job.take(ev.EngineAvailable(nodes=(NodeId("n1"), NodeId("n2")))) == [do.EndNode(agent=2)]
    job.take(ended(2, "was killed"))
    both = ev.EngineAvailable(nodes=(NodeId("n1"), NodeId("n2")))
    assert job.take(both) == [do.ReleaseNode(agent=2)], "the engine has not received it"
    job.serves()
    job.orchestrator(1, msg.KillAgent(agent=1))
    assert do.EndNode(agent=1) in job.take(both)


def test_l9_a_pending_request_has_its_time_while_the_engine_is_unavailable() -> None:
    job = Job(grants=False)
    job.grant(1)
    job.up(1)
    job.take(ev.RequestPending(request=2, reason="queued"))
    job.take(ev.EngineUnavailable(reason="no answer"))
    assert do.CancelRequest(agent=2) in job.tick(START_S)


def test_a_fault_is_taken_once_and_all_who_are_up_or_come_up_receive_it() -> None:
    job = Job(nodes=3)
    job.serves()
    job.up(1)
    struck = msg.FaultStruck(index=4, at=7.25)
    assert job.node(1, struck) == [do.SendToNode(agent=1, message=msg.FaultSpent(index=4)), do.TakeFault(index=4, at=7.25)]
    assert job.orchestrator(1, struck) == []
    job.node(2, msg.NodeListens(address="a2"))
    assert job.done[0] == do.SendToNode(agent=2, message=msg.FaultSpent(index=4))
    job.take(ev.NodeCame(node=3))
    assert job.take(ev.NodeGranted(request=4, node=NodeId("n4"), listen="")) == [do.StartNode(agent=4, node=3, spent=(4,))]


def test_the_next_deadline_is_one_at_which_something_happens() -> None:
    job = Job()
    assert supervisor.deadline(job.state) == job.now + START_S
    job.runs()
    job.orchestrator(1, msg.OrchestratorAlive())
    assert supervisor.deadline(job.state) == job.now + HEARTBEAT_TIMEOUT_S


def test_a_trace_of_a_supervisor_can_be_replayed() -> None:
    settings = Settings(start_timeout_s=START_S)
    job = SupervisorState(settings=settings, return_after_s=1.0)
    events: list[ev.SupervisorEvent] = [
        ev.JobBegun(job="j", nodes=(0, 1)),
        ev.NodeGranted(request=1, node=NodeId("n1"), listen=""),
        ev.RequestPending(request=2, reason="queued"),
        ev.NodeReported(agent=1, message=msg.NodeListens(address="a1")),
        ended(1, "was killed"),
        ev.OrchestratorStarted(orchestrator=1, pid=7),
        ev.RegisterAnswered(orchestrator=1, plan=PLAN),
        ev.Tick(late_s=0.0),
    ]
    lines = [trace.to_line(trace.born(job))]
    for now, event in enumerate(events):
        lines.append(trace.to_line(trace.Step(now=now, event=event, commands=tuple(supervisor.step(job, event, now)))))
    assert [trace.to_line(trace.from_line(line)) for line in lines] == lines
    assert trace.replay(lines) == []
