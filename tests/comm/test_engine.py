"""What the engine keeps beside the messages themselves."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import perdure
from perdure.comm import Communicator
from tests.comm.worlds import run


def test_the_log_of_a_sender_has_every_message_and_its_place_on_the_channel() -> None:
    def body(comm: Communicator) -> Any:
        seen: list[tuple[int, int, int, bytes]] = []
        if comm.rank == 0:
            comm.engine.log = lambda rank, sequence, context, tag, data: seen.append((rank, sequence, tag, bytes(data)))
            comm.Send(np.array([1], np.uint8), 1, 7)
            comm.Send(np.array([2], np.uint8), 1, 8)
        else:
            for tag in (7, 8):
                comm.Recv(np.empty(1, np.uint8), 0, tag)
        return seen

    assert run(2, body)[0] == [(1, 0, 7, b"\x01"), (1, 1, 8, b"\x02")]


@pytest.mark.parametrize("transport", ["shared", "unix"])
def test_what_is_unfinished_is_named(transport: Any) -> None:
    def body(comm: Communicator) -> Any:
        if comm.rank == 0:
            receive = comm.Irecv(np.empty(1), 1, 5)
            send = comm.Issend(np.zeros(4), 1, 6)
            words = comm.engine.unfinished()
            comm.barrier()
            receive.Wait()
            send.Wait()
            return words, comm.engine.unfinished()
        comm.barrier()
        comm.Send(np.zeros(1), 0, 5)
        comm.Recv(np.empty(4), 0, 6)
        return None

    words, later = run(2, body, transport)[0]
    assert words == ["a receive from rank 1 with tag 5", "a send of 32 bytes to rank 1"]
    assert later == []


def crosses(job: perdure.Job) -> None:
    job.private("x", np.zeros(3))
    request = None
    for superstep in job.supersteps(6, commit_every=2):
        if superstep == 1 and job.rank == 1:
            request = job.comm.irecv(source=0, tag=9)
        if superstep == 3 and job.rank == 0:
            job.comm.send("late", 1, tag=9)
        if superstep == 4 and request is not None:
            request.wait()


def test_a_receive_that_crosses_a_commit_is_told_under_debug(monkeypatch: pytest.MonkeyPatch) -> None:
    perdure.run(crosses, ranks=2, spares=0)
    monkeypatch.setenv("PERDURE_DEBUG", "1")
    with pytest.raises(perdure.UsageError, match=r"rank 1 has a receive from rank 0 with tag 9 under way at the commit of superstep 2"):
        perdure.run(crosses, ranks=2, spares=0)
