"""A failing scenario is made short, so that a person reads one fault in a small job and not three in a large one."""

from __future__ import annotations

from perdure.sim import Failure
from perdure.sim.campaign import run_scenario
from perdure.sim.scenario import parse
from perdure.sim.shrink import shrink
from tests.mutations.mistakes import MISTAKES
from tests.mutations.planting import planted
from tests.mutations.supervisor_mistakes import SUPERVISOR_MISTAKES


def test_what_a_failure_does_not_need_is_cut_away() -> None:
    mistake = next(mistake for mistake in MISTAKES if mistake.name == "labels of the old generation are kept")
    crowded = parse(
        "ranks=8 parity=1 seed=3 spares=2 slow=1 skew repeats engine=late join:Ready crash:Prepared,nth=40,victim=5 orchestrator:Result"
    )
    with planted(mistake):
        found = run_scenario(crowded)
        assert isinstance(found, Failure)
        short = shrink(found)
        assert short.what == found.what
        assert [fault.kind for fault in short.scenario.faults] == ["crash"]
        assert short.scenario.ranks == 2
        assert (short.scenario.skew, short.scenario.repeats, short.scenario.slow) == (False, False, 0)
        assert isinstance(run_scenario(short.scenario), Failure), "it runs again from its line"


def test_a_fault_of_a_hand_over_becomes_a_simpler_one() -> None:
    """The end of an orchestrator shows what a false report of its end does, and no node needs to start late."""
    mistake = next(mistake for mistake in SUPERVISOR_MISTAKES if mistake.name == "a commit is published again by the next orchestrator")
    with planted(mistake):
        found = run_scenario(parse("ranks=6 parity=1 seed=3 spares=2 skew late_start:StartNode,delay=1,victim=9 rival:Committed,nth=20"))
        assert isinstance(found, Failure)
        short = shrink(found)
        assert short.what == found.what == "L6"
        assert [fault.kind for fault in short.scenario.faults] == ["orchestrator"]
        assert short.scenario.ranks == 2
