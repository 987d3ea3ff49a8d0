"""The common work without losses, timed from its first superstep to its last. Run by `overhead.py`."""

from __future__ import annotations

import time

import numpy as np
from common_work import EDGE, MIB, initial, step

import perdure
from perdure.comm import IN_PLACE, SUM


def main(job: perdure.Job, mb: int, steps: int) -> float:
    """Seconds, on rank 0; every step ends with an exchange, so all ranks take as long."""
    state = job.sharded("state", (job.size * mb * MIB,), init=lambda index: initial(job.rank, mb))
    right, left = (job.rank + 1) % job.size, (job.rank - 1) % job.size
    received = np.empty(EDGE)

    def reduce(vector: np.ndarray) -> np.ndarray:
        job.comm.Allreduce(IN_PLACE, vector, SUM)
        return vector

    def ring(edge: np.ndarray) -> np.ndarray:
        job.comm.Sendrecv(edge, right, 5, received, left, 5)
        return received

    began = 0.0
    for number in job.supersteps(steps):
        began = began or time.monotonic()
        step(state, number, reduce, ring)
    return time.monotonic() - began
