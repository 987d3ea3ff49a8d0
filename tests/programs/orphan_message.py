"""A rank that has passed its commit sends; another one, which has not, would take the message, and take it again after a recovery."""

from __future__ import annotations

import perdure


def main(job: perdure.Job, supersteps: int = 20, tag: int = 3) -> int | None:
    comm = job.comm
    got = job.private("got", {"count": 0})
    for superstep in job.supersteps(supersteps, commit_every=1):
        if job.rank == 1:
            comm.send(superstep, 0, tag)
        if job.rank == 0:
            while comm.iprobe(source=1, tag=tag):
                comm.recv(source=1, tag=tag)
                got["count"] += 1
    return got["count"] if job.rank == 0 else None


def received(job: perdure.Job, supersteps: int = 20) -> int:
    """The same with a receive in each superstep: a rank may be ahead of another by a commit, and its messages wait for that."""
    comm = job.comm
    got = job.private("got", {"sum": 0})
    for superstep in job.supersteps(supersteps, commit_every=1):
        if job.rank == 1:
            comm.send(superstep, 0)
        if job.rank == 0:
            got["sum"] += comm.recv()
    return got["sum"]
