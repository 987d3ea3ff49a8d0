"""A plan says what a run then holds."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import perdure
from perdure.errors import ProgramFailed, UsageError
from perdure.launch.planning import plan

OWN_BYTES = 200
"""By so much the pickles of the runtime's own items may differ between a rank that is a thread and one that is a process."""


def uneven(job: perdure.Job, scale: int) -> None:
    job.private("state", np.ones(scale * (job.rank + 1), np.uint8))
    job.replicated("table", np.ones(1000))
    for _ in job.supersteps(3):
        assert job.superstep == 0 or job.generation == 1


@pytest.mark.parametrize(("ranks", "ranks_per_node", "parity"), [(4, 1, 1), (6, 2, 1), (5, 1, 2), (3, 1, 0)])
def test_it_is_what_a_run_holds(ranks: int, ranks_per_node: int, parity: int) -> None:
    shape: dict[str, Any] = {"ranks": ranks, "ranks_per_node": ranks_per_node, "parity": parity, "arguments": {"scale": 10_001}}
    planned = plan(uneven, **shape)
    events: list[dict[str, Any]] = []
    perdure.run(uneven, on_event=events.append, **shape)
    first = next(event for event in events if event["event"] == "committed")
    with_ranks = [node for node in planned.nodes if node.ranks]
    assert sum(node.live for node in with_ranks) == first["live_bytes"]
    assert sum(node.snapshots for node in with_ranks) == pytest.approx(2 * first["snapshot_bytes"], abs=OWN_BYTES * ranks)
    assert sum(node.parity for node in with_ranks) == pytest.approx(2 * first["parity_bytes"], abs=OWN_BYTES * ranks)
    assert sorted(rank for node in with_ranks for rank in node.ranks) == list(range(ranks))
    assert planned.tolerance == parity
    (spare,) = (node for node in planned.nodes if not node.ranks)
    assert spare.total >= max(node.total for node in with_ranks) > 0


def large_and_small(job: perdure.Job) -> float:
    state = job.private("state", np.ones((8 << 20) if job.rank == 1 else 100, np.uint8))
    for _ in job.supersteps(40, commit_every=4):
        state += 1
    return float(job.comm.allreduce(int(state.sum())))


def test_states_that_differ_hugely_are_told_with_their_waste_and_survive_a_loss() -> None:
    planned = plan(large_and_small)
    assert planned.uneven is not None
    assert planned.uneven.rank == 1
    assert planned.uneven.largest_bytes == pytest.approx(8 << 20, rel=0.01)
    undisturbed = perdure.run(large_and_small)
    for name in ("rank", "largest_bytes", "parity_bytes", "waste_bytes"):
        assert undisturbed.uneven[name] == pytest.approx(getattr(planned.uneven, name), rel=0.01)
    for node in (0, 1):
        report = perdure.run(large_and_small, faults=[f"kill:node={node},superstep=17"])
        assert (report.result, report.digests, report.losses) == (undisturbed.result, undisturbed.digests, 1)


def test_in_tight_mode_too() -> None:
    def main(job: perdure.Job) -> None:
        job.sharded("plate", (1000, 50), halo=1)
        job.private("made", init=lambda: np.ones(5_000 * (job.rank + 1)))
        job.private("brought", np.ones(700))
        for _ in job.supersteps(3):
            pass

    planned = plan(main, memory="tight")
    events: list[dict[str, Any]] = []
    perdure.run(main, memory="tight", on_event=events.append)
    first = next(event for event in events if event["event"] == "committed")
    with_ranks = [node for node in planned.nodes if node.ranks]
    snapshots = 2 * first["snapshot_bytes"] - first["resident_bytes"]
    assert sum(node.live for node in with_ranks) == first["live_bytes"]
    assert sum(node.snapshots for node in with_ranks) == pytest.approx(snapshots, abs=2 * OWN_BYTES * 4)
    assert sum(node.parity for node in with_ranks) == pytest.approx(2 * first["parity_bytes"], abs=2 * OWN_BYTES * 4)
    assert planned.extra < plan(main).extra - 0.8
    (spare,) = (node for node in planned.nodes if not node.ranks)
    assert spare.total >= max(node.total for node in with_ranks) - 8 * 700


def test_nothing_after_the_declarations_is_run() -> None:
    def main(job: perdure.Job) -> None:
        job.private("state", np.ones(3))
        for _ in job.supersteps(3):
            raise AssertionError("a superstep was run")

    assert plan(main).nodes


def test_a_program_that_declares_nothing_or_fails_is_told_so() -> None:
    def nothing(job: perdure.Job) -> None:
        for _ in job.supersteps(3):
            pass

    def fails(job: perdure.Job) -> None:
        raise ValueError("boom")

    with pytest.raises(UsageError, match="declares no item"):
        plan(nothing)
    with pytest.raises(ProgramFailed, match="boom"):
        plan(fails)
