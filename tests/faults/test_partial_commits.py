"""Losses in a program of which most stays as it is: what is rebuilt from parity that was taken over is what was lost (rule C4')."""

from __future__ import annotations

import functools
import pathlib
from typing import Any

import pytest

import perdure
from perdure import Settings
from tests.faults.conftest import Story

PROGRAM = str(pathlib.Path(__file__).parent.parent / "programs" / "sparse.py")


def tell(*faults: str, ranks: int = 4, pause: float = 0.0, **options: Any) -> Story:
    events: list[dict[str, Any]] = []
    report = perdure.run(PROGRAM, ranks=ranks, commit_every=2, on_event=events.append, faults=faults, arguments={"pause": pause}, **options)
    return Story(report, events)


@functools.cache
def undisturbed() -> Story:
    return tell(spares=0, parity=0)


def check(story: Story) -> None:
    expected = undisturbed()
    assert story.report.result == expected.report.result
    assert story.report.digests == expected.report.digests
    theirs, ours = expected.committed(), story.committed()
    assert all(ours[superstep] == theirs[superstep] for superstep in ours.keys() & theirs.keys())


def test_most_of_the_parity_is_taken_over() -> None:
    story = tell(spares=0)
    check(story)
    (first, *_), count = story.of("committed"), len(story.of("committed"))
    whole = 3 * first["parity_bytes"]
    assert 2 * whole < story.report.bytes["parity"] < count * whole / 2


@pytest.mark.parametrize("victim", [0, 3, *(pytest.param(victim, marks=pytest.mark.long) for victim in (1, 2))])
def test_each_chunk_is_rebuilt_from_the_parity_of_partial_commits(victim: int) -> None:
    """The lost rank's chunks are decoded from every stripe that has one, over as many commits as there were; four victims, all stripes."""
    story = tell(f"kill:node={victim},superstep=31")
    check(story)
    assert story.of("rebuilt")


def test_two_lost_ranks_need_both_parity_chunks() -> None:
    check(tell("kill:node=1,superstep=25", "kill:node=3,superstep=25", parity=2, spares=2))


@pytest.mark.parametrize("phase", ["copying", "encoding", "prepared"])
def test_a_loss_while_parity_is_taken_over(phase: str) -> None:
    """The label before is in the other slot, untouched; the one that is being replaced is of no use to anybody."""
    check(tell(f"kill:node=2,superstep=16,phase={phase}"))


def test_commits_after_a_recovery_take_over_again() -> None:
    """And a second loss, from what they made."""
    check(tell("kill:node=0,superstep=15", "kill:node=2,superstep=33", spares=2))


TRACKED = Settings(track_writes=True)


@pytest.mark.parametrize("phase", ["encoding", *(pytest.param(phase, marks=pytest.mark.long) for phase in ("copying", "prepared"))])
def test_a_loss_while_only_what_was_written_is_read(phase: str) -> None:
    """Survivors begin anew after it: what was written before the loss, and by the restore, says nothing of the next commits."""
    check(tell(f"kill:node=2,superstep=16,phase={phase}", "kill:node=1,superstep=36", spares=2, settings=TRACKED))


def test_two_losses_at_once_of_what_only_partly_was_read() -> None:
    check(tell("kill:node=1,superstep=25", "kill:node=3,superstep=25", parity=2, spares=2, settings=TRACKED))


def test_a_worker_that_crashes_comes_back_to_what_its_node_holds() -> None:
    check(tell("crash:rank=1,superstep=21", settings=TRACKED))


def test_a_flip_before_a_partial_commit_is_repaired_by_it_or_found() -> None:
    faults = ("flip:rank=1,superstep=12", "flip:rank=2,superstep=14,where=parity", "kill:node=0,superstep=24")
    check(tell(*faults, parity=2, pause=0.02, settings=Settings(scrub_bytes_per_s=0)))
