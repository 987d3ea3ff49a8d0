"""Adaptive integration by a manager and workers: the distribution of work is random, but the result is not.

The program integrates sin(1/x) / x from LOWER to 1; the function oscillates faster and faster towards its lower end. Rank 0 keeps all
intervals on a heap, the least accurate one first. A superstep is one batch: rank 0 halves the worst intervals and sends each half to the
first worker that asks for one (`recv` from MPI.ANY_SOURCE). A worker that receives the end of the batch does not wait: it continues with
the next superstep and asks again.

    perdure run examples/farm/farm.py
    perdure run examples/farm/farm.py --fault kill:node=0,superstep=50 --fault kill:node=2,superstep=90 --spares 2

Both commands print the same digits. The state is the heap at the end of a batch. A message is received in the batch in which it is sent,
because its tag is the number of the batch.
"""

import heapq
import math

import numpy as np

import perdure
from perdure import MPI

LOWER = 0.002
NODES, WEIGHTS = np.polynomial.legendre.leggauss(12)
Interval = tuple[float, float]
Estimate = tuple[float, float, float]
"""The start of an interval, the integral over it, and the estimate of the error."""


def gauss(start: float, end: float) -> float:
    """Return the integral over one interval by Gauss's rule."""
    middle, half = (start + end) / 2, (end - start) / 2
    x = middle + half * NODES
    return float(half * np.dot(WEIGHTS, np.sin(1 / x) / x))


def estimate(interval: Interval) -> Estimate:
    """Return the integral over both halves, and its difference from the integral over the whole interval."""
    start, end = interval
    middle = (start + end) / 2
    value = gauss(start, middle) + gauss(middle, end)
    return start, value, abs(value - gauss(start, end))


class Bisection:
    """Rank 0's state: `heap` has (-error, start, end, value) for each interval. The lowest start breaks ties."""

    def __init__(self) -> None:
        start, value, error = estimate((LOWER, 1.0))
        self.heap = [(-error, start, 1.0, value)]
        self.halved = 0

    def halve(self, count: int) -> list[Interval]:
        """Take the worst intervals off the heap, and return their halves."""
        worst = [heapq.heappop(self.heap) for _ in range(min(count, len(self.heap)))]
        self.halved += len(worst)
        return [half for _, start, end, _ in worst for half in ((start, (start + end) / 2), ((start + end) / 2, end))]

    def put(self, interval: Interval, answer: Estimate) -> None:
        """Add an interval that has been computed."""
        start, value, error = answer
        heapq.heappush(self.heap, (-error, start, interval[1], value))

    def result(self) -> tuple[float, float, int]:
        """Return the integral, its error's estimate and the number of halvings. `fsum` does not depend on the order."""
        return math.fsum(value for *_, value in self.heap), math.fsum(-error for error, *_ in self.heap), self.halved


def manage(comm: MPI.Comm, batch: int, work: list[Interval]) -> list[Estimate | None]:
    """Send `work` to workers that ask for it, until every worker has received the end of the batch. Return the answers in its order.

    The tag is the number of the batch, so a request for the next batch is not received, although the source is any rank.
    """
    answers: list[Estimate | None] = [None] * len(work)
    status, sent, finished = MPI.Status(), 0, 0
    while finished < comm.size - 1:
        number, answer = comm.recv(source=MPI.ANY_SOURCE, tag=batch, status=status)
        if answer is not None:
            answers[number] = answer
        if sent < len(work):
            comm.send((sent, work[sent]), dest=status.Get_source(), tag=batch)
            sent += 1
        else:
            comm.send(None, dest=status.Get_source(), tag=batch)
            finished += 1
    return answers


def labour(comm: MPI.Comm, batch: int) -> None:
    """Ask for tasks, and send each answer with the next request, until the batch is over."""
    request: tuple[int, Estimate | None] = (-1, None)
    while (task := comm.sendrecv(request, dest=0, sendtag=batch, source=0, recvtag=batch)) is not None:
        number, interval = task
        request = (number, estimate(interval))


def main(job: perdure.Job, supersteps: int = 120, batch: int = 8) -> tuple[float, float, int] | None:
    """Return the integral, its error's estimate and the number of halvings (on rank 0). `batch`: intervals to halve in a superstep."""
    state = job.private("state", init=lambda: {"bisection": Bisection() if job.rank == 0 else None})
    for superstep in job.supersteps(supersteps):
        if job.rank > 0:
            labour(job.comm, superstep)
            continue
        bisection = state["bisection"]
        work = bisection.halve(batch)
        answers = manage(job.comm, superstep, work) if job.size > 1 else [estimate(one) for one in work]
        for interval, answer in zip(work, answers, strict=True):
            bisection.put(interval, answer)
    return state["bisection"].result() if job.rank == 0 else None
