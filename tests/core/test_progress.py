"""How far a job is, told by a tree of agents (rules T2, W4): the orchestrator hears of all ranks, from a few agents."""

from __future__ import annotations

import random

import pytest

from perdure.core import agent, progress
from perdure.core import commands as do
from perdure.core import events as ev
from perdure.core.job_events import ProgressEvent
from perdure.core.multicast_tree import head_above, split
from perdure.core.orchestrator import GenerationPhase
from tests.core.large import AGENTS, RANKS, SETTINGS, Job


@pytest.fixture
def job() -> Job:
    return Job()


def test_a_few_speak_for_all(job: Job) -> None:
    job.live(5.0)
    heads = [1 + first for first, _ in split(0, AGENTS, SETTINGS.fan_out)]
    assert sorted(job.speakers) == heads
    known = progress.total(job.chief.current.progress.values())
    assert (known.ranks, known.superstep, known.count, known.frames) == (RANKS, 3, 9, sum(range(RANKS)))
    assert not job.of(do.TellAgent), "nobody is asked in an undisturbed job"


def test_the_farthest_superstep_is_shown(job: Job) -> None:
    job.live(3.0)
    job.hosted(RANKS - 1).superstep = 4
    job.live(4.0)
    assert job.of(do.Publish)[-1].event == ProgressEvent(superstep=4, count=9)


def test_w4_a_deadlock_of_a_large_job_names_some_of_its_ranks(job: Job) -> None:
    job.live(SETTINGS.deadlock_timeout_s + 5.0)
    (end,) = job.of(do.Finish)
    assert end.error == "Deadlock"
    assert "rank 0 in comm.recv; " in end.text
    assert end.text.endswith(f"; and {RANKS - SETTINGS.fan_out * progress.CALLS_MAX} others")


@pytest.mark.parametrize("odd", [0, 40])
def test_w4_one_rank_that_computes_or_moves_a_frame_is_enough_for_no_deadlock(job: Job, odd: int) -> None:
    job.hosted(odd).inside = ""
    job.live(SETTINGS.deadlock_timeout_s + 5.0)
    job.hosted(odd).inside = "comm.recv"
    job.hosted(odd).moved_at = job.now
    for _ in range(10):
        job.hosted(odd).frames += 1
        job.live(2.0)
    assert job.chief.phase is GenerationPhase.COUNTING


def test_w4_a_rank_that_is_stopped_inside_a_call_is_no_deadlock(job: Job) -> None:
    """The program is not to blame, and the rank is lost after `silence_s`; a job whose `hang_timeout_s` is no longer must not end."""
    rank = job.hosted(40)
    assert job.chief.plan is not None
    sample = ev.Sample(rank=40, incarnation=1, calls=1, frames=40, superstep=3, count=9, inside="comm.recv", stopped=True)
    agent.step(job.agents[job.chief.plan.agent_of(40)], ev.Sampled(samples=(sample,)), job.now)
    job.live(SETTINGS.deadlock_timeout_s + 5.0)
    assert job.chief.phase is GenerationPhase.COUNTING
    assert rank.inside == ""


def test_a_word_of_another_generation_does_not_count(job: Job) -> None:
    job.live(3.0)
    stale = progress.of_rank(generation=7, rank=0, superstep=99, count=-1, frames=1, inside_s=0.0, call="")
    job.agents[1].below[2] = stale
    job.live(2.0)
    assert max(said.superstep for said in job.chief.current.progress.values()) == 3


def test_everybody_but_the_top_has_one_above_and_the_orchestrator_has_few() -> None:
    for seed in range(50):
        dice = random.Random(seed)
        size, fan_out = dice.randint(1, 400), dice.randint(1, 9)
        above = [head_above(number, size, fan_out) for number in range(size)]
        assert above.count(None) <= fan_out
        assert all(head is None or head < number for number, head in enumerate(above))
        assert all(above.count(number) <= fan_out for number in range(size))


def test_sums_are_those_of_all_ranks_however_they_are_grouped() -> None:
    ranks = [progress.of_rank(1, rank, rank % 5, -1, rank, float(rank), "comm.send" if rank % 3 else "supersteps") for rank in range(40)]
    whole = progress.total(ranks)
    assert progress.total([progress.total(ranks[:7]), progress.total(ranks[7:30]), progress.total(ranks[30:])]) == whole
    assert (whole.ranks, whole.in_comm, whole.elsewhere, whole.inside_s) == (40, 26, 14, 0.0)
    assert progress.total([*ranks, progress.of_rank(1, 40, 0, -1, 0, 5.0, "")]).inside_s == -1.0
