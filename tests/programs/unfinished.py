"""Requests and matched messages that are begun before a commit, and ended after it.

`what`: one of `BEGIN`; `part`: on a communicator whose ranks are in the reverse order. What `BEGIN` returns is waited for in superstep
`until`, after the commit of superstep 2, if it is a request; it is received, if it is a message.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

import perdure
from perdure import MPI

Held = list[Any]
LARGE, SMALL = 100_000, 1
TAG = 5


def sent(comm: MPI.Intracomm, count: int, send: Callable[[Any], Any]) -> Held:
    """Rank 0 of the communicator sends with `send`, and rank 1 receives before the commit."""
    if comm.rank == 0:
        return [send(np.ones(count))]
    comm.Recv(np.empty(count), 0, TAG)
    return []


def sent_object(comm: MPI.Intracomm, send: Callable[[Any], Any]) -> Held:
    if comm.rank == 0:
        return [send("here")]
    assert comm.recv(source=0, tag=TAG) == "here"
    return []


def sent_to_itself(comm: MPI.Intracomm) -> Held:
    if comm.rank == 0:
        request = comm.isend("here", 0, TAG)
        assert comm.recv(source=0, tag=TAG) == "here"
        return [request]
    return []


def received(comm: MPI.Intracomm, receive: Callable[[], Any], count: int = SMALL) -> Held:
    """Rank 1 receives with `receive` what rank 0 sends before the commit."""
    held = [receive()] if comm.rank == 1 else []
    if comm.rank == 0:
        comm.Send(np.ones(count), 1, TAG)
    return held


def received_object(comm: MPI.Intracomm) -> Held:
    if comm.rank == 0:
        comm.send("here", 1, TAG)
    return [comm.irecv(source=0, tag=TAG)] if comm.rank == 1 else []


def both(comm: MPI.Intracomm) -> Held:
    return [comm.Isendrecv(np.ones(1), 1 - comm.rank, TAG, np.empty(1), 1 - comm.rank, TAG)]


def matched(comm: MPI.Intracomm, probe: Callable[[], Any]) -> Held:
    if comm.rank == 0:
        comm.send("here", 1, TAG)
        return []
    found = None
    while found is None:
        found = probe()
    return [found]


def started(request: Any) -> Held:
    request.Start()
    return [request]


def generalized(*, complete: bool) -> Held:
    request = MPI.Grequest.Start()
    if complete:
        request.Complete()
    return [request]


BEGIN: dict[str, Callable[[MPI.Intracomm], Held]] = {
    "Isend": lambda comm: sent(comm, SMALL, lambda data: comm.Isend(data, 1, TAG)),
    "Isend large": lambda comm: sent(comm, LARGE, lambda data: comm.Isend(data, 1, TAG)),
    "Issend": lambda comm: sent(comm, SMALL, lambda data: comm.Issend(data, 1, TAG)),
    "Issend large": lambda comm: sent(comm, LARGE, lambda data: comm.Issend(data, 1, TAG)),
    "Ibsend": lambda comm: sent(comm, LARGE, lambda data: comm.Ibsend(data, 1, TAG)),
    "isend": lambda comm: sent_object(comm, lambda obj: comm.isend(obj, 1, TAG)),
    "isend to itself": sent_to_itself,
    "Irecv": lambda comm: received(comm, lambda: comm.Irecv(np.empty(1), 0, TAG)),
    "Irecv large": lambda comm: received(comm, lambda: comm.Irecv(np.empty(LARGE), 0, TAG), LARGE),
    "irecv": received_object,
    "Irecv before its message": lambda comm: [comm.Irecv(np.empty(1), 0, TAG)] if comm.rank == 1 else [],
    "Isendrecv": both,
    "Isend to PROC_NULL": lambda comm: [comm.Isend(np.ones(1), MPI.PROC_NULL)] if comm.rank == 0 else [],
    "Mprobe": lambda comm: matched(comm, lambda: comm.Mprobe(0, TAG)),
    "improbe": lambda comm: matched(comm, lambda: comm.improbe(0, TAG)),
    "Message.Irecv": lambda comm: [one.irecv() for one in matched(comm, lambda: comm.Mprobe(0, TAG))],
    "Send_init": lambda comm: sent(comm, SMALL, lambda data: started(comm.Send_init(data, 1, TAG))[0]),
    "Bsend_init": lambda comm: sent(comm, SMALL, lambda data: started(comm.Bsend_init(data, 1, TAG))[0]),
    "Recv_init": lambda comm: received(comm, lambda: started(comm.Recv_init(np.empty(1), 0, TAG))[0]),
    "Allreduce_init": lambda comm: started(comm.Allreduce_init(np.ones(1), np.empty(1))),
    "Ibarrier": lambda comm: [comm.Ibarrier()],
    "Iallreduce": lambda comm: [comm.Iallreduce(np.ones(LARGE), np.empty(LARGE))],
    "Iallreduce of one": lambda comm: [comm.Iallreduce(np.ones(1), np.empty(1))] if comm.rank == 0 else [],
    "Ineighbor_allgather": lambda comm: [comm.Create_cart([2]).Ineighbor_allgather(np.ones(1), np.empty(2))],
    "Idup": lambda comm: [comm.Idup()[1]],
    "Grequest": lambda _: generalized(complete=False),
    "Grequest complete": lambda _: generalized(complete=True),
    # What may cross a commit:
    "waited for": lambda comm: waited_for(comm),
    "persistent": lambda comm: persistent(comm),
    "cancelled": lambda comm: cancelled(comm),
    "freed send": lambda comm: given_up(comm, Request.Free),
    "dropped send": lambda comm: given_up(comm, lambda request: None),
    # What may not although no request is left:
    "freed receive": lambda comm: freed_receive(comm),
}
LATER: dict[str, Callable[[MPI.Intracomm], object]] = {
    "Irecv before its message": lambda comm: comm.Send(np.ones(1), 1, TAG) if comm.rank == 0 else None,
    "freed receive": lambda comm: comm.Send(np.ones(1), 1, TAG) if comm.rank == 0 else None,
    "Iallreduce of one": lambda comm: comm.Iallreduce(np.ones(1), np.empty(1)).Wait() if comm.rank == 1 else None,
}
"""What happens after the commit, before the requests are waited for."""
Request = MPI.Request


def waited_for(comm: MPI.Intracomm) -> Held:
    """Requests that are held although they are over."""
    held = [*both(comm), comm.Ibarrier(), comm.isend("here", 1 - comm.rank, TAG), comm.irecv(source=1 - comm.rank, tag=TAG)]
    MPI.Request.Waitall(held[:2])
    while not held[2].Test():
        pass
    assert held[3].wait() == "here"
    return held


def persistent(comm: MPI.Intracomm) -> Held:
    """A request that was started and waited for twice, and one that never was."""
    again, never = comm.Send_init(np.ones(1), 1 - comm.rank, TAG), comm.Barrier_init()
    for _ in range(2):
        again.Start()
        comm.Recv(np.empty(1), 1 - comm.rank, TAG)
        again.Wait()
    return [again, never]


def cancelled(comm: MPI.Intracomm) -> Held:
    request = comm.Irecv(np.empty(1), 1 - comm.rank, TAG)
    request.Cancel()
    request.Wait()
    return [request]


def given_up(comm: MPI.Intracomm, give_up: Callable[[Any], None]) -> Held:
    """A send that the program waits for in no way, and whose message is received before the commit."""
    give_up(comm.Isend(np.ones(LARGE), 1 - comm.rank, TAG))
    comm.Recv(np.empty(LARGE), 1 - comm.rank, TAG)
    return []


def freed_receive(comm: MPI.Intracomm) -> Held:
    if comm.rank == 1:
        comm.Irecv(np.empty(1), 0, TAG).Free()
    return []


def end(one: Any) -> None:
    if isinstance(one, MPI.Message):
        assert one.recv() == "here"
        return
    if isinstance(one, MPI.Grequest):
        one.Complete()
    one.wait()


def main(job: perdure.Job, what: str, part: bool = False, until: int = 2, supersteps: int = 6) -> int:
    comm = job.comm.Split(0, -job.rank) if part else job.comm
    meeting = job.comm.Dup()
    count = job.private("count", [0])
    held: Held = []
    for superstep in job.supersteps(supersteps, commit_every=2):
        if superstep == 1:
            held = BEGIN[what](comm)
        if superstep == until:
            LATER.get(what, lambda comm: None)(comm)
            for one in held:
                end(one)
        meeting.Barrier()
        count[0] += 1
    return count[0]
