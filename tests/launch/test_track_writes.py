"""`track_writes` on real processes: the arrays are watched, and the run is that of any other."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tests.runtime.test_dirty_pages import can_watch

import perdure
from perdure import Settings

pytestmark = pytest.mark.skipif(not can_watch(), reason="this kernel does not tell which pages were written")


def steady(job: perdure.Job) -> Any:
    """One array of which little changes, one of which all does, one that is short; what the first is told by a socket's kernel."""

    large = job.sharded("large", (job.size * 400_000 + 1,), init=lambda index: np.arange(index[0].start, index[0].stop, dtype=float))
    busy = job.private("busy", np.zeros(300_000))
    short = job.private("short", np.zeros(10))
    watched = []
    for superstep in job.supersteps(14, commit_every=1):
        busy += 1
        short += busy[0]
        large[superstep * 1_000 + job.rank] += short.sum()
        edge = large[-64:].copy()
        job.comm.Sendrecv(edge, (job.rank + 1) % job.size, recvbuf=large[200_000:200_064], source=(job.rank - 1) % job.size)
        tracker = job._memo.tracker
        watched.append(sorted(tracker._items) if tracker else None)
    return [float(value) for value in job.comm.allgather(large.sum() + busy.sum())], watched


def test_arrays_of_which_little_changes_are_watched_and_nothing_else_is_different() -> None:
    tracked = perdure.run(steady, ranks=3, spares=0, settings=Settings(track_writes=True))
    usual = perdure.run(steady, ranks=3, spares=0)
    assert tracked.result[0] == usual.result[0]
    assert tracked.digests == usual.digests
    assert tracked.result[1][-1] == ["large"]
    assert usual.result[1][-1] is None


def test_ranks_that_are_threads_track_nothing() -> None:
    assert perdure.run(steady, engine="threads", ranks=2, settings=Settings(track_writes=True)).result[1][-1] is None


def test_a_restored_array_is_compared_first() -> None:
    """The restore wrote to it, and nobody was watching."""
    faults = ["kill:node=1,superstep=9"]
    story = perdure.run(steady, ranks=3, spares=1, settings=Settings(track_writes=True), faults=faults)
    usual = perdure.run(steady, ranks=3, spares=0)
    assert story.result[0] == usual.result[0]
    assert story.digests == usual.digests
    assert story.result[1][0] == []
