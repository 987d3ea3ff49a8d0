"""Faults as text: what is read, what is refused, and when each strikes."""

from __future__ import annotations

from dataclasses import replace

import pytest

from perdure.core import commands as do
from perdure.core import messages as msg
from perdure.core.faults import NOBODY, Fault, orchestrator_instant, parse_fault
from perdure.core.ids import Ballot
from perdure.core.job_events import ProposedEvent, ResumedEvent
from perdure.core.planner import Seat, first_plan
from perdure.errors import ConfigError
from tests.job_event_examples import committed

SEATS = [Seat(agent=number, node=number, address="a") for number in (1, 2, 3)]


def parsed(text: str) -> Fault:
    return parse_fault(text, nodes=5, ranks=4)


@pytest.mark.parametrize(
    "text",
    [
        "kill:node=2,superstep=35",
        "kill:node=2,superstep=35,phase=encoding,delay_ms=3",
        "kill:node=2+0+4,superstep=35",
        "crash:rank=1,phase=unwinding",
        "kill:every=5s,seed=7",
        "orchestrator:superstep=30",
        "orchestrator:phase=greeting",
        "process:after=1.25s,seed=7",
        "freeze:after=0.5s,seed=0",
    ],
)
def test_a_fault_is_told_as_it_was_asked_for(text: str) -> None:
    """Or the command that a campaign prints would do something else."""
    assert str(parsed(text)) == text


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("crash:rank=1,phase=encoding", "crash has the phases copying, waiting, unwinding, entering, not encoding"),
        ("kill:node=1,phase=committing", "kill has the phases"),
        ("orchestrator:phase=copying", "orchestrator has the phases"),
        ("orchestrator:phase=lunch", "unknown phase 'lunch'"),
        ("process:seed=3", "give the time after the start"),
        ("process:after=never,seed=3", "after must be a time such as 5s"),
        ("kill:every=1s,seed=3,delay_ms=4", "every and after can be combined with seed only"),
        ("stop:node=1,superstep=3,delay_ms=4", "'delay_ms=4' is not one of"),
        ("kill:node=1+1,superstep=3", "kill takes several nodes, each once"),
        ("stop:node=1+2,superstep=3", "kill takes several nodes, each once"),
        ("kill:node=1+,superstep=3", "node must be a number that is not negative, not ''"),
        ("kill:node=1+5,superstep=3", "node 5 does not exist"),
    ],
)
def test_what_cannot_be_is_refused_with_what_can(text: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        parsed(text)


def test_a_phase_of_the_orchestrator_strikes_there_and_nowhere_else() -> None:
    """Both it and nodes have an instant that is called installing."""
    ours, theirs = parsed("orchestrator:phase=installing"), parsed("kill:node=0,phase=installing")
    for node, rank, struck in ((NOBODY, NOBODY, ours), (0, NOBODY, theirs)):
        assert struck.strikes(node=node, rank=rank, superstep=-1, phase="installing")
        other = theirs if struck is ours else ours
        assert not other.strikes(node=node, rank=rank, superstep=-1, phase="installing")


def test_one_rank_strikes_for_the_orchestrator() -> None:
    """Two would end its successor too."""
    fault = parsed("orchestrator:superstep=3")
    assert [rank for rank in range(4) if fault.strikes(node=rank, rank=rank, superstep=3, phase="")] == [0]


def test_any_of_several_nodes_strikes() -> None:
    """Whichever comes there first; a spare among them never does."""
    fault = parsed("kill:node=3+1,superstep=3")
    assert [node for node in range(5) if fault.strikes(node=node, rank=node, superstep=3, phase="")] == [1, 3]


def test_what_has_a_clock_never_strikes_by_itself() -> None:
    fault = parsed("process:after=1s,seed=3")
    assert not any(fault.strikes(node=node, rank=NOBODY, superstep=-1, phase="") for node in (NOBODY, 0, 1))


def test_the_first_orchestrator_hands_nothing_over() -> None:
    greet = do.TellAgent(agent=1, message=msg.Greet(round=1))
    assert orchestrator_instant(greet, 1) == ("", -1)
    assert orchestrator_instant(greet, 2) == ("greeting", -1)


def test_instants_of_the_orchestrator() -> None:
    seal = do.TellAgent(agent=1, message=msg.Seal(ballot=Ballot(1, 1), generation=1))
    assert orchestrator_instant(seal, 1) == ("sealing", -1)
    assert orchestrator_instant(do.Publish(event=committed(6)), 1) == ("committing", 6)
    assert orchestrator_instant(do.Publish(event=ResumedEvent(superstep=6, generation=2)), 1) == ("", -1)


def test_the_first_plan_is_no_recovery() -> None:
    """An orchestrator that is to end in a recovery must not do so at the start."""
    first = first_plan(SEATS, 3, 1, 3, 1)
    next_one = replace(first, generation=2)
    for plan, phases in ((first, ["starting", "", ""]), (next_one, ["choosing", "installing", "resuming"])):
        install = do.TellAgent(agent=1, message=msg.Install(plan=plan, restore=()))
        resume = do.TellAgent(agent=1, message=msg.Resume(generation=plan.generation, since=0, addresses=()))
        assert [orchestrator_instant(command, 1)[0] for command in (do.Propose(plan=plan), install, resume)] == phases


def test_instants_of_a_decision_by_votes() -> None:
    """The orchestrator has asked one agent, all of them, and has told the register what they have chosen."""
    plan = first_plan(SEATS, 3, 1, 3, 1)
    accept = do.TellAgent(agent=1, message=msg.Accept(ballot=Ballot(1, 1), generation=2, change=plan.change_to(plan)))
    told = (accept, do.Publish(event=ProposedEvent(generation=2)), do.Note(plan=plan))
    assert [orchestrator_instant(command, 1) for command in told] == [("accepting", -1), ("choosing", -1), ("chosen", -1)]
