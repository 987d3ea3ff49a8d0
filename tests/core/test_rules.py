"""Single rules of the protocol: an event in, exactly these commands out. Each test names its rule."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from perdure.core import agent, agreement, holdings, orchestrator, trace
from perdure.core import commands as do
from perdure.core import events as ev
from perdure.core import messages as msg
from perdure.core.agent import AgentState
from perdure.core.agent.state import WorkerPhase
from perdure.core.ids import END, Ballot, Label
from perdure.core.job_events import CommittedEvent, JobEvent
from perdure.core.orchestrator import GenerationPhase, JobShape, OrchestratorState
from perdure.core.plan import Placement, Plan
from perdure.core.settings import Settings
from perdure.core.snapshot_index import SnapshotIndex
from perdure.sim import program
from perdure.sim.workers import COSTS

SETTINGS = Settings()
FIRST, SECOND, THIRD = Label(1, 0), Label(1, 1), Label(1, 2)


COMMON = agreement.common_of(program.offer_of(0, b"", program.common_of(0)))


def plan_of(generation: int = 1, base: Label | None = None, incarnations: tuple[int, int] = (1, 1)) -> Plan:
    """Two ranks, mirrored: rank 0 on agent 1, rank 1 on agent 2."""
    return Plan(
        generation=generation,
        placements=tuple(Placement(rank=rank, agent=rank + 1, node=rank, incarnation=incarnations[rank]) for rank in (0, 1)),
        groups=((0, 1),),
        parity=1,
        base=base,
        positions=(0, 1),
        addresses=((1, "a1"), (2, "a2")),
    )


def offer_of(rank: int, superstep: int) -> SnapshotIndex:
    """The state is a function of the superstep, as every deterministic program's is."""
    return program.offer_of(rank, program.state_of(rank, min(superstep, 9)), program.common_of(min(superstep, 9)))


class Node:
    """Agent 1, host of rank 0. Each method is one event and returns the answer."""

    def __init__(self) -> None:
        self.state = AgentState(me=1, node=0, settings=SETTINGS)
        self.now = 0.0

    def step(self, event: ev.AgentEvent) -> list[do.AgentCommand]:
        return agent.step(self.state, event, self.now)

    def told(self, message: msg.ToAgent) -> list[do.AgentCommand]:
        return self.step(ev.OrchestratorSaid(message=message))

    def peer(self, message: msg.ToPeer) -> list[do.AgentCommand]:
        return self.step(ev.PeerSaid(agent=2, message=message))

    def worker(self, message: msg.FromWorker, incarnation: int = 1) -> list[do.AgentCommand]:
        return self.step(ev.WorkerSaid(rank=0, incarnation=incarnation, message=message))

    def snap(self, label: Label) -> list[do.AgentCommand]:
        return self.worker(msg.Snapped(label=label, offer=offer_of(0, label.superstep), costs=COSTS))

    def prepare(self, label: Label) -> list[do.AgentCommand]:
        """From the wish to copy to the agent's own `Prepared`; answers the last event."""
        self.worker(msg.AtPosition(label=label))
        self.snap(label)
        self.peer(msg.GroupOffer(label=label, offer=offer_of(1, label.superstep)))
        return self.step(ev.ParityStored(rank=0, label=label, p=0))


@pytest.fixture
def node() -> Node:
    """In generation 1, with main running."""
    node = Node()
    node.told(msg.Greet(round=1))
    node.told(msg.Install(plan=plan_of(), restore=()))
    node.worker(msg.Loaded(address="w0", pid=7))
    node.told(msg.Resume(generation=1, since=0, addresses=((0, "w0"), (1, "w1"))))
    return node


def prepared(label: Label, rank: int) -> msg.Prepared:
    offer = offer_of(rank, label.superstep)
    return msg.Prepared(
        label=label,
        rank=rank,
        digests=agreement.digests_of(offer),
        next_position=-1,
        ended_at=-1,
        coded_bytes=offer.coded_bytes,
        snapshot_bytes=offer.coded_bytes + offer.replicated_bytes,
        parity_bytes=max(program.size_of(rank) for rank in (0, 1)),
        costs=COSTS,
    )


def seal(generation: int = 1, attempt: int = 1) -> msg.Seal:
    return msg.Seal(ballot=Ballot(1, attempt), generation=generation)


def to_orchestrator(message: Any) -> do.TellOrchestrator:
    return do.TellOrchestrator(message=message)


# ---- the commit -----------------------------------------------------------------------------------------------------------


def test_c2_a_rank_at_a_position_copies_into_a_free_slot(node: Node) -> None:
    assert node.worker(msg.AtPosition(label=FIRST)) == [
        do.BindSlot(rank=0, label=FIRST, index=0),
        do.TellWorker(rank=0, message=msg.MayCopy(label=FIRST, slot=0)),
    ]


def test_c3_the_stripe_is_encoded_when_all_offers_are_in_and_not_before(node: Node) -> None:
    node.worker(msg.AtPosition(label=FIRST))
    mine, other = offer_of(0, 0), offer_of(1, 0)
    assert node.snap(FIRST) == [
        do.ExposeSlot(rank=0, label=FIRST, offer=mine),
        do.TellPeer(agent=2, message=msg.GroupOffer(label=FIRST, offer=mine)),
    ]
    assert node.peer(msg.GroupOffer(label=FIRST, offer=other)) == [do.Protect(rank=0, label=FIRST, member_offers=(mine, other))]


def test_c3_an_offer_that_comes_early_is_kept(node: Node) -> None:
    node.worker(msg.AtPosition(label=FIRST))
    assert node.peer(msg.GroupOffer(label=FIRST, offer=offer_of(1, 0))) == []
    assert node.snap(FIRST)[-1] == do.Protect(rank=0, label=FIRST, member_offers=(offer_of(0, 0), offer_of(1, 0)))


def test_c3_offers_that_do_not_fit_end_the_job(node: Node) -> None:
    node.worker(msg.AtPosition(label=FIRST))
    node.snap(FIRST)
    other = SnapshotIndex(rank=1, items=(), coded_bytes=0, replicated_bytes=0, next_position=-1, ended_at=-1)
    (answer,) = node.peer(msg.GroupOffer(label=FIRST, offer=other))
    assert isinstance(answer, do.TellOrchestrator)
    assert isinstance(answer.message, msg.JobError)
    assert answer.message.error == "UsageError"
    assert "'state'" in answer.message.text


def copied_said(commands: list[do.AgentCommand]) -> list[msg.Offered]:
    messages = [command.message for command in commands if isinstance(command, do.TellOrchestrator)]
    return [message for message in messages if isinstance(message, msg.Offered)]


def test_c10_a_copy_is_told_of_if_it_is_not_committed_soon_and_again_to_a_new_orchestrator(node: Node) -> None:
    """Also one that is prepared: its group may be of one mind, and wait for ranks of another that have ended."""
    word = msg.Offered(label=FIRST, rank=0, ended_at=-1, before=-1)
    node.prepare(FIRST)
    assert copied_said(node.step(ev.Tick(late_s=0.0))) == []
    assert copied_said(node.told(msg.Greet(round=2))) == [], "nothing was said of it yet"
    node.now += SETTINGS.suspect_s + 0.1
    assert copied_said(node.step(ev.Tick(late_s=0.0))) == [word]
    assert copied_said(node.step(ev.Tick(late_s=0.0))) == []
    assert copied_said(node.told(msg.Greet(round=3))) == [word]
    node.peer(prepared(FIRST, 1))
    assert copied_said(node.told(msg.Greet(round=4))) == []


def test_c10_a_copy_that_is_committed_is_not_told_of(node: Node) -> None:
    node.prepare(FIRST)
    node.peer(prepared(FIRST, 1))
    node.now += SETTINGS.suspect_s + 0.1
    assert copied_said(node.step(ev.Tick(late_s=0.0))) == []


def test_c10_the_last_copy_is_told_of_at_once(node: Node) -> None:
    node.prepare(FIRST)
    node.peer(prepared(FIRST, 1))
    last = Label(1, END)
    node.worker(msg.AtPosition(label=last))
    assert copied_said(node.snap(last)) == [msg.Offered(label=last, rank=0, ended_at=-1, before=0)]


def test_c5_prepared_is_said_to_everybody_once_the_last_parity_chunk_is_here(node: Node) -> None:
    fact = prepared(FIRST, 0)
    assert node.prepare(FIRST) == [to_orchestrator(fact), do.TellPeer(agent=2, message=fact)]


def test_c6_in_a_large_job_prepared_is_said_to_the_orchestrator_alone(node: Node) -> None:
    """And again to the next one, which counts anew; the agents hear from it what is committed, and where the next positions are."""
    node.state.settings = dataclasses.replace(SETTINGS, direct_agents_max=1)
    fact = prepared(FIRST, 0)
    assert node.prepare(FIRST) == [to_orchestrator(fact)]
    assert to_orchestrator(fact) in node.told(msg.Greet(round=2))
    assert node.told(msg.Committed(label=FIRST, next_position=7)) == [
        do.TellWorker(rank=0, message=msg.LabelCommitted(label=FIRST, positions=(0, 1, 7), protect_s=0.0))
    ]
    assert to_orchestrator(fact) in node.told(msg.Greet(round=3)), "others may not have heard that it is committed"


def test_c7_a_slot_is_used_again_only_when_a_newer_label_is_known_to_be_committed(node: Node) -> None:
    """Otherwise a rank could overwrite the only label that the others can go back to."""
    node.prepare(FIRST)
    assert node.worker(msg.AtPosition(label=SECOND)) == []
    node.peer(prepared(FIRST, 1))
    node.prepare(SECOND)
    assert node.worker(msg.AtPosition(label=THIRD)) == []
    assert node.peer(prepared(SECOND, 1)) == [
        do.TellWorker(rank=0, message=msg.LabelCommitted(label=SECOND, positions=(0, 1), protect_s=0.0)),
        do.ForgetLabel(rank=0, label=FIRST),
        do.BindSlot(rank=0, label=THIRD, index=0, since=FIRST),
        do.TellWorker(rank=0, message=msg.MayCopy(label=THIRD, slot=0, since=FIRST)),
    ]


@pytest.mark.parametrize("wrong", [msg.Chunks(data=1), msg.Chunks(parity=1), msg.Chunks(replicated=True)], ids=str)
def test_c4_what_was_found_wrong_is_not_taken_over(node: Node, wrong: msg.Chunks) -> None:
    """The next label in its place is copied and encoded as a whole."""
    node.prepare(FIRST)
    node.peer(prepared(FIRST, 1))
    node.state.hosted[0].slots[FIRST].erase(wrong)
    node.prepare(SECOND)
    node.worker(msg.AtPosition(label=THIRD))
    bound = next(command for command in node.peer(prepared(SECOND, 1)) if isinstance(command, do.BindSlot))
    assert bound == do.BindSlot(rank=0, label=THIRD, index=0)


def test_c2_a_worker_that_ends_while_it_copies_leaves_its_slot_free(node: Node) -> None:
    node.worker(msg.AtPosition(label=FIRST))
    assert node.step(ev.WorkerEnded(rank=0, incarnation=1, how="died")) == [
        do.ForgetLabel(rank=0, label=FIRST),
        to_orchestrator(msg.WorkerLost(generation=1, rank=0, incarnation=1, reason="died")),
    ]


# ---- the next generation --------------------------------------------------------------------------------------------------


def test_d1_a_seal_freezes_what_is_prepared(node: Node) -> None:
    """A label that was completed after the answer would be counted by one orchestrator and not by the next."""
    node.prepare(FIRST)
    node.peer(prepared(FIRST, 1))
    node.worker(msg.AtPosition(label=SECOND))
    node.snap(SECOND)
    node.peer(msg.GroupOffer(label=SECOND, offer=offer_of(1, 1)))
    assert node.told(seal()) == [do.TellWorker(rank=0, message=msg.Revoke(generation=1)), do.ShutLinks(generation=1)]
    assert node.step(ev.ParityStored(rank=0, label=SECOND, p=0)) == []
    report = msg.RankReport(
        rank=0, incarnation=1, worker_lives=True, labels=(msg.LabelReport(label=FIRST, prepared=True, data=1, parity=1, common=COMMON),)
    )
    assert node.step(ev.LinksQuiet(generation=1)) == [
        to_orchestrator(msg.Sealed(ballot=Ballot(1, 1), generation=1, ranks=(report,), positions=(0, 1)))
    ]


def test_d1_an_older_ballot_is_not_answered(node: Node) -> None:
    node.told(seal(attempt=2))
    node.step(ev.LinksQuiet(generation=1))
    assert node.told(seal(attempt=1)) == []


def test_d1_who_is_asked_twice_in_one_ballot_answers_twice(node: Node) -> None:
    """The first question may have come by the tree, and its answer be lost with an agent on the way."""
    node.told(seal(attempt=2))
    (answer,) = node.step(ev.LinksQuiet(generation=1))
    assert node.told(seal(attempt=2)) == [answer]


def test_d6_an_install_keeps_the_base_and_nothing_else(node: Node) -> None:
    node.prepare(FIRST)
    node.peer(prepared(FIRST, 1))
    node.prepare(SECOND)
    node.told(seal())
    node.worker(msg.Unwound(generation=1, clean=True))
    node.step(ev.LinksQuiet(generation=1))
    plan = plan_of(2, FIRST, (1, 2))
    assert node.told(msg.Install(plan=plan, restore=())) == [
        do.OpenLinks(plan=plan),
        do.ForgetLabel(rank=0, label=SECOND),
        do.VerifySlot(rank=0, label=FIRST, parity=True),
        to_orchestrator(msg.Installed(generation=2)),
    ]
    verified = ev.SlotVerified(rank=0, label=FIRST, wrong=msg.Chunks())
    assert node.step(verified) == [to_orchestrator(msg.Ready(generation=2, rank=0, address="w0"))]


def test_r4_a_worker_that_ended_after_it_was_ready_is_not_entered(node: Node) -> None:
    """Or it would be held for alive, and the agent would wait for its end for ever."""
    node = Node()
    node.told(msg.Install(plan=plan_of(), restore=()))
    node.worker(msg.Loaded(address="w0", pid=7))
    node.step(ev.WorkerEnded(rank=0, incarnation=1, how="died"))
    assert node.told(msg.Resume(generation=1, since=0, addresses=((0, "w0"), (1, "w1")))) == []
    assert node.state.hosted[0].worker is WorkerPhase.GONE


# ---- workers --------------------------------------------------------------------------------------------------------------


def test_a_started_worker_is_told_of_with_its_process(node: Node) -> None:
    """By its own word: what the nursery says of it may come later."""
    node = Node()
    node.told(msg.Install(plan=plan_of(), restore=()))
    said = node.worker(msg.Loaded(address="w0", pid=7))
    assert to_orchestrator(msg.WorkerStarted(generation=1, rank=0, incarnation=1, pid=7)) in said


def test_w2_no_new_worker_before_the_exit_of_the_old_one(node: Node) -> None:
    """Two workers of one rank would write into the same slot."""
    node.told(seal())
    node.step(ev.LinksQuiet(generation=1))
    plan = plan_of(2, None, (2, 2))
    assert node.told(msg.Install(plan=plan, restore=())) == [
        do.OpenLinks(plan=plan),
        do.KillWorker(rank=0, incarnation=1),
        to_orchestrator(msg.Installed(generation=2)),
    ]
    assert node.worker(msg.Loaded(address="late", pid=7)) == []
    assert node.step(ev.WorkerEnded(rank=0, incarnation=1, how="killed")) == [do.StartWorker(rank=0, incarnation=2)]


def test_w1_main_that_does_not_unwind_in_time_is_ended(node: Node) -> None:
    node.told(seal())
    node.state.next_beat = 1e9
    node.now = SETTINGS.unwind_timeout_s
    assert node.step(ev.Tick(late_s=0.0)) == []
    node.now += 0.1
    assert node.step(ev.Tick(late_s=0.0)) == [do.KillWorker(rank=0, incarnation=1)]


def test_w1_main_that_left_threads_is_ended(node: Node) -> None:
    node.told(seal())
    assert node.worker(msg.Unwound(generation=1, clean=False)) == [do.KillWorker(rank=0, incarnation=1)]


def test_w1_main_that_raised_before_the_revoke_reached_it_counts_as_unwound(node: Node) -> None:
    """There is no `Unwound` after it; without this the agent would wait for unwind_timeout_s and end a healthy worker."""
    node.told(seal())
    node.step(ev.LinksQuiet(generation=1))
    node.told(msg.Install(plan=plan_of(2, None), restore=()))
    assert node.worker(msg.MainRaised(generation=1, error="ProgramFailed", text="")) == [
        to_orchestrator(msg.Ready(generation=2, rank=0, address="w0"))
    ]


def test_d7_an_error_is_told_to_the_next_orchestrator_too_until_the_generation_is_over(node: Node) -> None:
    """The first may have ended before it heard of it, and nobody says it again."""
    node.step(ev.OrchestratorGone())
    word = to_orchestrator(msg.Raised(generation=1, rank=0, error="ProgramFailed", text="boom"))
    assert node.worker(msg.MainRaised(generation=1, error="ProgramFailed", text="boom")) == [word]
    assert node.told(msg.Greet(round=2))[-1] == word
    no_memory = to_orchestrator(msg.JobError(generation=1, error="ConfigError", text="rank 0 on node 0: full"))
    assert node.step(ev.NoMemory(rank=0, text="full")) == [no_memory]
    assert node.told(msg.Greet(round=3))[-2:] == [word, no_memory]
    node.told(msg.Seal(ballot=Ballot(3, 1), generation=1))
    assert not {word, no_memory} & set(node.told(msg.Greet(round=4)))


def test_w0_a_node_whose_worker_does_not_end_is_lost(node: Node) -> None:
    """Its next worker must not be attached before, so the whole job would wait for it."""
    node.told(seal())
    node.worker(msg.Unwound(generation=1, clean=False))
    node.state.next_beat = 1e9
    assert node.step(ev.Tick(late_s=0.0)) == []
    node.now = SETTINGS.exit_timeout_s + 0.1
    assert do.EndAgent(reason="the worker of rank 0 did not end within 10 s") in node.step(ev.Tick(late_s=0.0))


def test_t7_an_agent_without_an_orchestrator_ends(node: Node) -> None:
    node.step(ev.OrchestratorGone())
    node.now = SETTINGS.orphan_timeout_s + 0.1
    assert node.step(ev.Tick(late_s=0.0)) == [do.EndAgent(reason="no orchestrator")]


# ---- the orchestrator -----------------------------------------------------------------------------------------------------


class Chief:
    """An orchestrator of the two agents, counting in generation 1."""

    def __init__(self, round: int = 1) -> None:
        self.state = OrchestratorState(
            round=round, shape=JobShape(ranks=2, ranks_per_node=1, group_size=2, parity=1), settings=SETTINGS
        )  # fmt: skip
        self.now = 0.0

    def step(self, event: ev.OrchestratorEvent) -> list[do.OrchestratorCommand]:
        """Leaves out what is only told to the public."""
        answer = orchestrator.step(self.state, event, self.now)
        return [command for command in answer if not isinstance(command, do.Publish)]

    def said(self, number: int, message: msg.FromAgent) -> list[do.OrchestratorCommand]:
        return self.step(ev.AgentSaid(agent=number, message=message))

    def starts(self, plan: Plan | None) -> None:
        self.step(ev.RegisterHolds(plan=plan))
        for number in (1, 2):
            self.step(ev.AgentUp(agent=number, node=number - 1, address=f"a{number}", pid=number))
        self.step(ev.NoMoreNodes())

    def status(self, number: int, generation: int = 1, silent: tuple[int, ...] = ()) -> list[do.OrchestratorCommand]:
        report = msg.RankReport(rank=number - 1, incarnation=1, worker_lives=True, labels=())
        resumed = generation > 0
        return self.said(
            number,
            msg.AgentStatus(
                generation=generation, phase="member" if resumed else "spare", resumed=resumed, ranks=(report,) if resumed else (),
                ready=(), silent=silent,
            ),
        )  # fmt: skip


@pytest.fixture
def chief() -> Chief:
    chief = Chief()
    chief.starts(None)
    chief.status(1, 0)
    (propose,) = chief.status(2, 0)
    assert isinstance(propose, do.Propose)
    chief.step(ev.RegisterHolds(plan=propose.plan))
    for number in (1, 2):
        chief.said(number, msg.Installed(generation=1))
        chief.said(number, msg.Ready(generation=1, rank=number - 1, address=f"w{number - 1}"))
    assert chief.state.phase is GenerationPhase.COUNTING
    return chief


def test_c6_committed_when_every_rank_has_prepared(chief: Chief) -> None:
    assert chief.said(1, prepared(FIRST, 0)) == []
    fact = msg.Committed(label=FIRST, next_position=-1)
    assert chief.said(2, prepared(FIRST, 1)) == [do.TellAgent(agent=1, message=fact), do.TellAgent(agent=2, message=fact)]


def test_d7_what_was_told_before_the_plan_was_known_is_asked_for_again() -> None:
    """Where votes have chosen the plan the register may not know it; and agents say each fact once to each orchestrator that greets."""
    chief = Chief(round=2)
    chief.starts(None)
    assert chief.status(1) == [do.TellAgent(agent=1, message=msg.AskPlan())]
    assert chief.said(1, prepared(FIRST, 0)) == []
    answer = chief.said(1, msg.InstalledPlan(plan=plan_of()))
    assert do.TellAgent(agent=1, message=msg.Greet(round=2)) in answer
    assert do.TellAgent(agent=2, message=msg.Greet(round=2)) not in answer, "it has not answered the first one yet"
    chief.status(2)
    assert chief.state.phase is GenerationPhase.GREETING, "before the facts are here nothing is known to be missing"
    chief.said(2, prepared(FIRST, 1))
    chief.status(1)
    assert chief.state.phase is GenerationPhase.COUNTING
    fact = msg.Committed(label=FIRST, next_position=-1)
    assert chief.said(1, prepared(FIRST, 0)) == [do.TellAgent(agent=1, message=fact), do.TellAgent(agent=2, message=fact)]


def test_t1_a_lost_node_is_fenced_and_the_others_are_sealed(chief: Chief) -> None:
    plan = chief.state.plan
    assert plan is not None
    assert chief.step(ev.AgentEnded(agent=1, how="killed")) == [
        do.KillAgent(agent=1),
        do.TellAgent(agent=2, message=msg.Seal(ballot=Ballot(1, 1), generation=1)),
    ]


def test_w3_an_error_is_held_until_everybody_was_heard_after_it(chief: Chief) -> None:
    raised = msg.Raised(generation=1, rank=0, error="ProgramFailed", text="boom")
    ask = msg.AskAlive(nonce=1)
    assert chief.said(1, raised) == [do.TellAgent(agent=1, message=ask), do.TellAgent(agent=2, message=ask)]
    assert chief.said(1, msg.Alive(nonce=1, generation=1)) == []
    end = msg.EndJob(reason="ProgramFailed")
    assert chief.said(2, msg.Alive(nonce=1, generation=1)) == [
        do.Finish(error="ProgramFailed", text="boom", payload=b""),
        *(do.TellAgent(agent=agent, message=end) for agent in (1, 2)),
    ], "agents end when the supervisor knows of the end: this orchestrator may not live to say so"


def test_w3_an_error_that_a_loss_explains_is_dropped(chief: Chief) -> None:
    chief.said(1, msg.Raised(generation=1, rank=0, error="ProgramFailed", text="boom"))
    chief.step(ev.AgentEnded(agent=2, how="killed"))
    assert chief.said(1, msg.Alive(nonce=1, generation=1)) == []
    assert chief.state.current.raised is None


def test_w3_an_error_of_an_older_generation_does_not_end_a_job_whose_newer_plan_is_learned_after_it() -> None:
    """The register may be behind: an agent that is still in generation 1 reports an error that the loss of a node explains."""
    chief = Chief(round=2)
    chief.starts(plan_of())
    chief.said(1, msg.Raised(generation=1, rank=0, error="ProgramFailed", text="boom"))
    chief.said(2, msg.Newer(generation=2))
    chief.said(2, msg.InstalledPlan(plan=plan_of(2)))
    chief.status(1, 2)
    answer = chief.status(2, 2)
    assert chief.state.phase is GenerationPhase.COUNTING
    assert not any(isinstance(command, do.TellAgent) and isinstance(command.message, msg.AskAlive) for command in answer)


def successor(*words: msg.FromAgent) -> tuple[Chief, list[do.OrchestratorCommand]]:
    """An orchestrator that took over in generation 1, where all is well but for what agent 1 says twice; and its last answer."""
    chief = Chief(round=2)
    chief.starts(plan_of())
    chief.status(1)
    for word in (*words, *words):
        assert chief.said(1, word) == []
    assert chief.state.phase is GenerationPhase.GREETING
    return chief, chief.status(2)


def test_d7_w3_an_error_that_is_told_while_it_greets_is_held_until_everybody_was_heard_after_that() -> None:
    chief, answer = successor(msg.Raised(generation=1, rank=0, error="ProgramFailed", text="boom"))
    assert chief.state.phase is GenerationPhase.COUNTING
    assert answer == [do.TellAgent(agent=number, message=msg.AskAlive(nonce=1)) for number in (1, 2)]
    alive = msg.Alive(nonce=1, generation=1)
    assert chief.said(1, alive) == []
    (finish,) = [command for command in chief.said(2, alive) if isinstance(command, do.Finish)]
    assert (finish.error, finish.text) == ("ProgramFailed", "boom")


def test_d7_r5_memory_that_is_called_wrong_while_it_greets_ends_the_generation() -> None:
    """Its rank waits for that, and would for ever."""
    chief, answer = successor(msg.ChunksLost(generation=1, rank=0, label=FIRST, wrong=msg.Chunks()))
    assert chief.state.phase is GenerationPhase.SEALING
    assert [command.message for command in answer if isinstance(command, do.TellAgent)] == [msg.Seal(ballot=Ballot(2, 1), generation=1)] * 2


def test_w5_the_third_end_of_a_rank_from_one_base_ends_the_job(chief: Chief) -> None:
    for time in (1, 2, 3):
        answer = chief.said(1, msg.WorkerLost(generation=time, rank=0, incarnation=time, reason="SIGSEGV"))
        if time == 3:
            break
        for number in (1, 2):
            report = msg.RankReport(rank=number - 1, incarnation=time, worker_lives=number == 2, labels=())
            sealed = msg.Sealed(ballot=chief.state.ballot, generation=time, ranks=(report,), positions=())
            answer = chief.said(number, sealed)
        (propose,) = answer
        assert isinstance(propose, do.Propose)
        chief.step(ev.RegisterHolds(plan=propose.plan))
        for number in (1, 2):
            chief.said(number, msg.Installed(generation=time + 1))
            chief.said(number, msg.Ready(generation=time + 1, rank=number - 1, address=""))
    (finish,) = [command for command in answer if isinstance(command, do.Finish)]
    assert finish.error == "ProgramCrashed"
    assert "SIGSEGV" in finish.text


def test_d3_a_worker_that_ends_while_the_register_answers_is_not_forgotten(chief: Chief) -> None:
    """Its agent starts no other one by itself, so the generation would wait for it for ever."""
    chief.step(ev.AgentEnded(agent=2, how="killed"))
    whole = msg.LabelReport(label=FIRST, prepared=True, data=1, parity=1)
    report = msg.RankReport(rank=0, incarnation=1, worker_lives=True, labels=(whole,))
    (propose,) = chief.said(1, msg.Sealed(ballot=chief.state.ballot, generation=1, ranks=(report,), positions=()))
    assert isinstance(propose, do.Propose)
    chief.said(1, msg.WorkerLost(generation=1, rank=0, incarnation=1, reason="died"))
    answer = chief.step(ev.RegisterHolds(plan=propose.plan))
    assert do.TellAgent(agent=1, message=msg.Seal(ballot=Ballot(1, 2), generation=propose.plan.generation)) in answer


def test_c10_an_end_that_is_committed_during_a_seal_waits_for_the_next_generation(chief: Chief) -> None:
    """The home of rank 0 is gone: nobody could answer, and the job would wait for its result for ever."""
    chief.said(1, prepared(Label(1, END), 0))
    chief.step(ev.AgentEnded(agent=1, how="killed"))
    chief.said(2, prepared(Label(1, END), 1))
    assert chief.state.committed == Label(1, END)
    assert chief.state.phase is GenerationPhase.SEALING


def test_c10_an_end_that_a_lost_node_had_prepared_is_published_when_its_rank_is_back(chief: Chief) -> None:
    """All survivors have the end, and the lost node's own word is lost with it: the report would have no supersteps and no digests."""

    def published(number: int, message: msg.FromAgent) -> list[tuple[type[JobEvent], object]]:
        answer = orchestrator.step(chief.state, ev.AgentSaid(agent=number, message=message), chief.now)
        return [(type(one.event), getattr(one.event, "end", None)) for one in answer if isinstance(one, do.Publish)]

    end = Label(1, END)
    chief.said(2, prepared(end, 1))
    chief.step(ev.AgentEnded(agent=1, how="killed"))
    plan = plan_of(2, end, (2, 1))
    moved = dataclasses.replace(plan, placements=tuple(dataclasses.replace(one, agent=2, node=1) for one in plan.placements))
    chief.state.phase = GenerationPhase.CHOOSING
    chief.state.seal.proposal, chief.state.seal.holdings = moved, holdings.known_one_by_one(moved, ())
    chief.step(ev.RegisterHolds(plan=moved))
    chief.said(2, msg.Installed(generation=2))
    chief.said(2, msg.Ready(generation=2, rank=0, address="w0"))
    assert chief.said(2, msg.Ready(generation=2, rank=1, address="w1")) == [do.TellAgent(agent=2, message=msg.AskResult(label=end))]
    assert published(2, prepared(end, 0)) == []
    assert published(2, prepared(end, 1)) == [(CommittedEvent, True)]
    assert published(2, prepared(end, 1)) == [], "once"


def test_c10_an_agent_that_started_from_the_end_says_what_its_ranks_have_prepared(node: Node) -> None:
    fact = node.prepare(Label(1, END))[0].message
    node.told(seal())
    node.step(ev.LinksQuiet(generation=1))
    node.told(msg.Install(plan=plan_of(2, Label(1, END)), restore=()))
    answer = node.told(msg.AskResult(label=Label(1, END)))
    assert answer[0] == to_orchestrator(fact)
    assert [type(one) for one in answer[1:]] == [do.ReportTraffic, do.SendResult]


def test_d7_a_hand_over_alone_starts_no_generation() -> None:
    chief = Chief(2)
    chief.starts(plan_of())
    assert chief.status(1) == []
    assert chief.status(2) == []
    assert chief.state.phase is GenerationPhase.COUNTING


def test_d7_t2_a_silence_that_was_told_to_the_old_orchestrator_counts_for_the_new_one() -> None:
    chief = Chief(2)
    chief.starts(plan_of())
    chief.status(1, silent=(2,))
    chief.now = SETTINGS.silence_s + 0.1
    chief.state.nodes[1].heard_at = chief.now
    (to_one, to_other) = chief.step(ev.Tick(late_s=0.0))
    assert isinstance(to_one, do.TellAgent)
    assert isinstance(to_one.message, msg.Seal)
    assert to_other == do.TellAgent(agent=2, message=to_one.message), "it may be back before it is decided upon"


# ---- traces ---------------------------------------------------------------------------------------------------------------


def test_a_trace_says_whether_the_machine_still_answers_the_same() -> None:
    node = Node()
    lines = [trace.to_line(trace.born(node.state))]
    for event in (
        ev.OrchestratorSaid(message=msg.Greet(round=1)),
        ev.OrchestratorSaid(message=msg.Install(plan=plan_of(), restore=())),
        ev.WorkerSaid(rank=0, incarnation=1, message=msg.Loaded(address="w0", pid=7)),
        ev.Tick(late_s=0.25),
    ):
        lines.append(trace.to_line(trace.Step(now=0.0, event=event, commands=tuple(node.step(event)))))
    assert [trace.to_line(trace.from_line(line)) for line in lines] == lines
    assert trace.replay(lines) == []
    other = trace.to_line(trace.Step(now=0.0, event=ev.Tick(late_s=0.0), commands=()))
    (difference,) = trace.replay([*lines[:-1], other])
    assert difference.number == 3
    last = trace.from_line(lines[-1])
    assert isinstance(last, trace.Step)
    assert difference.answer == last.commands


def test_w4_a_rank_is_not_hung_before_many_times_its_longest_superstep(node: Node) -> None:
    """Reading a mesh, a compiler, a long solve: a healthy program may make no job call for minutes."""
    node.state.next_beat = 1e9
    longest = SETTINGS.hang_timeout_s / SETTINGS.hang_factor * 2
    samples = [ev.Sample(rank=0, incarnation=1, superstep=step, calls=step, frames=0, inside="", stopped=False, count=9) for step in (1, 2)]
    node.now = 1.0
    assert node.step(ev.Sampled(samples=(samples[0],))) == []
    node.now += longest
    assert node.step(ev.Sampled(samples=(samples[1],))) == []
    node.now += SETTINGS.hang_timeout_s * 1.5
    assert node.step(ev.Sampled(samples=(samples[1],))) == []
    node.now += SETTINGS.hang_timeout_s
    assert node.step(ev.Sampled(samples=(samples[1],))) == [do.KillWorker(rank=0, incarnation=1)]
