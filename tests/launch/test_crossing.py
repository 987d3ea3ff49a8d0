"""Communication that crosses a commit is found: what a rank knows itself in every run, the rest by rehearsals."""

from __future__ import annotations

import pathlib
import re
import subprocess
import sys

import numpy as np
import pytest

import perdure
from perdure import UsageError
from perdure.testing import rehearse

PROGRAMS = pathlib.Path(__file__).parents[1] / "programs"
LOOSE_ENDS, ORPHAN, FARM, IN_TRANSIT_PROGRAM = (
    str(PROGRAMS / f"{name}.py") for name in ("loose_ends", "orphan_message", "farm_racing_ahead", "message_in_transit")
)
NAMED = {
    "send": "rank 1 sent 8 bytes with tag 5 on MPI_COMM_WORLD to rank 0, which has not received them at the commit of superstep 2",
    "large": (
        "rank 1 sent 800000 bytes with tag 5 on MPI_COMM_WORLD to rank 0, which has not received them at the commit of superstep 2"
        "|rank 1 has a send to rank 0 with tag 5 on MPI_COMM_WORLD in progress at the commit of superstep 2"
    ),
    "receive": "rank 1 has a receive from rank 0 with tag 9 on MPI_COMM_WORLD in progress at the commit of superstep 2",
    "any": "rank 1 has a receive from any rank with any tag on MPI_COMM_WORLD in progress at the commit of superstep 2",
    "collective": (
        "rank 0 has not taken part in a collective on MPI_COMM_WORLD that rank 1 has begun at the commit of superstep 2"
        "|rank 1 has a non-blocking collective on MPI_COMM_WORLD in progress at the commit of superstep 2"
    ),
    "split": r"rank 3 sent \d+ bytes with tag 6 on a communicator of the ranks 1, 3 to rank 1, which has not received them",
}


IN_TRANSIT = r"|messages are in transit \(\d from rank \d to rank \d(, \d from rank \d to rank \d)*\) at the commit of superstep 2"
"""In the other case the message had not arrived, or another rank was first: no rank waits for another one to find out."""


@pytest.mark.parametrize("what", NAMED)
def test_it_is_named_by_a_rehearsal(what: str) -> None:
    with pytest.raises(UsageError, match=NAMED[what] + IN_TRANSIT):
        rehearse(LOOSE_ENDS, arguments={"what": what}, rehearsals=1)


def test_what_a_rank_knows_itself_is_named_in_every_run() -> None:
    with pytest.raises(UsageError, match=NAMED["send"] + IN_TRANSIT):
        perdure.run(LOOSE_ENDS, spares=0)


def test_the_command_says_so_in_one_line() -> None:
    command = [sys.executable, "-m", "perdure", "rehearse", LOOSE_ENDS, "--spares", "0"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert re.search(NAMED["send"] + IN_TRANSIT, done.stderr.splitlines()[-1])


def tidy(job: perdure.Job, supersteps: int = 9) -> float:
    """Sends before it receives, over every pair of ranks, small and large; all is received before the superstep ends."""
    comm, total = job.comm, job.private("total", np.zeros(1))
    for _ in job.supersteps(supersteps, commit_every=1):
        for count in (1, 50_000):
            requests = [comm.Isend(np.full(count, 1.0), other, count) for other in range(job.size)]
            for other in range(job.size):
                incoming = np.empty(count)
                comm.Recv(incoming, other, count)
                total += incoming[-1]
            for request in requests:
                request.Wait()
        total += comm.bcast(float(total[0]), 1) * 0.0
    return float(total[0])


def test_what_is_finished_is_not_named() -> None:
    assert perdure.run(tidy, spares=0).result == 9 * 4 * 2


def one_ends_early(job: perdure.Job) -> None:
    for superstep in job.supersteps(20, commit_every=2):
        if job.rank == 1 and superstep == 5:
            break


def test_a_rank_that_ends_early_is_named() -> None:
    with pytest.raises(UsageError, match=r"rank 0 continues at superstep 6|rank 1 ended its loop at superstep 5"):
        perdure.run(one_ends_early, ranks=2, spares=0)


@pytest.mark.parametrize("faults", [[], ["kill:node=2,superstep=10"]])
def test_a_message_of_an_earlier_superstep_is_refused_where_it_is_received(faults: list[str]) -> None:
    """Or the count is right, where no message happens to cross a commit."""
    try:
        report = perdure.run(ORPHAN, ranks=3, faults=faults)
    except UsageError as error:
        words = str(error)
    else:
        words = "" if report.result == 20 else f"{report.result} messages were counted"
    named = re.search(r"rank 1 sent .* tag 3 |1 from rank 1 to rank 0", words)
    assert words == "" or (named and "the commit of superstep" in words)


def test_a_rank_that_is_a_commit_ahead_is_waited_for() -> None:
    undisturbed = perdure.run(f"{ORPHAN}:received", ranks=3).result
    disturbed = perdure.run(f"{ORPHAN}:received", ranks=3, faults=["kill:node=2,superstep=10"])
    assert undisturbed == disturbed.result == sum(range(20))


@pytest.mark.parametrize("transport", ["shared", "unix", "tcp"])
def test_a_manager_loses_no_answer_of_a_worker_that_runs_ahead(transport: str) -> None:
    faults = ["kill:node=1,superstep=4", "kill:node=0,superstep=7"]
    assert perdure.run(FARM, ranks=4, spares=2, faults=faults, transport=transport).result == (60, 70210)


def late(job: perdure.Job) -> None:
    """Rank 0 waits for what rank 1 sends in the next superstep."""
    for superstep in job.supersteps(4, commit_every=1):
        if job.rank == 1 and superstep == 2:
            job.comm.send("later", 0, 7)
        if job.rank == 0 and superstep == 1:
            job.comm.recv(source=1, tag=7)


def test_a_receive_of_what_is_sent_after_the_commit_is_a_deadlock_that_names_it() -> None:
    with pytest.raises(perdure.Deadlock, match=r"rank 0 in comm\.recv of tag 7, which rank 1 sent 1 commit after superstep 1"):
        perdure.run(late, ranks=2, spares=0)


def test_on_threads_every_commit_waits_for_all_so_nothing_is_sent_beyond_it() -> None:
    with pytest.raises(perdure.Deadlock, match=r"rank 0 in comm\.recv; rank 1 in supersteps"):
        perdure.run(late, ranks=2, spares=0, engine="threads")


CROSSES = r"messages are in transit \(1 from rank 1 to rank 0\) at the commit of superstep 2: a recovery from there would lose it"


@pytest.mark.parametrize("transport", ["shared", "unix", "tcp"])
def test_a_message_that_no_rank_knows_to_cross_a_commit_ends_the_job_there(tmp_path: pathlib.Path, transport: str) -> None:
    with pytest.raises(UsageError, match=CROSSES):
        perdure.run(IN_TRANSIT_PROGRAM, ranks=3, spares=0, transport=transport, arguments={"flag": str(tmp_path / "flag")})


@pytest.mark.parametrize(("what", "found", "commits"), [("leave", "", 5), ("take", "over there", 1), ("look", "seen", 5)])
def test_with_warn_the_job_goes_on_and_the_report_names_it(tmp_path: pathlib.Path, what: str, found: str, commits: int) -> None:
    report = perdure.run(
        IN_TRANSIT_PROGRAM, ranks=3, spares=0, on_crossing="warn", arguments={"flag": str(tmp_path / "flag"), "what": what}
    )
    assert report.result == (12, found)
    (warning,) = report.warnings
    assert warning.startswith("messages are in transit (1 from rank 1 to rank 0) at the commit of superstep 2")
    assert warning.endswith(f"{f', and at {commits - 1} other commits' if commits > 1 else ''}: a recovery from there ends the job")


def test_with_warn_a_recovery_that_would_lose_the_message_ends_the_job(tmp_path: pathlib.Path) -> None:
    arrived = "rank 1 sent 25 bytes with tag 3 on MPI_COMM_WORLD to rank 0, which has not received them at the commit of superstep 4"
    with pytest.raises(UsageError, match=f"{CROSSES}|{arrived}"):
        perdure.run(
            IN_TRANSIT_PROGRAM, ranks=3, spares=1, on_crossing="warn", faults=["kill:node=2,superstep=5"],
            arguments={"flag": str(tmp_path / "flag"), "what": "look"},
        )  # fmt: skip


def test_with_warn_a_recovery_from_a_later_commit_is_right(tmp_path: pathlib.Path) -> None:
    arguments = {"flag": str(tmp_path / "flag"), "what": "take"}
    report = perdure.run(IN_TRANSIT_PROGRAM, ranks=3, spares=1, on_crossing="warn", faults=["kill:node=2,superstep=8"], arguments=arguments)
    assert report.result == (12, "over there")
    assert report.generations == 2


def test_the_choice_is_checked() -> None:
    with pytest.raises(perdure.ConfigError, match="--on-crossing must be stop or warn, not 'ignore'"):
        perdure.run(tidy, on_crossing="ignore")
