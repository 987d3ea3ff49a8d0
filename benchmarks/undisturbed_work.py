"""The common work without losses, timed superstep by superstep. Run by `overhead.py`."""

from __future__ import annotations

import time

import numpy as np
from common_work import EDGE, MIB, initial, step

import perdure
from perdure.comm import IN_PLACE, SUM


def main(job: perdure.Job, mb: int, steps: int) -> list[float]:
    """When each superstep began, and the last ended, in seconds, on rank 0; every step ends with an exchange, so all ranks take as long."""
    state = job.sharded("state", (job.size * mb * MIB,), init=lambda index: initial(job.rank, mb))
    right, left = (job.rank + 1) % job.size, (job.rank - 1) % job.size
    received = np.empty(EDGE)

    def reduce(vector: np.ndarray) -> np.ndarray:
        job.comm.Allreduce(IN_PLACE, vector, SUM)
        return vector

    def ring(edge: np.ndarray) -> np.ndarray:
        job.comm.Sendrecv(edge, right, 5, received, left, 5)
        return received

    began = []
    for number in job.supersteps(steps):
        began.append(time.monotonic())
        step(state, number, reduce, ring)
    return [*began, time.monotonic()]
