"""A request or matched message that is begun before a commit and ended after it ends the job there: a recovery would lose it."""

from __future__ import annotations

import pathlib
import re
from typing import Any

import pytest

import perdure
from perdure import UsageError

PROGRAM = str(pathlib.Path(__file__).parents[1] / "programs" / "unfinished.py")
SEND, RECEIVE = (
    "rank S has not waited for its send to rank R with tag 5 on C",
    "rank R has not waited for its receive from rank S with tag 5 on C",
)
PROBED = r"rank R has matched \d+ bytes with tag 5 from rank S on C but not received them"
RECEIVING = "rank R has a receive from rank S with tag 5 on C in progress"
COLLECTIVE = r"rank \d has (a non-blocking collective on C in progress|not waited for its non-blocking collective on C)"
REFUSED = {
    "Isend": SEND,
    "Isend large": SEND,
    "Issend": SEND,
    "Issend large": SEND,
    "Ibsend": SEND,
    "isend": SEND,
    "isend to itself": "rank S has not waited for its send to rank S with tag 5 on C",
    "Irecv": RECEIVE,
    "Irecv large": RECEIVE,
    "irecv": RECEIVE,
    "Irecv before its message": RECEIVING,
    "Isendrecv": r"rank \d has not waited for its send to rank \d with tag 5 on C and receive from rank \d with tag 5 on C",
    "Isend to PROC_NULL": "rank S has not waited for its send to PROC_NULL",
    "Mprobe": PROBED,
    "improbe": PROBED,
    "Message.Irecv": RECEIVE,
    "Send_init": SEND.replace("send", "persistent send"),
    "Bsend_init": SEND.replace("send", "persistent send"),
    "Recv_init": RECEIVE.replace("receive", "persistent receive"),
    "Allreduce_init": r"rank \d has (a persistent collective on C in progress|not waited for its persistent collective on C)",
    "Ibarrier": COLLECTIVE,
    "Iallreduce": COLLECTIVE,
    "Iallreduce of one": COLLECTIVE + "|rank R has not taken part in a collective on C that rank S has started",
    "Ineighbor_allgather": COLLECTIVE.replace("C", "a communicator of the ranks [01], [01]"),
    "Idup": r"rank \d has not waited for its Idup",
    "Grequest": r"rank \d has a generalized request in progress",
    "Grequest complete": r"rank \d has not waited for its generalized request",
    "freed receive": RECEIVING,
}
"""What begins before the commit -> the error. S and R: the ranks that are 0 and 1 in the communicator C."""
ALLOWED = ["waited for", "persistent", "cancelled", "freed send", "dropped send"]


def refused(what: str, *, part: bool) -> str:
    """Return the pattern of the error, on a communicator of the ranks 1, 0 (`part`) or of all."""
    words = {"S": "1" if part else "0", "R": "0" if part else "1", "C": "a communicator of the ranks 1, 0" if part else "MPI_COMM_WORLD"}
    return re.sub(r"\b[SRC]\b", lambda one: words[one[0]], f"({REFUSED[what]}) at the commit of superstep 2: a recovery from there")


def run(what: str, *, part: bool = False, spares: int = 0, until: int = 2, supersteps: int = 6, **options: Any) -> perdure.Report:
    arguments = {"what": what, "part": part, "until": until, "supersteps": supersteps}
    return perdure.run(PROGRAM, ranks=2, spares=spares, arguments=arguments, **options)


@pytest.mark.parametrize("what", REFUSED)
def test_it_ends_the_job_at_the_commit(what: str) -> None:
    with pytest.raises(UsageError, match=refused(what, part=False)):
        run(what)


@pytest.mark.parametrize("what", REFUSED)
@pytest.mark.parametrize("part", [False, True], ids=["world", "part"])
def test_it_ends_a_job_of_threads_at_the_commit(what: str, part: bool) -> None:
    with pytest.raises(UsageError, match=refused(what, part=part)):
        run(what, part=part, engine="threads")


@pytest.mark.parametrize("what", ["Isend large", "Recv_init", "Mprobe", "Iallreduce"])
def test_it_ends_the_job_if_it_is_on_a_part_of_the_ranks(what: str) -> None:
    with pytest.raises(UsageError, match=refused(what, part=True)):
        run(what, part=True)


@pytest.mark.parametrize("what", ALLOWED)
@pytest.mark.parametrize("engine", ["local", "threads"])
def test_what_is_over_may_be_held_across_a_commit(what: str, engine: str) -> None:
    assert run(what, engine=engine).result == 6


@pytest.mark.parametrize("what", REFUSED)
def test_with_warn_the_job_goes_on_and_names_it(what: str) -> None:
    report = run(what, engine="threads", on_crossing="warn")
    assert report.result == 6
    assert any(re.search(refused(what, part=False)[: -len(": a recovery from there")], one) for one in report.warnings)


@pytest.mark.parametrize("superstep", [7, 14])
def test_with_warn_only_a_recovery_from_such_a_commit_ends_the_job(superstep: int) -> None:
    """The request is waited for in superstep 8. The commit to go back to is at most two before the loss."""
    options: dict[str, Any] = {"on_crossing": "warn", "spares": 1, "faults": [f"kill:node=1,superstep={superstep}"]}
    if superstep > 8:
        report = run("Irecv", until=8, supersteps=16, **options)
        assert (report.result, report.generations) == (16, 2)
    else:
        with pytest.raises(UsageError, match=refused("Irecv", part=False).replace("superstep 2", r"superstep \d")):
            run("Irecv", until=8, supersteps=16, **options)
