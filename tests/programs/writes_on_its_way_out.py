"""A program that spoils its arrays whenever `main` is left before its end."""

import numpy as np

import perdure


def main(job: perdure.Job, supersteps: int = 16, rows: int = 40_000) -> float:
    state = job.sharded("state", (job.size * rows + 3,), init=lambda index: np.arange(index[0].start, index[0].stop, dtype=float))
    over = False
    try:
        for superstep in job.supersteps(supersteps):
            state *= 1.0 + (job.comm.allreduce(float(state[0])) % 7) / 100
            state[superstep] += job.rank
        over = True
    finally:
        if not over:
            state[:] = np.nan
    return job.comm.allreduce(float(state.sum()))
