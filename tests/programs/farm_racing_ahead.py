"""A manager hands tasks to the workers; a superstep is one batch. A worker that is done runs ahead into the next one, and asks again."""

from __future__ import annotations

from typing import Any

import perdure
from perdure import MPI

STOP = -1


def manage(comm: Any, state: dict[str, Any], limit: int) -> None:
    """Answer requests until every worker knows that the batch is over."""
    status, stopped = MPI.Status(), 0
    while stopped < comm.size - 1:
        number, value = comm.recv(source=MPI.ANY_SOURCE, status=status)
        if number != STOP:
            state["done"][number] = value
        if state["given"] < limit:
            comm.send(state["given"], dest=status.Get_source())
            state["given"] += 1
        else:
            comm.send(STOP, dest=status.Get_source())
            stopped += 1


def work(comm: Any) -> None:
    answer = (STOP, 0)
    while (number := comm.sendrecv(answer, dest=0, source=0)) != STOP:
        answer = (number, number * number)


def main(job: perdure.Job, tasks: int = 60, batch: int = 6) -> tuple[int, int]:
    state = job.private("state", {"given": 0, "done": {}})
    for superstep in job.supersteps(tasks // batch, commit_every=1):
        if job.rank == 0:
            manage(job.comm, state, (superstep + 1) * batch)
        else:
            work(job.comm)
    return len(state["done"]), sum(state["done"].values())
