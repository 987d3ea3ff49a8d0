"""Real processes under every fault: the job ends with the bits of the undisturbed run."""

from __future__ import annotations

import os
import pathlib
import signal
from typing import Any

import pytest

import perdure
from perdure import ProgramFailed, Settings, Unrecoverable
from tests.faults.conftest import Survive, tell

QUICK = Settings(hang_timeout_s=1.5)


def test_a_killed_node_is_replaced_by_a_spare_and_survivors_keep_their_processes(survive: Survive) -> None:
    story = survive("kill:node=2,superstep=20")
    (lost,) = story.of("node_lost")
    assert lost["node"] == 2
    starts = story.of("worker_started")
    assert sorted(start["rank"] for start in starts) == [0, 1, 2, 2, 3], "a survivor's worker was started again"
    assert [event["rank"] for event in story.of("rebuilt")] == [2]
    assert story.of("generation_started")[-1]["placement"]["2"] == 4
    assert story.report.losses == 1
    assert story.report.generations == 2


def test_a_crashed_worker_is_restored_on_its_node_without_any_rebuild_traffic(survive: Survive) -> None:
    story = survive("crash:rank=1,superstep=20")
    assert not story.of("node_lost")
    assert [event["rank"] for event in story.of("worker_lost")] == [1]
    assert story.report.bytes["rebuild"] == 0


def test_a_hung_worker_is_ended_and_restored(survive: Survive) -> None:
    story = survive("hang:rank=3,superstep=9", settings=QUICK)
    (lost,) = story.of("worker_lost")
    assert "hung" in lost["reason"]


def test_a_stopped_node_is_known_by_its_silence(survive: Survive) -> None:
    story = survive("stop:node=0,superstep=12")
    (lost,) = story.of("node_lost")
    assert "silent" in lost["reason"]


def test_more_stopped_nodes_than_parity_are_waited_for(survive: Survive) -> None:
    """Their memory is not gone: when they are continued the job goes on. As soon as one is back the other can be spared, and may be."""
    pids: dict[int, int] = {}

    def continue_them(event: dict[str, Any]) -> None:
        if event["event"] == "agent_started":
            pids[event["node"]] = event["pid"]
        if event["event"] == "waiting":
            for node in event["nodes"]:
                os.killpg(pids[node], signal.SIGCONT)

    story = survive("stop:node=0,superstep=12", "stop:node=2,superstep=12", on_event=continue_them)
    assert [event["nodes"] for event in story.of("waiting")] == [[0, 2]]
    assert len(story.of("node_lost")) <= 1


def test_the_orchestrator_may_be_killed_and_no_generation_is_spent_on_it(survive: Survive) -> None:
    story = survive("orchestrator:superstep=12", pause=0.03)
    assert story.of("orchestrator_lost")
    assert story.report.generations == 1


def test_an_error_that_the_orchestrator_does_not_live_to_hear_of_ends_the_job(tmp_path: pathlib.Path) -> None:
    """A rank ends it, and raises: the agent's word goes to a process that is gone, and the next one has to hear it."""
    pid = tmp_path / "pid"

    def main(job: perdure.Job) -> None:
        for superstep in job.supersteps(40, commit_every=3):
            if job.rank == 1 and superstep == 10:
                os.kill(int(pid.read_text()), signal.SIGKILL)
                raise RuntimeError("boom")
            job.comm.Barrier()

    def note(event: dict[str, Any]) -> None:
        if event["event"] == "orchestrator_started":
            pid.write_text(str(event["pid"]))

    with pytest.raises(ProgramFailed, match="boom"):
        perdure.run(main, ranks=3, on_event=note)


def test_node_and_orchestrator_together(survive: Survive) -> None:
    story = survive("kill:node=1,superstep=20", "orchestrator:superstep=20", pause=0.01)
    assert story.of("orchestrator_lost")
    assert story.report.generations >= 2


@pytest.mark.parametrize(
    "phase", ["accepting", "chosen", *(pytest.param(phase, marks=pytest.mark.long) for phase in ("sealing", "choosing", "installing"))]
)
def test_the_orchestrator_is_lost_while_votes_are_cast(survive: Survive, phase: str) -> None:
    """Of four ranks with one parity chunk, three have to vote. What they may have chosen is what the next orchestrator goes on with."""
    story = survive("kill:node=1,superstep=20", f"orchestrator:phase={phase}")
    assert story.of("orchestrator_lost")
    assert story.of("proposed")


def test_a_voter_is_lost_with_the_orchestrator(survive: Survive) -> None:
    faults = ("kill:node=1,superstep=20", "orchestrator:phase=choosing", "kill:node=3,phase=greeted")
    story = survive(*faults, ranks=5, parity=2, spares=2)
    assert {event["node"] for event in story.of("node_lost")} == {1, 3}
    assert story.report.losses == 2, "each of them once, although two orchestrators tell of the first"


@pytest.mark.parametrize("parity", [2, 3])
def test_as_many_nodes_as_there_is_parity_may_be_lost_at_once(survive: Survive, parity: int) -> None:
    faults = [f"kill:node={node},superstep=20" for node in range(1, 1 + parity)]
    story = survive(*faults, ranks=5, parity=parity, spares=parity)
    assert len(story.of("node_lost")) == parity


@pytest.mark.parametrize("phase", ["copying", "encoding", "prepared"])
@pytest.mark.parametrize("superstep", [0, pytest.param(3, marks=pytest.mark.long), 12])
def test_a_loss_at_every_instant_of_a_commit(survive: Survive, phase: str, superstep: int) -> None:
    survive(f"kill:node=1,superstep={superstep},phase={phase}")


def test_a_loss_at_the_last_commit(survive: Survive) -> None:
    from perdure.core.ids import END

    story = survive(f"kill:node=1,superstep={END},phase=prepared")
    assert story.of("node_lost")


def test_a_worker_crashes_while_it_copies(survive: Survive) -> None:
    survive("crash:rank=2,superstep=12,phase=copying")


@pytest.mark.parametrize("phase", ["sealed", "unwinding", "installing", "rebuilding", "entering"])
def test_a_further_loss_during_a_recovery(survive: Survive, phase: str) -> None:
    """With two parity chunks the second loss may come before the first is rebuilt."""
    story = survive("kill:node=1,superstep=20", f"kill:node=3,phase={phase}", ranks=5, parity=2, spares=2)
    assert len(story.of("node_lost")) == 2


def test_the_spare_is_lost_while_it_is_being_rebuilt_on(survive: Survive) -> None:
    story = survive("kill:node=1,superstep=20", "kill:node=4,phase=entering", spares=2)
    assert [event["node"] for event in story.of("node_lost")] == [1, 4]


def test_without_a_spare_the_lost_ranks_move_in_with_survivors(survive: Survive) -> None:
    story = survive("kill:node=1,superstep=20", spares=0)
    assert story.report.degraded
    last = story.of("generation_started")[-1]
    assert last["degraded"]
    assert last["why"] == story.report.why_degraded == "ranks 0 and 1 of one parity group share node 0"
    assert story.report.risk.startswith("the loss of node 0 would end the job: it hosts ranks 0 and 1 of one group")


def test_one_node_after_the_other_until_one_is_left(survive: Survive) -> None:
    """Each loss can be survived while no node holds two ranks of a group; the last placement is what is left."""
    story = survive("kill:node=1,superstep=10", "kill:node=2,superstep=25", spares=0)
    assert len(story.of("node_lost")) == 2


def test_several_ranks_of_a_node_and_several_groups(survive: Survive) -> None:
    story = survive("kill:node=1,superstep=20", ranks=6, ranks_per_node=2, group_size=3)
    assert sorted(event["rank"] for event in story.of("rebuilt")) == [2, 3]


def test_tcp_between_the_ranks(survive: Survive) -> None:
    survive("kill:node=2,superstep=20", transport="tcp")


def test_the_automatic_interval(survive: Survive) -> None:
    story = survive("kill:node=2,superstep=20", commit_every="auto")
    supersteps = [event["superstep"] for event in story.of("committed")]
    assert supersteps[:2] == [0, 1]
    assert supersteps[-1] == 40


def test_a_lost_node_comes_back_as_a_spare(survive: Survive) -> None:
    story = survive("kill:node=1,superstep=5", "kill:node=2,superstep=60", supersteps=70, pause=0.05, spares=0, return_after_s=0.1)
    assert story.of("node_returned")
    assert len(story.of("node_lost")) == 2


def test_a_node_that_two_ranks_share_is_lost_after_others_have_come_back(survive: Survive) -> None:
    """Which nodes take its ranks is a matter of when the others are up: tests/core/test_planner.py has that."""
    story = survive(
        "kill:node=1,superstep=5", "kill:node=2,phase=sealed", "kill:node=0,superstep=60",
        supersteps=70, pause=0.05, parity=2, spares=0, return_after_s=0.1,
    )  # fmt: skip
    assert [event["node"] for event in story.of("node_lost")] == [1, 2, 0]


def test_more_than_the_parity_is_told_and_nothing_wrong_is_returned() -> None:
    with pytest.raises(Unrecoverable, match=r"ranks 1, 2 .* superstep 1[58].*--parity 2"):
        tell(faults=["kill:node=1,superstep=20", "kill:node=2,phase=sealed"], arguments={"supersteps": 40})


def test_without_parity_a_node_is_too_much_and_a_worker_is_not(survive: Survive) -> None:
    survive("crash:rank=1,superstep=20", parity=0, spares=0)
    with pytest.raises(Unrecoverable):
        tell(parity=0, faults=["kill:node=1,superstep=20"], arguments={"supersteps": 40})


def test_nodes_killed_by_the_clock(survive: Survive) -> None:
    story = survive("kill:every=0.5s,seed=7", pause=0.05, spares=2, return_after_s=0.1)
    assert len(story.of("node_lost")) >= 2


def test_after_a_loss_progress_begins_again_at_the_commit(survive: Survive) -> None:
    """Else a display would show supersteps that are yet to be done again, and the report would not count the time that this takes."""
    story = survive("kill:node=2,superstep=29", commit_every=30, pause=0.05)
    again = [event for event in story.of("resumed", "progress") if event["t"] >= story.of("resumed")[-1]["t"]]
    assert (again[0]["event"], again[0]["superstep"]) == ("resumed", 0)
    assert again[1]["superstep"] < 20, "of the generation before"
    assert {event["count"] for event in story.of("progress")} == {40}
    assert story.report.seconds["replay"] > 0
