"""The report says which interval was used, and why."""

from __future__ import annotations

from tests.faults.conftest import tell

from perdure.cli.summary import in_words
from perdure.core.interval import every
from perdure.core.settings import Settings


def test_the_automatic_interval_is_explained_with_what_was_measured() -> None:
    story = tell(ranks=2, spares=1, commit_every="auto", faults=["kill:node=1,superstep=60"], arguments={"supersteps": 300, "pause": 0.002})
    numbers, text = story.report.interval_numbers, story.report.interval
    assert numbers["supersteps"] >= 1
    assert 0.001 < numbers["superstep_s"] < 1.0
    assert numbers["commit_s"] > 0
    assert numbers["recovery_s"] > 0
    commits = [event for event in story.of("committed") if not event["end"]]
    assert text.startswith(f"{len(commits)} commits; the last chosen interval was {every(numbers['supersteps'])}")
    assert ("seen" if numbers["learnt"] else "configured") in text
    assert text in " ".join(in_words(story.report).split())


def test_the_work_that_may_be_lost_bounds_it() -> None:
    settings = Settings(commit_interval_max_s=0.02, commit_overhead=1.0)
    story = tell(ranks=2, commit_every="auto", settings=settings, arguments={"supersteps": 100, "pause": 0.002})
    assert story.report.interval_numbers["bound"] == "loss"
    assert "shortened to 20 ms, the maximum of work that may be lost" in story.report.interval


def test_nodes_fail_and_not_ranks() -> None:
    settings = Settings(mean_time_between_failures_s=1000.0)
    story = tell(ranks=4, ranks_per_node=2, commit_every="auto", settings=settings, arguments={"supersteps": 20})
    assert story.report.interval_numbers["failure_every_s"] == 500.0


def test_an_interval_that_was_asked_for_is_told_as_such() -> None:
    story = tell(ranks=2, commit_every=3, arguments={"supersteps": 20})
    assert story.report.interval == "every 3 supersteps, as requested"
    assert story.report.interval_numbers == {}
