"""Who decides the next generation, and what may be chosen (section 4 of the protocol): an event in, exactly these commands out."""

from __future__ import annotations

import pytest

from perdure.core import agent, orchestrator, votes
from perdure.core import commands as do
from perdure.core import events as ev
from perdure.core import messages as msg
from perdure.core.agent.state import AgentState, MembershipPhase
from perdure.core.ids import Ballot, Label
from perdure.core.orchestrator import GenerationPhase, JobShape, OrchestratorState
from perdure.core.plan import Placement, Plan, PlanChange
from perdure.core.settings import Settings

SETTINGS = Settings()
BASE = Label(1, 0)


def plan_of(size: int = 3, parity: int = 1, groups: int = 1) -> Plan:
    """Generation 1: rank r on agent r + 1."""
    ranks = range(size * groups)
    return Plan(
        generation=1,
        placements=tuple(Placement(rank=rank, agent=rank + 1, node=rank, incarnation=1) for rank in ranks),
        groups=tuple(tuple(range(size * index, size * (index + 1))) for index in range(groups)),
        parity=parity,
        base=BASE,
        positions=(1, 2),
        addresses=tuple((rank + 1, f"a{rank + 1}") for rank in ranks),
    )


PLAN = plan_of()


def next_of(plan: Plan, *moves: tuple[int, int]) -> Plan:
    """`moves`: rank, and the agent where it lives in the next generation."""
    placements = tuple(Placement(rank=rank, agent=home, node=home - 1, incarnation=2) for rank, home in moves)
    addresses = tuple((home, f"a{home}") for _, home in moves)
    return plan.amended(PlanChange(base=plan.base, positions=plan.positions, placements=placements, addresses=addresses))


OURS = next_of(PLAN, (2, 4))


# ---- whose word it is -----------------------------------------------------------------------------------------------------


def test_d0_mirrored_pairs_ask_the_register() -> None:
    """Of two votes one would be a quorum, and so would the other."""
    assert not votes.decide_after(plan_of(2, 1))
    assert not votes.decide_after(plan_of(4, 2))
    assert votes.decide_after(plan_of(5, 2))
    assert votes.decide_after(plan_of(3, 0))


def test_d0_a_quorum_holds_enough_votes_of_every_group() -> None:
    plan = plan_of(3, 1, groups=2)
    assert votes.are_quorum(plan, [2, 4])
    assert not votes.are_quorum(plan, [4, 5])


def test_d3_the_highest_ballot_counts() -> None:
    old, new = (msg.Vote(ballot=Ballot(*ballot), change=PLAN.change_to(OURS)) for ballot in ((1, 9), (2, 1)))
    assert votes.newest([old, None, new]) is new
    assert votes.newest([None]) is None


# ---- an agent -------------------------------------------------------------------------------------------------------------


def vote(ballot: Ballot, plan: Plan) -> msg.Vote:
    return msg.Vote(ballot=ballot, change=PLAN.change_to(plan))


def accept(ballot: Ballot, plan: Plan) -> msg.Accept:
    return msg.Accept(ballot=ballot, generation=plan.generation, change=PLAN.change_to(plan))


class Voter:
    """Agent 1, a member of generation 1."""

    def __init__(self) -> None:
        self.state = AgentState(me=1, node=0, settings=SETTINGS)
        self.told(msg.Greet(round=1))
        self.told(msg.Install(plan=PLAN, restore=()))

    def told(self, message: msg.ToAgent) -> list[do.AgentCommand]:
        return agent.step(self.state, ev.OrchestratorSaid(message=message), 0.0)

    def asked(self, ballot: Ballot, plan: Plan) -> list[do.AgentCommand]:
        return self.told(accept(ballot, plan))


@pytest.fixture
def voter() -> Voter:
    return Voter()


ACCEPTED = do.TellOrchestrator(message=msg.Accepted(ballot=Ballot(1, 1)))


def test_d4_a_vote_freezes_the_generation(voter: Voter) -> None:
    """One that has missed the seal would otherwise go on committing what the next generation does not start from."""
    assert voter.asked(Ballot(1, 1), next_of(PLAN, (2, 4))) == [do.ShutLinks(generation=1), ACCEPTED]
    assert voter.state.phase is MembershipPhase.SEALED


def test_d1_the_vote_is_in_the_answer_to_the_next_seal(voter: Voter) -> None:
    plan = next_of(PLAN, (2, 4))
    voter.asked(Ballot(1, 1), plan)
    agent.step(voter.state, ev.LinksQuiet(generation=1), 0.0)
    (answer,) = voter.told(msg.Seal(ballot=Ballot(2, 1), generation=1))
    assert isinstance(answer, do.TellOrchestrator)
    assert isinstance(answer.message, msg.Sealed)
    assert answer.message.accepted == vote(Ballot(1, 1), plan)


def test_d4_no_vote_against_a_promise(voter: Voter) -> None:
    voter.told(msg.Greet(round=2))
    assert voter.asked(Ballot(1, 1), next_of(PLAN, (2, 4))) == []
    assert voter.state.current.accepted is None


def test_d4_a_vote_for_a_generation_that_is_over_is_answered_with_the_one_that_there_is(voter: Voter) -> None:
    newer = next_of(PLAN, (2, 4))
    voter.told(msg.Install(plan=newer, restore=()))
    agent.step(voter.state, ev.LinksQuiet(generation=1), 0.0)
    assert voter.asked(Ballot(9, 1), next_of(PLAN, (2, 5))) == [do.TellOrchestrator(message=msg.Newer(generation=2))]
    assert voter.told(msg.AskPlan()) == [do.TellOrchestrator(message=msg.InstalledPlan(plan=newer))]
    assert voter.state.current.accepted is None


def test_d0_a_spare_has_no_vote() -> None:
    spare = AgentState(me=4, node=3, settings=SETTINGS)
    asked = accept(Ballot(1, 1), next_of(PLAN, (2, 4)))
    assert agent.step(spare, ev.OrchestratorSaid(message=asked), 0.0) == []


# ---- the orchestrator -----------------------------------------------------------------------------------------------------


class Chief:
    """Counting in generation 1, with a spare; then agent 3 ends, or is silent."""

    def __init__(self, *, silent: bool = False) -> None:
        shape = JobShape(ranks=3, ranks_per_node=1, group_size=3, parity=1)
        self.state = OrchestratorState(round=2, shape=shape, settings=SETTINGS)
        self.now = 0.0
        self.step(ev.RegisterHolds(plan=PLAN))
        for number in (1, 2, 3, 4):
            self.step(ev.AgentUp(agent=number, node=number - 1, address=f"a{number}", pid=number))
        self.step(ev.NoMoreNodes())
        for number in (1, 2, 3, 4):
            has_rank = number < 4
            self.said(number, status(int(has_rank), self.report(number) if has_rank else ()))
        if silent:
            self.state.nodes[3].silent = True
            self.state.silences.add(3)
            self.said(1, msg.WorkerLost(generation=1, rank=0, incarnation=1, reason="SIGSEGV"))
        else:
            self.step(ev.AgentEnded(agent=3, how="killed"))

    def report(self, number: int) -> tuple[msg.RankReport, ...]:
        held = msg.LabelReport(label=BASE, prepared=True, data=3, parity=1, replicated=True, common=7)
        return (msg.RankReport(rank=number - 1, incarnation=1, worker_lives=True, labels=(held,)),)

    def step(self, event: ev.OrchestratorEvent) -> list[do.OrchestratorCommand]:
        answer = orchestrator.step(self.state, event, self.now)
        return [command for command in answer if not isinstance(command, do.Publish)]

    def said(self, number: int, message: msg.FromAgent) -> list[do.OrchestratorCommand]:
        return self.step(ev.AgentSaid(agent=number, message=message))

    def sealed(self, number: int, accepted: msg.Vote | None = None) -> list[do.OrchestratorCommand]:
        answer = msg.Sealed(ballot=self.state.ballot, generation=1, ranks=self.report(number), positions=(1, 2), accepted=accepted)
        return self.said(number, answer)

    def accepted(self, number: int) -> list[do.OrchestratorCommand]:
        return self.said(number, msg.Accepted(ballot=self.state.ballot))


def status(generation: int, ranks: tuple[msg.RankReport, ...]) -> msg.AgentStatus:
    phase = "member" if generation else "spare"
    return msg.AgentStatus(generation=generation, phase=phase, resumed=generation > 0, ranks=ranks, ready=(), silent=())


THEIRS = next_of(PLAN, (2, 4), (1, 2))
"""Another orchestrator has known of the end of a worker."""


def asks(plan: Plan, attempt: int = 1) -> list[do.OrchestratorCommand]:
    return [do.TellAgent(agent=number, message=accept(Ballot(2, attempt), plan)) for number in (1, 2)]


def test_d5_a_quorum_of_votes_makes_the_plan_and_the_register_is_told() -> None:
    chief = Chief()
    assert chief.sealed(1) == []
    assert chief.sealed(2) == asks(OURS)
    assert chief.accepted(1) == []
    note, *installs = chief.accepted(2)
    assert note == do.Note(plan=OURS)
    told = {command.agent: type(command.message) for command in installs if isinstance(command, do.TellAgent)}
    assert told == {1: msg.Amend, 2: msg.Amend, 4: msg.Install}
    assert chief.state.phase is GenerationPhase.REBUILDING


def test_d5_votes_of_another_ballot_do_not_count() -> None:
    chief = Chief()
    chief.sealed(1)
    chief.sealed(2)
    for number in (1, 2):
        chief.said(number, msg.Accepted(ballot=Ballot(1, 1)))
    assert chief.state.phase is GenerationPhase.CHOOSING


def test_d3_an_accepted_plan_is_decided_again_and_then_sealed() -> None:
    """It may have been chosen. Nothing is known of what its maker knew, so its generation is sealed before anything is rebuilt."""
    chief = Chief()
    chief.sealed(1, vote(Ballot(1, 4), THEIRS))
    assert chief.sealed(2) == asks(THEIRS)
    chief.accepted(1)
    note, *answer = chief.accepted(2)
    assert note == do.Note(plan=THEIRS)
    told = [type(command.message) for command in answer if isinstance(command, do.TellAgent)]
    assert told == [msg.Install] * 3 + [msg.Seal] * 3


def test_d2_a_voter_that_ends_leaves_no_quorum() -> None:
    """Two of three are gone, and one chunk of a stripe is all that may be missing."""
    chief = Chief()
    chief.sealed(1)
    chief.sealed(2)
    chief.accepted(1)
    (finish,) = [command for command in chief.step(ev.AgentEnded(agent=2, how="killed")) if isinstance(command, do.Finish)]
    assert finish.error == "Unrecoverable"


def test_d5_a_vote_counts_although_the_voter_has_ended() -> None:
    chief = Chief()
    chief.sealed(1)
    chief.sealed(2)
    chief.accepted(1)
    chief.step(ev.AgentEnded(agent=1, how="killed"))
    assert do.Note(plan=OURS) in chief.accepted(2)


def test_t5_a_silent_voter_is_waited_for() -> None:
    chief = Chief()
    chief.sealed(1)
    chief.sealed(2)
    chief.accepted(1)
    chief.state.nodes[2].silent = True
    chief.state.silences.add(2)
    chief.now = SETTINGS.unreachable_timeout_s - 1
    assert chief.said(1, msg.Alive(nonce=0, generation=1)) == []
    chief.now = SETTINGS.unreachable_timeout_s + 1
    assert any(isinstance(command, do.Finish) for command in chief.said(1, msg.Alive(nonce=0, generation=1)))


def test_t5_the_silent_are_waited_for_although_there_is_an_accepted_plan() -> None:
    """Agent 1 has not rebuilt its rank yet: without agent 3 nothing can be decoded, and the plan would have it ended."""
    chief = Chief(silent=True)
    bare = msg.RankReport(rank=0, incarnation=1, worker_lives=True, labels=())
    chief.sealed(2, vote(Ballot(1, 4), THEIRS))
    assert chief.said(1, msg.Sealed(ballot=chief.state.ballot, generation=1, ranks=(bare,), positions=())) == []
    chief.now = SETTINGS.unreachable_timeout_s + 1
    answer = chief.said(1, msg.Alive(nonce=0, generation=1))
    assert answer == asks(THEIRS)
    assert chief.state.excluded.keys() == {3}


def test_r8_without_a_commit_and_without_a_quorum_the_start_has_failed() -> None:
    """Nobody can say that nothing else was chosen."""
    chief = Chief()
    assert chief.state.plan is not None
    chief.state.current.plan = next_of(chief.state.plan).amended(PlanChange(base=None, positions=(0, 1), placements=(), addresses=()))
    chief.step(ev.AgentEnded(agent=2, how="killed"))
    report = msg.RankReport(rank=0, incarnation=1, worker_lives=True, labels=())
    answer = chief.said(1, msg.Sealed(ballot=chief.state.ballot, generation=3, ranks=(report,), positions=()))
    (finish,) = [command for command in answer if isinstance(command, do.Finish)]
    assert "too few nodes" in finish.text


def test_d7_a_plan_that_the_register_was_not_told_is_learned_from_an_agent() -> None:
    """The orchestrator that had it chosen ended before it could say so."""
    chief = Chief()
    assert chief.said(4, status(2, ())) == [do.TellAgent(agent=4, message=msg.AskPlan())]
    note, *answer = chief.said(4, msg.InstalledPlan(plan=OURS))
    assert note == do.Note(plan=OURS)
    told = [type(command.message) for command in answer if isinstance(command, do.TellAgent)]
    assert told == [msg.Install] * 3 + [msg.Seal] * 3
