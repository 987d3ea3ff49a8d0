"""A ring in which a connection between two ranks ends, in some generations, although both live."""

from __future__ import annotations

from typing import Any

import numpy as np


def main(job: Any, supersteps: int = 30, at: int = 12, generations: int = 1) -> float:
    values = job.sharded("values", (64 * job.size,), init=lambda index: float(job.rank))
    for k in job.supersteps(supersteps, commit_every=5):
        if k == at and job.rank == 1 and job.generation <= generations:
            job.comm.engine.traffic._out[2].stream._stream.shut_down()
        before = np.empty_like(values)
        job.comm.Sendrecv(values, dest=(job.rank + 1) % job.size, recvbuf=before, source=(job.rank - 1) % job.size)
        values += 0.5 * before
    return float(job.comm.allreduce(float(values.sum())))
