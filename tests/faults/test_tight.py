"""memory="tight" on real processes: at every instant of a commit, of the copy after it and of a recovery, the bits are those of an
undisturbed run in the other mode (rules M1 to M3)."""

from __future__ import annotations

import functools
import pathlib
from typing import Any

import numpy as np
import pytest

import perdure
from perdure import Settings
from tests.faults.conftest import Story, Survive, tell

TIGHT = {"memory": "tight"}


def test_undisturbed_it_computes_the_same(survive: Survive) -> None:
    story = survive(**TIGHT)
    assert story.report.generations == 1
    assert story.report.bytes["parity"] > 0


def test_a_node_is_lost_while_ranks_compute(survive: Survive) -> None:
    story = survive("kill:node=2,superstep=20", **TIGHT)
    assert [event["rank"] for event in story.of("rebuilt")] == [2]


def test_a_worker_crashes_while_it_computes_and_its_arrays_come_from_the_snapshot(survive: Survive) -> None:
    story = survive("crash:rank=1,superstep=20", **TIGHT)
    assert story.report.bytes["rebuild"] == 0


@pytest.mark.parametrize(
    "phase", ["encoding", "keeping", *(pytest.param(phase, marks=pytest.mark.long) for phase in ("copying", "prepared"))]
)
@pytest.mark.parametrize("superstep", [12, pytest.param(0, marks=pytest.mark.long)])
def test_a_node_is_lost_at_every_instant_of_a_commit(survive: Survive, phase: str, superstep: int) -> None:
    story = survive(f"kill:node=1,superstep={superstep},phase={phase}", **TIGHT)
    assert story.of("node_lost")


@pytest.mark.parametrize("phase", ["copying", "waiting"])
def test_a_worker_crashes_in_a_commit(survive: Survive, phase: str) -> None:
    survive(f"crash:rank=2,superstep=12,phase={phase}", **TIGHT)


def test_a_node_is_lost_when_all_have_committed_and_some_have_not_copied(survive: Survive) -> None:
    """The base is the label that the others still have in their live slots, or have just copied."""
    story = survive(
        "kill:node=1,superstep=12,phase=keeping", "kill:node=3,superstep=12,phase=prepared", parity=2, ranks=5, spares=2, **TIGHT
    )
    assert len(story.of("node_lost")) == 2


@pytest.mark.parametrize(
    "phase", ["sealed", "rebuilding", *(pytest.param(phase, marks=pytest.mark.long) for phase in ("unwinding", "installing", "entering"))]
)
def test_a_further_loss_during_a_recovery(survive: Survive, phase: str) -> None:
    story = survive("kill:node=1,superstep=12,phase=prepared", f"kill:node=3,phase={phase}", ranks=5, parity=2, spares=2, **TIGHT)
    assert len(story.of("node_lost")) == 2


def test_a_loss_at_the_last_commit(survive: Survive) -> None:
    from perdure.core.ids import END

    story = survive(f"kill:node=1,superstep={END},phase=keeping", **TIGHT)
    assert story.report.supersteps == 40


def test_several_ranks_a_node_and_no_spare(survive: Survive) -> None:
    survive("kill:node=1,superstep=12,phase=encoding", ranks=4, ranks_per_node=2, spares=0, parity=2, group_size=4, **TIGHT)


def test_a_bit_of_the_snapshot_flips_and_is_found(survive: Survive) -> None:
    story = survive("flip:rank=1,superstep=12", "crash:rank=1,superstep=13", settings=Settings(scrub_bytes_per_s=0), **TIGHT)
    assert story.of("chunk_wrong")


WRITES = str(pathlib.Path(__file__).parent.parent / "programs" / "writes_on_its_way_out.py")


@functools.cache
def undisturbed(rows: int) -> Story:
    return tell_writes(rows)


def tell_writes(rows: int, *faults: str, **options: Any) -> Story:
    events: list[dict[str, Any]] = []
    shape: dict[str, Any] = {"ranks": 4, "commit_every": 2, "arguments": {"rows": rows}, "on_event": events.append}
    return Story(perdure.run(WRITES, faults=faults, **shape, **options), events)


@pytest.mark.parametrize("rows", [pytest.param(40_000, id="small", marks=pytest.mark.long), pytest.param(1_000_000, id="of_many_tiles")])
@pytest.mark.parametrize("phase", ["encoding", "prepared", "keeping"])
def test_main_may_write_to_its_arrays_on_its_way_out(phase: str, rows: int) -> None:
    """And does, on every rank: not before nobody needs the bytes that lie there."""
    story = tell_writes(rows, f"kill:node=2,superstep=8,phase={phase}", **TIGHT)
    assert story.of("node_lost")
    assert story.report.result == undisturbed(rows).report.result
    assert story.report.digests == undisturbed(rows).report.digests


def test_sharded_arrays_and_those_of_init_are_held_once() -> None:
    """A snapshot less than in the other mode: the slot that is live is theirs."""

    def main(job: perdure.Job) -> None:
        state = job.sharded("state", (1 << 19,))
        more = job.private("more", init=lambda: np.ones(1 << 16))
        for _ in job.supersteps(4):
            state += 1.0
            more *= 2.0

    live, extra = 8 * ((1 << 19) + 4 * (1 << 16)), []
    for memory in ("tight", "overlap"):
        held = perdure.run(main, ranks=4, spares=0, commit_every=1, memory=memory).memory_bytes
        assert held["live"] == live
        extra.append(held["snapshots"])
    assert extra[0] == pytest.approx(live, rel=0.05)
    assert extra[1] == pytest.approx(2 * live, rel=0.05)


def test_an_unknown_mode_is_refused() -> None:
    with pytest.raises(perdure.ConfigError, match="--memory must be overlap or tight"):
        tell(memory="loose")
