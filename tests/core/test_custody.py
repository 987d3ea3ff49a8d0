"""A node that the job goes on without keeps its chunks of the base (D6, R2): what its agent says and does, and what its word counts."""

from __future__ import annotations

import pytest

from perdure.core import commands as do
from perdure.core import events as ev
from perdure.core import messages as msg
from perdure.core import planner
from perdure.core.agent import MembershipPhase
from perdure.core.holdings import known_one_by_one
from perdure.core.ids import Ballot, Label
from perdure.core.layout import Geometry
from perdure.core.orchestrator import GenerationPhase, exclusion
from perdure.core.orchestrator.state import Excluded, GenerationState
from perdure.core.plan import Placement, Plan, PlanChange
from perdure.sim import program
from tests.core.test_rules import FIRST, SECOND, Chief, Node, chief, node, plan_of, prepared, seal

__all__ = ["chief", "node"]


def plan_without(generation: int, base: Label | None) -> Plan:
    """Rank 0 has left agent 1 for agent 3."""
    place = Placement(rank=0, agent=3, node=2, incarnation=generation)
    before = plan_of(generation - 1, FIRST)
    return before.amended(PlanChange(base=base, positions=(1, 2), placements=(place,), addresses=((3, "a3"),)))


@pytest.fixture
def custodian(node: Node) -> Node:
    """Agent 1, when the job has gone on without it from superstep 0."""
    node.prepare(FIRST)
    node.peer(prepared(FIRST, 1))
    node.prepare(SECOND)
    node.told(msg.Install(plan=plan_without(2, FIRST), restore=()))
    node.step(ev.LinksQuiet(generation=1))
    node.step(ev.SlotVerified(rank=0, label=FIRST, wrong=msg.Chunks()))
    return node


def test_d6_an_excluded_agent_ends_its_workers_and_keeps_the_base(node: Node) -> None:
    node.prepare(FIRST)
    node.peer(prepared(FIRST, 1))
    node.prepare(SECOND)
    plan = plan_without(2, FIRST)
    node.told(msg.Install(plan=plan, restore=()))
    assert node.step(ev.LinksQuiet(generation=1)) == [
        do.KillWorker(rank=0, incarnation=1),
        do.ForgetLabel(rank=0, label=SECOND),
        do.OpenLinks(plan=plan),
        do.VerifySlot(rank=0, label=FIRST, parity=True),
    ]
    assert node.state.phase is MembershipPhase.CUSTODIAN
    (said,) = node.step(ev.SlotVerified(rank=0, label=FIRST, wrong=msg.Chunks()))
    assert isinstance(said, do.TellOrchestrator)
    assert isinstance(said.message, msg.Custody)
    assert [(held.label, held.data, held.parity) for held in said.message.ranks[0].labels] == [(FIRST, 1, 1)]


def test_r5_what_does_not_have_its_digest_is_not_kept(node: Node) -> None:
    node.prepare(FIRST)
    node.told(msg.Install(plan=plan_without(2, FIRST), restore=()))
    node.step(ev.LinksQuiet(generation=1))
    (said,) = node.step(ev.SlotVerified(rank=0, label=FIRST, wrong=msg.Chunks(data=1)))
    assert isinstance(said, do.TellOrchestrator)
    assert isinstance(said.message, msg.Custody)
    assert [(held.data, held.parity) for held in said.message.ranks[0].labels] == [(0, 1)]


def test_d6_one_that_has_nothing_of_the_base_ends(node: Node) -> None:
    node.prepare(FIRST)
    node.told(msg.Install(plan=plan_without(2, SECOND), restore=()))
    assert isinstance(node.step(ev.LinksQuiet(generation=1))[-1], do.EndAgent)


def test_g3_a_custodian_is_no_member(custodian: Node) -> None:
    """It has no vote, answers no seal, and takes no word of members."""
    state = custodian.state
    assert custodian.told(seal(generation=2)) == []
    change = plan_without(2, FIRST).change_to(plan_without(3, FIRST))
    assert custodian.told(msg.Accept(ballot=Ballot(9, 9), generation=3, change=change)) == []
    assert custodian.told(msg.Resume(generation=2, since=0, addresses=())) == []
    assert custodian.peer(prepared(Label(2, 1), 1)) == []
    offer = program.offer_of(1, program.state_of(1, 1), program.common_of(1))
    assert custodian.peer(msg.GroupOffer(label=Label(2, 1), offer=offer)) == []
    custodian.now = 9.0
    said = custodian.step(ev.Tick(late_s=0.0))
    assert [type(command) for command in said] == [do.TellOrchestrator], "a sign of life, and nothing to members"
    assert (state.phase, state.current.accepted, state.current.resumed) == (MembershipPhase.CUSTODIAN, None, False)


def test_d6_a_custodian_that_is_asked_again_says_the_same(custodian: Node) -> None:
    first = custodian.told(msg.Install(plan=plan_without(2, FIRST), restore=()))
    assert first == custodian.told(msg.Install(plan=plan_without(2, FIRST), restore=()))
    assert len(first) == 1


def test_d6_a_custodian_goes_with_the_next_generation_if_that_has_the_same_base(custodian: Node) -> None:
    again = plan_without(2, FIRST).amended(PlanChange(base=FIRST, positions=(1, 2), placements=(), addresses=()))
    assert custodian.told(msg.Install(plan=again, restore=())) == [do.ShutLinks(generation=2)]
    assert custodian.step(ev.LinksQuiet(generation=2)) == [
        do.OpenLinks(plan=again), do.VerifySlot(rank=0, label=FIRST, parity=True),
    ]  # fmt: skip
    later = again.amended(PlanChange(base=Label(3, 1), positions=(1, 2), placements=(), addresses=()))
    custodian.told(msg.Install(plan=later, restore=()))
    assert isinstance(custodian.step(ev.LinksQuiet(generation=3))[-1], do.EndAgent)


# ---- what it counts -------------------------------------------------------------------------------------------------------


N, M = 4, 1
FULL = (Geometry(N, M).full_masks[0], Geometry(N, M).full_masks[1])


def seat(number: int) -> planner.Seat:
    return planner.Seat(agent=number, node=number, address=f"a{number}")


def report(rank: int, masks: tuple[int, int] = FULL, label: Label = FIRST, *, replicated: bool = True) -> msg.RankReport:
    held = msg.LabelReport(label=label, prepared=masks == FULL, data=masks[0], parity=masks[1], replicated=replicated)
    return msg.RankReport(rank=rank, incarnation=1, worker_lives=True, labels=(held,))


def sealed_plan() -> Plan:
    """Rank 1 lives on a spare, agent 9, and is being rebuilt from superstep 0."""
    first = planner.first_plan([seat(number) for number in range(1, N + 1)], N, 1, N, M)
    place = Placement(rank=1, agent=9, node=9, incarnation=2)
    return first.amended(PlanChange(base=FIRST, positions=(1, 2), placements=(place,), addresses=((9, "a9"),)))


def test_r2_chunks_of_a_custodian_count_and_are_read_from_it() -> None:
    """Rank 1 has its first data chunk again when rank 2 is lost: without the custodian, which was its home, two stripes lack two."""
    plan, custodian = sealed_plan(), msg.Custodian(agent=2, address="a2")
    reports = [report(0), report(1, (1, 0), replicated=False), report(3)]
    alone = known_one_by_one(plan, reports)
    assert isinstance(planner.next_plan(plan, alone, [], [seat(8)], {}, (1, 2)), planner.Lost)
    held = known_one_by_one(plan, reports, ((custodian, report(1)),))
    answer = planner.next_plan(plan, held, [], [seat(8)], {}, (1, 2))
    assert isinstance(answer, Plan)
    tasks = [task for tasks in planner.decode_tasks(answer, held).values() for task in tasks]
    assert all(len(task.sources) == N - M for task in tasks)
    read = {position: rank for task in tasks for position, rank in task.sources if position in dict(task.kept)}
    assert set(read.values()) == {1}, "of rank 1, and only where members have too little"
    assert planner.custodians_read(answer, held) == {2}


def test_r2_a_custodian_is_not_read_where_members_have_enough() -> None:
    plan, custodian = sealed_plan(), msg.Custodian(agent=2, address="a2")
    held = known_one_by_one(plan, [report(0), report(1, (1, 0), replicated=False), report(2), report(3)], ((custodian, report(1)),))
    answer = planner.next_plan(plan, held, [], [seat(8)], {}, (1, 2))
    assert isinstance(answer, Plan)
    assert not planner.custodians_read(answer, held)


def test_i2_a_custodian_alone_cannot_say_that_nothing_newer_was_committed() -> None:
    """All members are lost, and may have committed since."""
    first = planner.first_plan([seat(1), seat(2)], 2, 1, 2, 1)
    place = Placement(rank=1, agent=9, node=9, incarnation=2)
    plan = first.amended(PlanChange(base=FIRST, positions=(1, 2), placements=(place,), addresses=((9, "a9"),)))
    whole = msg.LabelReport(label=FIRST, prepared=True, data=1, parity=1)
    kept = msg.RankReport(rank=1, incarnation=1, worker_lives=False, labels=(whole,))
    held = known_one_by_one(plan, [], ((msg.Custodian(agent=2, address="a2"), kept),))
    answer = planner.next_plan(plan, held, [], [seat(7), seat(8)], {}, (1, 2))
    assert isinstance(answer, planner.Lost)
    assert "recorded the last commit" in answer.text


def test_d3_a_home_that_was_excluded_says_what_its_rank_had_prepared() -> None:
    """A mirrored pair whose link broke: one of the two was excluded, and the other one ends before there is a plan."""
    plan = planner.first_plan([seat(1), seat(2)], 2, 1, 2, 1)
    labels = tuple(msg.LabelReport(label=label, prepared=True, data=1, parity=1) for label in (FIRST, SECOND))
    kept = msg.RankReport(rank=1, incarnation=1, worker_lives=True, labels=labels)
    held = known_one_by_one(plan, [], ((msg.Custodian(agent=2, address="a2"), kept),))
    answer = planner.next_plan(plan, held, [], [seat(7), seat(8)], {}, (1, 2))
    assert isinstance(answer, Plan)
    assert answer.base == SECOND
    assert {source.offers_at for sources in planner.restore_sources(answer, held).values() for source in sources} == {
        msg.Custodian(agent=2, address="a2")
    }


def cut_off(chief: Chief) -> list[do.OrchestratorCommand]:
    """Agents 1 and 2 do not hear each other, and are both heard of: agent 2 is excluded (rule T6)."""
    chief.said(1, msg.PeerUnheard(agent=2))
    for chief.now in (0.5, 1.0, 1.5, 2.0):
        for number in (1, 2):
            chief.said(number, msg.Heartbeat(number=1, echo=0, generation=1))
        for asked in chief.step(ev.Tick(late_s=0.0)):
            assert isinstance(asked, do.TellAgent)
            assert isinstance(asked.message, msg.AskAlive)
            chief.said(asked.agent, msg.Alive(nonce=asked.message.nonce, generation=1))
    chief.said(1, msg.PeerSilent(agent=2))
    return chief.step(ev.Tick(late_s=0.0))


def test_d6_who_was_excluded_is_sealed_and_ended_by_a_commit_without_it_only(chief: Chief) -> None:
    """It may have the label that is committed while its generation is sealed."""
    chief.said(2, prepared(FIRST, 1))
    assert cut_off(chief) == [do.TellAgent(agent=number, message=seal()) for number in (1, 2)]
    answer = chief.said(1, prepared(FIRST, 0))
    assert [command for command in answer if isinstance(command, do.KillAgent)] == []
    assert chief.state.committed == FIRST
    assert chief.state.excluded.keys() == {2}


def test_t5_what_an_excluded_member_answers_is_waited_for_and_counted(chief: Chief) -> None:
    """The other one ends: there is nothing but what the excluded one holds."""
    cut_off(chief)
    assert chief.step(ev.AgentEnded(agent=1, how="killed")) == [do.KillAgent(agent=1)]
    chief.step(ev.AgentUp(agent=3, node=2, address="a3", pid=3))
    chief.status(3, 0)
    whole = msg.LabelReport(label=FIRST, prepared=True, data=1, parity=1)
    held = msg.RankReport(rank=1, incarnation=1, worker_lives=True, labels=(whole,))
    ballot = chief.state.ballot
    (propose,) = chief.said(2, msg.Sealed(ballot=ballot, generation=1, ranks=(held,), positions=(0, 1)))
    assert isinstance(propose, do.Propose)
    assert propose.plan.base == FIRST
    assert propose.plan.agents() == (3,)
    chosen = chief.step(ev.RegisterHolds(plan=propose.plan))
    assert do.TellAgent(agent=2, message=msg.Install(plan=propose.plan, restore=())) in chosen


def test_d6_d7_a_member_that_a_newer_plan_has_no_rank_for_is_excluded(chief: Chief) -> None:
    plan = chief.state.plan
    assert plan is not None
    place = Placement(rank=1, agent=1, node=0, incarnation=2)
    newer = plan.amended(PlanChange(base=FIRST, positions=(1, 2), placements=(place,), addresses=((1, "a1"),)))
    answer = chief.said(1, msg.InstalledPlan(plan=newer))
    assert do.TellAgent(agent=2, message=msg.Install(plan=newer, restore=())) in answer
    assert chief.state.excluded.keys() == {2}


@pytest.mark.parametrize(
    ("excluded", "is_in_vain"),
    [
        pytest.param(None, True, id="has ended"),
        pytest.param(Excluded(), True, id="is silent"),
        pytest.param(Excluded(custody=msg.Custody(generation=2, ranks=())), True, id="has less"),
        pytest.param(Excluded(custody=msg.Custody(generation=2, ranks=(report(1),))), False, id="has all"),
    ],
)
def test_r1_a_rebuild_that_reads_from_a_custodian_in_vain_does_not_wait_for_it(excluded: Excluded | None, is_in_vain: bool) -> None:
    """Rule T8 would end the wait later, where a link fails at all."""
    chief = Chief(2)
    plan, custodian = sealed_plan(), msg.Custodian(agent=2, address="a2")
    state = chief.state
    state.current = GenerationState(plan=plan, reads_from={2})
    state.seal.holdings = known_one_by_one(plan, [report(0)], ((custodian, report(1)),))
    state.excluded = {2: excluded} if excluded else {}
    state.phase = GenerationPhase.COUNTING
    assert not exclusion.is_read_in_vain(state)
    state.phase = GenerationPhase.REBUILDING
    assert exclusion.is_read_in_vain(state) == is_in_vain
