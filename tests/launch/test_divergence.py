"""A replicated item that is not the same on all ranks: what the operator is told, and what follows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import perdure
from perdure import ConfigError, Diverged

SUPERSTEPS = 12
_struck: set[str] = set()


def drifts(job: perdure.Job, culprit: int = 1, once: bool = True) -> list[float]:
    """On one rank a replicated value changes in superstep 4: once, as failing memory does it, or each time, as a wrong program does."""
    common = job.replicated("common", np.zeros(3))
    mine = job.private("mine", np.zeros(3))
    for superstep in job.supersteps(SUPERSTEPS):
        common += 1
        mine += common * (job.rank + 1)
        if superstep == 4 and job.rank == culprit and "struck" not in _struck:
            common[1] += 0.5
            if once:
                _struck.add("struck")
        job.comm.Barrier()
    return [float(value) for rank in job.comm.allgather(mine.tolist()) for value in rank]


def run(ranks: int, **options: Any) -> tuple[perdure.Report, list[dict[str, Any]]]:
    events: list[dict[str, Any]] = []
    report = perdure.run(drifts, ranks=ranks, commit_every=3, on_event=events.append, **options)
    return report, [event for event in events if event["event"] == "diverged"]


def test_it_is_reported_once_with_the_rank_that_is_in_the_minority_and_the_job_goes_on() -> None:
    report, told = run(3)
    assert [(event["item"], event["superstep"], event["ranks"], event["majority"]) for event in told] == [("common", 6, [1], True)]
    assert report.supersteps == SUPERSTEPS


def test_of_two_ranks_nobody_can_say_which_is_right() -> None:
    _, told = run(2)
    assert [(event["ranks"], event["majority"]) for event in told] == [([0, 1], False)]


@pytest.mark.parametrize("lost", [0, 1])
def test_a_rank_that_is_lost_while_they_differ_comes_back_with_what_the_majority_has(lost: int) -> None:
    """Its copy is checked against the digests of the rank that it is from: its own may have been others."""
    report, _ = run(3, faults=[f"kill:node={lost},superstep=7"])
    assert report.losses == 1
    assert report.supersteps == SUPERSTEPS


def test_stop_ends_the_job_before_the_label_is_committed() -> None:
    events: list[dict[str, Any]] = []
    with pytest.raises(Diverged, match=r"'common' differs on rank 1 from all other ranks at superstep 6.*--on-divergence report"):
        perdure.run(drifts, ranks=3, commit_every=3, on_divergence="stop", on_event=events.append)
    assert [event["superstep"] for event in events if event["event"] == "committed"] == [0, 3]
    assert Diverged.exit_status == 1


def test_repair_goes_back_to_the_commit_before_and_every_bit_is_that_of_an_undisturbed_run() -> None:
    expected = perdure.run(drifts, ranks=3, commit_every=3, arguments={"culprit": -1})
    report, told = run(3, on_divergence="repair")
    assert [event["ranks"] for event in told] == [[1]]
    assert (report.result, report.digests) == (expected.result, expected.digests)
    assert report.generations == 2


def test_what_differs_again_and_again_cannot_be_repaired() -> None:
    with pytest.raises(Diverged, match="3 times over"):
        run(3, on_divergence="repair", arguments={"once": False})


def test_another_word_is_refused() -> None:
    with pytest.raises(ConfigError, match="report, repair, stop"):
        run(2, on_divergence="ignore")
